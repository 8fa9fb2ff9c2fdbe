"""Puts the pages of the site together, with what is generated from the code, and builds it.

    pages.py [DIRECTORY [TREE]]     into DIRECTORY/pages, DIRECTORY/site and DIRECTORY/zaptrace.1 (build/);
                                    TREE has the pages, where they are not ours

README.md is its first page, and what lies beside it comes along. A link that leads nowhere, or a page
that mkdocs warns of, is an error.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import zaptrace  # noqa: E402
from zaptrace import aio  # noqa: E402
from zaptrace.cli import group  # noqa: E402
from zaptrace.cli._verbs import HELP, VERBS  # noqa: E402

BESIDE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
"""Pages that do not lie in docs/, and what they are on the site."""


def verbs() -> dict[str, tuple[str, click.Command]]:
    """Each verb, with its help as a terminal of 100 columns shows it."""
    found = {}
    with click.Context(group.group, info_name="zaptrace") as parent:
        for name in VERBS:
            command = group.group.get_command(parent, name)
            assert command is not None
            with click.Context(
                command, info_name=name, parent=parent, max_content_width=100, terminal_width=100
            ) as own:
                found[name] = (command.get_help(own), command)
    return found


def command_line() -> str:
    """reference/cli.md."""
    parts = ["# The command line", f"```text\n{HELP}\n```"]
    for name, (text, _) in verbs().items():
        parts.append(f"## zaptrace {name}\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def man_page() -> str:
    """zaptrace(1), in the macros of man(7)."""
    lines = [f'.TH ZAPTRACE 1 "" "zaptrace {zaptrace.__version__}"', ".SH NAME"]
    lines += [
        r"zaptrace \- run, checkpoint, restore and migrate ordinary processes",
        ".SH SYNOPSIS",
    ]
    lines += [".B zaptrace", r".I VERB", "[ARGS]...", ".SH DESCRIPTION", ".nf", _roff(HELP), ".fi"]
    for name, (text, _) in verbs().items():
        lines += [f".SH {name.upper()}", ".nf", _roff(text), ".fi"]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """Lines as they are: no backslash, and nothing at a line's begin, is a command."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(
        rf"\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n")
    )


def python() -> str:
    """reference/python.md."""
    parts = ["# Python", f"```text\n{inspect.cleandoc(zaptrace.__doc__ or '')}\n```"]
    for name in zaptrace.__all__:
        parts += _about(f"zaptrace.{name}", getattr(zaptrace, name), 2)
    parts += ["## zaptrace.aio", f"```text\n{inspect.cleandoc(aio.__doc__ or '')}\n```"]
    return "\n\n".join(parts) + "\n"


def _about(name: str, what: object, depth: int) -> list[str]:
    parts = [f"{'#' * depth} {name}"]
    if inspect.isfunction(what) or (inspect.isclass(what) and not issubclass(what, Exception)):
        own = getattr(what, "__dataclass_fields__", None)
        if own is None and inspect.isfunction(what):
            parts.append(f"```python\n{name.rpartition('.')[2]}{_signature(what)}\n```")
        elif own is not None:
            rows = "\n".join(f"{field}: {one.type}" for field, one in own.items())
            parts.append(f"```python\n{rows}\n```")
    parts.append(_escaped(inspect.getdoc(what) or ""))
    if inspect.isclass(what) and what is zaptrace.Pod:
        for method, function in vars(what).items():
            if not method.startswith("_"):
                of = function.fget if isinstance(function, property) else function
                parts += _about(f"Pod.{method}", of, depth + 1)
    return parts


def _signature(function: object) -> str:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    kept = [p for name, p in signature.parameters.items() if name != "self"]
    text = str(signature.replace(parameters=kept)).replace("'", "")
    text = text.replace("arguments.", "")
    if len(text) < 80:
        return text
    inner, _, returns = text.rpartition(") -> ")
    return "(\n    " + re.sub(r", (?=[\w*]+(:|,|$))", ",\n    ", inner[1:]) + f",\n) -> {returns}"


def _escaped(text: str) -> str:
    return re.sub(r"([*_<])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text)


def pages(target: Path, tree: Path) -> None:
    """All pages, with their links as they are on the site."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(tree / "docs", target)
    for source, page in BESIDE.items():
        text = (tree / source).read_text(encoding="utf-8")
        for link in set(re.findall(r"\]\(([^)#:]+)[)#]", text)):
            text = re.sub(
                rf"\]\({re.escape(link)}(?=[)#])", f"]({_on_the_site(source, link)}", text
            )
        (target / page).write_text(text, encoding="utf-8")
    (target / "reference").mkdir()
    (target / "reference" / "cli.md").write_text(command_line(), encoding="utf-8")
    (target / "reference" / "python.md").write_text(python(), encoding="utf-8")


def _on_the_site(source: str, link: str) -> str:
    path = os.path.normpath(os.path.join(os.path.dirname(source), link))
    return BESIDE.get(path) or BESIDE.get(f"{path}/README.md") or path.removeprefix("docs/")


def main() -> int:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    tree = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT)
    pages(target / "pages", tree)
    (target / "zaptrace.1").write_text(man_page(), encoding="utf-8")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings.replace("build/pages", f"{target}/pages").replace(
        "build/site", f"{target}/site"
    )
    (target / "mkdocs.yml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(target / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    wrong = [line for line in said if not line.startswith("INFO")]
    if done.returncode or wrong:
        print("\n".join(wrong))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
