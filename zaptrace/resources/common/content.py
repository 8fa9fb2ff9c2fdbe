"""Contents of files that travel in the image: only what holds data, holes stay holes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Annotated

from ...linux import outside
from ...shapes import Length, Seen, Size, Wrong
from ..room import Whole, bad

if TYPE_CHECKING:
    from ...image.sink import Writer
    from ...view.build import Build


class _InOrder:
    """[offset, length] each, one behind the other."""

    def check(self, value: list[list[int]], seen: Seen) -> None:
        at = 0
        for offset, length in value:
            if offset < at or not length or offset + length >= 1 << 63:
                raise Wrong("has a run out of order", f"one from {at} on", f"{offset}, {length}")
            at = offset + length


Runs = Annotated[list[Annotated[list[Size], Length(2)]], _InOrder()]
"""What `save` returns."""

_BITE, _SMALL_BITE = 1 << 20, 1 << 16


def _leave_no_trace(fd: int) -> None:
    """The time of the last access stays what it is, if the file is ours."""
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NOATIME)


def save(fd: int, writer: Writer) -> list[list[int]]:
    """Write the data of `fd` to `writer`; returns its runs as [offset, length], in order.

    Moves the offset of `fd`, which must therefore be a description of our own.
    """
    _leave_no_trace(fd)
    runs: list[list[int]] = []
    size = os.fstat(fd).st_size
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                break
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        at = start
        while at < end:
            data = os.pread(fd, min(_BITE, end - at), at)
            if not data:
                break
            writer.write(data)
            at += len(data)
        runs.append([start, at - start])
        if at < end:  # it shrank while we read
            break
    return runs


def save_by_reading(fd: int, writer: Writer) -> list[list[int]]:
    """The same for an `fd` that shares its offset with others, and leaves that alone.

    What is a hole cannot be asked then: bites of zeros count as holes.
    """
    runs: list[list[int]] = []
    at = 0
    while data := os.pread(fd, _SMALL_BITE, at):
        if data.count(0) != len(data):
            writer.write(data)
            if runs and sum(runs[-1]) == at:
                runs[-1][1] += len(data)
            else:
                runs.append([at, len(data)])
        at += len(data)
    return runs


def refuse_wrong(runs: list[list[int]], size: int, part: str, whole: Whole) -> None:
    """Raises BadImage for runs beyond the end of a file of `size`, or of the part of the image."""
    if runs and sum(runs[-1]) > size:
        raise bad("a file has contents behind its end", f"{size} bytes", f"{sum(runs[-1])}")
    whole.refuse_beyond(part, sum(length for _, length in runs))


def load(
    build: Build, part: str, runs: list[list[int]], size: int, fd: int, *, whole: bool = False
) -> None:
    """Give `fd`, a new empty file, the contents that `save` wrote. Leaves its offset at 0.

    `whole`: in a rehearsal, too.
    """
    os.ftruncate(fd, size)
    source = outside.open_file(build.image.path(part), os.O_RDONLY, (stat.S_IFREG,))
    try:
        first = 0
        for offset, length in runs:
            os.lseek(fd, offset, os.SEEK_SET)
            at, end = first, first + (length if whole else build.needed(length))
            first += length
            while at < end:
                moved = os.sendfile(fd, source, at, end - at)
                if not moved:
                    raise OSError(errno.EIO, f"part {part} is shorter than its runs")
                at += moved
    finally:
        os.close(source)
        os.lseek(fd, 0, os.SEEK_SET)
