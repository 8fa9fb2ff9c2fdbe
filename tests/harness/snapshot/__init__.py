"""What a frozen pod looks like, so that before and after can be compared.

Everything that the kernel shows of its processes is read, from outside and by the getters that a
process can call itself, and told in the pod's own terms: vpids, not rpids; "the third pipe", not an
inode number. So a pod and its restored self should look the same, and what differs was lost.

    processes   what has to be the same wherever the pod lives
    here        what has to be the same too as long as nothing of it ran and nothing was restored:
                resident memory, sharing in bytes, allocations
    timers      what runs only once the pod does: a pod that is held after its restore has it not yet

What is left out is left out by name, with the reason beside it (IGNORED in each file): whatever a
newer kernel shows is compared from its first day. A resource's own contents are its test program's
business.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any

from harness.snapshot import files, getters, locks, memory, process, threads
from harness.snapshot.compare import compare
from harness.snapshot.look import Look


@dataclass
class Snapshot:
    processes: dict[int, dict[str, Any]]  # by vpid
    here: dict[int, dict[str, Any]] = field(default_factory=dict)
    timers: dict[int, dict[str, Any]] = field(default_factory=dict)


def plain(info: Any) -> dict[str, Any]:
    """A ProcessInfo as plain data, whatever kind of class it is."""
    if dataclasses.is_dataclass(info) and not isinstance(info, type):
        return dataclasses.asdict(info)
    return dict(info._asdict()) if hasattr(info, "_asdict") else dict(info)


def take(pod: Any) -> Snapshot:
    """The pod has to be frozen. One without a tracer (`handle`) is seen from outside only."""
    handle = getattr(pod, "handle", None)
    return pod.call(_take, pod, handle) if handle else _take(pod, None)


def _take(pod: Any, handle: Any) -> Snapshot:
    infos = [p for p in map(plain, pod.processes()) if os.path.exists(f"/proc/{p['rpid']}")]
    look = Look(handle, {p["rpid"]: p["vpid"] for p in infos})
    for rpid in look.traced - set(look.vpids):
        # The pod's list leaves out what cannot be read: this says why.
        raise AssertionError(
            f"process {rpid} is not shown: {process.status(f'/proc/{rpid}/status')}"
        )
    taken = Snapshot({})
    for info in sorted(infos, key=lambda p: p["vpid"]):
        rpid, vpid = info["rpid"], info["vpid"]
        seen = {"parent": info["ppid"], **process.kinship(look, rpid)}
        taken.processes[vpid] = seen
        lives_in = look.lives_in(rpid)
        if lives_in is None:
            continue
        # First of all: where a call waits under another signal mask, the first program ends that.
        seen["threads"] = threads.read(look, rpid)
        seen |= process.read(look, lives_in)
        seen["fds"] = files.read(look, lives_in)
        seen["maps"], maps_here = memory.read(look, lives_in)
        seen["locks"] = locks.read(look, rpid)
        threads.mask_timer_signals(seen)
        ids = [int(timer["ID"]) for timer in seen["timers"]]
        taken.timers[vpid] = getters.timers(look, lives_in, ids)
        taken.here[vpid] = {**process.here(lives_in), "maps": maps_here}
    files.name_descriptions(look, taken.processes.values())
    return taken


def differences(
    before: Snapshot,
    after: Snapshot,
    *,
    here: bool = False,
    held: bool = False,
    ending: bool = False,
) -> list[str]:
    """In words; empty where the two are the same.

    `here`: nothing was restored in between. `held`: the second has not run since its restore.
    `ending`: processes of it may have been killed just now, and what they shared with the others is
    given back once the kernel comes to it.
    """
    said = compare(before.processes, after.processes)
    said += [] if held else compare(before.timers, after.timers)
    if here and ending:
        said += compare(_of_their_own(before.here), _of_their_own(after.here))
    elif here:
        said += compare(before.here, after.here)
    return said


def _of_their_own(here: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    def own(sizes: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in sizes.items() if key not in memory.OF_RELATIVES}

    return {
        vpid: {**seen, "maps": {at: own(sizes) for at, sizes in seen["maps"].items()}}
        for vpid, seen in here.items()
    }
