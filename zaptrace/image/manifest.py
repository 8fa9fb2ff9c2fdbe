"""The format of an image: a directory with one manifest, and one file for each part.

    web.zap/
    ├── manifest          what this is, and the size and checksum of everything else
    ├── state             a stream of msgpack maps {"room": name, "states": [State, ...]}
    ├── pages-2           raw pages of process 2, page-aligned
    └── ...               nothing else: an image with a file too many is damaged, too

The manifest file (numbers little-endian):

    offset  bytes
         0      8   "ZAPTRACE"
         8      4   format version, read before anything else is believed
        12      4   n
        16      n   msgpack: {"format", "created", "host", "pod", "parts", ...}
      16+n     32   blake3 of all bytes before

Each entry of "parts" is {name: {"size", "stored", "codec", "blake3"}}: bytes when decompressed,
bytes in the file, how one becomes the other (None, "lz4" or "zstd": one frame), and the blake3 of
the bytes in the file, so that no decompressor ever sees damaged bytes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from .. import plain
from ..errors import BadImage, ImageVersionError
from ..limits import MANIFEST

FORMAT = 2
"""1: the stub lay at another address, and the host was known by words of its kernel."""
MAGIC = b"ZAPTRACE"
FILE = "manifest"
"""Name of the manifest's file; no part can have it."""
STATE = "state"
"""Name of the part that holds the States of all rooms."""
CODECS = (None, "lz4", "zstd")
HASH_BYTES = 32
_YEAR_9999 = 253_402_300_800.0

_HEAD = struct.Struct("<8sII")
_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One entry of the manifest's table of parts."""

    size: int
    """Bytes when decompressed."""
    stored: int
    """Bytes in the image."""
    codec: str | None
    blake3: bytes
    """Of the bytes in the image."""

    def to_dict(self) -> dict[str, Any]:
        """The entry as it stands in the manifest."""
        return {
            "size": self.size,
            "stored": self.stored,
            "codec": self.codec,
            "blake3": self.blake3,
        }

    @staticmethod
    def from_dict(entry: Any, place: str) -> Part:
        """The entry that `entry` describes; BadImage when it does not describe one."""
        _keys(entry, {"size", "stored", "codec", "blake3"}, place)
        size, stored = entry["size"], entry["stored"]
        codec, checksum = entry["codec"], entry["blake3"]
        for number in (size, stored):
            if type(number) is not int or not 0 <= number < 1 << 63:
                raise _bad(f"{place} has a size that is none", "an integer from 0", repr(number))
        if codec is not None and (type(codec) is not str or codec not in CODECS):
            raise _bad(f"{place} is packed in an unknown way", "lz4 or zstd", repr(codec))
        if type(checksum) is not bytes or len(checksum) != HASH_BYTES:
            raise _bad(f"{place} has no checksum", f"{HASH_BYTES} bytes", type(checksum).__name__)
        if codec is None and size != stored:
            raise _bad(f"{place} has two sizes", f"{size} bytes", f"{stored} bytes")
        return Part(size, stored, codec, checksum)


def check_part_name(name: Any) -> str:
    """`name`, when it can name a part and hence a file; ValueError otherwise."""
    if type(name) is str and name != FILE and _PART_NAME.fullmatch(name):
        return name
    raise ValueError(f"{name!r} cannot name a part of an image")


def pack(manifest: dict[str, Any]) -> bytes:
    """The bytes of the manifest file for `manifest`, which must pass `check`."""
    body = plain.dumps(manifest)
    try:
        plain.values_in(body, MANIFEST)
    except ValueError as e:
        raise BadImage(
            "cannot write the image: its manifest is too big",
            needed=f"at most {MANIFEST.bytes} bytes and {MANIFEST.values} values",
            found=str(e),
        ) from e
    head = _HEAD.pack(MAGIC, FORMAT, len(body)) + body
    return head + blake3(head).digest()


def unpack(data: bytes) -> dict[str, Any]:
    """The manifest in the bytes of its file. Raises BadImage or ImageVersionError."""
    if data[: len(MAGIC)] != MAGIC or len(data) < _HEAD.size + HASH_BYTES:
        raise _bad("this is not a manifest", f"a file that begins with {MAGIC!r}", repr(data[:8]))
    _, version, length = _HEAD.unpack_from(data)
    if version != FORMAT:
        raise ImageVersionError(
            "cannot read the image: it has another format",
            needed=f"format {FORMAT}",
            found=f"format {version}",
            do="use the zaptrace that made it, or make the image again",
        )
    if len(data) != _HEAD.size + length + HASH_BYTES:
        raise _bad("the manifest has the wrong size", f"{length} bytes of content", str(len(data)))
    if blake3(data[:-HASH_BYTES]).digest() != data[-HASH_BYTES:]:
        raise _bad("the manifest is damaged", "a matching checksum", "another")
    try:
        manifest = plain.loads(memoryview(data)[_HEAD.size : -HASH_BYTES], MANIFEST)
    except ValueError as e:
        raise _bad("the manifest is damaged", "one msgpack map", str(e)) from e
    return check(manifest)


def check(manifest: Any) -> dict[str, Any]:
    """`manifest`, when it has what every manifest has (more may be there); BadImage otherwise."""
    if type(manifest) is not dict:
        raise _bad("the manifest is no map", "a map", type(manifest).__name__)
    needed: dict[str, type] = {"format": int, "created": float, "host": dict, "pod": dict}
    for key, kind in (needed | {"parts": dict}).items():
        if type(manifest.get(key)) is not kind:
            found = type(manifest.get(key)).__name__
            raise _bad(f"the manifest's {key!r} is wrong", kind.__name__, found)
    if manifest["format"] != FORMAT:
        raise _bad("the manifest contradicts itself", f"format {FORMAT}", str(manifest["format"]))
    if not 0 <= manifest["created"] < _YEAR_9999:
        raise _bad("the manifest's time is none", "seconds since 1970", str(manifest["created"]))
    if type(manifest["pod"].get("name")) is not str:
        raise _bad("the manifest names no pod", "a name", repr(manifest["pod"].get("name")))
    parts_of(manifest)
    return manifest


def parts_of(manifest: dict[str, Any]) -> dict[str, Part]:
    """The table of parts of `manifest`, every entry checked; BadImage when one is wrong."""
    parts = {}
    for name, entry in manifest["parts"].items():
        try:
            check_part_name(name)
        except ValueError as e:
            raise _bad("a part has a name that none can have", "a plain file name", str(e)) from e
        parts[name] = Part.from_dict(entry, f"part {name}")
    return parts


def _keys(entry: Any, needed: set[str], place: str) -> None:
    if type(entry) is not dict or set(entry) != needed:
        found = ", ".join(map(str, entry)) if type(entry) is dict else type(entry).__name__
        raise _bad(f"{place} has the wrong fields", ", ".join(sorted(needed)), found)


def _bad(what: str, needed: str, found: str) -> BadImage:
    return BadImage(f"bad image: {what}", needed=needed, found=found)
