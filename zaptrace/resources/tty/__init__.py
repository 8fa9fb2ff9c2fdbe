"""Pseudoterminals: the pod's own (zaptrace holds its master) and those with both ends in the pod.

Of each: mode and owner, termios, window size, packet mode, exclusive mode, lock, what waits to be
read on either side, the session whose controlling terminal it is and the foreground group. A line
that was typed but not ended yet comes back as such, and so does an end of file (^D) that was not read.

What waits can only be seen by taking it: capture takes it under a termios of its own and puts it
back at once, whatever happens (waiting.py). Output that was stopped, by ^S or tcflow(3), is so again.
Of the pod's own, what was on the screen comes along: the supervisor has it (view/scrollback.py).

Of a terminal whose master was closed nothing is left but slaves that have hung up. What was opened as
/dev/tty is so again, by the session's leader; of a locked terminal, or one that controls no session
now, it comes back as the terminal itself.

Not carried: the number in /dev/pts/N where it is taken; some of what packet mode has to tell
(packets.py). Refused: a master that was not opened for reading and writing, a line discipline other
than N_TTY, a terminal outside the pod (stdio apart), one that was opened as /dev/tty and has hung up.

    ends.py     the two ends, and what can be asked of them
    waiting.py  taking what waits, and putting it back
    packets.py  what packet mode has to tell

The lower half, csrc/resources/tty.c, swaps the ids of sessions and groups.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import struct
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ...errors import RestoreError, UnsupportedResource
from ...linux.program import Program
from ...shapes import Data, Length, Names, OneOf, Range
from ...view.build import Stage
from ...view.scrollback import Scrollback
from ..common.file import Description, closed_on_failure, described, finish, restoring, unsupported
from ..common.permission import Permission
from ..room import Whole, bad
from . import packets
from .ends import (
    BY_CALL,
    BY_CHARACTER,
    RUNNING,
    TERMIOS_SIZE,
    TIOCGEXCL,
    TIOCGPKT,
    TIOCGPTLCK,
    TIOCGSID,
    TIOCSPTLCK,
    events,
    get_termios,
    index_of,
    number,
    open_master,
    open_slave,
    set_number,
    set_termios,
    slave_of,
)
from .waiting import Hands, Input, LostError, in_hands

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

NAME = "tty"

MASTER, SLAVE = "master", "slave"
_PTMX, _DEV_TTY, _SLAVE_MAJORS = os.makedev(5, 2), os.makedev(5, 0), range(136, 144)

_AT_FDCWD = -100


@dataclass(frozen=True)
class End(Description):
    side: Annotated[str, OneOf(MASTER, SLAVE)]
    """`master` or `slave`."""
    current: bool
    """A slave that was opened as /dev/tty."""


@dataclass(frozen=True)
class State:
    ends: list[End]
    index: Annotated[int, Range(0, 1 << 20)]
    """N of /dev/pts/N; another one after a restore if it is taken."""
    own: bool
    """The pod's own terminal, made by zaptrace run."""
    termios: Annotated[bytes, Length(TERMIOS_SIZE)]
    """struct termios2."""
    window: Annotated[bytes, Length(8)]
    """struct winsize."""
    locked: bool
    packet: bool
    told: Annotated[int, Range(0, 255)]
    """What that mode has to tell."""
    exclusive: bool
    hung_up: bool
    """Every slave was closed; reading the master says EIO."""
    waiting: Input
    output: Data
    """What the master has not read yet; the pod's own is read by zaptrace."""
    echo: Data
    """Of what was typed: it has not got so far, and may be cut short."""
    stopped: Annotated[str, OneOf(RUNNING, BY_CHARACTER, BY_CALL)]
    """Its output: RUNNING, BY_CHARACTER or BY_CALL."""
    session: Annotated[int, Names("session", but=(0,))]
    """The session (as the pod sees it) that it controls, or 0."""
    foreground: Annotated[int, Names("group", but=(0,))]
    """Its foreground group, or 0."""
    permission: Permission | None
    """Of its slave's file; None where nobody sees that."""
    scrollback: Scrollback | None = None
    """Of the pod's own terminal: what was on its screen."""
    lost: bool = False
    """Its master was closed: there is nothing but slaves that have hung up."""
    exclusive_master: bool = False
    """Nobody can open a master once more, but whoever has it sees that."""


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISCHR(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    device = file.stat.st_rdev
    return device in (_PTMX, _DEV_TTY) or os.major(device) in _SLAVE_MAJORS


# capture


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("terminal", [state.index for state in states])
    whole.refuse_twice("the terminal of session", [s.session for s in states if s.session])
    if sum(state.own for state in states) > 1:
        raise bad("the pod has two terminals of its own")
    for state in states:
        if state.lost:
            if state.own or any(end.side == MASTER or end.current for end in state.ends):
                raise bad(f"terminal {state.index} has lost its master, and has it")
        elif not state.own and not any(end.side == MASTER for end in state.ends):
            raise bad(f"nobody has the master of terminal {state.index}")


def capture(pod: FrozenPod) -> list[State]:
    terminals: dict[int, list[FrozenFile]] = {}
    lost: dict[int, list[FrozenFile]] = {}
    for file in pod.files(NAME):
        try:
            terminals.setdefault(index_of(file.local), []).append(file)
        except OSError as error:
            lost.setdefault(_lost_index(file, error), []).append(file)
    if pod.tty_master is not None:
        terminals.setdefault(index_of(pod.tty_master), [])
    for index in lost.keys() & terminals.keys():
        raise _hung_up(lost[index][0])
    found = [_capture(pod, index, files) for index, files in terminals.items()]
    return found + [_capture_lost(pod, index, files) for index, files in lost.items()]


def _lost_index(file: FrozenFile, error: OSError) -> int:
    device = file.stat.st_rdev
    if os.major(device) not in _SLAVE_MAJORS:
        raise _hung_up(file) from error
    return (os.major(device) - 136) * 256 + os.minor(device)


def _hung_up(file: FrozenFile) -> Exception:
    """One of which nobody can say which terminal it was, or whose master is open all the same."""
    return unsupported(
        file,
        "is a terminal that has hung up",
        needed="a terminal that was opened by its own name, or whose master is open",
        do="let the program close it",
    )


def _capture_lost(pod: FrozenPod, index: int, files: list[FrozenFile]) -> State:
    some = files[0].stat
    return State(
        ends=[End(**described(pod, file), side=SLAVE, current=False) for file in files],
        index=index,
        own=False,
        termios=bytes(TERMIOS_SIZE),
        window=bytes(8),
        locked=False,
        packet=False,
        told=0,
        exclusive=False,
        hung_up=True,
        waiting=Input([], b""),
        output=b"",
        echo=b"",
        stopped=RUNNING,
        session=0,
        foreground=0,
        permission=Permission.of(some, some.st_uid, some.st_gid),
        lost=True,
    )


def _capture(pod: FrozenPod, index: int, files: list[FrozenFile]) -> State:
    own = pod.tty_master is not None and index_of(pod.tty_master) == index
    masters = [file for file in files if file.stat.st_rdev == _PTMX]
    slaves = [file for file in files if file.stat.st_rdev != _PTMX]
    if own:
        master = pod.tty_master
    elif masters:
        master = masters[0].local
        _refuse_half_a_master(masters[0])
    else:
        raise unsupported(
            files[0],
            "is a terminal outside the pod",
            needed="a pseudoterminal with both ends in the pod, or the pod's own",
            do="start the pod with `zaptrace run` from that terminal, or without a terminal",
        )
    assert master is not None
    some = (slaves or masters)[0] if files else None
    if some is not None and number(master, termios.TIOCGETD):
        raise unsupported(some, "is a terminal with another line discipline than N_TTY")
    found = _Found(Input([], b""), b"", b"", RUNNING, 0)
    if slaves or own:
        with slave_of(master, slaves) as slave:
            found = _look(pod, master, slave, own=own)
    elif events(master) & select.POLLIN:  # of slaves that are all closed
        with slave_of(master) as slave:
            found = _look(pod, master, slave, own=False)
    return State(
        ends=[
            End(
                **described(pod, file),
                side=MASTER if file in masters else SLAVE,
                current=file.stat.st_rdev == _DEV_TTY,
            )
            for file in files
        ],
        index=index,
        own=own,
        termios=get_termios(master),
        window=fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8)),
        locked=bool(number(master, TIOCGPTLCK)),
        packet=bool(number(master, TIOCGPKT)),
        told=found.told,
        exclusive=any(number(file.local, TIOCGEXCL) for file in slaves),
        hung_up=not slaves and bool(events(master) & select.POLLHUP),
        waiting=found.waiting,
        output=found.output,
        echo=found.echo,
        stopped=found.stopped,
        session=_vid(pod, master, TIOCGSID),
        foreground=_vid(pod, master, termios.TIOCGPGRP),
        permission=_permission(index, slaves),
        scrollback=pod.scrollback() if own else None,
        exclusive_master=any(number(file.local, TIOCGEXCL) for file in masters),
    )


def _refuse_half_a_master(file: FrozenFile) -> None:
    if file.flags & os.O_ACCMODE != os.O_RDWR:
        raise unsupported(
            file,
            "is a terminal's master that was not opened for reading and writing",
            needed="a master through which what waits can be taken and put back",
            do="have the program open /dev/ptmx with O_RDWR",
        )


def _permission(index: int, slaves: list[FrozenFile]) -> Permission | None:
    """A new one is not always the user's own: devpts may be mounted to give them to a group."""
    try:
        status = slaves[0].stat if slaves else os.stat(f"/dev/pts/{index}")
        fresh, other = os.openpty()
    except OSError:
        return None
    try:
        usual = os.fstat(other)
    finally:
        os.close(fresh)
        os.close(other)
    device = (os.major(status.st_rdev) - 136) * 256 + os.minor(status.st_rdev)
    return Permission.of(status, usual.st_uid, usual.st_gid) if device == index else None


def _vid(pod: FrozenPod, master: int, request: int) -> int:
    """The session or group that `request` gives, as the pod sees it; 0 if none of the pod's."""
    try:
        rid = number(master, request)
    except OSError:  # ENOTTY: it controls no session
        return 0
    return (pod.vpid(rid) or 0) if rid > 0 else 0


@dataclass(frozen=True)
class _Found:
    waiting: Input
    output: bytes
    echo: bytes
    stopped: str
    told: int


def _look(pod: FrozenPod, master: int, slave: int, *, own: bool) -> _Found:
    """Take what waits, and put it back. Of the pod's own terminal the output is zaptrace's already."""
    with in_hands(master, slave, seen=own) as hands:
        output = b"" if own else hands.take_output()
        stopped = hands.start()
        echo = b"" if own else hands.take_echo()
        taken: list[bytes] = []
        waiting = None
        try:
            waiting = hands.take_input(stopped, taken)
        finally:
            whole = waiting or Input([], b"".join(taken))
            _put_back(pod, hands, _Found(whole, output, echo, stopped, hands.told))
    return _Found(waiting, output, echo, stopped, hands.told)


def _put_back(pod: FrozenPod, hands: Hands, found: _Found) -> None:
    try:
        hands.put(found.waiting, found.output, found.echo, found.stopped)
    except LostError as error:
        raise UnsupportedResource(
            f'cannot checkpoint pod "{pod.name}": terminal /dev/pts/{index_of(hands.master)} does not '
            "take back what waits in it",
            needed=f"place for {len(found.output)} bytes of output, and for what was typed",
            found=str(error),
            do="let its programs read what was typed and written, and try again",
            changed=f"{error}; apart from that nothing, the pod goes on",
        ) from error


# restore


def restore(states: list[State], build: Build) -> None:
    numbers: dict[int, int] = {}
    for state in states:
        if state.lost:
            build.at(Stage.SHARED, _make_lost, state, build)
            continue
        build.at(Stage.SHARED, _make, state, build, numbers)
        build.at(Stage.THREADS, _open_as_current, state, build)
        if state.session and state.foreground:
            build.at(Stage.OWN, _foreground, state, build, numbers)
        if state.permission is not None:
            build.at(Stage.RESUME, _permit, state.index, state.permission, numbers)
        for wanted, side in ((state.exclusive, SLAVE), (state.exclusive_master, MASTER)):
            if wanted:
                build.at(Stage.RESUME, _exclude, state, side, build)


def _make(state: State, build: Build, numbers: dict[int, int]) -> None:
    with restoring(NAME, Stage.SHARED, "a pseudoterminal"):
        if state.own and build.tty_master is not None:
            master = build.tty_master
        else:
            master = open_master(state.index)
        numbers[state.index] = index_of(master)
        if state.session:
            build.terminals[state.session] = f"/dev/pts/{numbers[state.index]}"
        set_number(master, TIOCSPTLCK, 0)
        fcntl.ioctl(master, termios.TIOCSWINSZ, state.window)
        never_opened = (
            not state.hung_up
            and not state.own
            and not state.output
            and not any(end.side == SLAVE for end in state.ends)
        )
        if never_opened:
            set_termios(master, state.termios)
        else:
            _restore_slave_side(state, build, master)
        if state.packet:
            set_number(master, termios.TIOCPKT, 1)
            if state.told:
                _tell(state, master)
        if state.locked:
            set_number(master, TIOCSPTLCK, 1)
        if state.own:
            build.tty_master, build.scrollback = master, state.scrollback
        for end in state.ends:
            if end.side == MASTER:
                finish(build, end, os.dup(master))
        if not state.own:
            os.close(master)


def _make_lost(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "a terminal that has hung up"):
        master = open_master(state.index)
        with closed_on_failure(master):
            set_number(master, TIOCSPTLCK, 0)
            ready = [(end, open_slave(master, end.flags)) for end in state.ends]
            if state.permission is not None:
                state.permission.give(ready[0][1])
        os.close(master)
        for end, fd in ready:
            finish(build, end, fd)


def _restore_slave_side(state: State, build: Build, master: int) -> None:
    """Everything about the slave's side, and the slaves themselves."""
    with slave_of(master) as slave:
        set_termios(slave, state.termios)
        with in_hands(master, slave) as hands:
            try:
                hands.put(state.waiting, state.output, state.echo, state.stopped)
            except LostError as error:
                raise RestoreError(
                    f"cannot restore terminal /dev/pts/{state.index}",
                    stage=Stage.SHARED.name,
                    resource=NAME,
                    needed="place for all that waited in it",
                    found=str(error),
                ) from error
        for end in state.ends:
            if end.side == SLAVE and end not in _as_current(state):
                # Not O_ASYNC, which has an owner; all else, as the O_LARGEFILE of an open by name.
                finish(build, end, open_slave(master, end.flags & ~os.O_ASYNC))


def _tell(state: State, master: int) -> None:
    waiting = state.waiting
    with slave_of(master) as slave:
        packets.tell(
            slave,
            state.told,
            typed=bool(waiting.lines or waiting.rest or waiting.raw),
            written=bool(state.output or state.echo),
            stopped=state.stopped,
        )


def _as_current(state: State) -> list[End]:
    """Those that are opened by their session's leader, as /dev/tty."""
    if state.locked or not state.session:
        return []
    return [end for end in state.ends if end.current and end.side == SLAVE]


def _open_as_current(state: State, build: Build) -> None:
    for end in _as_current(state):
        leader, program = build.process(state.session), Program()
        flags = (end.flags & ~os.O_ASYNC) | os.O_NOCTTY | os.O_CLOEXEC
        row = program.call("openat", _AT_FDCWD, program.string("/dev/tty"), flags, 0)
        (fd,) = build.take_files(leader, [leader.run(program)[row]])
        finish(build, end, fd)


def _foreground(state: State, build: Build, numbers: dict[int, int]) -> None:
    """The session's leader names the foreground group."""
    program = build.process(state.session).program(Stage.OWN)
    path = program.string(f"/dev/pts/{numbers[state.index]}")
    group = program.data(struct.pack("=i", build.rpid(state.foreground)))
    fd = program.call("openat", _AT_FDCWD, path, os.O_RDWR | os.O_NOCTTY, 0)
    program.call("ioctl", fd, termios.TIOCSPGRP, group)
    program.call("close", fd)


def _permit(index: int, permission: Permission, numbers: dict[int, int]) -> None:
    """When nobody has to open it any more, which its mode may forbid."""
    with restoring(NAME, Stage.RESUME, f"the mode of terminal /dev/pts/{index}"):
        permission.give(f"/dev/pts/{numbers[index]}")


def _exclude(state: State, side: str, build: Build) -> None:
    """Last of all, for nobody can open an exclusive terminal."""
    end = next((end for end in state.ends if end.side == side), None)
    if end is not None:
        fcntl.ioctl(build.file(end.file_id), termios.TIOCEXCL)
