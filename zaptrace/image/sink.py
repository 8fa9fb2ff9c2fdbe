"""Where the bytes of a checkpoint go. Here into a directory; migration/source.py has a sink that sends.

    with DirectorySink("web.zap") as sink:
        with sink.part("pages-2") as pages:
            pages.write(...)                  # hashed while it is in the cache, then written
        sink.commit({"created": ..., "host": ..., "pod": ...})

Everything is written into `.web.zap.XXXXXXXX.tmp` beside the target, synced, and renamed: before
`commit` returns there is no image, after it a whole one. What is to be packed `later` is written as it is
first, and packed by `commit`: then a pod that goes on does so already. Leaving the block without a commit
removes it all. An image that is to be overwritten changes places with the new one, and is removed then.
The point of no return of its Cancel is the rename. The temporary directory is held with a flock, so the
next sink for the same target can tell what a killed one left behind, and clears it away; so does the
next command (linux/scratch.py).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import lz4.frame
import zstandard
from blake3 import blake3

from ..cancel import Cancel
from ..errors import BadImage, ImageError
from ..linux import private
from ..linux.rename import exchange
from ..linux.scratch import Scratch, remove_tree
from .manifest import CODECS, FILE, FORMAT, Part, check, check_part_name, pack
from .writebehind import BITE

Buffer = bytes | bytearray | memoryview
Prove = Callable[[str], None]

_ZSTD_LEVEL = 1
"""At this one, packing what programs have in memory takes no longer than writing more of it would."""


class PartWriter:
    """Takes the bytes, not yet packed, of one part; `.size` is how many it took so far."""

    def __init__(
        self,
        name: str,
        codec: str | None,
        emit: Callable[[memoryview], None],
        summed: bool = True,
    ) -> None:
        self.name = name
        self.codec = codec
        self.size = 0
        self.stored = 0
        self._emit = emit
        self._hash = blake3() if summed else None
        self._encoder = _encoder(codec)
        self._open = True
        self._store(self._encoder.begin())

    def write(self, data: Buffer) -> None:
        """Append `data`, any contiguous bytes. They may be changed again once this returns."""
        if not self._open:
            raise ValueError(f"part {self.name} is closed")
        with memoryview(data) as view, view.cast("B") as all_of_it:
            for at in range(0, len(all_of_it), BITE):
                with all_of_it[at : at + BITE] as bite:
                    self._store(self._encoder.encode(bite))
            self.size += len(all_of_it)

    def finish(self) -> Part:
        """No more will come; the part's entry for the manifest."""
        if self._open:
            self._open = False
            self._store(self._encoder.end())
        return Part(self.size, self.stored, self.codec, self._hash.digest() if self._hash else b"")

    def _store(self, data: Buffer) -> None:
        if len(data) == 0:
            return
        with memoryview(data) as view:
            if self._hash is not None:
                self._hash.update(view)
            self._emit(view)
            self.stored += len(view)


class Writer(Protocol):
    """What a room sees of a PartWriter."""

    def write(self, data: Buffer) -> None: ...


class Parts(Protocol):
    """What a room sees of a sink: where its bulk contents go."""

    def part(self, name: str) -> contextlib.AbstractContextManager[Writer]: ...


class Sink(Protocol):
    """What a checkpoint writes to. Parts may be open at the same time, in one thread."""

    def part(self, name: str) -> contextlib.AbstractContextManager[PartWriter]:
        """A new part; it is in the image when the block ends without an exception."""

    def commit(self, manifest: dict[str, Any], prove: Prove | None = None) -> None:
        """Make all of it an image, unless `prove`, which is given its path, raises.

        `manifest` needs "created", "host" and "pod".
        """

    def abort(self) -> None:
        """Take all of it back. Does nothing the second time, or after a commit."""


class DirectorySink:
    """Writes an image to the directory `path`, which must not exist, or be an image to `overwrite`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        codec: str | None = None,
        cancel: Cancel | None = None,
        overwrite: bool = False,
        later: bool = False,
    ) -> None:
        if codec not in CODECS:
            raise ValueError(f"codec {codec!r} is none of {CODECS}")
        self.path = os.path.abspath(path)
        self.codec = codec
        self._cancel = cancel or Cancel()
        self._overwrite = overwrite
        self._later = later and codec is not None
        self.parts: dict[str, Part] = {}
        self._writing: set[str] = set()
        self._lock_fd = -1
        self._temp: str | None = None
        self._scratch: Scratch | None = None
        self._refuse_existing()
        parent, name = os.path.split(self.path)
        _sweep(parent, name)
        with self._failing_as_image_error():
            self._scratch = Scratch(f".{name}", parent, _SUFFIX)
            self._temp = self._scratch.path
            self._lock_fd = os.open(self._temp, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self) -> DirectorySink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def part(self, name: str) -> contextlib.AbstractContextManager[PartWriter]:
        """A new part, compressed with this sink's codec. ImageError when it cannot be written."""
        if self._later:
            return self._part(name, lambda emit: PartWriter(name, None, emit, summed=False))
        return self._part(name, lambda emit: PartWriter(name, self.codec, emit))

    def stored_part(self, name: str) -> contextlib.AbstractContextManager[PartWriter]:
        """A part whose bytes come as they are to be stored (from the wire).

        Its entry counts as plain; `commit_parts` puts what the sender said beside it.
        """
        return self._part(name, lambda emit: PartWriter(name, None, emit))

    def commit(self, manifest: dict[str, Any], prove: Prove | None = None) -> None:
        """Sync all of it and give it its name. ImageError, and nothing left, when that fails.

        `prove` is called with the path of the image while it has no name yet.
        """
        if self._later:
            for name in self.parts:
                self._pack(name)
        table = {name: part.to_dict() for name, part in self.parts.items()}
        self._commit(check({**manifest, "format": FORMAT, "parts": table}), prove)

    def commit_parts(self, manifest: dict[str, Any], parts: dict[str, Part]) -> None:
        """Commit `manifest`, complete as its maker wrote it, if `parts` are what came here."""
        for name in sorted(parts.keys() | self.parts.keys()):
            said, came = parts.get(name), self.parts.get(name)
            if said is None or came is None:
                here = "only in the manifest" if came is None else "not in the manifest"
                raise BadImage(f"bad image: part {name} is {here}", needed="the same parts in both")
            if (said.stored, said.blake3) != (came.stored, came.blake3):
                raise BadImage(
                    f"bad image: part {name} arrived changed",
                    needed=f"{said.stored} bytes, blake3 {said.blake3.hex()[:16]}…",
                    found=f"{came.stored} bytes, blake3 {came.blake3.hex()[:16]}…",
                )
        self._commit(check(manifest))

    def abort(self) -> None:
        """Remove all that was written, unless it is an image by now."""
        if self._temp is not None:
            remove_tree(self._temp)
            self._temp = None
        if self._scratch is not None:
            self._scratch.keep()  # there is nothing of it any more, or it is an image
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    @contextlib.contextmanager
    def _part(
        self,
        name: str,
        make: Callable[[Callable[[memoryview], None]], PartWriter],
    ) -> Iterator[PartWriter]:
        check_part_name(name)
        if name in self.parts or name in self._writing:
            raise ValueError(f"part {name} is there already")
        temp = self._need_temp()
        self._writing.add(name)
        with self._failing_as_image_error():
            fd = private.open_file(os.path.join(temp, name), os.O_WRONLY | os.O_EXCL)
        try:
            writer = make(lambda view: self._write(fd, view))
            yield writer
            self.parts[name] = writer.finish()
        finally:
            os.close(fd)
            self._writing.discard(name)

    def _pack(self, name: str) -> None:
        path = os.path.join(self._need_temp(), name)
        with contextlib.ExitStack() as stack, self._failing_as_image_error():
            plain = stack.enter_context(private.as_file(private.open_to_read(path), "rb", 0))
            packed = os.path.join(self._need_temp(), f".{name}.packed")  # no part begins with a dot
            fd = private.open_file(packed, os.O_WRONLY | os.O_EXCL)
            stack.callback(os.close, fd)
            writer = PartWriter(name, self.codec, lambda view: self._write(fd, view))
            while bite := plain.read(BITE):
                self._cancel.check()
                writer.write(bite)
            self.parts[name] = writer.finish()
            os.rename(packed, path)

    def _write(self, fd: int, view: memoryview) -> None:
        with self._failing_as_image_error():
            done = os.write(fd, view)
            while done < len(view):
                done += os.write(fd, view[done:])

    def _commit(self, manifest: dict[str, Any], prove: Prove | None = None) -> None:
        temp = self._need_temp()
        if self._writing:
            raise ValueError(f"part {min(self._writing)} is still open")
        with self._failing_as_image_error():
            fd = private.open_file(os.path.join(temp, FILE), os.O_WRONLY | os.O_EXCL)
            with private.as_file(fd, "wb") as f:
                f.write(pack(manifest))
        if prove is not None:
            prove(temp)
        with self._failing_as_image_error():
            for name in (FILE, *self.parts):
                self._cancel.check()
                _sync(os.path.join(temp, name))
            _sync(temp)
            self._refuse_existing()
            self._cancel.commit()
            if os.path.lexists(self.path):
                self._take_the_place(temp)
            else:
                # rename(2) of a directory replaces an empty one at most: nothing can be lost.
                os.rename(temp, self.path)
                self._temp = self.path  # until it is sure that it will be there: else it goes again
                _sync(os.path.dirname(self.path))
                self._temp = None
        self.abort()

    def _take_the_place(self, temp: str) -> None:
        """Of the image that was there, which is then what is removed."""
        exchange(temp, self.path)
        try:
            _sync(os.path.dirname(self.path))
        except OSError:
            exchange(temp, self.path)
            raise

    def _need_temp(self) -> str:
        if self._temp is None:
            raise ValueError("this sink was committed or aborted")
        return self._temp

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.path):
            image = os.path.isfile(os.path.join(self.path, FILE))
            if self._overwrite and image and not os.path.islink(self.path):
                return
            self.abort()
            raise ImageError(
                f"cannot write the image {self.path}: the path exists",
                needed="a path that does not exist, or an image that may be overwritten",
                found="an image" if image else "something that is no image",
                do=f"choose another path, or remove it: rm -r {self.path}"
                + ("; --overwrite replaces it" if image else ""),
                changed="nothing",
            )

    @contextlib.contextmanager
    def _failing_as_image_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            self.abort()
            pack = "pack it on the way: --codec lz4" if self._later else "compress the image"
            remedy = {
                errno.ENOSPC: f"free some space there, choose another path, or {pack}",
                errno.EDQUOT: f"free some of your quota, choose another path, or {pack}",
            }
            if not os.path.isdir(os.path.dirname(self.path)):
                remedy[errno.ENOENT] = f"make the directory {os.path.dirname(self.path)} first"
            raise ImageError(
                f"cannot write the image {self.path}",
                needed=f"a directory {os.path.dirname(self.path)} to write it to",
                found=f"{errno.errorcode.get(e.errno or 0, 'error')}: {e.strerror}",
                do=remedy.get(e.errno or 0, "choose another path"),
                changed="nothing; what was written is removed again",
            ) from e


_SUFFIX = ".tmp"


def _sweep(parent: str, name: str) -> None:
    """Remove what killed writers of the same target left: their lock is free."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(parent):
            if not (entry.startswith(f".{name}.") and entry.endswith(_SUFFIX)):
                continue
            with contextlib.suppress(OSError):
                path = os.path.join(parent, entry)
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_tree(path)
                finally:
                    os.close(fd)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Plain:
    """An encoder is begin, encode ..., end; this one changes nothing."""

    def begin(self) -> bytes:
        return b""

    def encode(self, data: memoryview) -> Buffer:
        return data

    def end(self) -> bytes:
        return b""


class _Lz4(_Plain):
    def __init__(self) -> None:
        self._c = lz4.frame.LZ4FrameCompressor(
            block_size=lz4.frame.BLOCKSIZE_MAX1MB, block_linked=False
        )

    def begin(self) -> bytes:
        return bytes(self._c.begin())

    def encode(self, data: memoryview) -> bytes:
        return bytes(self._c.compress(data))

    def end(self) -> bytes:
        return bytes(self._c.flush())


class _Zstd(_Plain):
    def __init__(self) -> None:
        self._c = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()

    def encode(self, data: memoryview) -> bytes:
        return self._c.compress(data)

    def end(self) -> bytes:
        return self._c.flush()


def _encoder(codec: str | None) -> _Plain:
    return {None: _Plain, "lz4": _Lz4, "zstd": _Zstd}[codec]()
