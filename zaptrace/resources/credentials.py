"""Who a process is and what it may use: ids, resource limits, priority, scheduling, processors.

Not carried: user and group ids, groups and capabilities other than the supervisor's (refused, for root
as well; an ordinary user's processes cannot have others), real-time policies that this host does not
allow (refused at restore), memory policy (NUMA), cgroups, and the processor affinity where this host
does not have those processors.

No C half: nothing of it is translated; the ids of calls that name a process are the table's.
"""

from __future__ import annotations

import functools
import os
import resource
from dataclasses import dataclass
from typing import Annotated

from ..errors import RestoreError, UnsupportedResource
from ..linux.procfs import status
from ..shapes import U16, U32, Length, NamesLiving, NamesThread, Range
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.limit import Limit, granted
from .common.scheduling import ATTRIBUTES, describe_sched, sched_getattr, sched_setattr
from .room import Whole

NAME = "credentials"

_LIMITS = range(16)
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@dataclass(frozen=True)
class Scheduling:
    vtid: NamesThread
    attributes: Annotated[bytes, Length(ATTRIBUTES)]
    """struct sched_attr of sched_getattr(2): policy, nice, priority, slice, reset on fork, clamps."""
    processors: list[U16]  # empty: all


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    uids: Annotated[list[U32], Length(3)]
    gids: Annotated[list[U32], Length(3)]
    limits: Annotated[list[Limit], Length(len(_LIMITS))]
    # [soft, hard] in the order of RLIMIT_*; -1 is infinity
    oom_score_adj: Annotated[int, Range(-1000, 1000)]
    threads: list[Scheduling]


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the credentials of process", [state.vpid for state in states])
    for state in states:
        whole.refuse_twice("the scheduling of thread", [one.vtid for one in state.threads])
        for one in state.threads:
            whole.name("thread of process", (state.vpid, one.vtid))


def capture(pod: FrozenPod) -> list[State]:
    rights = _rights()
    return [_capture(process, rights) for process in pod.processes]


def _capture(process: FrozenProcess, rights: dict[str, str]) -> State:
    uids, gids = (list(map(int, process.status[key].split())) for key in ("Uid", "Gid"))
    own_uids, own_gids = list(os.getresuid()), list(os.getresgid())
    if uids[:3] != own_uids or gids[:3] != own_gids:
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}): it has other user or group ids",
            needed=f"uid {own_uids}, gid {own_gids}, those of the supervisor",
            found=f"uid {uids[:3]}, gid {gids[:3]}",
            do="run the pod as that user",
        )
    if rights:
        for thread in process.threads:
            _check_rights(process, thread.rtid, rights)
    with open(f"{process.proc}/oom_score_adj") as file:
        oom = int(file.read())
    return State(
        vpid=process.vpid,
        uids=uids[:3],
        gids=gids[:3],
        limits=[list(resource.prlimit(process.rpid, which)) for which in _LIMITS],
        oom_score_adj=oom,
        threads=[_scheduling(t.vtid, t.rtid) for t in process.threads],
    )


def _check_rights(process: FrozenProcess, rtid: int, rights: dict[str, str]) -> None:
    found = status(rtid)
    for name, ours in rights.items():
        if found[name].split() != ours.split():
            raise UnsupportedResource(
                f"cannot checkpoint process {process.vpid} ({process.comm}): it has given up rights",
                needed=f"{name} {ours or '(none)'}, as the supervisor's programs begin with",
                found=f"{name} {found[name] or '(none)'}",
                do="run the pod as an ordinary user, who has none to give up",
            )


def _rights() -> dict[str, str]:
    """Groups and capabilities that a process begins with that we execute, as capabilities(7) has it;
    nothing for an ordinary user, whose processes can change neither."""
    own = status(os.getpid())
    bits = {name: int(own[name], 16) for name in _CAPABILITIES}
    has = bits["CapAmb"] if os.geteuid() else (bits["CapInh"] | bits["CapBnd"]) & bits["CapPrm"]
    if not has:
        return {}
    bits |= {"CapPrm": has, "CapEff": has}
    return {"Groups": own["Groups"], **{name: f"{value:016x}" for name, value in bits.items()}}


def _scheduling(vtid: int, rtid: int) -> Scheduling:
    processors = os.sched_getaffinity(rtid)
    return Scheduling(
        vtid=vtid,
        attributes=sched_getattr(rtid),
        processors=[] if processors == os.sched_getaffinity(0) else sorted(processors),
    )


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, _claim, state)
        build.at(Stage.RESUME, _load, state, build)
        # The last of all: they may be lower than what is in use, or than what is still to be made.
        build.at(Stage.RESUME, build.last.append, functools.partial(_set_limits, state, build))


def _claim(state: State) -> None:
    if (state.uids, state.gids) != (list(os.getresuid()), list(os.getresgid())):
        raise RestoreError(
            f"cannot restore process {state.vpid}: it belongs to another user",
            stage="CLAIM",
            resource=NAME,
            vpid=state.vpid,
            needed=f"user id {state.uids[0]}, group id {state.gids[0]}",
            found=f"user id {os.getuid()}, group id {os.getgid()}",
            do="restore it as the same user",
            changed="nothing",
        )


def _load(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    if state.oom_score_adj > 0:
        with open(f"/proc/{process.rpid}/oom_score_adj", "w") as file:
            file.write(str(state.oom_score_adj))
    for thread in state.threads:
        rtid = build.rpid(thread.vtid)
        _schedule(thread, rtid, state.vpid)


def _set_limits(state: State, build: Build) -> None:
    rpid = build.process(state.vpid).rpid
    for which, (soft, hard) in zip(_LIMITS, state.limits, strict=True):
        if which != resource.RLIMIT_CPU:  # depends on what was used: the room cpu_time
            resource.prlimit(rpid, which, granted(rpid, which, soft, hard))


def _schedule(thread: Scheduling, rtid: int, vpid: int) -> None:
    here = os.sched_getaffinity(0)
    if thread.processors and set(thread.processors) <= here:
        os.sched_setaffinity(rtid, thread.processors)
    try:
        if thread.attributes != sched_getattr(rtid):
            sched_setattr(rtid, thread.attributes)
    except PermissionError:
        raise RestoreError(
            f"cannot restore thread {thread.vtid} of process {vpid}: its priority is refused",
            stage="RESUME",
            resource=NAME,
            vpid=vpid,
            needed=f"scheduling {describe_sched(thread.attributes)}",
            found="a limit of this host (RLIMIT_NICE, RLIMIT_RTPRIO)",
            do="raise it with ulimit -e or -r, or renice the program before the checkpoint",
        ) from None
