"""docs/ is held to the tree: what a page names is there, and its commands can be run."""

from __future__ import annotations

import re
import subprocess

import pytest

from harness import matrix
from harness.world import PROGRAMS, ROOT

ADDING = (ROOT / "docs" / "adding-a-resource.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([^`\n]+)`", ADDING)
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", ADDING, re.M | re.S)
    for line in block.splitlines()
]
EXAMPLE = "pidfd"


def paths(names: list[str]) -> list[str]:
    """Those that are files of the tree; NAME stands for any room."""
    return [
        name.replace("NAME", EXAMPLE)
        for name in names
        if re.fullmatch(r"(csrc|zaptrace|tests|docs|scripts)/[\w./*-]*", name)
    ]


@pytest.mark.parametrize("path", sorted({*paths(NAMED)}))
def test_files_that_it_names_exist(path: str):
    assert list(ROOT.glob(path)), path


def test_it_names_every_file_of_the_example():
    """Those of the first table are what its commit touched."""
    rows = [row for row in ADDING.partition("\n## ")[0].splitlines() if row.startswith("| `")]
    table = paths(re.findall(r"`([^`]+)`", "\n".join(rows)))
    own = {
        str(path.relative_to(ROOT))
        for place in ("csrc", "zaptrace", "tests")
        for path in (ROOT / place).rglob(f"*{EXAMPLE}*")
        if path.suffix in (".c", ".h", ".py")
    }
    older = {"tests/programs/pidfd_reap.c"}  # of the order in which a process ends
    assert own - older == {path for path in table if EXAMPLE in path}
    for path in table:
        assert EXAMPLE in (ROOT / path).read_text(encoding="utf-8"), path


def test_python_names_that_it_uses_exist():
    """`word(...)` and `Stage.WORD`, wherever they are defined."""
    places = ("zaptrace", "csrc", "tests")
    tree = "\n".join(p.read_text() for place in places for p in (ROOT / place).rglob("*.[pch]*")
                     if p.suffix in (".py", ".h"))  # fmt: skip
    words = {
        word
        for name in NAMED
        for word in re.findall(r"[A-Za-z_]\w*", name)
        if not re.search(r"[/ ]|NAME|man|ioctl|fcntl|runner", name)
    }
    missing = sorted(word for word in words if not re.search(rf"\b{word}\b", tree))
    assert len(words) > 30
    assert not missing


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_can_be_run(command: str):
    """make knows the target; pytest finds tests, without running them."""
    program, *args = command.split()
    if program == "make":
        done = subprocess.run(["make", "-n", *args], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    assert program == ".venv/bin/pytest"
    if "-k" not in args:
        assert all((ROOT / arg).exists() for arg in args if not arg.startswith("-")), args
        return
    done = subprocess.run(
        [ROOT / program, "--collect-only", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"^tests/.*::", done.stdout, re.M), done.stdout


SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("named", sorted({*re.findall(r"`(tests/[^`]+)`", SECURITY)}))
def test_what_holds_a_promise_is_there(named: str):
    path, _, test = named.partition("::")
    assert (ROOT / path).is_file(), path
    if test:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), named


def test_every_promise_names_what_holds_it():
    promised = SECURITY.partition("## Promised")[2].partition("## Not promised")[0]
    rows = [line for line in promised.splitlines() if re.match(r"\| (?!promise|---)", line)]
    assert len(rows) > 12
    assert [row for row in rows if "`tests/" not in row.rpartition(" | ")[2]] == []


def test_what_the_hosts_page_names_is_there():
    hosts = (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8")
    named = paths(re.findall(r"`([^`\n]+)`", hosts))
    assert named and all(list(ROOT.glob(path)) for path in named)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (\w+)", hosts):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_page_of_what_is_carried_has_each_program():
    """Its ticks are those of the run that wrote it; its rows are the programs of today."""
    page = (ROOT / "docs" / "carried.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| \S+ \| ", page, re.M)
    assert rows == [(p.stem, matrix.sentence(p)) for p in sorted(PROGRAMS.glob("*.c"))]
    assert "✗" not in page.partition("Written on")[2]


def test_what_the_benchmarks_page_names_is_there():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    named = re.findall(r"`(bench/[\w./]+)`", text)
    assert len(named) > 5 and all((ROOT / path).exists() for path in named if "results" not in path)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_page_of_root_has_each_program_of_root():
    page = (ROOT / "docs" / "as-root.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", page, re.M)
    assert rows == [(p.stem, matrix.sentence(p)) for p in sorted(PROGRAMS.glob("root/*.c"))]
