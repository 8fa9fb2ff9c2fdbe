"""Files that have, or had, a name: regular files, directories, /dev/null and its like, O_PATH.

Which file it is its inode says (common/inode). One that has a name is opened by it again, with the
same flags and offset; it must be there and, as far as a program could tell, be the same
(common/sameness). One whose last name is gone, or cannot be found, travels in the image and comes
back without a name, where it was or else where temporary files live. One that its mode forbids to
open so (0444, open for writing) is opened by its owner all the same. Paths in /proc that hold a
process id are opened under the id of the restored process; of one that has ended, under that of a
process of ours, or of a thread more of the same process, that ends then.

Not carried: contents of files that have a name, the time of change of one that is opened against its
mode, read-ahead advice, that a file of openat2(2) with O_TMPFILE and O_EXCL may not get a name, the
offset of a directory where the file system does not keep it stable; sockets and devices without a name,
files under a mount that came later, and files of others that may not be opened again (refused).

The C half notes files that may get no name (common/never_named); paths are the host's.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..errors import RestoreError, Unsettled
from ..ids import Vpid
from ..linux import outside
from ..shapes import I64, U64, Length, Mode, Names, PartOrNone, PathOrNone, Size
from ..view.build import BuildProcess, Stage
from .common import extended, leasing, nameless, never_named, sameness
from .common.content import Runs, load, refuse_wrong, save, save_by_reading
from .common.ending import end_as, short_lived_thread
from .common.file import (
    Description,
    closed_on_failure,
    described,
    finish,
    give_owner,
    opened,
    restoring,
    set_status,
    unsupported,
)
from .common.inode import GONE, Inodes
from .common.never_named import is_note as is_note
from .common.permission import Permission, may_open, open_anyway, stand_in
from .room import Whole, bad

if TYPE_CHECKING:
    from ..image.sink import Writer
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod
    from .common.inode import Inode

NAME = "regular_file"

_MADE_ANEW = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)
_ONCE = os.O_CREAT | os.O_EXCL | os.O_TRUNC
_MEMORY_DEVICES = {os.makedev(1, minor) for minor in (3, 5, 7, 8, 9)}  # null zero full (u)random
_TERMINALS = range(136, 144)  # majors of /dev/pts/N
_NO_PATH = re.compile(r"/(memfd:|secretmem|anon_hugepage|dmabuf:|SYSV[0-9a-f]{8} |\[)")
_PROC_ID = re.compile(rb"/proc/(\d+)(?:/task/(\d+))?(?=/|$| \(deleted\)$)")
_ANY_EXECUTABLE = "/proc/self/exe"


@dataclass(frozen=True)
class Nameless:
    """A file without a name; its descriptions share it."""

    dev: U64
    ino: U64
    permission: Permission
    extended: extended.Extended
    executed: bool
    atime_ns: I64
    mtime_ns: I64
    target: PathOrNone
    """Of a symbolic link."""
    runs: Runs
    part: PartOrNone
    may_get_name: bool = True
    """If it is one of O_TMPFILE: by linkat(2)."""


@dataclass(frozen=True)
class State(Description):
    path: PathOrNone
    """The name; for a file without one the name that it had. `{}` stands for ids in /proc."""
    vids: Annotated[list[Annotated[int, Names("process", "thread", but=(0,))]], Length(0, 2)]
    """The processes (and threads) whose ids are in the path; 0 for one that has ended."""
    pos: I64
    mode: Mode
    size: Size
    rdev: U64
    print: sameness.Print | None
    """Of a regular file that has a name."""
    nameless: Nameless | None
    leased: Annotated[list[leasing.Holder], Length(0, 1 << 20)] = field(default_factory=list)
    """Who has it open, where a writer's lease is on it that to open it would break."""


@dataclass(frozen=True)
class _Known:
    """What is told once of an inode, however many descriptions it has."""

    saved: dict[Inode, Nameless]
    prints: dict[Inode, sameness.Print]


def claims(file: FrozenFile) -> bool:
    if not file.link.startswith("/"):
        return False
    if _NO_PATH.match(file.link) and file.stat.st_nlink == 0:  # else its name only looks so
        return False
    mode = file.stat.st_mode
    if file.flags & os.O_PATH or stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return True
    return stat.S_ISCHR(mode) and file.stat.st_rdev in _MEMORY_DEVICES


def refuse_outside(pod: FrozenPod) -> None:
    """Raises Unsettled for a file about a process that is not in the pod: they are looked at in passing."""
    for file in pod.files(NAME):
        if file.link.startswith("/proc/"):
            _proc_path(pod, file, os.fsencode(file.link))


def verify(states: list[State], whole: Whole) -> None:
    gone: dict[tuple[int, int], State] = {}
    for state in states:
        shown = repr(state.path[:60])
        if state.path.count(b"{}") != len(state.vids) and state.vids:
            raise bad(f"the open file {shown} names other processes than it has")
        if state.vids[:1] == [0] and any(state.vids):
            raise bad(f"the open file {shown} is of a thread that lives, of no process")
        if state.nameless is None:
            if not state.path.startswith(b"/"):
                raise bad("an open file has no path", found=shown)
            continue
        one = gone.setdefault((state.nameless.dev, state.nameless.ino), state)
        alike = (one.nameless, stat.S_IFMT(one.mode), one.size)
        if alike != (state.nameless, stat.S_IFMT(state.mode), state.size):
            raise bad(f"the open file {shown} is two files")
        if stat.S_IFMT(state.mode) not in _MADE_ANEW:
            raise bad(f"the open file {shown} cannot be without a name")
        if stat.S_ISREG(state.mode):
            nameless = state.nameless
            refuse_wrong(nameless.runs, state.size, nameless.part, whole)
        if stat.S_ISLNK(state.mode) and not state.nameless.target:
            raise bad(f"the symbolic link {shown} leads nowhere")
    whole.give_once("shared object", gone)


def capture(pod: FrozenPod) -> list[State]:
    known = _Known({}, {})
    return [_capture(pod, file, known) for file in pod.files(NAME)]


def restore(states: list[State], build: Build) -> None:
    gone: dict[tuple[int, int], list[State]] = {}
    found: set[tuple[bytes, sameness.Print]] = set()
    ended: list[State] = []
    for state in states:
        if state.nameless is not None:
            gone.setdefault((state.nameless.dev, state.nameless.ino), []).append(state)
        elif state.vids[:1] == [0]:
            ended.append(state)
        elif 0 in state.vids:
            build.at(Stage.FILES, _open_of_ended_thread, state, build)
        elif state.vids:
            build.at(Stage.FILES, _open_proc, state, build)
        elif stat.S_ISSOCK(state.mode):  # its file is made when the socket is bound
            build.at(Stage.FILES, _open_socket, state, build)
        else:
            build.at(Stage.CLAIM, _claim, state, build, found)
            build.at(Stage.SHARED, _open, state, build, state.path, Stage.SHARED)
    build.at(Stage.CLAIM, never_named.forget_former, build)
    for together in gone.values():
        build.at(Stage.SHARED, _make_nameless, together, build)
    if ended:
        build.at(Stage.SHARED, _open_of_ended, ended, build)


# capture


def _capture(pod: FrozenPod, file: FrozenFile, known: _Known) -> State:
    path = os.fsencode(file.link)
    vids: list[int] = []
    gone: Nameless | None = None
    print_: sameness.Print | None = None
    if path.startswith(b"/proc/"):
        path, vids = _proc_path(pod, file, path)
    else:
        inode = Inodes.of(pod).opened(file)
        path = inode.path if inode.path is not None else inode.was
        if inode.path is None:
            _refuse_hidden(file, inode)
            gone = _save(pod, file, inode, known.saved)
        else:
            _refuse_terminal(file)
            _refuse_closed(file, path)
            if stat.S_ISREG(file.stat.st_mode) and not file.flags & os.O_PATH:
                if inode not in known.prints:
                    known.prints[inode] = sameness.take(
                        path, file.stat, sameness.DATA, through=leasing.through(file)
                    )
                print_ = known.prints[inode]
    return State(
        **described(pod, file),
        path=path,
        vids=vids,
        pos=file.pos,
        mode=file.stat.st_mode,
        size=file.stat.st_size,
        rdev=file.stat.st_rdev,
        print=print_,
        nameless=gone,
        leased=leasing.writers(file),
    )


def _refuse_hidden(file: FrozenFile, inode: Inode) -> None:
    kind = stat.S_IFMT(file.stat.st_mode)
    if inode.hidden:
        raise unsupported(
            file,
            "is a file that cannot be reached by its name",
            needed="the file at the path that it was opened by, or no file at all",
            found=f"{file.link} is another file, or is not there (is something mounted over it?)",
            do="give the file its name back, or let the program open it again",
        )
    if kind not in _MADE_ANEW:
        raise unsupported(
            file,
            f"is {outside.kind(kind)} without a name",
            needed=f"{outside.kind(kind)} that still has its name",
            do="let the program close it",
        )


def _refuse_terminal(file: FrozenFile) -> None:
    """With O_PATH. It is there as long as its master is, and may have another number later."""
    if stat.S_ISCHR(file.stat.st_mode) and os.major(file.stat.st_rdev) in _TERMINALS:
        raise unsupported(
            file,
            "is the name of a terminal, opened with O_PATH",
            needed="a terminal that is open to be used",
            do="let the program close it",
        )


def _refuse_closed(file: FrozenFile, path: bytes) -> None:
    """A file that was opened once and could not be again, not even by its owner."""
    if not may_open(path, file.flags):
        raise unsupported(
            file,
            "is open in a way that its mode forbids now",
            needed="permission to open it so again; it belongs to another user",
            found=f"{os.fsdecode(path)} with mode {stat.S_IMODE(file.stat.st_mode):04o}",
            do="give the permission back, or let the program close it",
        )


def _save(pod: FrozenPod, file: FrozenFile, inode: Inode, saved: dict[Inode, Nameless]) -> Nameless:
    if inode in saved:
        return saved[inode]
    part, target = "", b""
    runs: list[list[int]] = []
    if stat.S_ISREG(file.stat.st_mode):
        part = f"file-{file.id}"
        with pod.image.part(part) as writer:
            runs = _contents(file, inode, writer)
    elif stat.S_ISLNK(file.stat.st_mode):
        target = os.readlink(b"", dir_fd=file.local)
    saved[inode] = Nameless(
        dev=file.stat.st_dev,
        ino=file.stat.st_ino,
        permission=Permission.of(file.stat),
        extended=extended.take(f"/proc/self/fd/{file.local}"),
        executed=inode.executed_by is not None,
        atime_ns=file.stat.st_atime_ns,
        mtime_ns=file.stat.st_mtime_ns,
        target=target,
        runs=runs,
        part=part,
        may_get_name=not never_named.is_noted(pod, file.local),
    )
    return saved[inode]


def _contents(file: FrozenFile, inode: Inode, writer: Writer) -> list[list[int]]:
    """Through a description of our own, or, where its mode forbids one, through one of the pod's."""
    if (held := leasing.through(file)) is not None and held >= 0:
        return save_by_reading(held, writer)
    try:
        with opened(f"/proc/self/fd/{file.local}", os.O_RDONLY) as own:
            return save(own, writer)
    except PermissionError:
        for one in inode.files:
            if one.flags & os.O_ACCMODE != os.O_WRONLY and not one.flags & os.O_PATH:
                return save_by_reading(one.local, writer)
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    raise _unreadable(file, "it is open for writing only, and its mode forbids to read it")


def _unreadable(file: FrozenFile, found: str) -> Exception:
    return unsupported(
        file,
        "is a file without a name that cannot be read",
        needed="read permission, for its contents travel in the image",
        found=f"{file.link}: {found}",
    )


def _proc_path(pod: FrozenPod, file: FrozenFile, path: bytes) -> tuple[bytes, list[int]]:
    found = _PROC_ID.match(path)
    if found is None:
        return path, []
    vids: list[int] = [pod.living(int(rid)) or 0 for rid in filter(None, found.groups())]
    rest = path[found.end() :].removesuffix(GONE)
    if 0 in vids and os.path.exists(os.fsdecode(path[: found.end()])):
        raise unsupported(
            file,
            "looks at a process outside the pod",
            needed="a file of /proc about a process of the pod",
            do="let the program close it",
            kind=Unsettled,
        )
    head = b"/proc/{}" if len(vids) == 1 else b"/proc/{}/task/{}"
    return head + rest, vids


# restore


def _open_flags(state: State) -> int:
    """O_ASYNC, too: of files that raise no signals open(2) alone can set it, for nothing."""
    lasting = state.flags & ~_ONCE
    if stat.S_ISCHR(state.mode):
        lasting &= ~os.O_ASYNC
    return lasting | os.O_CLOEXEC | os.O_NOCTTY


def _refused(state: State, needed: str, found: str, do: str | None = None) -> RestoreError:
    shown = os.fsdecode(state.path)
    return RestoreError(
        f"cannot restore the open file {shown}",
        stage=Stage.CLAIM.name,
        resource=NAME,
        needed=needed,
        found=found,
        do=do or "put the file there as it was when the pod was checkpointed",
    )


def _claim(state: State, build: Build, same: set[tuple[bytes, sameness.Print]]) -> None:
    try:
        there = outside.stat(state.path, follow_symlinks=not stat.S_ISLNK(state.mode))
    except OSError as error:
        raise _refused(state, outside.kind(state.mode), error.strerror or str(error)) from error
    if stat.S_IFMT(there.st_mode) != stat.S_IFMT(state.mode):
        raise _refused(state, outside.kind(state.mode), outside.kind(there.st_mode))
    if not may_open(state.path, state.flags):
        raise _refused(
            state, f"{outside.kind(state.mode)} that can be opened again", "Permission denied"
        )
    if stat.S_ISCHR(state.mode) and there.st_rdev != state.rdev:
        raise _refused(state, "the same device", "another device")
    if state.print is None or (state.path, state.print) in same:
        return
    if state.path not in build.allow_changed:
        found = sameness.difference(state.print, state.path)
        if found is not None:
            raise _refused(
                state,
                "the same file, or one whose contents begin with the old ones",
                found,
                f"put the file back, or restore with --allow-changed {os.fsdecode(state.path)}",
            )
    same.add((state.path, state.print))


def _open(state: State, build: Build, path: bytes, stage: Stage) -> None:
    with restoring(NAME, stage, f"the open file {os.fsdecode(path)}"):
        if state.leased and leasing.may_be_held(build, path):
            fd = stand_in(path)
            build.at_thaw(partial(_open_at_last, state, build))
        else:
            fd = open_anyway(path, _open_flags(state), rehearsal=build.rehearsal)
        _hand_over(state, build, fd)


def _open_at_last(state: State, build: Build) -> None:
    """By then whoever had the lease has ended."""

    def open_it() -> int:
        fd = open_anyway(state.path, _open_flags(state), rehearsal=False)
        with closed_on_failure(fd):
            os.lseek(fd, state.pos, os.SEEK_SET)
            if state.owner:
                give_owner(build, state.owner, fd)
            set_status(state, fd)
        return fd

    leasing.arrive(build, state.leased, open_it)


def _open_socket(state: State, build: Build) -> None:
    path = build.meanwhile.get(state.path, state.path)
    _open(state, build, path, Stage.FILES)


def _open_proc(state: State, build: Build) -> None:
    path = state.path
    for vid in state.vids:
        path = path.replace(b"{}", b"%d" % build.rpid(vid), 1)
    _open(state, build, path, Stage.FILES)


def _open_of_ended(states: list[State], build: Build) -> None:
    """A process for a moment, whose end nobody in the pod sees."""
    rpid = build.launch(_ANY_EXECUTABLE, 0)
    for state in states:
        _open(state, build, state.path.replace(b"{}", b"%d" % rpid), Stage.SHARED)
    end_as(0, BuildProcess(build.handle, Vpid(0), rpid), build)


def _open_of_ended_thread(state: State, build: Build) -> None:
    process = build.process(state.vids[0])
    with (
        restoring(NAME, Stage.FILES, f"the open file {os.fsdecode(state.path)}"),
        short_lived_thread(process) as rtid,
    ):
        path = state.path.replace(b"{}", b"%d" % process.rpid, 1).replace(b"{}", b"%d" % rtid, 1)
        _open(state, build, path, Stage.FILES)


def _hand_over(state: State, build: Build, fd: int) -> None:
    if state.flags & os.O_PATH:
        build.provide(state.file_id, fd)
        return
    if state.pos:
        with closed_on_failure(fd):
            os.lseek(fd, state.pos, os.SEEK_SET)
    finish(build, state, fd)


def _close_all(ready: list[tuple[State, int]]) -> None:
    for _, fd in ready:
        os.close(fd)


def _make_nameless(states: list[State], build: Build) -> None:
    """One new file for all descriptions (and mappings) of one that has no name any more."""
    some, gone = states[0], states[0].nameless
    assert gone is not None
    what = f"the open file {os.fsdecode(some.path)}, which has no name any more"
    with restoring(NAME, Stage.SHARED, what), contextlib.ExitStack() as stack:
        first = -1
        temporary = next((s for s in states if s.flags & os.O_TMPFILE == os.O_TMPFILE), None)
        if not stat.S_ISREG(some.mode):
            file = stack.enter_context(
                nameless.other(some.path, some.mode, gone.target, quiet=build.rehearsal)
            )
        elif temporary is not None:
            flags = _open_flags(temporary) | (0 if gone.may_get_name else os.O_EXCL)
            first, file = stack.enter_context(nameless.temporary(some.path, flags))
        else:
            file = stack.enter_context(nameless.regular(some.path, quiet=build.rehearsal))
        if not gone.may_get_name:
            never_named.note(build, file.fd)
        ready: list[tuple[State, int]] = []
        stack.callback(_close_all, ready)
        for state in states:
            fd = first if state is temporary else file.open(_open_flags(state))
            ready.append((state, fd))
        if stat.S_ISREG(some.mode):
            load(build, gone.part, gone.runs, some.size, file.fd, whole=gone.executed)
        # What somebody could write cannot be executed.
        lasting = file.open(os.O_RDONLY) if gone.executed else os.dup(file.fd)
        build.provide_inode(gone.dev, gone.ino, lasting)
        if not stat.S_ISLNK(some.mode):
            own = f"/proc/self/fd/{file.fd}"
            extended.give(own, gone.extended)
            gone.permission.give(own)
            os.utime(own, ns=(gone.atime_ns, gone.mtime_ns))
        while ready:
            _hand_over(ready[0][0], build, ready.pop(0)[1])
