"""Frames on a stream socket: a length of 4 bytes, the high one first, and as many bytes.

Nothing here waits. What the other side does not take yet is kept, and whoever puts frames in looks at
how much that is. (It is not ZeroMQ: libzmq aborts the process where a descriptor is refused to it as it
lets a client in, and a pod ends with its supervisor.)
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque

from ..errors import WireError
from ..limits import CONTROL

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = 4
_INT = 4
_BITE = 1 << 16
_FDS = 3
"""Descriptors that may come with a frame: those of a process that joins a pod."""


class Stream:
    """One end of a connection, which is its own from now on."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._in = bytearray()
        self._out: deque[memoryview] = deque()
        self._fds: list[int] = []
        self.ended = False
        """The other side is gone, or we are; frames of it may still be here."""

    def fileno(self) -> int:
        """To wait for it."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """Of the process at the other side, as it was when it connected."""
        told = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * _INT)
        return int.from_bytes(told[:_INT], sys.byteorder)

    @property
    def unsent(self) -> int:
        """Frames that the other side has not taken, or not all of the first."""
        return len(self._out)

    @property
    def held(self) -> int:
        """Bytes that have come and are of no frame that was taken."""
        return len(self._in)

    def put(self, frame: bytes) -> None:
        """Send a frame, or keep it for `flush`."""
        self._out.append(memoryview(len(frame).to_bytes(_HEAD, "big") + frame))
        self.flush()

    def put_with(self, frame: bytes, fds: Sequence[int]) -> None:
        """The same with descriptors, as the first that is sent: nothing may be kept."""
        whole = memoryview(len(frame).to_bytes(_HEAD, "big") + frame)
        try:
            sent = socket.send_fds(self._socket, [whole], fds, socket.MSG_NOSIGNAL)
        except OSError:
            self.ended, sent = True, 0
        if whole[sent:]:
            self._out.append(whole[sent:])
        self.flush()

    def take_fds(self) -> list[int]:
        """The descriptors that have come; they are the caller's."""
        fds, self._fds = self._fds, []
        return fds

    def flush(self) -> bool:
        """Send what was kept; True when nothing is left."""
        try:
            while self._out and not self.ended:
                view = self._out[0][self._socket.send(self._out[0], socket.MSG_NOSIGNAL) :]
                if view:
                    self._out[0] = view
                else:
                    self._out.popleft()
        except BlockingIOError:
            return False
        except OSError:
            self.ended = True
        if self.ended:
            self._out.clear()
        return True

    def read(self) -> None:
        """Take in some of what has come."""
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        fds: list[int] = []
        try:
            data = b""
            if not self.ended:
                data, fds, _, _ = socket.recv_fds(self._socket, _BITE, _FDS, flags)
        except BlockingIOError:
            return
        except OSError:  # it went away without reading all
            data = b""
        self._fds += fds
        while len(self._fds) > _FDS:
            os.close(self._fds.pop())
        self._in += data
        self.ended |= not data

    def has_frame(self) -> bool:
        """Is there a whole one? Raises WireError as `take`."""
        return len(self._in) >= _HEAD and len(self._in) >= _HEAD + self._length()

    def take(self) -> bytes | None:
        """The next frame, once it is whole. Raises WireError for one that is too long."""
        if not self.has_frame():
            return None
        end = _HEAD + self._length()
        frame = bytes(self._in[_HEAD:end])
        del self._in[:end]
        return frame

    def close(self) -> None:
        """No more is sent, nor read."""
        self.ended = True
        self._out.clear()
        for fd in self.take_fds():
            os.close(fd)
        self._socket.close()

    def _length(self) -> int:
        length = int.from_bytes(self._in[:_HEAD], "big")
        if length > CONTROL.bytes:
            raise WireError(
                "bad control message",
                needed=f"at most {CONTROL.bytes} bytes",
                found=f"{length} bytes, or no message of zaptrace's",
                do="use the same zaptrace for the client and for the pod",
            )
        return length
