"""What `zaptrace check` finds out about a host, by trying; also where hosts do harm to who tries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import PATIENCE_S, ROOT, require_kcmp
from zaptrace.linux import abilities, spare

PROBE = (
    "import json; from zaptrace.linux import abilities;"
    "print(json.dumps([vars(ability) for ability in abilities.probe()]))"
)
FORBID = """
import ctypes, struct
rows = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, {verdict}), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
"""
KILL, DENY = 0x80000000, 0x00050001


def probed(before: str = "") -> dict[str, dict[str, object]]:
    """What a new process finds, in which `before` was executed."""
    ran = subprocess.run(
        [sys.executable, "-c", before + PROBE],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return {ability["name"]: ability for ability in json.loads(ran.stdout)}


def noes(found: dict[str, dict[str, object]]) -> set[str]:
    return {name for name, ability in found.items() if not ability["ok"]}


@pytest.mark.tracer
@pytest.mark.root_too
def test_this_host_can_do_all():
    """The tests run here, so what they need is there, and the probe has to find it."""
    found = probed()
    assert {"x86-64", "run a pod", "compare files", "scan pages"} <= found.keys()
    assert [a for a in found.values() if not a["ok"] and a["needed"]] == []
    assert not noes(found) & {"look into /proc", "read its memory", "terminals"}


@pytest.mark.parametrize(
    ("number", "names"),
    [
        (312, ["compare files"]),
        (438, ["fetch files"]),
        (310, ["read its memory", "run a pod"]),
        (101, ["run a pod"]),
    ],
    ids=["kcmp", "pidfd_getfd", "process_vm_readv", "ptrace"],
)
def test_calls_that_are_denied(number: int, names: list[str]):
    """What needs it says no, with a reason, its price and a way out; nothing else does."""
    already = noes(probed())
    found = probed(FORBID.format(number=number, verdict=DENY))
    assert noes(found) == already | set(names)
    for no in (found[name] for name in names):
        assert "Operation not permitted" in str(no["because"])
        assert no["costs"] and no["do"]


def test_a_call_that_kills():
    """The host ends who tries; we live on, and all that is told apart still is."""
    require_kcmp()
    already = noes(probed())
    found = probed(FORBID.format(number=312, verdict=KILL))
    assert noes(found) == already | {"compare files"}
    assert found["compare files"]["because"] == f"who tried was killed by signal {signal.SIGSYS:d}"


@pytest.mark.parametrize(
    ("scope", "ok"), [(None, True), ("0", True), ("1", True), ("2", False), ("3", False)]
)
def test_yama(scope: str | None, ok: bool, place: Path, monkeypatch: pytest.MonkeyPatch):
    if scope is not None:
        (place / "scope").write_text(f"{scope}\n")
    monkeypatch.setattr(abilities, "_SYSCTL", str(place / "scope"))
    if ok:
        abilities._yama()
    else:
        with pytest.raises(abilities.Refused, match=f"is {scope}: only"):
            abilities._yama()


@pytest.mark.parametrize(
    ("release", "ok"), [("5.9.16", False), ("4.18.0-553.el8", False), ("5.10.0-32", True), ("6.1", True)]
)  # fmt: skip
def test_kernels(release: str, ok: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(abilities.platform, "release", lambda: release)
    answer = abilities._ask("kernel", abilities._kernel, "costs", "do")
    assert (answer.ok, answer.because) == (ok, f"Linux {release}")


class TestRoom:
    def test_few_processes(self):
        """A small limit is a no, with the limit in it."""
        script = (
            "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (7, 7));"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
            "from zaptrace.linux import spare; print(*spare.probe(), sep='\\n')"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script], env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        )  # fmt: skip
        processes, descriptors, memory, _ = ran.stdout.splitlines()
        assert "ok=False" in processes and "ulimit -u 7" in processes
        assert "ok=False" in descriptors and "ulimit -Hn 64" in descriptors
        assert "ok=True" in memory and "available" in memory

    def test_a_control_group(self, place: Path, monkeypatch: pytest.MonkeyPatch):
        """The tightest one on the way up counts, in the hierarchy of v2."""
        (place / OWN).mkdir(parents=True, exist_ok=True)
        (place / "pids.max").write_text("64\n")
        (place / "pids.current").write_text("60\n")
        monkeypatch.setattr(spare, "_CGROUP", place)
        monkeypatch.setattr(spare.Path, "read_text", _in_own)
        answer = spare._processes()
        assert not answer.ok and "allows 64 and has 60" in answer.because

    def test_what_a_control_group_has_of_files_is_room(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ):
        there = place / OWN
        there.mkdir(parents=True, exist_ok=True)
        (there / "memory.max").write_text(f"{200 << 20}\n")
        (there / "memory.current").write_text(f"{190 << 20}\n")
        (there / "memory.stat").write_text(
            f"anon {60 << 20}\nactive_file {100 << 20}\ninactive_file {30 << 20}\n"
        )
        monkeypatch.setattr(spare, "_CGROUP", place)
        monkeypatch.setattr(spare.Path, "read_text", _in_own)
        answer = spare._memory()
        assert answer.ok and "allows 200 MiB and has 60 MiB" in answer.because
        (there / "memory.stat").write_text("active_file 0\ninactive_file 0\n")
        assert not spare._memory().ok

    def test_a_place(self, place: Path):
        assert spare.space("it", place, "costs", "do", 1, "short").ok
        small = spare.space("it", place, "costs", "do", 1 << 62, "short")
        assert not small.ok and (small.costs, small.do) == ("short", "do")
        missing = spare.space("it", place / "none", "costs", "do", 1, "short")
        assert not missing.ok and missing.because == f"{place}/none: No such file or directory"
        assert (missing.costs, missing.do) == ("costs", "do")


OWN = "a.slice/session"
_READ_TEXT = Path.read_text


def _in_own(path: Path, *args: object, **options: object) -> str:
    """read_text, for a process whose only control group is OWN, in the v2 hierarchy."""
    if str(path) == "/proc/self/cgroup":
        return f"0::/{OWN}\n"
    return _READ_TEXT(path, *args, **options)
