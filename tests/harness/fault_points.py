"""The fault points of zaptrace, as its source names them; a new one needs no listing here."""

from __future__ import annotations

import ast

from harness.world import ROOT
from zaptrace.pod.restore import FAULT_POINTS


def named() -> dict[str, str]:
    """Name of each fault point, and the file that it is in."""
    found = dict.fromkeys(FAULT_POINTS.values(), "restore")
    for path in sorted((ROOT / "zaptrace").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            name = node.args[0]
            if called == "fault" and isinstance(name, ast.Constant) and isinstance(name.value, str):
                found[name.value] = path.stem
    return found


def of(*prefixes: str) -> list[str]:
    """Those whose names begin with one of these words, each of which begins some."""
    found = sorted(name for name in named() if name.split(".")[0] in prefixes)
    strange = set(prefixes) - {name.split(".")[0] for name in found}
    assert not strange, f"no fault point begins with {strange}"
    return found
