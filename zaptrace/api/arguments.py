"""What a caller of ours gave, looked at before anything is done: as the standard library takes it.

A path is a str, bytes or os.PathLike; a signal is an int or a signal.Signals; a file is a descriptor or
has one. What is something else is a TypeError, what is out of range a ValueError, and each names the
argument.
"""

from __future__ import annotations

import math
import os
import signal as signals
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

StrOrBytesPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class HasFileno(Protocol):
    """A file, a socket, a pipe's end."""

    def fileno(self) -> int:
        """Its descriptor."""


File: TypeAlias = int | HasFileno
SOCKET_PATH_MOST = 107
CODECS = ("none", "lz4", "zstd")
_LONGEST_GRACE_S = 7 * 24 * 3600


def path(name: str, value: StrOrBytesPath) -> str:
    """Absolute, and as a str."""
    return os.path.abspath(text(name, value, "a path"))


def text(name: str, value: StrOrBytesPath, needed: str = "a str") -> str:
    """One that the kernel takes: no NUL in it."""
    try:
        decoded = os.fsdecode(value)
    except TypeError:
        raise _mistyped(name, needed, value) from None
    if "\0" in decoded or not decoded:
        raise ValueError(f"{name}: {needed} without NUL and not empty is needed, not {value!r}")
    return decoded


def name_of_pod(value: str | None) -> str | None:
    """What a pod can be called."""
    from ..supervisor import runtime

    if value is None:
        return None
    if not isinstance(value, str):
        raise _mistyped("name", "a str", value)
    return runtime.check_name(value)


def words(value: StrOrBytesPath | Sequence[StrOrBytesPath]) -> list[str]:
    """A command line; a program alone, as subprocess has it, too."""
    if isinstance(value, str | bytes | os.PathLike):
        return [text("argv", value)]
    several: object = value
    if isinstance(several, bytearray | memoryview) or not isinstance(several, Sequence):
        raise _mistyped("argv", "a sequence of str", value)
    if not several:
        raise ValueError("argv: at least the program is needed, not an empty sequence")
    first, *rest = several
    return [text("argv[0]", first), *(_word(f"argv[{i}]", w) for i, w in enumerate(rest, 1))]


def environment(value: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, where none is given."""
    if value is None:
        return dict(os.environ)
    if not isinstance(value, Mapping):
        raise _mistyped("env", "a mapping of str to str", value)
    found = {}
    pairs: Mapping[Any, Any] = value
    for key, one in pairs.items():
        if not isinstance(key, str) or not isinstance(one, str):
            raise _mistyped(f"env[{key!r}]", "a str for a str", one)
        if not key or "=" in key or "\0" in key + one:
            raise ValueError(f"env: no program can get {key!r}={one!r}")
        found[key] = one
    return found


def directory(value: StrOrBytesPath | None) -> str:
    """Where a program starts: one that is there."""
    found = path("cwd", os.getcwd() if value is None else value)
    if not os.path.isdir(found):
        raise NotADirectoryError(f"cwd: {found} is no directory")
    return found


def files(value: tuple[File, File, File] | None) -> tuple[int, int, int] | None:
    """Three descriptors."""
    if value is None:
        return None
    given: object = value
    if not isinstance(given, tuple) or len(given) != 3:
        raise _mistyped("stdio", "three files: stdin, stdout, stderr", value)
    stdin, stdout, stderr = (_descriptor(f"stdio[{i}]", one) for i, one in enumerate(given))
    return stdin, stdout, stderr


def paths(name: str, value: Collection[StrOrBytesPath]) -> list[str]:
    """Several."""
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        raise _mistyped(name, "a collection of paths", value)
    return [path(f"{name}[{i}]", one) for i, one in enumerate(value)]


def ports(value: Mapping[int, int] | None) -> dict[int, int]:
    """From each to another."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _mistyped("ports", "a mapping of int to int", value)
    pairs: Mapping[Any, Any] = value
    for port in (*pairs.keys(), *pairs.values()):
        if isinstance(port, bool) or not isinstance(port, int):
            raise _mistyped("ports", "a mapping of int to int", port)
        if not 0 < port < 1 << 16:
            raise ValueError(f"ports: there is no port {port}")
    return dict(pairs)


def sockets(value: Mapping[str, str] | None) -> dict[str, str]:
    """From the path of each to another, which an address has room for."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _mistyped("sockets", "a mapping of paths to paths", value)
    found = {path("sockets", old): path("sockets", new) for old, new in value.items()}
    for new in found.values():
        if len(os.fsencode(new)) > SOCKET_PATH_MOST:
            raise ValueError(f"sockets: at most {SOCKET_PATH_MOST} bytes, not {new!r}")
    return found


def signal(value: int) -> int:
    """Its number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mistyped("sig", "an int or a signal.Signals", value)
    if value not in signals.valid_signals():
        raise ValueError(f"sig: there is no signal {int(value)}")
    return int(value)


def vpid(value: int | None) -> int | None:
    """The number of a process."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _mistyped("vpid", "an int", value)
    return value


def grace(value: float) -> float:
    """How long a pod has to end."""
    found = _seconds("grace", value)
    if not 0 <= found <= _LONGEST_GRACE_S:
        raise ValueError(f"grace: 0 to {_LONGEST_GRACE_S} seconds are needed, not {value!r}")
    return found


def timeout(value: float | None) -> float | None:
    """How long somebody waits; None for as long as it takes."""
    return None if value is None else _seconds("timeout", value)


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Of a few words."""
    if value not in known:
        raise ValueError(f"{name}: one of {', '.join(map(repr, known))} is needed, not {value!r}")
    return value


def codec(value: str | None) -> str | None:
    """How parts of an image are packed; None for as they are."""
    return None if value is None or one_of("codec", value, CODECS) == "none" else value


def function(name: str, value: Callable[..., Any] | None) -> None:
    """One that can be called, or none."""
    if value is not None and not callable(value):
        raise _mistyped(name, "a function", value)


def _word(name: str, value: StrOrBytesPath) -> str:
    return "" if value in ("", b"") else text(name, value)


def _descriptor(name: str, value: File) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"{name}: a descriptor is needed, not {value}")
        return value
    if isinstance(value, int) or not hasattr(value, "fileno"):
        raise _mistyped(name, "a descriptor or an open file", value)
    return value.fileno()


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mistyped(name, "seconds", value)
    if math.isnan(value):
        raise ValueError(f"{name}: seconds are needed, not {value!r}")
    return float(value)


def _mistyped(name: str, needed: str, value: object) -> TypeError:
    return TypeError(f"{name}: {needed} is needed, not {value!r} ({type(value).__name__})")
