"""What plain data from outside has to look like, said by the annotations of a dataclass.

    @dataclass(frozen=True)
    class Entry:
        fd: Fd                                         a number in a range
        side: Annotated[str, OneOf("master", "slave")]
        window: Annotated[bytes, Length(8)]
        file_id: NamesFile                             the image has an open file of that id

`read(Entry, plain)` is an Entry, or a BadImage that says where the two do not agree. Types are
compared exactly (True is no int), then every value with what stands beside its type in Annotated:
an int, str or bytes with nothing there may be any, so each says what it may be. What is named
(`Names`) has to be given (`Gives`) somewhere in the same image: `Seen` collects both.
"""

from __future__ import annotations

import dataclasses
import functools
import socket
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn, TypeVar

from .errors import BadImage

T = TypeVar("T")


class Wrong(ValueError):
    """`place` grows from the inside to the outside, while it is raised."""

    def __init__(self, what: str, needed: str, found: str) -> None:
        super().__init__(what)
        self.what = what
        self.needed = needed
        self.found = found
        self.place = ""


@dataclass
class Seen:
    """What the States of an image give, and what they name."""

    given: dict[str, set[Hashable]] = field(default_factory=dict)
    named: set[tuple[tuple[str, ...], Hashable]] = field(default_factory=set)

    def refuse_unknown(self) -> None:
        """Raises BadImage when something is named that nothing gives."""
        for kinds, number in sorted(self.named, key=repr):
            if not any(number in self.given.get(kind, ()) for kind in kinds):
                kind = " or ".join(kinds)
                raise BadImage(
                    f"bad image: it names {kind} {number}, which there is not",
                    needed=f"a State of that {kind}",
                    found="none",
                )


@dataclass(frozen=True)
class Range:
    low: int
    high: int

    def check(self, value: int, seen: Seen) -> None:
        if not self.low <= value <= self.high:
            raise Wrong("is out of range", f"{self.low} to {self.high}", str(value))


@dataclass(frozen=True)
class Length:
    """Of bytes, of a str (in UTF-8), a list or a map: exactly `low`, or up to `high`."""

    low: int
    high: int = -1

    def check(self, value: Any, seen: Seen) -> None:
        high = max(self.low, self.high)
        size = len(value.encode(errors="surrogatepass")) if type(value) is str else len(value)
        if not self.low <= size <= high:
            raise Wrong("has the wrong length", f"{self.low} to {high}", str(size))


@dataclass(frozen=True)
class Multiple:
    """The length is a multiple of `of`."""

    of: int

    def check(self, value: Any, seen: Seen) -> None:
        if len(value) % self.of:
            raise Wrong("has the wrong length", f"a multiple of {self.of}", str(len(value)))


class NoNul:
    """A NUL would end it for the kernel, and not for us."""

    def check(self, value: str | bytes, seen: Seen) -> None:
        if (b"\0" if isinstance(value, bytes) else "\0") in value:  # type: ignore[operator]
            raise Wrong("has a NUL in it", "none", repr(value[:40]))


class OneOf:
    def __init__(self, *values: object) -> None:
        self.values = values

    def check(self, value: object, seen: Seen) -> None:
        if value not in self.values:
            needed = " or ".join(map(repr, self.values[:12]))
            raise Wrong("is none of what it can be", needed, repr(value)[:60])


class Among:
    """Of a map: any of these, and no others."""

    def __init__(self, *keys: str) -> None:
        self.keys = frozenset(keys)

    def check(self, value: Mapping[str, object], seen: Seen) -> None:
        if not self.keys >= value.keys():
            unknown = sorted(value.keys() - self.keys)
            raise Wrong("has a key that it cannot have", "known ones", repr(unknown[0])[:60])


class IsAddress:
    """Of a host, in numbers: nobody is to be asked for a name."""

    def check(self, value: str, seen: Seen) -> None:
        family = socket.AF_INET6 if ":" in value else socket.AF_INET
        try:
            socket.inet_pton(family, value.partition("%")[0])
        except (OSError, ValueError):
            raise Wrong("is no address", "one of IPv4 or IPv6", repr(value)[:60]) from None


@dataclass(frozen=True)
class Gives:
    """The number of something that there is now; `once`: there is one of each."""

    kind: str
    once: bool = True

    def check(self, value: int, seen: Seen) -> None:
        given = seen.given.setdefault(self.kind, set())
        if self.once and value in given:
            raise Wrong(f"is {self.kind} {value} again", "one of each", "two")
        given.add(value)


class Names:
    """The number of something of these kinds that has to be given, unless it is one of `but`."""

    def __init__(self, *kinds: str, but: tuple[int, ...] = ()) -> None:
        self.kinds = kinds
        self.but = but

    def check(self, value: int, seen: Seen) -> None:
        if value not in self.but:
            seen.named.add((self.kinds, value))


# Numbers

U8 = Annotated[int, Range(0, 0xFF)]
U16 = Annotated[int, Range(0, 0xFFFF)]
U32 = Annotated[int, Range(0, 0xFFFF_FFFF)]
U64 = Annotated[int, Range(0, 0xFFFF_FFFF_FFFF_FFFF)]
I32 = Annotated[int, Range(-(1 << 31), (1 << 31) - 1)]
I64 = Annotated[int, Range(-(1 << 63), (1 << 63) - 1)]
Size = Annotated[int, Range(0, (1 << 63) - 1)]
"""Bytes, an offset, a count."""
Duration = Annotated[int, Range(0, (1 << 63) - 1)]
"""Nanoseconds."""
Id = Annotated[int, Range(0, 1 << 22)]  # PID_MAX_LIMIT
"""A process, thread, group or session of the pod; 0 where there is none."""
Fd = Annotated[int, Range(0, (1 << 30) - 1)]
Signal = Annotated[int, Range(0, 64)]
"""0 where there is none."""
Backlog = Annotated[int, Range(0, (1 << 31) - 1)]
Mode = Annotated[int, Range(0, 0xFFFF)]
Flags = Annotated[int, Range(0, (1 << 31) - 1)]
"""Of open(2), which takes an int."""
Address = Annotated[int, Range(0, 1 << 56)]
"""Of memory; an end may be behind the last."""

# Text and bytes

Path = Annotated[bytes, Length(1, 4351), NoNul()]
"""At most PATH_MAX, and what the kernel adds to names that are gone."""
PathOrNone = Annotated[bytes, Length(0, 4351), NoNul()]
"""b"" where there is none."""
Word = Annotated[str, Length(0, 255), NoNul()]
Word4K = Annotated[str, Length(0, 4351), NoNul()]
"""A path as a str."""
IpAddress = Annotated[Word, IsAddress()]
Part = Annotated[str, Length(1, 100), NoNul()]
"""Of the image."""
PartOrNone = Annotated[str, Length(0, 100), NoNul()]
Data = Annotated[bytes, Length(0, 1 << 30)]
"""Whatever a program wrote."""

# Names

_SUPERVISOR = 1
_ID, _ID_OR_NONE = Range(2, 1 << 22), Range(0, 1 << 22)
GivesProcess = Annotated[int, _ID, Gives("process")]
NamesProcess = Annotated[int, _ID, Names("process")]
"""Living, or a zombie."""
NamesProcessOrSupervisor = Annotated[int, _ID_OR_NONE, Names("process", but=(0, _SUPERVISOR))]
NamesLiving = Annotated[int, _ID, Names("living process")]
NamesLivingOrNone = Annotated[int, _ID_OR_NONE, Names("living process", but=(0,))]
NamesLivingOrSupervisor = Annotated[int, _ID_OR_NONE, Names("living process", but=(0, _SUPERVISOR))]
GivesThread = Annotated[int, _ID, Gives("thread")]
NamesThread = Annotated[int, _ID, Names("thread")]
GivesFile = Annotated[int, Range(0, (1 << 31) - 1), Gives("open file")]
NamesFile = Annotated[int, Range(0, (1 << 31) - 1), Names("open file")]

_MISSING = dataclasses.MISSING
Reader = Callable[[Any, Seen], Any]


def read(cls: type[T], plain: Any, seen: Seen | None = None) -> T:
    """The `cls` that `plain` describes. Raises BadImage where the two do not agree."""
    try:
        found: T = _reader(cls)(plain, Seen() if seen is None else seen)  # type: ignore[arg-type]
    except Wrong as wrong:
        raise BadImage(
            f"bad image: {cls.__name__}{wrong.place} {wrong.what}",
            needed=wrong.needed,
            found=wrong.found,
        ) from None
    return found


def hints(cls: type) -> dict[str, Any]:
    """The annotations of a dataclass, with what stands beside the types."""
    return typing.get_type_hints(cls, include_extras=True)


@functools.cache
def _reader(kind: Any) -> Reader:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _of_dataclass(kind)
    origin = typing.get_origin(kind)
    if origin is Annotated:
        inner, *checks = typing.get_args(kind)
        return _checked(_reader(inner), [check.check for check in checks])
    if origin is list:
        (item,) = typing.get_args(kind)
        return _of_list(_reader(item))
    if origin is tuple:
        return _of_tuple([_reader(one) for one in typing.get_args(kind)])
    if origin is dict:
        key, value = typing.get_args(kind)
        return _of_map(_reader(key), _reader(value))
    if origin in (typing.Union, types.UnionType):
        (only,) = [one for one in typing.get_args(kind) if one is not type(None)]
        return _or_none(_reader(only))
    return _of_scalar(getattr(kind, "__supertype__", kind))


def _of_dataclass(cls: Any) -> Reader:
    fields = [(name, _reader(hint)) for name, hint in hints(cls).items()]
    names = {name for name, _ in fields}
    # What has a default came later: images that were made before do not have it.
    needed = {
        one.name
        for one in dataclasses.fields(cls)
        if one.default is _MISSING and one.default_factory is _MISSING
    }

    def read(plain: Any, seen: Seen) -> Any:
        if type(plain) is not dict:
            _mistyped(cls.__name__, plain)
        if not needed <= plain.keys() <= names:
            found = ", ".join(sorted(map(str, plain)))
            raise Wrong("has the wrong fields", ", ".join(sorted(names)), found[:200])
        values = {}
        name = ""
        try:
            for name, reader in fields:
                if name in plain:
                    values[name] = reader(plain[name], seen)
        except Wrong as wrong:
            wrong.place = f".{name}{wrong.place}"
            raise
        return cls(**values)

    return read


def _of_list(item: Reader) -> Reader:
    def read(plain: Any, seen: Seen) -> Any:
        if type(plain) is not list:
            _mistyped("list", plain)
        found: list[Any] = []
        try:
            for value in plain:
                found.append(item(value, seen))
        except Wrong as wrong:
            wrong.place = f"[{len(found)}]{wrong.place}"
            raise
        return found

    return read


def _of_tuple(items: list[Reader]) -> Reader:
    def read(plain: Any, seen: Seen) -> Any:
        if type(plain) is not list:
            _mistyped("list", plain)
        if len(plain) != len(items):
            raise Wrong("has the wrong length", str(len(items)), str(len(plain)))
        return tuple(item(value, seen) for item, value in zip(items, plain, strict=True))

    return read


def _of_map(key: Reader, value: Reader) -> Reader:
    def read(plain: Any, seen: Seen) -> Any:
        if type(plain) is not dict:
            _mistyped("map", plain)
        found = {}
        one: Any = None
        try:
            for one, inner in plain.items():
                found[key(one, seen)] = value(inner, seen)
        except Wrong as wrong:
            wrong.place = f"[{one!r:.40}]{wrong.place}"
            raise
        return found

    return read


def _or_none(only: Reader) -> Reader:
    return lambda plain, seen: None if plain is None else only(plain, seen)


def _checked(inner: Reader, checks: list[Callable[[Any, Seen], None]]) -> Reader:
    def read(plain: Any, seen: Seen) -> Any:
        value = inner(plain, seen)
        for check in checks:
            check(value, seen)
        return value

    return read


def _of_scalar(kind: type) -> Reader:
    def read(plain: Any, seen: Seen) -> Any:
        if type(plain) is not kind and not (kind is float and type(plain) is int):
            _mistyped(kind.__name__, plain)
        return plain

    return read


def _mistyped(needed: str, found: object) -> NoReturn:
    raise Wrong("has the wrong type", needed, type(found).__name__)
