"""No wait of the tracer is without an end."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
import time
from pathlib import Path

import pytest

import zaptrace.pod.pod as pod_module
from harness.supervisors import PATIENCE_S, eventually
from zaptrace.errors import UnsupportedResource, ZaptraceError
from zaptrace.linux.native import NativeError, check, ffi, lib, new_error
from zaptrace.linux.program import Program
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.view.frozen import FrozenPod, FrozenProcess

pytestmark = pytest.mark.tracer


@pytest.fixture
def quiet():
    """Stdio that shows nothing."""
    null = os.open(os.devnull, os.O_RDWR)
    yield Stdio(null, null, null)
    os.close(null)


@pytest.mark.slow
def test_a_program_that_sleeps_is_cut_short(quiet: Stdio):
    """The thread is then as it was: it can be programmed again, and goes on."""
    with Pod.launch(["sleep", "1000"], name="asleep", stdio=quiet) as pod:
        pod.freeze()

        def work() -> None:
            view = pod.frozen_view()
            (process,) = view.processes
            before = process.leader.sigmask()
            sleeping = Program()
            sleeping.call("pause")
            with pytest.raises(NativeError) as caught:
                process.run(sleeping)
            assert caught.value.kind == lib.ZT_ERR_TIMEOUT
            assert process.leader.sigmask() == before
            asking = Program()
            me = asking.call("getpid")
            assert process.run(asking)[me] == process.rpid
            view.close()

        pod.call(work)
        pod.thaw()
        pod.signal(signal.SIGTERM)
        assert pod.wait(PATIENCE_S) == signal.SIGTERM


INTERPRETER = 0x7E9000006000
TO_ITSELF, UNDEFINED = b"\xeb\xfe", b"\x0f\x0b"  # jmp, ud2
IN_THE_KERNEL = b"\xb8\x18\0\0\0\x0f\x05\xeb\xf7"  # mov $SYS_sched_yield, %eax; syscall; jmp


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(TO_ITSELF, marks=pytest.mark.slow, id="loops"),
        pytest.param(IN_THE_KERNEL, id="loops in the kernel"),
        pytest.param(UNDEFINED, id="faults"),
    ],
)
def test_what_is_not_our_code_any_more_is_left(quiet: Stdio, code: bytes):
    """The stub was looked at, and is then changed behind our back."""
    with Pod.launch(["sleep", "1000"], name="changed", stdio=quiet) as pod:
        pod.freeze()

        def work() -> None:
            view = pod.frozen_view()
            (process,) = view.processes
            asking = Program()
            me = asking.call("getpid")
            process.run(asking)
            before = process.leader.sigmask(), bytes(ffi.buffer(process.leader.registers()))
            memory = os.open(f"{process.proc}/mem", os.O_RDWR)
            ours = os.pread(memory, len(code), INTERPRETER)
            os.pwrite(memory, code, INTERPRETER)
            lib.zt_pod_set_patience(pod.handle, 2000)
            with pytest.raises(UnsupportedResource, match="is not as it was laid"):
                process.run(asking)
            os.pwrite(memory, ours, INTERPRETER)
            os.close(memory)
            after = process.leader.sigmask(), bytes(ffi.buffer(process.leader.registers()))
            assert after == before
            assert process.run(asking)[me] == process.rpid
            view.close()

        pod.call(work)
        pod.thaw()
        pod.signal(signal.SIGTERM)
        assert pod.wait(PATIENCE_S) == signal.SIGTERM


def test_a_pod_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch):
    """Whatever the tracer thread meets first, who makes the pod hears of it."""

    def no_memory() -> None:
        raise MemoryError

    monkeypatch.setattr(pod_module, "new_error", no_memory)
    with pytest.raises(MemoryError):
        Pod("none")


def launched(pod: Pod) -> int:
    """A process at rest at its first instruction."""
    path = "/bin/sleep"
    fds = list(pod.stdio.named().values())
    return pod.call(lambda: pod.launch_root(path, [path, "1000"], {}, hold=True, fds=fds))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_is_ended_by_any_signal(quiet: Stdio, number: int):
    """Also where it stops once more before it ends, as in a moved pod."""
    for moved in (False, True):
        with Pod("ended", moved=moved, stdio=quiet) as pod:
            rpid = launched(pod)

            def end(pod: Pod = pod, rpid: int = rpid) -> None:
                check(lib.zt_loop_end_process(pod.handle, rpid, number, err := new_error()), err)

            pod.call(end)
            assert pod.wait(PATIENCE_S) == number


def test_errors_of_a_thread_that_is_gone(quiet: Stdio):
    with Pod.launch(["sleep", "1000"], name="gone", stdio=quiet) as pod:
        pod.freeze()

        def work() -> None:
            view = pod.frozen_view()
            (process,) = view.processes
            os.kill(process.rpid, signal.SIGKILL)
            program = Program()
            program.call("getpid")
            with pytest.raises(ZaptraceError, match="died"):
                process.run(program)
            view.close()

        pod.call(work)
        assert pod.wait(PATIENCE_S) == signal.SIGKILL


def heirs_of_ours() -> list[int]:
    threads = Path("/proc/self/task").iterdir()
    children = " ".join((thread / "children").read_text() for thread in threads)
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children.split()}
    return [int(pid) for pid, name in names.items() if name == "zaptrace-heir"]


def test_a_stopped_heir_does_not_hold_up_the_end(quiet: Stdio):
    """The process that removes System V objects after us; see pod/ipc/heir.h."""
    pod = Pod.launch(["sh", "-c", "ipcmk -Q; sleep 1000"], name="shared", stdio=quiet)
    eventually(heirs_of_ours)
    (heir,) = heirs_of_ours()
    os.kill(heir, signal.SIGSTOP)
    pod.close()
    assert not os.path.exists(f"/proc/{heir}")


def test_closing_one_pod_leaves_others_alone(quiet: Stdio, monkeypatch: pytest.MonkeyPatch):
    """Also where its end takes long, so that it is cut short: a rehearsal's pod is closed beside the one
    that it is a copy of."""
    with (
        Pod.launch(["sleep", "1000"], name="one", stdio=quiet) as one,
        Pod.launch(["sleep", "1000"], name="other", stdio=quiet) as other,
    ):
        busy, go_on = threading.Event(), threading.Event()

        def work() -> None:
            busy.set()
            go_on.wait(PATIENCE_S)

        (process,) = one.processes()
        monkeypatch.setattr(pod_module, "_CUT_AFTER_S", 0.0)
        aside = threading.Thread(target=one.call, args=(work,))
        aside.start()
        busy.wait(PATIENCE_S)
        closing = threading.Thread(target=one.close)
        closing.start()
        eventually(lambda: not os.path.exists(f"/proc/{process.rpid}/exe"))
        go_on.set()
        aside.join()
        closing.join()
        assert [p.comm for p in other.processes()] == ["sleep"]


MAP_NORESERVE, NO_HUGE_PAGES = 0x4000, 15
POPULATE_READ = 22  # madvise: MADV_POPULATE_READ, which nothing but SIGKILL ends


def reserved(view: FrozenPod, size: int) -> int:
    """So much address space, of which nothing is there; it costs page tables only."""
    (process,) = view.processes
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    program = Program()
    at = program.call("mmap", 0, size, mmap.PROT_READ, flags, -1, 0)
    program.call("madvise", at, size, NO_HUGE_PAGES, may_fail=True)
    return process.run(program)[at]


def test_a_program_that_gets_on_may_take_its_time(quiet: Stdio):
    """Each row within the limit, all of them beyond it."""
    with Pod.launch(["sleep", "1000"], name="slow", stdio=quiet) as pod:
        pod.freeze()

        def work() -> None:
            lib.zt_pod_set_patience(pod.handle, 1500)
            view = pod.frozen_view()
            (process,) = view.processes
            program = Program()
            half = program.pointer(struct.pack("qq", 0, 500_000_000), {})
            naps = [program.call("nanosleep", half, 0) for _ in range(8)]
            began = time.monotonic()
            results = process.run(program)
            assert time.monotonic() - began > 3.9
            assert [results[nap] for nap in naps] == [0] * 8
            view.close()

        pod.call(work)


def looks(process: FrozenProcess) -> tuple[int, bytes]:
    return process.leader.sigmask(), bytes(ffi.buffer(process.leader.registers()))


NANOSLEEP = "230"  # clock_nanosleep(2)


def in_call(pid: int) -> str:
    """The number of the system call that a process sleeps in."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0]


def test_what_hangs_in_the_kernel_is_taken_back_when_it_returns(quiet: Stdio):
    """The pod goes on but for that thread, which finds itself where it was."""
    with Pod.launch(["sleep", "1000"], name="late", stdio=quiet) as pod:
        (sleep,) = pod.processes()
        eventually(lambda: in_call(sleep.rpid) == NANOSLEEP)
        pod.freeze()
        before: list[object] = []

        def run(size: int) -> int:
            """The kind of error when that much is populated; 0 when it does not take too long."""
            view = pod.frozen_view()
            (process,) = view.processes
            before[:] = [looks(process)]
            lib.zt_pod_set_patience(pod.handle, 60_000)
            at = reserved(view, size)
            lib.zt_pod_set_patience(pod.handle, 300)
            program = Program()
            program.call("madvise", at, size, POPULATE_READ)
            try:
                process.run(program)
            except NativeError as error:
                return error.kind
            finally:
                view.close()
            return 0

        size = 16 << 30
        while (kind := pod.call(run, size)) != lib.ZT_ERR_LATE:
            assert kind in (0, lib.ZT_ERR_TIMEOUT)  # it has come back, and is as it was
            size *= 2
        pod.thaw()
        eventually(lambda: freezes(pod))

        def look() -> None:
            lib.zt_pod_set_patience(pod.handle, 60_000)
            view = pod.frozen_view()
            (process,) = view.processes
            asking = Program()
            me = asking.call("getpid")
            assert process.run(asking)[me] == process.rpid
            assert [looks(process)] == before
            view.close()

        pod.call(look)
        pod.thaw()
        pod.signal(signal.SIGTERM)
        assert pod.wait(PATIENCE_S) == signal.SIGTERM


def freezes(pod: Pod) -> bool:
    """As long as the thread is away it cannot, which is said."""

    def work() -> bool:
        failed = lib.zt_loop_freeze(pod.handle, 100, err := new_error())
        assert not failed or b"did not stop" in ffi.string(err.text)
        return not failed

    return pod.call(work)
