"""What a process has from being made by clone(2): what it shares with its maker, the signal that tells
its parent of its end, and a maker that waits for it to execute or end (vfork).

The kernel makes such a bond at birth and never later, and unshare(2) ends it; so it comes back where
who shares something was made by one who shares it, too, and has executed nothing since (a working
directory stays shared).
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...errors import UnsupportedResource
from ...linux.native import check, lib, new_error
from ...linux.procfs import stat_fields
from ...shapes import NamesProcess, NamesThread, Signal
from ...view.build import Build
from ...view.frozen import FrozenPod, FrozenProcess, Zombie
from . import tree

_VM, _FS, _FILES, _SIGHAND = 0x100, 0x200, 0x400, 0x800
_STAT_FIRST, _STAT_EXIT_SIGNAL = 3, 38  # proc(5)
_SIGCHLD = int(signal.SIGCHLD)

_NAMES = {
    "memory": "address space",
    "files": "descriptor table",
    "directory": "working directory",
    "handlers": "table of signal handlers",
}


@dataclass(frozen=True)
class Kin:
    """Of each shared thing the first process that has it; the process itself, if it alone has."""

    memory: NamesProcess
    files: NamesProcess
    directory: NamesProcess
    handlers: NamesProcess
    exit_signal: Signal
    awaited_by: dict[NamesThread, NamesThread]
    """Of its threads those for which another waits since its vfork, and which."""


def capture(pod: FrozenPod) -> dict[int, Kin]:
    """Of all processes. Raises UnsupportedResource for a thread that does not share what threads do."""
    found: dict[int, Kin] = {}
    first: dict[tuple[str, int], int] = {}
    directories = Counter(thread.directory for p in pod.processes for thread in p.threads)
    for process in pod.processes:
        _refuse_threads_apart(process, directories)
        shares = {
            what: first.setdefault((what, getattr(process.leader, what)), process.vpid)
            for what in _NAMES
        }
        waits: dict[int, int] = {t.vtid: t.awaited_by for t in process.threads if t.awaited_by}
        found[process.vpid] = Kin(**shares, exit_signal=_told_by(process.rpid), awaited_by=waits)
    return found


def of_zombie(zombie: Zombie) -> Kin:
    alone = dict.fromkeys(_NAMES, zombie.vpid)
    return Kin(**alone, exit_signal=zombie.exit_signal, awaited_by={})


def _told_by(rpid: int) -> int:
    return int(stat_fields(f"/proc/{rpid}/stat")[_STAT_EXIT_SIGNAL - _STAT_FIRST])


def _refuse_threads_apart(process: FrozenProcess, directories: Counter[int]) -> None:
    """A thread may be in a working directory that it alone has: the room thread carries it."""
    for thread in process.threads:
        for what, name in _NAMES.items():
            alone = what == "directory" and directories[thread.directory] == 1
            if getattr(thread, what) != getattr(process.leader, what) and not alone:
                raise UnsupportedResource(
                    f"cannot checkpoint process {process.vpid} ({process.comm}): its thread "
                    f"{thread.vtid} has a {name} of its own",
                    needed="threads that share all that threads share",
                    found="clone with CLONE_THREAD but without CLONE_FILES or CLONE_FS, or "
                    "close_range with CLOSE_RANGE_UNSHARE, or unshare",
                    do="run the program without that",
                )


def flags(child: Kin, maker: Kin) -> int:
    """For the clone(2) by which `maker` makes it."""
    bits = {"memory": _VM, "files": _FILES, "directory": _FS, "handlers": _SIGHAND}
    same = (bit for what, bit in bits.items() if getattr(child, what) == getattr(maker, what))
    return sum(same) | child.exit_signal


def refuse_what_cannot_be(
    kin: Mapping[int, Kin],
    steps: Iterable[tree.Step],
    only_forked: Iterable[int],
    ended: Iterable[int] = (),
) -> None:
    """Raises UnsupportedResource for a bond that those births cannot make again.

    Who has `ended` executes nothing, and so keeps the signal that it was made with.
    """
    made_by = {s.vpid: s.by for s in steps if isinstance(s, tree.Fork | tree.Orphan)}
    forked = set(only_forked)
    told_as_made = forked | (set(ended) & set(made_by))
    for vpid, own in kin.items():
        maker = kin.get(made_by.get(vpid, 0))
        for what, name in _NAMES.items():
            first = getattr(own, what)
            if first == vpid:
                continue
            with_maker = maker is not None and getattr(maker, what) == first
            if not with_maker or (what != "directory" and vpid not in forked):
                raise _cannot(
                    vpid, f"it shares its {name} with process {first}", f"clone by {name}"
                )
        if own.exit_signal != _SIGCHLD and vpid not in told_as_made:
            raise _cannot(
                vpid,
                f"its end is told by signal {own.exit_signal}",
                "clone with an exit signal other than SIGCHLD",
            )


def _cannot(vpid: int, what: str, found: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {vpid}: {what}, but the one that made it so is gone or changed",
        needed="a parent that shares it, too, and executes the same program",
        found=found,
        do="keep the parent of such processes",
    )


def restore_waits(kin: Kin, build: Build) -> None:
    """Its makers wait for it again."""
    for child, maker in kin.awaited_by.items():
        rtids = build.rpid(maker), build.rpid(child)
        check(lib.zt_loop_await(build.handle, *rtids, err := new_error()), err)
