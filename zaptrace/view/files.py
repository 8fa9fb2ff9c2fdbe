"""The open files of a pod that is being made, until its processes have them.

A pod may have more than one process may have open, so what has not been asked for lately goes to
keepers: processes of ours that hold descriptors, and give them back. Without many files there is none.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..errors import HostError
from ..ids import FileId

_BATCH = 200  # the kernel passes at most 253 at once (SCM_MAX_FD)
_SPARE = 64
_PATIENCE_S = 60.0

# One message of numbers: with descriptors, to be kept under them; without, to be given back.
_KEEPER = """
import array, socket, sys
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
        socket.send_fds(peer, [b"back"], [kept[n] for n in numbers])
        for n in numbers:
            socket.close(kept.pop(n))
"""


class Files:
    """Open file descriptions by number; theirs are the descriptors."""

    def __init__(self) -> None:
        self._here: OrderedDict[FileId, int] = OrderedDict()
        self._away: dict[FileId, _Keeper] = {}
        self._keepers: list[_Keeper] = []
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(soft // 2, _BATCH + 1)

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
            for file_id, fd in zip(wanted, keeper.give(wanted), strict=True):
                del self._away[file_id]
                self._here[file_id] = fd
        for file_id in file_ids:
            self._here.move_to_end(file_id)
        self._make_room()
        return [self._here[file_id] for file_id in file_ids]

    def close(self) -> None:
        """Close them all."""
        _close(self._here.values())
        self._here.clear()
        self._away.clear()
        while self._keepers:
            self._keepers.pop().close()

    def _make_room(self) -> None:
        while len(self._here) > self._most:
            oldest = [self._here.popitem(last=False) for _ in range(min(_BATCH, len(self._here)))]
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
        return self._room >= _BATCH

    def keep(self, files: list[tuple[FileId, int]]) -> None:
        with _expecting_answers():
            socket.send_fds(self._peer, [_packed(i for i, _ in files)], [fd for _, fd in files])
            answer = self._peer.recv(16)
        if answer != b"kept":
            raise _keeper_died()
        self._room -= len(files)

    def give(self, file_ids: list[FileId]) -> list[int]:
        with _expecting_answers():
            self._peer.send(_packed(file_ids))
            _, fds, _, _ = socket.recv_fds(self._peer, 16, len(file_ids))
        if len(fds) != len(file_ids):
            _close(fds)
            raise _keeper_died()
        self._room += len(fds)
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


def _keeper_died(found: str = "it was killed, perhaps for want of memory") -> HostError:
    return HostError(
        "a process that kept open files for us is gone",
        needed="more open files than one process may have",
        found=found,
        remedy="raise the hard limit on open files (ulimit -Hn), or try again",
    )
