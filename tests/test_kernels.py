"""make kernels: what needs no machine of it. A step is done once, and a failure is a row that says so."""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.world import ROOT

SAID = """
@@ 6.1.0-56-cloud-amd64 tsc make
@ability scan pages|no|Inappropriate ioctl for device (ENOTTY)
@ threads made
@ xstate@v3 failed: HostError: this host's processor is not x86-64-v3
@end
"""


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "kernels"))
    names = ("machine", "steps", "page", "expected")
    return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def counted(said: str) -> tuple[list[int], Callable[[], tuple[str, bytes]]]:
    runs: list[int] = []

    def run() -> tuple[str, bytes]:
        runs.append(1)
        return said, b"images"

    return runs, run


def test_a_step_that_ended_is_not_run_again(scripts: Any, tmp_path: Path):
    runs, run = counted(SAID)
    first = scripts.steps.Steps(tmp_path).run("make-6.1", [b"kernel", b"files"], run)
    again = scripts.steps.Steps(tmp_path).run("make-6.1", [b"kernel", b"files"], run)
    assert first == again and again.given == b"images" and len(runs) == 1
    scripts.steps.Steps(tmp_path).run("make-6.1", [b"kernel", b"other files"], run)
    assert len(runs) == 2


def test_a_step_that_was_cut_short_is(scripts: Any, tmp_path: Path):
    runs, run = counted(SAID.replace("@end", ""))
    for _ in range(2):
        step = scripts.steps.Steps(tmp_path).run("make-6.1", [b""], run)
        assert scripts.page.Seen(step).wrong[0].startswith("the machine did not come to its end")
    assert len(runs) == 2


def test_what_a_guest_says(scripts: Any):
    step = scripts.steps.Step(SAID, b"", "2026-11-26")
    assert step.release == "6.1.0-56-cloud-amd64" and step.noes == ["scan pages"]
    assert step.results["threads"] == "made" and set(step.results) == {"threads", "xstate@v3"}
    nehalem, haswell = (scripts.machine.Machine("6.1", cpu) for cpu in ("Nehalem", "Haswell"))
    result = step.results["xstate@v3"]
    assert scripts.expected.right_to_make("xstate@v3", result, nehalem)
    assert not scripts.expected.right_to_make("xstate@v3", result, haswell)


def test_what_has_to_be_refused(scripts: Any):
    old, new = scripts.machine.Machine("6.12", "Haswell,+la57"), scripts.machine.Machine("7", "max")
    four = scripts.machine.Machine("5.10", "Haswell")
    releases = {"6.12": "6.12.118+deb13", "7": "7.3.4+deb13", "5.10": "5.10.0-46"}

    def refusal(image: str, made_on: Any, here: Any) -> str | None:
        word: str | None = scripts.expected.refusal(image, made_on, here, releases)
        return word

    assert refusal("threads", new, old) == "lacks features"
    assert refusal("threads@v2", new, old) is refusal("threads", four, old) is None
    assert refusal("xstate@v2", new, four) is None  # it has the registers that were used
    assert refusal("protection_keys@v2", four, new) == "pkey_alloc(0, 0) is 1, not -1"
    assert refusal("high_addresses@v2", old, four) == "addresses of 56 bits"
    assert refusal("high_addresses@v2", old, new) is None
    again = scripts.machine.Machine("7", "Haswell,+la57")
    assert refusal("guard_pages", again, old) == "guard pages"
    assert refusal("guard_pages", old, again) is None


def test_a_failure_is_a_row(scripts: Any, tmp_path: Path):
    page = tmp_path / "hosts.md"
    begin, end = scripts.page.BEGIN, scripts.page.END
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    here, there = (scripts.machine.Machine(series, "Haswell") for series in ("5.10", "6.1"))
    seen = scripts.page.Seen(scripts.steps.Step(SAID, b"", "2026-11-26"))
    seen.add("clocks", "PASS", right=True, well=True)
    seen.add("threads", "failed: no end in 300 s | more", right=False, well=False)
    scripts.page.put(page, scripts.page.of_pairs([here, there], {there: {here.key: seen}}))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    row = "| 5.10, Haswell | 6.1, Haswell | 2026-11-26 | `clocks` | none | "
    assert f"{row}`threads` failed: no end in 300 s \\| more |" in text
    scripts.page.put(page, "new")
    assert "clocks" not in page.read_text()


def test_the_page_has_a_place_for_it(scripts: Any):
    text = (ROOT / "docs" / "hosts.md").read_text()
    assert 0 < text.find(scripts.page.BEGIN) < text.find(scripts.page.END)


def test_a_machine_that_hangs_is_ended(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One that says nothing more is a step without an end, and what it said is kept."""
    fake = tmp_path / "bin" / "qemu-system-x86_64"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\nfor word; do case $word in file:*) : >"${word#file:}";; esac; done\n'
        "echo '@ threads made'; exec sleep 600\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(scripts.machine, "_PATIENCE_S", 2)
    here = scripts.machine.Machine("6.1", "Haswell")
    kernel = SimpleNamespace(image=tmp_path / "vmlinuz", modules=[])
    said, given = scripts.machine.run(here, kernel, "make", b"", {}, tmp_path)
    step = scripts.steps.Step(said, given, "2026-11-26")
    assert not step.has_ended and step.results == {"threads": "made"} and not given
    assert "it was ended after 2 s" in scripts.page.Seen(step).wrong[0]
