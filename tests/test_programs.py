"""Every C program of tests/programs in every flavour: one program, many proofs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.flavours import FLAVOURS, run_flavour
from harness.world import (
    ASAN,
    PROGRAMS,
    compiled,
    require_clone3,
    require_huge_pages,
    require_mbind,
    require_pidfd_getfd,
    require_root,
    require_tiles,
    require_unshare,
)
from zaptrace.linux.procfs import status

ASAN_FLAVOURS = ("pod", "resume", "twice")
"""Under the sanitizers the others would only repeat the same code, slowly."""


GO_ON = {
    "aio_events": "a completion comes",
    "blocked_recv": "a receive times out",
    "blocked_time_left": "sleeps end, and threads with them",
    "clone3_args": "a thread protects memory, and opens it up again",
    "restarted_unseen": "waits of two seconds end, and threads with them",
    "running_children": "children come and go",
    "running_looks_outside": "files are opened and closed",
    "running_long_calls": "it writes to files",
    "running_pi": "mutexes go from hand to hand",
    "running_short_answers": "the same",
    "running_signal_waits": "signals come and go",
    "running_stopped_execs": "children come, are stopped, and go",
    "running_unaccepted": "it connects and accepts",
    "running_vforks": "it has children",
    "stub_undone": "what it did away with is laid again, and the sizes of its memory show it",
    "tcp_halfway": "what a full window does not take is sent again",
    "tcp_held_back": "what is corked goes out after a while",
    "timerfd": "a timer ticks",
}
"""Programs that do not only wait for the go, or not as they were."""


_NEEDS = {
    "clone3_args": require_clone3,
    "pidfd_living": require_clone3,
    "pidfd_getfd": require_pidfd_getfd,
    "memory_policy": require_mbind,
    "huge_pages": require_huge_pages,
    "tile_registers": require_tiles,
    "unshared": require_unshare,
}
"""What a container's profile denies to the program itself, or a host may not have."""


_NEEDS_OF_ROOT = {"root_raw_packet": [("CAP_NET_RAW", 13)]}

_ASK_THE_KERNEL = {"seccomp_asked": "native", "seccomp_strict": "native"}
"""What a filter that is around the test shows to, natively; a pod's own does not."""


def not_denied(source: Path, flavour: str = "") -> None:
    """Skip a program where what it needs is denied to it."""
    if source.stem in _NEEDS:
        _NEEDS[source.stem]()
    if _ASK_THE_KERNEL.get(source.stem) == flavour and status(os.getpid())["Seccomp"] != "0":
        pytest.skip("a seccomp filter is around this test, and natively that shows")


def flavours() -> tuple[str, ...]:
    return ASAN_FLAVOURS if ASAN else FLAVOURS


@pytest.mark.tracer
@pytest.mark.parametrize("flavour", flavours())
@pytest.mark.parametrize("source", sorted(PROGRAMS.glob("*.c")), ids=lambda p: p.stem)
def test_program(source: Path, flavour: str, place: Path):
    not_denied(source, flavour)
    run_flavour(flavour, [compiled(source)], place, waits=source.stem not in GO_ON)


@pytest.mark.root_too
@pytest.mark.parametrize("source", sorted(PROGRAMS.glob("*.c")), ids=lambda p: p.stem)
def test_program_three_times_over(source: Path, place: Path):
    """What is restored can be checkpointed again, and again."""
    not_denied(source)
    waits = source.stem not in GO_ON
    run_flavour("restore", [compiled(source)], place, moments=3, waits=waits)


@pytest.mark.root_too
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("source", sorted(PROGRAMS.glob("root/*.c")), ids=lambda p: p.stem)
def test_program_of_root(source: Path, flavour: str, place: Path):
    """What only root's processes can be, or have."""
    require_root(*_NEEDS_OF_ROOT.get(source.stem, ()))
    run_flavour(flavour, [compiled(source)], place)


def halfway_and_running() -> list[Path]:
    own = [p for p in PROGRAMS.glob("*.c") if "_halfway_" in p.stem or "running_" in p.stem]
    return sorted([*own, *PROGRAMS.glob("frozen/*.c")])


@pytest.mark.tracer
@pytest.mark.parametrize("source", halfway_and_running(), ids=lambda p: p.stem)
def test_program_frozen_again_and_again(source: Path, place: Path):
    """A call that goes on after a freeze is frozen anew, wherever it is by then."""
    waits = source.stem not in GO_ON
    run_flavour("frozen", [compiled(source)], place, moments=60, waits=waits)


_UNATTACHED = (
    ("first_thread_ended", "resume"),
    ("running_children", "frozen"),
    ("sysv_semaphores", "resume"),
    ("vdso_handler", "restore"),
    ("woken_for_nothing", "pod"),
)
"""What differs where threads are attached only while something needs it (csrc/loop/attach.h).
By hand, all of these tests run there: ZAPTRACE_PTRACE=when-needed."""


@pytest.mark.tracer
@pytest.mark.parametrize(("name", "flavour"), _UNATTACHED)
def test_program_that_nobody_is_attached_to(
    name: str, flavour: str, place: Path, monkeypatch: pytest.MonkeyPatch
):
    source = PROGRAMS / f"{name}.c"
    not_denied(source)
    monkeypatch.setenv("ZAPTRACE_PTRACE", "when-needed")
    moments = 20 if flavour == "frozen" else 1
    run_flavour(flavour, [compiled(source)], place, moments=moments, waits=source.stem not in GO_ON)


@pytest.mark.tracer
@pytest.mark.parametrize("flavour", [f for f in ("native", "pod", "frozen") if f in FLAVOURS])
@pytest.mark.parametrize("source", sorted(PROGRAMS.glob("frozen/*.c")), ids=lambda p: p.stem)
def test_program_that_is_frozen_only(source: Path, flavour: str, place: Path):
    """What they hold cannot be carried yet, or never will be."""
    run_flavour(flavour, [compiled(source)], place, waits=source.stem not in GO_ON)
