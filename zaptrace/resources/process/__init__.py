"""Processes: the tree, sessions, groups, zombies, and what a process has one of.

The kernel keeps: parent, session, process group, executable, working and root directory, file mode
mask, personality, death signal, subreaper mark, timer slack; of a zombie its end.
Not carried: a root directory other than the host's (refused), namespaces other than the
supervisor's (refused), a removed executable (refused), core-dump marks of zombies.
"""

from __future__ import annotations

import os
import struct
import termios
from dataclasses import dataclass

from ...errors import RestoreError, UnsupportedResource
from ...ids import Rpid, Vpid
from ...linux.native import lib
from ...linux.procfs import read, stat_fields
from ...linux.program import Program
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod, FrozenProcess, Zombie
from ..common.ending import end_as
from . import kinship, tree

NAME = "process"

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_CLD_EXITED = 1
_EXIT_SIGNAL = 0xFF  # of clone's flags
_WAIT_ANY_KIND = 0x40000000  # __WALL
_AT_FDCWD = -100
_STAT_FIRST, _STAT_FLAGS = 3, 9  # proc(5)
_PF_FORKNOEXEC = 0x40
_NAMESPACES = ("ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True)
class State:
    vpid: int
    ppid: int
    pgid: int
    sid: int
    comm: str
    zombie: bool
    code: int  # of a zombie: CLD_EXITED, CLD_KILLED or CLD_DUMPED
    status: int  # of a zombie: exit status, or signal
    exe: str
    exe_size: int
    exe_mtime_ns: int
    forked: bool  # it has executed nothing since it was forked
    cwd: str
    umask: int
    personality: int
    death_signal: int
    timer_slack_ns: int
    subreaper: bool
    kin: kinship.Kin


# -- capture


def capture(pod: FrozenPod) -> list[State]:
    kin = kinship.capture(pod)
    states = [_capture(process, kin[process.vpid]) for process in pod.processes]
    states += map(_capture_zombie, pod.zombies)
    kinship.refuse_what_cannot_be(kin, _plan(states), _forked_by(states))
    return states


def _capture(process: FrozenProcess, kin: kinship.Kin) -> State:
    _refuse_other_views(process)
    exe = os.stat(f"{process.proc}/exe")
    program = Program()
    death = program.buffer(4)
    program.call("prctl", _PR_GET_PDEATHSIG, death)
    reaper = program.buffer(4)
    program.call("prctl", _PR_GET_CHILD_SUBREAPER, reaper)
    slack = program.call("prctl", _PR_GET_TIMERSLACK, may_fail=True)
    results = process.run(program)
    return State(
        vpid=process.vpid,
        ppid=process.ppid,
        pgid=process.pgid,
        sid=process.sid,
        comm=process.comm,
        zombie=False,
        code=0,
        status=0,
        exe=process.exe,
        exe_size=exe.st_size,
        exe_mtime_ns=exe.st_mtime_ns,
        forked=_has_only_forked(process),
        cwd=os.readlink(f"{process.proc}/cwd"),
        umask=int(process.status["Umask"], 8),
        personality=int(read(f"{process.proc}/personality"), 16),
        death_signal=struct.unpack("<i", results.bytes(death))[0],
        timer_slack_ns=max(results[slack], 0),
        subreaper=struct.unpack("<i", results.bytes(reaper))[0] != 0,
        kin=kin,
    )


def _has_only_forked(process: FrozenProcess) -> bool:
    flags = int(stat_fields(f"/proc/{process.rpid}/stat")[_STAT_FLAGS - _STAT_FIRST])
    return bool(flags & _PF_FORKNOEXEC)


def _refuse_other_views(process: FrozenProcess) -> None:
    who = f"process {process.vpid} ({process.comm})"
    if os.readlink(f"{process.proc}/root") != os.readlink("/proc/self/root"):
        raise UnsupportedResource(
            f"cannot checkpoint {who}: it has changed its root directory",
            needed="the host's root directory",
            found=os.readlink(f"{process.proc}/root"),
            do="run it without chroot",
        )
    for name in _NAMESPACES:
        if os.readlink(f"{process.proc}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
            raise UnsupportedResource(
                f"cannot checkpoint {who}: it is in a {name} namespace of its own",
                needed="the namespaces of the supervisor",
                found=os.readlink(f"{process.proc}/ns/{name}"),
                do="run it without unshare and the like",
            )
    if process.exe.endswith(" (deleted)"):
        raise UnsupportedResource(
            f"cannot checkpoint {who}: its executable was removed or replaced",
            needed=f"the file that it was started from, {process.exe.removesuffix(' (deleted)')}",
            found="another file there, or none",
            do="restart the program, which starts the new one",
        )


def _capture_zombie(zombie: Zombie) -> State:
    return State(
        vpid=zombie.vpid,
        ppid=zombie.ppid,
        pgid=zombie.pgid,
        sid=zombie.sid,
        comm=zombie.comm,
        zombie=True,
        code=zombie.code,
        status=zombie.status,
        exe="",
        exe_size=0,
        exe_mtime_ns=0,
        forked=True,
        cwd="/",
        umask=0,
        personality=0,
        death_signal=0,
        timer_slack_ns=0,
        subreaper=False,
        kin=kinship.of_zombie(zombie),
    )


# -- restore


def restore(states: list[State], build: Build) -> None:
    alive = [state for state in states if not state.zombie]
    build.at(Stage.CLAIM, _claim, alive)
    build.at(Stage.SHARED, _find_makers, states, build)
    build.at(Stage.FORK, _make_tree, states, build)
    for state in alive:
        build.at(Stage.FORK, _own, state, build)
        build.at(Stage.RESUME, kinship.restore_waits, state.kin, build)
    build.at(Stage.RESUME, _end_zombies, [s for s in states if s.zombie], build)


def _claim(states: list[State]) -> None:
    for state in states:
        _claim_executable(state)
        if not os.path.isdir(state.cwd):
            raise _missing(state, "its working directory", state.cwd, "is not there")


def _claim_executable(state: State) -> None:
    try:
        here = os.stat(state.exe)
    except OSError as error:
        raise _missing(state, "its executable", state.exe, error.strerror or "") from None
    if here.st_size != state.exe_size:
        raise _missing(state, "its executable", state.exe, "is another file (its size differs)")


def _missing(state: State, what: str, path: str, found: str) -> RestoreError:
    return RestoreError(
        f"cannot restore process {state.vpid} ({state.comm})",
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=f"{what}, {path}",
        found=found,
        do="install the same files at the same paths on this host",
        changed="nothing",
    )


def _find_makers(states: list[State], build: Build) -> None:
    build.makers.update(_forked_by(states))


def _forked_by(states: list[State]) -> dict[int, int]:
    """Who is restored by a fork alone: it then has what its maker had, its executable too."""
    found: dict[int, int] = {}
    alive = {state.vpid: state for state in states if not state.zombie}
    for step in _plan(states):
        if not isinstance(step, tree.Fork | tree.Orphan) or step.vpid not in alive:
            continue
        state, maker = alive[step.vpid], alive.get(step.by)
        if state.forked and maker and _same_program(state, maker):
            found[step.vpid] = step.by
    return found


def _same_program(one: State, other: State) -> bool:
    def program(state: State) -> tuple[object, ...]:
        return (state.exe, state.exe_size, state.exe_mtime_ns, state.personality)

    return program(one) == program(other)


def _plan(states: list[State]) -> list[tree.Step]:
    return tree.plan([tree.Node(s.vpid, s.ppid, s.pgid, s.sid) for s in states])


class _Maker:
    """Carries out the steps of a plan. All processes share descriptor 0: the way for files to come."""

    def __init__(self, states: list[State], build: Build) -> None:
        self.build = build
        self.states = {state.vpid: state for state in states}
        self.some_exe = next(state.exe for state in states if state.exe)
        self.helpers: dict[int, BuildProcess] = {}

    def process(self, vpid: int) -> BuildProcess:
        return self.helpers.get(vpid) or self.build.process(vpid)

    def add(self, vpid: int, rpid: Rpid) -> None:
        """A process that was just made becomes what it was: before it makes others."""
        process = BuildProcess(self.build.handle, Vpid(vpid), rpid)
        state = self.states.get(vpid)
        if state is None:
            self.helpers[vpid] = process
            return
        self.build.processes[Vpid(vpid)] = process
        if not state.zombie and vpid not in self.build.makers:
            _execute(state, process)
        if sow := self.build.sow.get(vpid):
            sow(process)

    def run(self, step: tree.Step) -> None:
        match step:
            case tree.Launch(vpid):
                state = self.states.get(vpid)
                exe = state.exe if state and state.exe else self.some_exe
                self.add(vpid, self.build.launch(exe, vpid))
                self.take_terminal(vpid)
            case tree.Fork(vpid, by):
                self.add(vpid, self.fork(self.process(by), vpid, self.clone_flags(vpid, by)))
            case tree.Orphan(vpid, by, adopter):
                self.make_orphan(vpid, by, self.process(adopter) if adopter else None)
            case tree.Setsid(vpid):
                self.call(self.process(vpid), "setsid")
                self.take_terminal(vpid)
            case tree.Setpgid(vpid, pgid):
                self.call(self.process(vpid), "setpgid", 0, self.process(pgid).rpid)
            case tree.End(vpid, reaper):
                self.end(self.process(vpid), self.process(reaper) if reaper else None)

    @staticmethod
    def call(process: BuildProcess, name: str, *args: int) -> int:
        program = Program()
        row = program.call(name, *args)
        return process.run(program)[row]

    def take_terminal(self, vpid: int) -> None:
        path = self.build.terminals.get(vpid)
        if path is None:
            return
        program = Program()
        fd = program.call("openat", _AT_FDCWD, program.string(path), os.O_RDWR | os.O_NOCTTY, 0)
        program.call("ioctl", fd, termios.TIOCSCTTY, 0)
        program.call("close", fd)
        self.process(vpid).run(program)

    def fork(self, parent: BuildProcess, vpid: int, flags: int) -> Rpid:
        lib.zt_pod_expect_vpid(self.build.handle, max(vpid, 0))
        return Rpid(self.call(parent, "clone", flags, 0, 0, 0, 0))

    def clone_flags(self, vpid: int, by: int) -> int:
        """A helper tells nobody of its end."""
        state, maker = self.states.get(vpid), self.states.get(by)
        if state is None:
            return 0
        return kinship.flags(state.kin, maker.kin) if maker else state.kin.exit_signal

    def make_orphan(self, vpid: int, by: int, adopter: BuildProcess | None) -> None:
        """What is a subreaper for good is said later (_own): so there is one at most now."""
        if adopter:
            self.call(adopter, "prctl", _PR_SET_CHILD_SUBREAPER, 1)
        flags, maker = self.clone_flags(vpid, by), self.process(by)
        rpid = self.fork(maker, 0, flags & ~_EXIT_SIGNAL)
        between = BuildProcess(self.build.handle, Vpid(0), rpid)
        self.add(vpid, self.fork(between, vpid, flags))
        self.end(between, maker)
        if adopter:
            self.call(adopter, "prctl", _PR_SET_CHILD_SUBREAPER, 0)

    def end(self, process: BuildProcess, reaper: BuildProcess | None) -> None:
        program = Program()
        program.call("exit_group", 0, may_fail=True)
        process.run(program)
        if reaper:
            self.call(reaper, "wait4", process.rpid, 0, _WAIT_ANY_KIND, 0)


def _make_tree(states: list[State], build: Build) -> None:
    maker = _Maker(states, build)
    for step in _plan(states):
        maker.run(step)


def _execute(state: State, process: BuildProcess) -> None:
    """Its own executable: so that exe, comm and the kernel's idea of it are right."""
    program = Program()
    if state.personality:
        program.call("personality", state.personality)
    argv = program.strings([os.fsencode(state.exe)])
    program.call("execve", program.string(state.exe), argv, program.strings([]))
    process.run(program)


def _own(state: State, build: Build) -> None:
    """Before there are other threads, which inherit some of it."""
    program = build.process(state.vpid).program(Stage.FORK)
    program.call("chdir", program.string(state.cwd))
    program.call("umask", state.umask)
    if state.death_signal:
        program.call("prctl", _PR_SET_PDEATHSIG, state.death_signal)
    if state.timer_slack_ns:
        program.call("prctl", _PR_SET_TIMERSLACK, state.timer_slack_ns)
    if state.subreaper:
        program.call("prctl", _PR_SET_CHILD_SUBREAPER, 1)


def _end_zombies(zombies: list[State], build: Build) -> None:
    for state in reversed(zombies):
        process = build.processes.pop(Vpid(state.vpid))
        exited = state.code == _CLD_EXITED
        end_as(state.status << 8 if exited else state.status, process, build)
