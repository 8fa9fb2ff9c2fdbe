"""What a user sees of a fault in the command line itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from zaptrace import cli
from zaptrace.supervisor import runtime


def test_nobody_is_shown_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def pods(root: Path) -> list[str]:
        raise TypeError("ours")

    monkeypatch.setattr(runtime, "pods", pods)
    assert cli.call(["ps"]) == 1
    out, err = capfd.readouterr()
    first, *rest = err.splitlines()
    assert first == "zaptrace: cannot do zaptrace ps: a fault in zaptrace itself (TypeError: ours)"
    assert [line.split()[0] for line in rest] == ["do", "changed"]
    report = Path(rest[0].split()[-1])
    assert "Traceback" in report.read_text()
    report.unlink()
    assert not out
