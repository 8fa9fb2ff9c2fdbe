"""The images of one job, in a directory of their own: one made after another, the newest is gone on from.

    job/
    ├── lock           held (flock) by the supervisor of the one pod that is the job; says who that is
    ├── ended          the program ended by itself, well, after this image: nothing is to be gone on with
    ├── 000007.zap/    images (manifest.py), numbered as they were made
    └── 000008.zap/

Images are whole or not there (sink.py). The lock is the kernel's, so it goes with its owner; where the
directory is on a file system that several hosts share, theirs see it as well (NFS 4, Lustre with flock).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket

from ..errors import ImageError, PodError
from ..linux import private, records
from ..text import as_json

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import Any

_SUFFIX = ".zap"
_DIGITS = 6
_LOCK, _ENDED = "lock", "ended"
_REMOVING = ".removing"
_WHO: dict[str, records.Check] = {
    "pod": records.is_text,
    "host": records.is_text,
    "supervisor": records.is_pid,
}
_END: dict[str, records.Check] = {"after": records.is_count}


def is_series(path: str) -> bool:
    """Is it a directory of images, rather than an image?"""
    if not os.path.isdir(path) or os.path.lexists(os.path.join(path, "manifest")):
        return False
    return os.path.lexists(os.path.join(path, _LOCK)) or bool(Series(path).numbers())


class Series:
    """What a directory of images holds. Whoever writes to it holds the lock: see `hold`."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._lock_fd = -1

    def numbers(self) -> list[int]:
        """Of the images that there are, the oldest first."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        stems = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return sorted(int(s) for s in stems if s.isascii() and s.isdigit() and len(s) >= _DIGITS)

    def image(self, number: int) -> str:
        """The path of an image, whether it is there or not."""
        return os.path.join(self.path, f"{number:0{_DIGITS}}{_SUFFIX}")

    def next(self) -> str:
        """The path of the image that is made next."""
        return self.image(max([*self.numbers(), self._ended_after()]) + 1)

    def newest_first(self) -> list[str]:
        """All images."""
        return [self.image(number) for number in reversed(self.numbers())]

    def to_go_on_from(self) -> list[str]:
        """Images of a program that has not ended well since, the newest first."""
        past = self._ended_after()
        return [self.image(number) for number in reversed(self.numbers()) if number > past]

    def rotate(self, keep: int) -> None:
        """Remove all but the `keep` newest images, of which the newest was just written, whole.

        So there is always one that is good. What goes has no name of an image before it is removed.
        """
        self.remove([self.image(number) for number in self.numbers()[: -max(keep, 1)]])

    def beyond(self, keep: int) -> list[str]:
        """Images that are older than the `keep` newest which are good; none while there are fewer."""
        from .image import Image

        newest = self.newest_first()
        for at, image in enumerate(newest):
            with contextlib.suppress(ImageError), Image.open(image):
                keep -= 1
            if not keep:
                return newest[at + 1 :]
        return []

    def remove(self, images: list[str]) -> None:
        """Of these, which are its own. What cannot be is tried again with the next."""
        from ..linux.scratch import remove_tree

        for image in images:
            with contextlib.suppress(OSError):
                os.rename(image, f"{image}{_REMOVING}")
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path):
                if name.endswith(_SUFFIX + _REMOVING):
                    remove_tree(os.path.join(self.path, name))

    def hold(self, pod: str) -> None:
        """Be the one who runs the job. PodError when somebody does already."""
        try:
            private.make_directory(self.path)
            fd = private.open_file(os.path.join(self.path, _LOCK), os.O_RDWR)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise PodError(
                f"the job in {self.path} runs already",
                needed="that nobody runs it, for there is one set of results",
                found=self._who(),
                do=f"wait for that one, or end it: zaptrace stop {self._holder().get('pod', '--all')}",
                changed="nothing",
            ) from None
        except OSError as error:
            os.close(fd)
            raise self._unusable(error) from error
        who = {"pod": pod, "host": socket.gethostname(), "supervisor": os.getpid()}
        with contextlib.suppress(OSError):  # a full disk: only whom to name is lost
            os.ftruncate(fd, 0)
            os.pwrite(fd, as_json(who).encode(), 0)
        self._lock_fd = fd

    def let_go(self) -> None:
        """The job may be started again, by anybody."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def note_end(self) -> None:
        """The program ended well: what there is of images is past, and a new start begins anew."""
        after = max(self.numbers(), default=0)
        with contextlib.suppress(OSError):
            private.write(os.path.join(self.path, f".{_ENDED}"), as_json({"after": after}))
            os.rename(os.path.join(self.path, f".{_ENDED}"), os.path.join(self.path, _ENDED))

    def _ended_after(self) -> int:
        found = records.read(os.path.join(self.path, _ENDED), _END, needed=("after",))
        return int(found["after"]) if found else 0

    def _who(self) -> str:
        if not (who := self._holder()):
            return "somebody holds its lock"
        return f"pod {who['pod']} on host {who['host']}, supervisor {who['supervisor']}"

    def _holder(self) -> dict[str, Any]:
        return records.read(os.path.join(self.path, _LOCK), _WHO, _WHO) or {}

    def _unusable(self, error: OSError) -> ImageError:
        return ImageError(
            f"cannot keep images in {self.path}",
            needed="a directory that can be read and written, on a file system with flock",
            found=f"{error.strerror}: {error.filename or self.path}",
            do="choose another --images",
            changed="nothing",
        )
