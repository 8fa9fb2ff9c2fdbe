"""An image, opened for reading: nothing is believed, or made, before all of it is verified.

The format stands in manifest.py, the writing side in sink.py. `Image.open` reads every byte once
and compares it with the manifest; whatever is wrong is an ImageError. An image is opened by its
owner from a directory that nobody else writes to: what is verified is still so when it is used.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Protocol

import lz4.frame
import zstandard
from blake3 import blake3

from .. import plain
from ..errors import BadImage, ImageError, NoImage
from ..limits import MANIFEST, STATES
from ..linux import private
from ..linux.scratch import Scratch
from .manifest import FILE, STATE, Part, parts_of, unpack
from .writebehind import BITE, WriteBehind

_MAX_WINDOW = 1 << 27
"""Most memory that a zstd frame may ask for; our own ask for 2 MiB."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


def pack_states(room: str, states: Iterable[Any]) -> bytes:
    """One record of the "state" part: the plain States of `room`."""
    return plain.dumps({"room": room, "states": list(states)})


class Image:
    """A verified image. Close it when the restore is over: decompressed copies go with it."""

    def __init__(
        self, path: str, manifest: dict[str, Any], states: dict[str, list[Any]], scratch: str | None
    ) -> None:
        self.directory = path
        self.manifest = manifest
        self.parts: dict[str, Part] = parts_of(manifest)
        self._states = states
        self._scratch_in = scratch
        self._scratch: Scratch | None = None
        self._hollow = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        scratch: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """The image in the directory `path`, all of it verified.

        Raises BadImage or ImageVersionError. `scratch` is the directory for decompressed copies
        (default: the system's directory for temporary files).
        """
        path = os.path.abspath(path)
        manifest = read_manifest(path)
        parts = parts_of(manifest)
        with _reading(path):
            names = set(os.listdir(path))
        for name in sorted(names ^ {FILE, *parts}):
            how = "is missing" if name in parts else "is not in the manifest"
            raise BadImage(
                f"bad image {path}: file {name!r} {how}",
                needed=f"the manifest and its {len(parts)} parts, nothing else",
                found=f"{len(names)} files",
                do="fetch or make the image again",
            )
        total, done = sum(part.stored for part in parts.values()), 0
        for name, part in parts.items():
            for n in _verify(path, name, part):
                done += n
                if progress is not None:
                    progress(done, total)
        image = cls(path, manifest, {}, os.fspath(scratch) if scratch is not None else None)
        image._states = image._load_states()
        return image

    @classmethod
    def just_written(cls, path: str) -> Image:
        """The image that this process has written into the directory `path` a moment ago.

        Nothing is verified, and a part that is packed is only as long as its contents: for a
        rehearsal, which needs little of them.
        """
        image = cls(path, read_manifest(path), {}, None)
        image._states = image._load_states()
        image._hollow = True
        return image

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def rooms(self) -> list[str]:
        """The names of the rooms that have States here, in the order of the image."""
        return list(self._states)

    def states(self, room_name: str) -> list[dict[str, Any]]:
        """The plain States of one room; empty when it has none."""
        return self._states.get(room_name, [])

    def path(self, part: str) -> str:
        """A path of the decoded bytes of `part`, good for any process of this user until `close`."""
        entry = self._entry(part)
        if entry.codec is None:
            return os.path.join(self.directory, part)
        if self._scratch is None:
            with _reading(self.directory):
                self._scratch = Scratch("zaptrace-image", self._scratch_in)
        path = os.path.join(self._scratch.path, part)
        if not os.path.exists(path):
            with _reading(self.directory), open(f"{path}.part", "wb", buffering=0) as f:
                if self._hollow:
                    f.truncate(entry.size)
                else:
                    for bite in self._decoded_bites(part):
                        _write_all(f.fileno(), bite)
                os.rename(f"{path}.part", path)
        return path

    def read(self, part: str) -> bytearray:
        """The decoded bytes of `part`. For bulk contents take `path`, this holds them in memory."""
        self._entry(part)
        whole = bytearray()
        with _reading(self.directory):
            for bite in self._decoded_bites(part):
                whole += bite
        return whole

    def close(self) -> None:
        """Remove decompressed copies. The image itself stays."""
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None

    def _entry(self, part: str) -> Part:
        entry = self.parts.get(part)
        if entry is None:
            raise BadImage(
                f"bad image {self.directory}: part {part!r} is missing",
                needed=f"part {part!r}",
                found=f"{len(self.parts)} other parts",
            )
        return entry

    def _decoded_bites(self, name: str) -> Iterator[bytes]:
        """The decoded bytes of a part, in bites, as many as the manifest says or BadImage."""
        entry, left = self.parts[name], self.parts[name].size
        with private.as_file(_open_regular(self.directory, name), "rb", buffering=0) as f:
            try:
                with _decoder(entry.codec, f) as decoded:
                    while bite := decoded.read(min(BITE, left + 1)):
                        left -= len(bite)
                        if left < 0:
                            break
                        yield bite
            except (RuntimeError, EOFError, ValueError, zstandard.ZstdError) as e:
                raise BadImage(
                    f"bad image {self.directory}: part {name} cannot be decompressed",
                    needed=f"one {entry.codec} frame",
                    found=str(e),
                ) from e
        if left:
            raise BadImage(
                f"bad image {self.directory}: part {name} has the wrong size",
                needed=f"{entry.size} bytes when decompressed",
                found="more" if left < 0 else f"{entry.size - left} bytes",
            )

    def _load_states(self) -> dict[str, list[Any]]:
        if STATE not in self.parts:
            return {}
        if (size := self.parts[STATE].size) > STATES.bytes:
            raise BadImage(
                f"bad image {self.directory}: part {STATE} is too big",
                needed=f"at most {STATES.bytes} bytes",
                found=f"{size} bytes",
            )
        try:
            return self._sorted(plain.load_each(self.read(STATE), STATES))
        except ValueError as e:
            raise BadImage(
                f"bad image {self.directory}: part {STATE} cannot be read",
                needed="a stream of msgpack maps",
                found=str(e),
            ) from e

    def _sorted(self, records: Iterable[Any]) -> dict[str, list[Any]]:
        """The States by their rooms."""
        states: dict[str, list[Any]] = {}
        for record in records:
            if (
                type(record) is not dict
                or set(record) != {"room", "states"}
                or type(record["room"]) is not str
                or type(record["states"]) is not list
                or not all(type(state) is dict for state in record["states"])
            ):
                raise BadImage(
                    f"bad image {self.directory}: part {STATE} holds a record that is none",
                    needed='{"room": name, "states": [map, ...]}',
                    found=repr(record)[:60],
                )
            states.setdefault(record["room"], []).extend(record["states"])
        return states


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of the image in `path`, itself verified; the parts are not looked at."""
    path = os.path.abspath(path)
    with _reading(path):
        fd = _open_regular(path, FILE)
        try:
            size = os.fstat(fd).st_size
            if size > MANIFEST.bytes + 4096:
                raise BadImage(
                    f"bad image {path}: the manifest is too big",
                    needed=f"at most {MANIFEST.bytes} bytes",
                    found=f"{size} bytes",
                )
            data = bytearray()
            while bite := os.read(fd, BITE):
                data += bite
                if len(data) > size:
                    break
        finally:
            os.close(fd)
    return unpack(bytes(data))


def _verify(path: str, name: str, part: Part) -> Iterator[int]:
    """Read one part and compare; yields how many bytes were read, now and then."""
    with _reading(path):
        fd = _open_regular(path, name)
        try:
            size = os.fstat(fd).st_size
            if size != part.stored:
                raise BadImage(
                    f"bad image {path}: part {name} has the wrong size",
                    needed=f"{part.stored} bytes",
                    found=f"{size} bytes",
                    do="fetch or make the image again",
                )
            # Read, not mapped: a file cut short under a mapping is a SIGBUS.
            checksum, left = blake3(), size
            with WriteBehind() as pipe:
                while left:
                    bite = pipe.buffer(min(left, BITE))
                    if not (n := os.readv(fd, [bite])):
                        break
                    pipe.write(checksum.update, bite[:n])
                    left -= n
                    yield n
                pipe.wait()
        finally:
            os.close(fd)
    if left or checksum.digest() != part.blake3:
        raise BadImage(
            f"bad image {path}: part {name} is damaged",
            needed=f"blake3 {part.blake3.hex()[:16]}…",
            found=f"blake3 {checksum.hexdigest()[:16]}…",
            do="fetch or make the image again",
        )


def _open_regular(path: str, name: str) -> int:
    # O_NONBLOCK: a FIFO in place of a part must not hang us.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(os.path.join(path, name), flags)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        raise BadImage(
            f"bad image {path}: {name} is no file",
            needed="a regular file",
            found=stat.filemode(mode),
        )
    except BaseException:
        os.close(fd)
        raise


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """What the system says about the files of an image becomes an ImageError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as e:
        there = os.path.isdir(path)
        raise (BadImage if there else NoImage)(
            f"bad image {path}" if there else f"there is no image {path}",
            needed="a directory that zaptrace checkpoint made",
            found=f"{e.strerror}: {e.filename}",
        ) from e
    except OSError as e:
        raise ImageError(
            f"cannot read the image {path}", found=f"{e.strerror}: {e.filename}"
        ) from e


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Lz4Reader:
    """read(n) over one lz4 frame; lz4.frame.open would go on to further frames."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._d = lz4.frame.LZ4FrameDecompressor()

    def __enter__(self) -> _Lz4Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def read(self, n: int) -> bytes:
        while not self._d.eof:
            data = self._source.read(BITE) if self._d.needs_input else b""
            if self._d.needs_input and not data:
                raise EOFError("the frame is cut short")
            if out := self._d.decompress(data, max_length=n):
                return bytes(out)
        if self._d.unused_data or self._source.read(1):
            raise ValueError("bytes behind the frame")
        return b""


class _Reader(Protocol):
    def read(self, n: int, /) -> bytes: ...


def _decoder(codec: str | None, source: IO[bytes]) -> contextlib.AbstractContextManager[_Reader]:
    if codec == "zstd":
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        return decompressor.stream_reader(source, read_across_frames=False)
    if codec == "lz4":
        return _Lz4Reader(source)
    return contextlib.nullcontext(source)
