"""Which descriptors are one description, and duplicates of them, by each of two ways."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import resource
from pathlib import Path

import pytest

from harness.supervisors import eventually
from harness.world import require_kcmp
from zaptrace.errors import HostError, UnsupportedResource
from zaptrace.linux import native
from zaptrace.linux.native import NativeError, lib
from zaptrace.linux.program import Program, Results
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.view import duplicates
from zaptrace.view.descriptions import Descriptor, Holder, Twin, same
from zaptrace.view.frozen import FrozenPod, FrozenProcess

pytestmark = pytest.mark.tracer

F_SETSIG = 10

PROGRAM = """
import fcntl, os, resource, sys, time
place, count = sys.argv[1], int(sys.argv[2])
path = place + "/file"
open(path, "w").write("12345")
own = [os.open(path, os.O_RDWR) for _ in range(count)]
fcntl.fcntl(own[0], 10, 12)
twins = [os.dup(fd) for fd in own[::7]]
a, b = os.pipe()
if sys.argv[3:] == ["async"]:
    os.mkfifo(place + "/fifo")
    asking = [os.open(place + "/fifo", os.O_RDWR) for _ in range(5)]
    for fd in asking:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC)
    asking.append(os.dup(asking[2]))
hidden = [os.open(path, os.O_PATH) for _ in range(3)]
for _ in range(2):
    if os.fork() == 0:
        more = [os.open(path, os.O_RDWR) for _ in range(20)]
        break
fcntl.fcntl(own[3], 10, 33)
ready = open(place + "/soon%d" % os.getpid(), "w")
if sys.argv[3:] == ["full"]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (ready.fileno() + 1, ready.fileno() + 1))
if sys.argv[3:] == ["full for now"]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (ready.fileno() + 1, hard))
os.rename(ready.name, place + "/ready%d" % os.getpid())
time.sleep(1000)
"""


@pytest.fixture
def quiet():
    null = os.open(os.devnull, os.O_RDWR)
    yield Stdio(null, null, null)
    os.close(null)


def denied(*_: object) -> int:
    raise NativeError("denied", lib.ZT_ERR_OS, errno.EPERM)


def launched(quiet: Stdio, place: Path, count: int, *how: str) -> Pod:
    argv = ["python3", "-c", PROGRAM, str(place), str(count), *how]
    pod = Pod.launch(argv, name="many", stdio=quiet)
    eventually(lambda: len(list(place.glob("ready*"))) == 3)
    pod.freeze()
    return pod


def groups(view: FrozenPod) -> set[frozenset[tuple[int, int]]]:
    return {
        frozenset((process.vpid, fd) for process, fd in file.holders)
        for file in view.all_files
        if not file.flags & os.O_PATH
    }


def signals(view: FrozenPod) -> list[int]:
    return [fcntl.fcntl(f.local, 11) for f in view.all_files if not f.flags & os.O_PATH]


@pytest.mark.parametrize("count", [30, 200])
def test_both_ways_agree(quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch, count: int):
    """And the numbers leave no trace."""
    with launched(quiet, place, count) as pod:

        def look() -> tuple[set[frozenset[tuple[int, int]]], list[int]]:
            view = pod.frozen_view()
            try:
                return groups(view), signals(view)
            finally:
                view.close()

        by_order, before = pod.call(look)
        monkeypatch.setattr(native, "kcmp_files", denied)
        by_numbers, after = pod.call(look)
        assert by_order == by_numbers
        assert before == after and sorted(set(before)) == [0, 12, 33]
        # Each is in three processes, every seventh twice in each; and 20 in each of two children.
        # One file of its own is in each, too.
        sizes = sorted(len(group) for group in by_order)
        assert sizes.count(1) == 43 and sizes.count(6) == -(-count // 7)


def test_comparisons_are_few(quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch):
    """Not every one with every other."""
    require_kcmp()
    with launched(quiet, place, 600) as pod:
        calls = itertools.count()
        real = native.kcmp_files

        def counted(*args: int) -> int:
            next(calls)
            return real(*args)

        monkeypatch.setattr(native, "kcmp_files", counted)
        pod.call(lambda: pod.frozen_view().close())
        assert next(calls) < 2200 * 14


def test_what_raises_signals_is_numbered_otherwise(
    quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch
):
    """By its flags, which are the same again afterwards; its signal is never touched."""
    asked: list[tuple[int, ...]] = []
    real = FrozenProcess.run

    def run(process: FrozenProcess, program: Program) -> Results:
        asked.extend(args for name, args, _ in program.rows if name == "fcntl")
        return real(process, program)

    with launched(quiet, place, 8, "async") as pod:

        def look() -> tuple[set[frozenset[tuple[int, int]]], list[int]]:
            view = pod.frozen_view()
            try:
                files = [f for f in view.all_files if not f.flags & os.O_PATH]
                return groups(view), [fcntl.fcntl(f.local, fcntl.F_GETFL) for f in files]
            finally:
                view.close()

        by_order, before = pod.call(look)
        monkeypatch.setattr(native, "kcmp_files", denied)
        monkeypatch.setattr(FrozenProcess, "run", run)
        by_numbers, after = pod.call(look)
        assert by_order == by_numbers and before == after
        assert len([flags for flags in after if flags & os.O_ASYNC]) == 5
        of = {fd for fd, command, _ in asked if command == fcntl.F_SETFL}
        assert len(of) == 6 and not of & {fd for fd, command, _ in asked if command == F_SETSIG}


class Stubborn:
    """A process whose files can only be appended to (chattr +a)."""

    lives_in, vpid, comm = 1, 7, "log"

    def twin(self, below: int) -> None: ...

    def run(self, program: Program) -> Results:
        sets = [args[1] == fcntl.F_SETFL for _, args, _ in program.rows]
        return Results([-errno.EPERM if one else os.O_APPEND | os.O_ASYNC for one in sets], b"")


def test_what_cannot_be_told_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(native, "kcmp_files", denied)
    process = Stubborn()
    descriptors = [Descriptor(process, fd, "alike", signals=True) for fd in (3, 4)]
    with pytest.raises(UnsupportedResource, match="it cannot be told") as refused:
        same(descriptors)
    assert "process 7 (log), fd 3" in str(refused.value)
    assert refused.value.found == os.strerror(errno.EPERM)


def test_a_process_sends_what_cannot_be_taken(
    quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch
):
    require_kcmp()
    with launched(quiet, place, 10) as pod:
        monkeypatch.setattr(native, "get_fd", denied)

        def work() -> None:
            view = pod.frozen_view()
            for file in view.all_files:
                process, fd = file.holders[0]
                assert os.fstat(file.local) == file.stat
                if not file.flags & os.O_PATH:
                    assert native.kcmp_files(os.getpid(), file.local, process.rpid, fd) == 0
            view.close()

        pod.call(work)


def test_a_process_at_its_soft_limit_sends(
    quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch
):
    with launched(quiet, place, 10, "full for now") as pod:
        monkeypatch.setattr(native, "get_fd", denied)
        limits = [resource.prlimit(p.rpid, resource.RLIMIT_NOFILE) for p in pod.processes()]
        assert all(soft < hard for soft, hard in limits)

        def work() -> None:
            view = pod.frozen_view()
            for file in view.all_files:
                assert os.fstat(file.local) == file.stat
            view.close()

        pod.call(work)
        assert limits == [resource.prlimit(p.rpid, resource.RLIMIT_NOFILE) for p in pod.processes()]


def test_a_process_at_its_hard_limit_sends(
    quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its standard streams are one description: a number of theirs is lent, and had back."""
    lent: list[Twin] = []
    real = FrozenProcess.twin

    def twin(process: FrozenProcess, below: int) -> Twin | None:
        found = real(process, below)
        assert found is not None
        lent.append(found)
        return found

    with launched(quiet, place, 10, "full") as pod:
        monkeypatch.setattr(native, "get_fd", denied)
        monkeypatch.setattr(FrozenProcess, "twin", twin)

        def look() -> tuple[set[frozenset[tuple[int, int]]], set[tuple[int, int, bool]]]:
            view = pod.frozen_view()
            for file in view.all_files:
                assert os.path.samestat(os.fstat(file.local), file.stat)
            numbers = {
                (p.vpid, fd.number, fd.cloexec) for p in view.processes for fd in p.fds.values()
            }
            view.close()
            return groups(view), numbers

        before = pod.call(look)
        assert pod.call(look) == before
        assert lent and {one.number for one in lent} == {1}


def test_a_process_that_cannot_send_it_is_named(
    quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch
):
    with launched(quiet, place, 10, "full") as pod:
        monkeypatch.setattr(native, "get_fd", denied)
        monkeypatch.setattr(FrozenProcess, "twin", lambda *_: None)

        def work() -> None:
            view = pod.frozen_view()
            file = next(f for f in view.all_files if f.holders[0][0].vpid == view.processes[0].vpid)
            with pytest.raises(HostError, match=r"cannot look at fd \d+ of process"):
                file.local  # noqa: B018
            view.close()

        pod.call(work)


@pytest.mark.parametrize("way", ["taken", "sent"])
def test_few_duplicates_at_a_time(
    quiet: Stdio, place: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    """What the process has to send comes with its neighbours, so that it runs few programs."""
    calls: list[int] = []
    real = duplicates._sent

    def sent(process: Holder, fds: list[int]) -> list[int]:
        calls.append(len(fds))
        return real(process, fds)

    with launched(quiet, place, 400) as pod:
        if way == "sent":
            monkeypatch.setattr(native, "get_fd", denied)
            monkeypatch.setattr(duplicates, "_sent", sent)

        def work() -> None:
            before = len(os.listdir("/proc/self/fd"))
            view = pod.frozen_view()
            for file in view.all_files:
                assert os.fstat(file.local).st_ino == file.stat.st_ino
            assert len(os.listdir("/proc/self/fd")) <= before + view.duplicates.MOST
            assert (len(calls) > 0) == (way == "sent")
            assert len(calls) < len(view.all_files) / 20
            view.close()
            assert len(os.listdir("/proc/self/fd")) == before

        pod.call(work)
