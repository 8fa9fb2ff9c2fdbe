"""Processes: the tree, sessions, groups, zombies, and what a process has one of.

The kernel keeps: parent, session, process group, executable, working and root directory, file mode
mask, personality, death signal, subreaper mark, dumpable mark, what a core dump of it would hold; of
a zombie its end.
Not carried: a root directory other than the host's (refused), namespaces other than the
supervisor's (refused), core-dump marks of zombies. A working directory that was removed is made
anew, entered, and removed again. What was removed or replaced, and is executed, is in executable.py.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import termios
from dataclasses import dataclass
from typing import Annotated

from ...errors import RestoreError, UnsupportedResource
from ...ids import Rpid, Vpid
from ...linux import outside
from ...linux.native import lib
from ...linux.procfs import core_filter, read, stat_fields
from ...linux.program import Program
from ...shapes import (
    U8,
    U32,
    U64,
    Gives,
    GivesProcess,
    Mode,
    NamesProcessOrSupervisor,
    Path,
    Range,
    Signal,
    Word,
)
from ...view.build import Build, BuildProcess, Stage
from ...view.frozen import FrozenPod, FrozenProcess, Zombie
from ..common import nameless
from ..common.ending import end_as
from ..common.file import restoring
from ..common.inode import GONE, name_of
from ..common.rights import Rights, give_to_ended, of_ended
from ..room import Whole, bad
from . import births, executable, kinship, tree
from .executable import NOTHING, Executable, Executables, executable_by

NAME = "process"

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG, _PR_GET_DUMPABLE = 1, 2, 3
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_CLD_EXITED = 1
_EXIT_SIGNAL = 0xFF  # of clone's flags
_WAIT_ANY_KIND = 0x40000000  # __WALL
_AT_FDCWD = -100
_STAT_FIRST, _STAT_TTY, _STAT_FLAGS = 3, 7, 9  # proc(5)
_PF_FORKNOEXEC = 0x40
_NAMESPACES = ("ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True)
class Gone:
    """A directory that was removed."""

    device: U64
    inode: U64
    mode: Mode


@dataclass(frozen=True)
class State:
    vpid: GivesProcess
    ppid: NamesProcessOrSupervisor
    pgid: Annotated[int, Range(0, 1 << 22), Gives("group", once=False)]
    sid: Annotated[int, Range(0, 1 << 22), Gives("session", once=False)]
    comm: Word
    zombie: bool
    code: Annotated[int, Range(0, 3)]  # of a zombie: CLD_EXITED, CLD_KILLED or CLD_DUMPED
    status: U8  # of a zombie: exit status, or signal
    executable: Executable
    forked: bool  # it has executed nothing since it was forked
    cwd: Path
    cwd_gone: Gone | None
    umask: Annotated[int, Range(0, 0o777)]
    personality: U32
    death_signal: Signal
    dumpable: Annotated[int, Range(0, 2)]
    """As PR_GET_DUMPABLE tells it; the kernel's own is 1 but after changes of ids."""
    subreaper: bool
    kin: kinship.Kin
    terminal: bool
    """Its session's controlling terminal, if there is one, is its own too."""
    core_filter: Annotated[int, Range(-1, 0xFFFF_FFFF)]
    """Which memory a core dump of it holds (core(5)); -1 where the kernel makes none."""
    rights: Rights | None = None
    """Of a zombie, in a pod that has privilege: who may signal it, and whose /proc/PID is."""


def verify(states: list[State], whole: Whole) -> None:
    alive = {state.vpid for state in states if not state.zombie}
    whole.give_once("living process", alive)
    for state in states:
        exe = state.executable.path
        if not state.zombie and not (exe.startswith(b"/") and state.cwd.startswith(b"/")):
            raise bad(f"process {state.vpid} has no executable, or no directory")
        if state.zombie and (state.code == 0 or (state.code != _CLD_EXITED and not state.status)):
            raise bad(f"zombie {state.vpid} has not ended", "an exit status, or a signal")
    executable.verify((state.executable for state in states), whole)
    steps = _plan(states)
    born = {s.vpid for s in steps if isinstance(s, tree.Launch | tree.Fork | tree.Orphan)}
    if lost := {state.vpid for state in states} - born:
        raise bad(f"process {min(lost)} descends from itself", "a tree")
    kin = {state.vpid: state.kin for state in states}
    kinship.refuse_what_cannot_be(kin, steps, _forked_by(states, steps), kin.keys() - alive)


# -- capture


def capture(pod: FrozenPod) -> list[State]:
    kin = kinship.capture(pod)
    executables = Executables(pod)
    states = [
        _capture(process, executables.of(process), kin[process.vpid]) for process in pod.processes
    ]
    states += [_capture_zombie(pod, zombie) for zombie in pod.zombies]
    steps = _plan(states)
    kinship.refuse_what_cannot_be(kin, steps, _forked_by(states, steps))
    return states


def _capture(process: FrozenProcess, executable: Executable, kin: kinship.Kin) -> State:
    _refuse_other_views(process)
    cwd, cwd_gone = _directory(process)
    program = Program()
    death = program.buffer(4)
    program.call("prctl", _PR_GET_PDEATHSIG, death)
    reaper = program.buffer(4)
    program.call("prctl", _PR_GET_CHILD_SUBREAPER, reaper)
    dumpable, noted = program.call("prctl", _PR_GET_DUMPABLE), process.leader.dumpable
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
        executable=executable,
        forked=_has_only_forked(process),
        cwd=cwd,
        cwd_gone=cwd_gone,
        umask=int(process.status["Umask"], 8),
        personality=int(read(f"{process.proc}/personality"), 16),
        death_signal=struct.unpack("<i", results.bytes(death))[0],
        dumpable=noted if noted != 1 else results[dumpable],
        subreaper=struct.unpack("<i", results.bytes(reaper))[0] != 0,
        kin=kin,
        terminal=int(_stat(process)[_STAT_TTY - _STAT_FIRST]) != 0,
        core_filter=core_filter(process.proc),
    )


def _has_only_forked(process: FrozenProcess) -> bool:
    return bool(int(_stat(process)[_STAT_FLAGS - _STAT_FIRST]) & _PF_FORKNOEXEC)


def _stat(process: FrozenProcess) -> list[str]:
    return stat_fields(f"/proc/{process.rpid}/stat")


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


def _directory(process: FrozenProcess) -> tuple[bytes, Gone | None]:
    who = f"process {process.vpid} ({process.comm})"
    try:
        shown = os.readlink(os.fsencode(f"{process.proc}/cwd"))
    except OSError as error:
        raise UnsupportedResource(
            f"cannot checkpoint {who}: the path of its working directory cannot be told",
            needed="a working directory with a path of less than 4096 bytes",
            found=error.strerror or str(error),
            do="run the program in another directory",
        ) from error
    status = outside.stat(f"{process.proc}/cwd")
    path = name_of(status, shown)
    if path is None and shown.endswith(GONE):
        return shown.removesuffix(GONE), Gone(status.st_dev, status.st_ino, status.st_mode)
    if path is None or not outside.can(path, os.X_OK):
        raise UnsupportedResource(
            f"cannot checkpoint {who}: its working directory cannot be entered again",
            needed="the directory at its path, and permission to enter it",
            found=os.fsdecode(shown),
            do="give the directory its name and mode back, or run the program in another one",
        )
    return path, None


def _capture_zombie(pod: FrozenPod, zombie: Zombie) -> State:
    return State(
        vpid=zombie.vpid,
        ppid=zombie.ppid,
        pgid=zombie.pgid,
        sid=zombie.sid,
        comm=zombie.comm,
        zombie=True,
        code=zombie.code,
        status=zombie.status,
        executable=NOTHING,
        forked=True,
        cwd=b"/",
        cwd_gone=None,
        umask=0,
        personality=0,
        death_signal=0,
        dumpable=1,
        subreaper=False,
        kin=kinship.of_zombie(zombie),
        terminal=True,
        core_filter=-1,
        rights=of_ended(lib.zt_ids_to_real(pod.handle, zombie.vpid)),
    )


# -- restore


def restore(states: list[State], build: Build) -> None:
    alive = [state for state in states if not state.zombie]
    build.at(Stage.CLAIM, _claim, alive, build)
    build.at(Stage.SHARED, _find_makers, states, build)
    for removed in _removed(alive):
        build.at(Stage.SHARED, executable.make, removed, build)
    build.at(Stage.FORK, _make_tree, states, build)
    for state in alive:
        build.at(Stage.FORK, _own, state, build)
        build.at(Stage.RESUME, kinship.restore_waits, state.kin, build)
    build.at(Stage.RESUME, _end_zombies, [s for s in states if s.zombie], build)


def _claim(states: list[State], build: Build) -> None:
    for state in states:
        _claim_executable(state, build)
        if state.cwd_gone is None and not outside.is_directory(state.cwd):
            raise _missing(state, "its working directory", state.cwd, "is not there")


def _claim_executable(state: State, build: Build) -> None:
    path = state.executable.path
    found = None if path in build.allow_changed else executable.difference(state.executable)
    if found is not None:
        raise _missing(state, "its executable", path, found)


def _removed(states: list[State]) -> list[Executable]:
    """Each once."""
    found = {(r.device, r.inode): s.executable for s in states if (r := s.executable.removed)}
    return list(found.values())


def _missing(state: State, what: str, path: bytes, found: str) -> RestoreError:
    return RestoreError(
        f"cannot restore process {state.vpid} ({state.comm})",
        stage="CLAIM",
        resource=NAME,
        vpid=state.vpid,
        needed=f"{what}, {os.fsdecode(path)}",
        found=found,
        do="install the same files at the same paths on this host",
        changed="nothing",
    )


def _find_makers(states: list[State], build: Build) -> None:
    steps = _plan(states)
    build.makers.update(_forked_by(states, steps))
    memory = {state.vpid: state.kin.memory for state in states if not state.zombie}
    build.births.update(births.of_memories(steps, memory, build.makers))


def _forked_by(states: list[State], steps: list[tree.Step]) -> dict[int, int]:
    """Who is restored by a fork alone: it then has what its maker had, its executable too."""
    found: dict[int, int] = {}
    alive = {state.vpid: state for state in states if not state.zombie}
    copies: dict[int, int] = {}  # of whom a helper is one
    for step in steps:
        if not isinstance(step, tree.Fork | tree.Orphan):
            continue
        by = copies.get(step.by, step.by)
        if step.vpid not in alive:
            copies[step.vpid] = by
            continue
        state, maker = alive[step.vpid], alive.get(by)
        if state.forked and maker and _same_program(state, maker):
            found[step.vpid] = by
    return found


def _same_program(one: State, other: State) -> bool:
    return (one.executable, one.personality) == (other.executable, other.personality)


def _plan(states: list[State]) -> list[tree.Step]:
    return tree.plan([tree.Node(s.vpid, s.ppid, s.pgid, s.sid) for s in states])


class _Maker:
    """Carries out the steps of a plan. All processes share descriptor 0: the way for files to come."""

    def __init__(self, states: list[State], build: Build) -> None:
        self.build = build
        self.states = {state.vpid: state for state in states}
        self.some_executable = next(s.executable for s in states if not s.zombie)
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
            _execute(state, process, self.build)
        if sow := self.build.sow.get(vpid):
            sow(process)

    def run(self, step: tree.Step) -> None:
        match step:
            case tree.Launch(vpid):
                state = self.states.get(vpid)
                of = state.executable if state and not state.zombie else self.some_executable
                with executable_by(of, self.build) as path:
                    self.add(vpid, self.build.launch(os.fsdecode(path), vpid))
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
    for number, step in enumerate(_plan(states)):
        if prepare := build.before_birth.get(number):
            prepare()
        maker.run(step)


def _execute(state: State, process: BuildProcess, build: Build) -> None:
    """Its own executable: so that exe, comm and the kernel's idea of it are right."""
    program = Program()
    if state.personality:
        program.call("personality", state.personality)
    argv = program.strings([state.executable.path])
    with executable_by(state.executable, build) as path:
        program.call("execve", program.string(path), argv, program.strings([]))
        process.run(program)


def _own(state: State, build: Build) -> None:
    """Before there are other threads, which inherit some of it."""
    process = build.process(state.vpid)
    if state.cwd_gone is not None:
        _enter(process, state.cwd, state.cwd_gone, build)
    program = process.program(Stage.FORK)
    if state.cwd_gone is None:
        program.call("chdir", program.string(state.cwd))
    program.call("umask", state.umask)
    lib.zt_pod_set_dumpable(build.handle, build.rpid(state.vpid), state.dumpable)
    if state.death_signal:
        program.call("prctl", _PR_SET_PDEATHSIG, state.death_signal)
    if state.subreaper:
        program.call("prctl", _PR_SET_CHILD_SUBREAPER, 1)
    if not state.terminal and (path := build.terminals.get(state.sid)):
        _leave_terminal(program, path)
    if state.core_filter >= 0:
        path = f"/proc/{process.rpid}/coredump_filter"
        # Not there: a kernel that makes no core dumps.
        with contextlib.suppress(FileNotFoundError), open(path, "w", encoding="ascii") as file:
            file.write(f"{state.core_filter:#x}")


def _leave_terminal(program: Program, path: str) -> None:
    """It was born before its session had one, or has left it."""
    fd = program.call("openat", _AT_FDCWD, program.string(path), os.O_RDWR | os.O_NOCTTY, 0)
    program.call("ioctl", fd, termios.TIOCNOTTY, 0)
    program.call("close", fd)


def _enter(process: BuildProcess, was: bytes, gone: Gone, build: Build) -> None:
    """A removed directory: the one that a descriptor of the pod leads to, if there is one."""
    made = build.inode(gone.device, gone.inode)
    if made is None:
        what = f"the working directory {os.fsdecode(was)}, which was removed"
        with (
            restoring(NAME, Stage.FORK, what),
            nameless.other(was, gone.mode, b"", quiet=build.rehearsal) as directory,
        ):
            made = directory.open(os.O_RDONLY | os.O_DIRECTORY)
            build.provide_inode(gone.device, gone.inode, made)
            os.chmod(f"/proc/self/fd/{directory.fd}", stat.S_IMODE(gone.mode))
    (fd,) = build.pass_files(process, [made])
    program = Program()
    program.call("fchdir", fd)
    program.call("close", fd)
    process.run(program)


def _end_zombies(zombies: list[State], build: Build) -> None:
    for state in reversed(zombies):
        process = build.processes.pop(Vpid(state.vpid))
        exited = state.code == _CLD_EXITED
        give_to_ended(state.rights, process.leader)
        end_as(state.status << 8 if exited else state.status, process, build)
