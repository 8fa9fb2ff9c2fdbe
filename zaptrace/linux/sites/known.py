"""Sites of files that were looked through before.

    DIRECTORY/BUILD-ID.SIZE.VERSION    msgpack: [offset, shape, number, pad, displaced] of each site

A build-id is the linker's word for what it has linked, and no proof: whoever changes code looks first
whether what is there is what he expects. A file without one is known by what it holds. What cannot be
kept is found again the next time, and what was kept otherwise than here, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets

from ... import plain
from ...limits import SITES
from .. import private
from .elf import NotElfError, parse
from .finder import Shape, Site, find

VERSION = 1
"""Of the finder: what another one has found is not what this one would."""
MOST_KEPT = 256


def sites_of(path: private.StrPath, directory: private.StrPath | None) -> list[Site]:
    """Raises OSError when the file cannot be read. With no directory nothing is kept."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                return _sites_in(view, directory)
            finally:
                view.release()


def _sites_in(view: memoryview, directory: private.StrPath | None) -> list[Site]:
    if directory is None:
        return _find(view)
    kept = os.path.join(directory, f"{_name(view)}.{len(view)}.{VERSION}")
    with contextlib.suppress(OSError, ValueError):
        return _read(kept, len(view))
    sites = _find(view)
    with contextlib.suppress(OSError):
        _write(kept, sites)
    return sites


def _find(view: memoryview) -> list[Site]:
    with memoryview(bytes(view)) as data:  # nobody changes it meanwhile
        return find(data)


def _name(view: memoryview) -> str:
    with contextlib.suppress(NotElfError), memoryview(bytes(view)) as data:
        found = parse(data).build_id()
        if found:
            return found.hex()
    return hashlib.blake2b(view, digest_size=20).hexdigest()


def _read(path: str, size: int) -> list[Site]:
    """Raises ValueError for what we have not written."""
    sites = []
    values = plain.loads(private.read(path, SITES.bytes), SITES)
    if not isinstance(values, list):
        raise ValueError("no list of sites")
    for value in values:
        if not isinstance(value, list) or len(value) != 5:
            raise ValueError("no site")
        at, shape, nr, pad, displaced = value
        numbers = (at, displaced, nr or 0, pad or 0)
        if not all(isinstance(n, int) and 0 <= n < size for n in numbers):
            raise ValueError("no place in the file")
        sites.append(Site(at, Shape(shape), nr, pad, displaced))
    return sites


def _write(path: str, sites: list[Site]) -> None:
    directory = os.path.dirname(path)
    private.make_directory(directory)
    _make_room(directory)
    data = plain.dumps([[s.at, s.shape.value, s.nr, s.pad, s.displaced] for s in sites])
    part = f"{path}.{secrets.token_hex(4)}.tmp"
    with private.as_file(private.open_file(part, os.O_WRONLY | os.O_EXCL), "wb") as file:
        file.write(data)
    os.replace(part, path)


def _make_room(directory: str) -> None:
    """The oldest go; so does what somebody who was killed has left half."""
    found = sorted(os.scandir(directory), key=lambda entry: entry.stat().st_mtime)
    for entry in found[: max(0, len(found) - MOST_KEPT + 1)]:
        os.unlink(entry.path)
