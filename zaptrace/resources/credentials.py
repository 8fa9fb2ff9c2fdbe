"""Who a process is and what it may use: ids, resource limits, priority, scheduling, processors.

Of root's processes each thread has ids, groups and capabilities of its own (common/rights.py); an ordinary
user's cannot have others than the supervisor.
Not carried: real-time policies that this host does not allow (refused at restore), memory policy
(NUMA), cgroups, and the processor affinity where this host does not have those processors.

No C half: nothing of it is translated; the ids of calls that name a process are the table's.
"""

from __future__ import annotations

import functools
import os
import resource
from dataclasses import dataclass, field
from typing import Annotated

from ..errors import RestoreError, UnsupportedResource
from ..ids import Vpid
from ..linux.tracee import tasks
from ..shapes import U16, U32, Length, NamesLiving, NamesThread, Range
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.limit import Limit, granted, limit_of
from .common.privilege import Beginning, beginning
from .common.rights import NEEDED, Rights, give, of_thread
from .common.scheduling import ATTRIBUTES, describe_sched, sched_getattr, sched_setattr
from .room import Whole, bad

NAME = "credentials"

_LIMITS = range(16)


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
    rights: list[Rights] = field(default_factory=list)
    """Of the threads, in a pod that has privilege; else it has no others than the supervisor's."""


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the credentials of process", [state.vpid for state in states])
    for state in states:
        whole.refuse_twice("the scheduling of thread", [one.vtid for one in state.threads])
        for one in state.threads:
            whole.name("thread of process", (state.vpid, one.vtid))
        if state.rights:
            _verify_rights(state)


def _verify_rights(state: State) -> None:
    if len(state.rights) != len(state.threads):
        raise bad(f"not each thread of process {state.vpid} has rights", "one of each")
    for thread, one in zip(state.threads, state.rights, strict=True):
        if one.effective & ~one.permitted or one.ambient & ~(one.permitted & one.inheritable):
            raise bad(
                f"the capabilities of thread {thread.vtid} cannot be together",
                "none effective that is not permitted, none ambient that is not inheritable, too",
            )


def capture(pod: FrozenPod) -> list[State]:
    begins = beginning()
    return [_capture(process, begins) for process in pod.processes]


def _capture(process: FrozenProcess, begins: Beginning) -> State:
    uids, gids = (list(map(int, process.status[key].split())) for key in ("Uid", "Gid"))
    rights = [of_thread(thread) for thread in process.threads] if begins.permitted else []
    own_uids, own_gids = list(os.getresuid()), list(os.getresgid())
    if not rights and (uids[:3] != own_uids or gids[:3] != own_gids):
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}): it has other user or group ids",
            needed=f"uid {own_uids}, gid {own_gids}, those of the supervisor",
            found=f"uid {uids[:3]}, gid {gids[:3]}",
            do="run the pod as that user",
        )
    with open(f"{process.proc}/oom_score_adj") as file:
        oom = int(file.read())
    return State(
        vpid=process.vpid,
        uids=uids[:3],
        gids=gids[:3],
        limits=[list(limit_of(process, which)) for which in _LIMITS],
        oom_score_adj=oom,
        threads=[_scheduling(t.vtid, t.rtid) for t in process.threads],
        rights=rights,
    )


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
        # Late: they may be lower than what is in use, or than what is still to be made.
        build.at(Stage.RESUME, build.last.append, functools.partial(_set_limits, state, build))
    if any(state.rights for state in states):
        # The last of all that is done in them: from then on they may do no more than they could.
        build.at(Stage.RESUME, build.last.append, functools.partial(_give_rights, states, build))


def _claim(state: State) -> None:
    if state.rights:
        for one in state.rights:
            _claim_rights(state, one, beginning())
    elif (state.uids, state.gids) != (list(os.getresuid()), list(os.getresgid())):
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


def _claim_rights(state: State, wanted: Rights, begins: Beginning) -> None:
    lacking = begins.lacks(*NEEDED)
    more = wanted.permitted & ~begins.permitted or wanted.bounding & ~begins.bounding
    if not lacking and not more:
        return
    needed = f"capabilities {wanted.permitted:#x}, of {wanted.bounding:#x}"
    found = f"capabilities {begins.permitted:#x}, of {begins.bounding:#x}"
    raise RestoreError(
        f"cannot restore process {state.vpid}: root's processes ran in this pod, with ids and "
        "capabilities of their own",
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=f"root, with {', '.join(lacking)}" if lacking else needed,
        found=f"user id {os.getuid()}, without" if lacking else found,
        do="restore it as root" if os.geteuid() else "restore it where root may do as much",
        changed="nothing",
    )


def _give_rights(states: list[State], build: Build) -> None:
    dumpable = {task.vpid: task.dumpable == 1 for task in tasks(build.handle)}
    for state in states:
        threads = build.process(state.vpid).threads
        for thread, one in zip(state.threads, state.rights, strict=True):
            give(one, threads[thread.vtid], dumpable=dumpable[Vpid(state.vpid)])


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
