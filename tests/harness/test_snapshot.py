"""The comparison sees what it should: everything that the kernel shows, or says why not."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import flavours, known_differences, snapshot
from harness.known_differences import KNOWN, Known
from harness.runs import PodRun
from harness.snapshot import getters, process, sockets
from harness.snapshot.look import by_age
from harness.world import PROGRAMS, python
from zaptrace.resources.inotify import instance

PRCTL_H = Path("/usr/include/linux/prctl.h")


def test_every_getter_of_prctl_is_asked():
    if not PRCTL_H.exists():
        pytest.skip("linux/prctl.h is not installed: apt-get install linux-libc-dev")
    named = set(re.findall(r"#\s*define (PR_(?:\w+_)?GET(?:_\w+)?)\s", PRCTL_H.read_text()))
    arguments = {"PR_SCHED_CORE_GET", "PR_FP_MODE_GET"}
    known = {name.split()[0] for name in getters.PRCTL} | {*getters.IGNORED_PRCTL, *arguments}
    missing = {name for name in named - known if f"{name}_GET" not in known}
    assert not missing, f"prctl getters that nobody looks at: {sorted(missing)}"


def test_every_file_of_proc_is_read_or_named():
    known = {*process.VERBATIM, *process.ELSEWHERE, *process.IGNORED_FILES}
    missing = set(os.listdir("/proc/self")) - known
    assert not missing, f"files of /proc/PID that nobody looks at: {sorted(missing)}"


def test_every_option_of_sockets_is_in_reach():
    for header in Path("/usr/include/asm-generic").glob("socket.h"):
        numbers = re.findall(r"#\s*define SO_\w+\s+(\d+)", header.read_text())
        assert max(map(int, numbers)) < sockets.OPTIONS


# --- what is known


def test_known_differences_can_go_stale():
    """Each has a witness that runs, one reason, and a pattern that is one."""
    reasons = [known.reason for known in KNOWN]
    assert len(set(reasons)) == len(reasons)
    for known in KNOWN:
        program, flavour = known.witness
        assert (PROGRAMS / f"{program}.c").exists(), known
        assert flavour in flavours.ALL, known
        re.compile(known.pattern)


def test_stale_entries_are_found(monkeypatch: pytest.MonkeyPatch):
    entry = Known(r"process \d+ nice: .*", "it forgets to be nice", ("pipe", "restore"))
    monkeypatch.setattr(known_differences, "KNOWN", (entry,))
    strange, known = known_differences.sort(["process 2 nice: was 1", "process 2 comm: was 1"])
    assert strange == ["process 2 comm: was 1"]
    assert known == {entry.reason}
    assert known_differences.stale("pipe", "restore", known) == []
    assert known_differences.stale("pipe", "restore", set()) == [entry.reason]
    assert known_differences.stale("pipe", "twice", set()) == []


def test_an_entry_may_need_company(monkeypatch: pytest.MonkeyPatch):
    entry = Known(
        "process 2 nice: .*", "it was born anew", ("pipe", "restore"), only_with=".*born.*"
    )
    monkeypatch.setattr(known_differences, "KNOWN", (entry,))
    alone, together = ["process 2 nice: 1"], ["process 2 nice: 1", "process 3 born: 1"]
    assert known_differences.sort(alone) == (alone, set())
    assert known_differences.sort(together) == (together[1:], {entry.reason})


def test_a_stale_entry_fails_its_witness(place: Path, monkeypatch: pytest.MonkeyPatch):
    entry = Known("never", "it is mended", ("sh", "native"))
    monkeypatch.setattr(known_differences, "KNOWN", (entry,))
    script = "echo ready; while [ ! -e $ZT_GO ]; do sleep 0.01; done; echo PASS"
    with pytest.raises(AssertionError, match="it is mended"):
        flavours.run_flavour("native", ["sh", "-c", script], place)


# --- comparing


def test_equal_lines_are_counted():
    one = snapshot.Snapshot({2: {"locks": ["a", "b"]}})
    two = snapshot.Snapshot({2: {"locks": ["a", "b", "b"]}})
    assert snapshot.differences(one, two) == ["process 2 locks: has more: 'b'"]
    assert snapshot.differences(two, one) == ["process 2 locks: lost 'b'"]


def test_what_is_only_here_or_held():
    one = snapshot.Snapshot({2: {}}, here={2: {"Rss": 1}}, timers={2: {"timer 1": "runs"}})
    two = snapshot.Snapshot({2: {}}, here={2: {"Rss": 2}}, timers={2: {}})
    assert snapshot.differences(one, two, held=True) == []
    assert snapshot.differences(one, two) == ["process 2 timer 1: is gone; was 'runs'"]
    assert "process 2 Rss: was 1, is 2" in snapshot.differences(one, two, here=True)


def test_what_relatives_give_back_as_they_end():
    one, two = (
        snapshot.Snapshot({2: {}}, here={2: {"maps": {"0-1": {"Rss": 8, "Pss": 8 // sharers}}}})
        for sharers in (2, 1)
    )
    assert len(snapshot.differences(one, two, here=True)) == 1
    assert snapshot.differences(one, two, here=True, ending=True) == []
    two.here[2]["maps"]["0-1"]["Rss"] = 4
    assert len(snapshot.differences(one, two, here=True, ending=True)) == 1


# --- looking, from outside

SETUP = """
import fcntl, mmap, os, resource, signal, socket, sys, termios, threading, time
import ctypes; libc = ctypes.CDLL(None)
here = sys.argv[1]
memory = mmap.mmap(-1, 1 << 22, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
path = here + "/mapped"; open(path, "wb").write(bytes(9999))
file = open(path, "r+b"); mapped = mmap.mmap(file.fileno(), 9999)
tcp = socket.socket(); pair = socket.socketpair(); pipe = os.pipe(); memfd = os.memfd_create("m", 2)
master, slave = os.openpty()
def tell(): print("ready", flush=True); sys.stdin.readline()
tell()
"""
CHANGES = {
    "os.open('/etc/passwd', 0)": r"fds \d+: is new: .*/etc/passwd",
    "os.dup2(pipe[1], 77)": r"fds 77: is new: .*description",
    "os.nice(1)": r"stat nice: was '\d+', is '\d+'",
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))": r"limits Max core file size: ",
    "open('/proc/self/coredump_filter', 'w').write('1')": r"coredump_filter: was",
    "open('/proc/self/oom_score_adj', 'w').write('500')": r"oom_score_adj: was",
    "memory.madvise(mmap.MADV_DONTFORK)": r"maps \S+ VmFlags: was",
    "mapped.madvise(mmap.MADV_RANDOM)": r"maps \S+ VmFlags: was",
    "memory.write(b'x')": r"maps \S+ private copies: was 0, is",
    "os.link(path, path + '2')": r"maps \S+ links: was 1, is 2",
    "os.unlink(path)": r"maps \S+ links: was 1, is 'not what is at its path'",
    "os.truncate(path, 5)": r"fds \d+ inode size: was 9999, is 5",
    "fcntl.flock(file, fcntl.LOCK_EX)": r"locks: has more: 'FLOCK ADVISORY WRITE fd",
    "fcntl.lockf(file, fcntl.LOCK_SH, 5)": r"fds \d+ info lock: is new: .*POSIX",
    "fcntl.fcntl(pipe[0], fcntl.F_SETPIPE_SZ, 1 << 12)": r"fds \d+ fcntl pipe size: was",
    "fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, 2)": r"fds \d+ fcntl seals: was 0, is 2",
    "fcntl.fcntl(tcp, fcntl.F_SETOWN, os.getpid())": r"fds \d+ fcntl owner: was",
    "fcntl.fcntl(tcp, 10, 35)": r"fds \d+ fcntl signal: was 0, is 35",
    "fcntl.fcntl(pipe[0], fcntl.F_SETFL, os.O_NONBLOCK)": r"fds \d+ info flags: ",
    "tcp.setsockopt(6, 2, 1000)": r"fds \d+ options TCP 2: was",
    "tcp.setsockopt(0, 15, 1)": r"fds \d+ options IP 15: was",
    "tcp.bind(('127.0.0.1', 0))": r"fds \d+ name: was",
    "tcp.listen(7)": r"fds \d+ diag state: ",
    "pair[0].send(b'x')": r"fds \d+ diag received: was 0, is 1",
    "pair[0].shutdown(1)": r"fds \d+ diag shutdown: was",
    "termios.tcflow(master, termios.TCOOFF)": None,
    "termios.tcsetwinsize(slave, (9, 9))": r"fds \d+ terminal size: was",
    "fcntl.ioctl(master, 0x5420, b'\\1\\0\\0\\0')": r"fds \d+ terminal packet mode: was 0, is 1",
    "signal.signal(signal.SIGUSR1, signal.SIG_IGN)": r"status SigIgn: was",
    "signal.setitimer(signal.ITIMER_REAL, 500)": None,
    "os.chdir('/')": r"cwd: was",
    "os.umask(0o77)": r"status Umask: was",
    "libc.prctl(15, b'other')": r"threads .* name: was",
    "threading.Thread(target=time.sleep, args=[99], daemon=True).start()": r"stat threads: was",
    "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})": r"status Cpus_allowed: was",
    "libc.mlock(ctypes.byref(ctypes.c_char.from_buffer(memory)), 4096)": r"VmFlags.*\blo\b",
    "os.setpgid(0, 0)": r"group: was",
    "libc.timer_create(1, 0, ctypes.byref(ctypes.c_long()))": r"timers: has more",
}
"""What a program does to itself, and the difference that has to be seen; None: not from outside."""


class Looked:
    """A live process as a pod that cannot be asked to do anything."""

    def __init__(self, rpid: int) -> None:
        self.rpid = rpid

    def processes(self) -> list[dict[str, Any]]:
        return [{"vpid": 2, "rpid": self.rpid, "ppid": 1}]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: str, place: Path):
    script = f"{SETUP}\n{change}\ntell()\n"
    with subprocess.Popen(
        [python(), "-c", script, str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdin and child.stdout
        pod = Looked(child.pid)
        assert child.stdout.readline() == "ready\n"
        _wait_until_it_reads(child.pid)
        before = snapshot.take(pod)
        assert snapshot.differences(before, snapshot.take(pod), here=True) == []
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n", change
        _wait_until_it_reads(child.pid)
        said = snapshot.differences(before, snapshot.take(pod))
        child.kill()
    if wanted := CHANGES[change]:
        needs_a_copy = re.match(r"fds \\d\+ (fcntl|options|name|diag|terminal)\b", wanted)
        denied = [
            fd["duplicate"] for fd in before.processes[2]["fds"].values() if "duplicate" in fd
        ]
        if needs_a_copy and denied:
            pytest.skip(f"without a tracer, and in this profile: {denied[0]}")
        assert any(re.search(wanted, line) for line in said), said


def _wait_until_it_reads(pid: int) -> None:
    while not Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 "):
        pass


# --- looking, with a tracer that has the program ask

IN_POD = """
import ctypes, os, sys, time, signal
libc = ctypes.CDLL(None, use_errno=True)
def until_go():
    print("ready", flush=True)
    while not os.path.exists(os.environ["ZT_GO"]): time.sleep(0.01)
    os.unlink(os.environ["ZT_GO"])
until_go()
libc.prctl(29, 7777)               # timer slack
libc.prctl(8, 1)                   # keepcaps
libc.prctl(1, 10)                  # death signal
libc.prctl(36, 1)                  # child subreaper
libc.prctl(41, 1, 0, 0, 0)         # no huge pages
libc.prctl(33, 1, 1, 0, 0)         # what a bad page of memory does
libc.prctl(65, 1, 0, 0, 0)         # no memory that is writable and executable
libc.syscall(251, 1, 0, 2 << 13 | 5)  # io priority
libc.syscall(324, 1 << 4, 0, 0)    # membarrier
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
signal.setitimer(signal.ITIMER_REAL, 999, 500)
print("done", flush=True)
until_go()
print("PASS", flush=True)
"""
SEEN_IN_POD = (
    "PR_GET_TIMERSLACK", "PR_GET_KEEPCAPS", "PR_GET_PDEATHSIG", "PR_GET_CHILD_SUBREAPER",
    "PR_GET_THP_DISABLE", "PR_MCE_KILL_GET", "PR_GET_MDWE", "io priority", "membarrier",
    "scheduling", "interval timer 0", "stat policy",
)  # fmt: skip


@pytest.fixture
def in_pod(place: Path) -> Iterator[PodRun]:
    with flavours.started("pod", [python(), "-c", IN_POD], place) as it:
        assert isinstance(it, PodRun)
        yield it


def test_what_a_program_can_ask_is_asked(in_pod: PodRun):
    in_pod.wait_for("ready")
    in_pod.ask("freeze")
    in_pod.ask("look", against=None)
    assert in_pod.ask("look", against="seen") == []
    in_pod.ask("thaw")
    in_pod.go()
    in_pod.wait_for("done")
    in_pod.ask("freeze")
    said = in_pod.ask("look", against="seen")
    in_pod.ask("thaw")
    for name in SEEN_IN_POD:
        assert any(name in line for line in said), (name, said)


# --- what a look does


def test_a_look_opens_no_directory_of_others(place: Path):
    """A removed file is not searched for where all tests have theirs: one may watch its own."""
    script = """if True:
        import mmap, tempfile
        file = tempfile.TemporaryFile()
        file.truncate(4096)
        memory = mmap.mmap(file.fileno(), 4096)
        print("ready", flush=True)
        input()
    """
    instance_fd = instance.create()
    try:
        instance.add(instance_fd, os.fsencode(place), instance.OPEN)
        with subprocess.Popen(
            [python(), "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as child:  # fmt: skip
            assert child.stdin and child.stdout
            assert child.stdout.readline() == b"ready\n"
            taken = snapshot.take(Looked(child.pid))
            child.kill()
        removed = [m for m in taken.processes[2]["maps"].values() if "removed" in m["is"]]
        assert len(removed) == 1, taken
        os.set_blocking(instance_fd, False)
        assert instance.take(instance_fd) == []
    finally:
        os.close(instance_fd)


def test_threads_are_told_by_age(monkeypatch: pytest.MonkeyPatch):
    """The kernel's order, also where numbers have begun anew."""
    monkeypatch.setattr(os, "listdir", lambda path: ["32767", "300", "301"])
    assert by_age(32767) == [32767, 300, 301]
