"""The open files of a pod that is being made, until its processes have them.

A pod may have more than one process may have open, so what has not been asked for lately goes to
keepers: processes of ours that hold descriptors, and give them back. Without many files there is none.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import socket
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..errors import HostError
from ..ids import FileId

_BATCH = 200  # the kernel passes at most 253 at once (SCM_MAX_FD)
_AHEAD = 50
_SPARE = 64
_PATIENCE_S = 60.0

# One message of numbers: with descriptors, to be kept under them; without, to be given back.
_KEEPER = """
import array, errno, socket, sys, time
def give_back(fds):
    until = time.monotonic() + 50
    while True:
        try:
            return socket.send_fds(peer, [b"back"], fds)
        except OSError as error:  # the user's other programs have many descriptors on their way
            if error.errno != errno.ETOOMANYREFS or time.monotonic() > until:
                raise
        time.sleep(0.005)
peer = socket.socket(fileno=int(sys.argv[1]))
kept = {}
while True:
    data, fds, _, _ = socket.recv_fds(peer, 1 << 16, 253)
    if not data:
        break
    numbers = array.array("q", data)
    if fds:
        kept.update(zip(numbers, fds))
        peer.send(b"kept")
    else:
        give_back([kept[n] for n in numbers])
        for n in numbers:
            socket.close(kept.pop(n))
"""


class Files:
    """Open file descriptions by number; theirs are the descriptors."""

    def __init__(self, share: int = 4) -> None:
        """Of the descriptors that this process may have, at most one in `share` are these."""
        self._here: OrderedDict[FileId, int] = OrderedDict()
        self._away: dict[FileId, _Keeper] = {}
        self._keepers: list[_Keeper] = []
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(soft // share, _BATCH + 1)

    def __iter__(self) -> Iterator[FileId]:
        return iter([*self._here, *self._away])

    def __len__(self) -> int:
        return len(self._here) + len(self._away)

    def provide(self, file_id: FileId, fd: int) -> None:
        """`fd` is this one; it is ours to close."""
        self._here[file_id] = fd
        self._make_room()

    def get(self, file_ids: list[FileId]) -> list[int]:
        """Descriptors of at most 200; good until others are asked for. Raises KeyError."""
        missing = [file_id for file_id in file_ids if file_id not in self._here]
        for keeper in {self._away[file_id] for file_id in missing}:
            wanted = list(dict.fromkeys(i for i in missing if self._away.get(i) is keeper))
            # Others that came with them will be asked for next, mostly.
            ahead = (i for i in keeper.kept if i not in wanted)
            wanted += itertools.islice(ahead, max(0, _AHEAD - len(wanted)))
            for file_id, fd in zip(wanted, keeper.give(wanted), strict=True):
                del self._away[file_id]
                self._here[file_id] = fd
        for file_id in file_ids:
            self._here.move_to_end(file_id)
        self._make_room(len(file_ids))
        return [self._here[file_id] for file_id in file_ids]

    def take(self, file_id: FileId) -> int:
        """The descriptor, which is the caller's to close from now on. Raises KeyError."""
        self.get([file_id])
        return self._here.pop(file_id)

    def close(self) -> None:
        """Close them all."""
        _close(self._here.values())
        self._here.clear()
        self._away.clear()
        while self._keepers:
            self._keepers.pop().close()

    def _make_room(self, needed: int = 1) -> None:
        """The last `needed` stay in any case."""
        while len(self._here) > max(self._most, needed):
            count = min(_BATCH, len(self._here) - needed)
            oldest = [self._here.popitem(last=False) for _ in range(count)]
            keeper = next((k for k in self._keepers if k.has_room), None)
            if keeper is None:
                keeper = _Keeper()
                self._keepers.append(keeper)
            keeper.keep(oldest)
            _close(fd for _, fd in oldest)
            self._away |= {file_id: keeper for file_id, _ in oldest}


class _Keeper:
    """One process that holds descriptors. It ends when we close our end, or die."""

    def __init__(self) -> None:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._room = soft - _SPARE
        self.kept: dict[FileId, None] = {}
        """Oldest first."""
        self._peer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._peer.settimeout(_PATIENCE_S)
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", "-c", _KEEPER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    @property
    def has_room(self) -> bool:
        return self._room - len(self.kept) >= _BATCH

    def keep(self, files: list[tuple[FileId, int]]) -> None:
        with _expecting_answers():
            _send(self._peer, _packed(i for i, _ in files), [fd for _, fd in files])
            answer = self._peer.recv(16)
        if answer != b"kept":
            raise _keeper_died()
        self.kept |= dict.fromkeys(i for i, _ in files)

    def give(self, file_ids: list[FileId]) -> list[int]:
        with _expecting_answers():
            self._peer.send(_packed(file_ids))
            _, fds, flags, _ = socket.recv_fds(self._peer, 16, len(file_ids))
        if len(fds) != len(file_ids):
            _close(fds)
            raise _no_room(len(fds), len(file_ids)) if flags & socket.MSG_CTRUNC else _keeper_died()
        for file_id in file_ids:
            del self.kept[file_id]
        for fd in fds:
            os.set_inheritable(fd, False)
        return list(fds)

    def close(self) -> None:
        self._peer.close()
        try:
            self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _packed(file_ids: Iterable[int]) -> bytes:
    numbers = list(file_ids)
    return struct.pack(f"={len(numbers)}q", *numbers)


def _send(peer: socket.socket, data: bytes, fds: list[int]) -> None:
    """As soon as the user has not too many descriptors on their way, unix(7): ETOOMANYREFS."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.send_fds(peer, [data], fds)
            return
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS or time.monotonic() > until:
                raise
        time.sleep(0.005)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


@contextlib.contextmanager
def _expecting_answers() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise _keeper_died(f"it does not answer since {_PATIENCE_S:.0f} s") from None
    except ConnectionError:
        raise _keeper_died() from None


def _no_room(came: int, wanted: int) -> HostError:
    """The kernel drops of a message what does not fit in, unix(7)."""
    most, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HostError(
        "cannot fetch files that another process of ours has kept open",
        needed="room for them in this process",
        found=f"it has {len(os.listdir('/proc/self/fd')) - 1} open files, and may have {most}: "
        f"{came} of {wanted} came",
        remedy="raise the limit on open files (ulimit -n)",
    )


def _keeper_died(found: str = "it was killed, perhaps for want of memory") -> HostError:
    return HostError(
        "a process that kept open files for us is gone",
        needed="more open files than one process may have",
        found=found,
        remedy="raise the hard limit on open files (ulimit -Hn), or try again",
    )
