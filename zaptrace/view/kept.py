"""Connections of a pod that were accepted to be looked at, before the pod has accepted them.

Nobody can look at what waits on a connection that was not accepted yet, and none goes back. So all that
wait at a listener are accepted through a copy of it, in order, and kept by us. For each a *filler* of
ours waits there in its place: so the listener is ready as before, and as full. The pod's next accept(2)
there is answered with the first that is kept, and takes a filler out (pod/keeping.py).

What others connect meanwhile waits behind the fillers. When the pod closes the listener, the fillers
are told, and what was kept is closed, as the kernel would have done. It would have reset them all; of
what was accepted it resets only that on which something waits. So a client that has sent nothing sends a
*mark*, a byte that we take out again before anybody looks there, or is given it.

The tracer's thread adds and takes; a thread of ours waits for the end of listeners. So all is locked.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import socket
import threading
from collections import deque
from dataclasses import dataclass, field

from ..errors import start_thread
from ..linux import procfs

_MOST_FILES = 253  # SCM_MAX_FD


@dataclass
class Waiting:
    """At one listener."""

    connections: deque[int] = field(default_factory=deque)
    """Descriptors of ours, in order."""
    fillers: dict[bytes, socket.socket] = field(default_factory=dict)
    """By their names, which the kernel chose."""
    marked: set[int] = field(default_factory=set)
    """Of the connections."""

    def close(self) -> None:
        for fd in self.connections:
            os.close(fd)
        for filler in self.fillers.values():
            filler.close()
        self.connections.clear()
        self.fillers.clear()


class Kept:
    """Of one pod."""

    def __init__(self) -> None:
        self._at: dict[int, Waiting] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._changed, self._change = -1, -1

    def connections(self, listener: int) -> list[int]:
        """Descriptors of those that wait at the listener with this inode: first the first."""
        with self._lock:
            waiting = self._at.get(listener)
            return list(waiting.connections) if waiting else []

    def fillers(self, listener: int) -> set[int]:
        """The inodes of our clients there."""
        with self._lock:
            waiting = self._at.get(listener)
            return (
                {os.fstat(f.fileno()).st_ino for f in waiting.fillers.values()}
                if waiting
                else set()
            )

    def mark(self, listener: int, fd: int, client: socket.socket) -> None:
        """Where nothing waits; no more can be done for a client that can send nothing."""
        with self._lock:
            waiting = self._at.get(listener)
            if waiting and fd in waiting.connections:
                with contextlib.suppress(OSError):
                    client.send(b"m", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                    waiting.marked.add(fd)

    def unmark(self, listener: int, fd: int) -> None:
        with self._lock:
            waiting = self._at.get(listener)
            if waiting and fd in waiting.marked:
                waiting.marked.remove(fd)
                os.read(fd, 1)

    def are_marked(self) -> bool:
        with self._lock:
            return any(waiting.marked for waiting in self._at.values())

    def fill(self, listener: int, address: bytes) -> bool:
        """Have as many of us wait there as connections are kept. False: there is no place for all."""
        with self._lock:
            waiting = self._at[listener]
            for fd in itertools.islice(waiting.connections, len(waiting.fillers), None):
                filler = socket.socket(socket.AF_UNIX, _type_of(fd))
                try:
                    filler.bind(b"")
                    filler.setblocking(False)
                    filler.connect(address)
                    _send_as_many(filler, fd)
                except OSError:
                    filler.close()
                    break
                waiting.fillers[filler.getsockname()] = filler
            all_wait = len(waiting.fillers) >= len(waiting.connections)
        self._watch()
        return all_wait

    def take(self, listener: int, came: socket.socket | None) -> bool:
        """The pod has accepted the first; `came` left the queue in its place, and is ours from now on.

        False: it was the last.
        """
        with self._lock:
            waiting = self._at[listener]
            os.close(waiting.connections.popleft())
            filler = waiting.fillers.pop(_peer(came), None) if came else None
            if filler is not None:
                filler.close()
            elif came is not None:  # it was there before we could fill the place
                waiting.connections.append(came.detach())
            if came is not None:
                came.close()
            if waiting.connections:
                return True
            self._at.pop(listener).close()
            return False

    def empty(self, listener: int, sock: socket.socket, waiting_now: int) -> None:
        """Accept so many at a listener, through a copy of it; of the fillers there are none then.

        Others may connect faster than we accept.
        """
        for _ in range(waiting_now):
            if not (came := accept(sock)):
                return
            with self._lock:
                waiting = self._at.setdefault(listener, Waiting())
                filler = waiting.fillers.pop(_peer(came), None)
                if filler is None:
                    waiting.connections.append(came.detach())
                else:
                    filler.close()
                    came.close()

    def close(self) -> None:
        with self._lock:
            for waiting in self._at.values():
                waiting.close()
            self._at.clear()
            thread, self._thread = self._thread, None
            self._tell()
        if thread is not None:
            thread.join()
        if self._change >= 0:
            os.close(self._changed)
            os.close(self._change)
            self._change = -1

    # the thread that waits for the end of listeners

    def _tell(self) -> None:
        if self._change >= 0:
            os.eventfd_write(self._change, 1)

    def _watch(self) -> None:
        if self._thread is None:
            if self._change < 0:
                self._change = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                self._changed = os.dup(self._change)
            thread = threading.Thread(
                target=self._wait, args=(self._changed,), name="kept connections", daemon=True
            )
            with self._lock:  # it is there only if it begins
                start_thread(thread)
                self._thread = thread
        self._tell()

    def _wait(self, changed: int) -> None:
        while True:
            poll = select.poll()
            poll.register(changed, select.POLLIN)
            with self._lock:
                if self._thread is None:
                    return
                for waiting in self._at.values():
                    for filler in waiting.fillers.values():
                        poll.register(filler.fileno(), 0)  # POLLHUP is always told
            events = poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(changed)
            if any(event & ~select.POLLIN for _, event in events):
                self.forget_closed()

    def forget_closed(self) -> None:
        """What was kept at listeners that are closed by now."""
        with self._lock:
            for listener, waiting in list(self._at.items()):
                if any(map(_is_cut, waiting.fillers.values())):
                    self._at.pop(listener).close()


def accept(sock: socket.socket) -> socket.socket | None:
    """The first that waits there, if any does. A listener that was shut down is always ready."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(0):
        return None
    try:
        return sock.accept()[0]
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None


def _type_of(fd: int) -> int:
    with socket.socket(fileno=os.dup(fd)) as sock:
        return sock.type


def _send_as_many(filler: socket.socket, connection: int) -> None:
    """Descriptors as wait there, which a listener's fdinfo counts; not one, before Linux 5.8."""
    waiting = int(procfs.fdinfo(os.getpid(), connection).get("scm_fds", ["0"])[0])
    with open(os.devnull) as null:
        for size in range(waiting, 0, -_MOST_FILES):
            socket.send_fds(filler, [b"f"], [null.fileno()] * min(size, _MOST_FILES))


def _peer(came: socket.socket) -> bytes:
    name = came.getpeername()
    return os.fsencode(name) if isinstance(name, str) else name


def _is_cut(filler: socket.socket) -> bool:
    poll = select.poll()
    poll.register(filler, 0)
    return bool(poll.poll(0))
