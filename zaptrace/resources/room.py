"""The contract of a room: one kind of kernel-kept state, from capture to restore.

A room is a module with

    NAME                      its name in images and errors
    State                     a frozen dataclass of plain data
    capture(pod)              -> list[State]; reads, and changes nothing in the pod
    restore(states, build)    registers its work with build.at(Stage, ...)

and a *file kind* adds `claims(file) -> bool`: exactly one room claims an open file description.

`encode_state` and `decode_state` are the only way a State goes into an image and comes back. Coming back
it is checked against its annotations, so that a damaged image ends here and not in a half-made pod.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import BadImage

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

T = TypeVar("T")


class Room(Protocol[T]):
    """A room whose States are of class T."""

    @property
    def NAME(self) -> str: ...
    @property
    def State(self) -> type[T]: ...

    def capture(self, pod: FrozenPod, /) -> list[T]: ...
    def restore(self, states: list[T], build: Build, /) -> None: ...


class FileKind(Room[T], Protocol[T]):
    """A room of open file descriptions."""

    def claims(self, file: FrozenFile, /) -> bool: ...


_SCALARS = frozenset({int, str, bytes, bool, type(None)})


def encode_state(state: object) -> Any:
    """`state` as maps, lists, ints, strings and bytes."""
    if type(state) in _SCALARS:
        return state
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return {f.name: encode_state(getattr(state, f.name)) for f in dataclasses.fields(state)}
    if isinstance(state, dict):
        return {key: encode_state(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [encode_state(value) for value in state]
    return state


def decode_state(cls: type[T], plain: Any) -> T:
    """The dataclass `cls` that `plain` describes. Raises BadImage where the two do not agree."""
    decoded: T = _build(cls, plain, cls.__name__)
    return decoded


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(kind: Any, plain: Any, place: str) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(plain, dict):
            raise _mismatch(place, kind.__name__, plain)
        hints = _hints(kind)
        if set(plain) != set(hints):
            raise BadImage(
                f"bad image: {place} has the wrong fields",
                needed=", ".join(sorted(hints)),
                found=", ".join(sorted(map(str, plain))),
            )
        return kind(**{k: _build(hint, plain[k], f"{place}.{k}") for k, hint in hints.items()})
    origin = typing.get_origin(kind)
    if origin is list:
        (item,) = typing.get_args(kind)
        if not isinstance(plain, list):
            raise _mismatch(place, "list", plain)
        return [_build(item, value, f"{place}[{i}]") for i, value in enumerate(plain)]
    if origin is dict:
        key, item = typing.get_args(kind)
        if not isinstance(plain, dict):
            raise _mismatch(place, "map", plain)
        return {
            _build(key, k, f"{place} key"): _build(item, v, f"{place}[{k!r}]")
            for k, v in plain.items()
        }
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(kind)
        if plain is None and type(None) in options:
            return None
        (only,) = [option for option in options if option is not type(None)]
        return _build(only, plain, place)
    kind = getattr(kind, "__supertype__", kind)  # a NewType
    if type(plain) is not kind and not (kind is float and type(plain) is int):
        raise _mismatch(place, getattr(kind, "__name__", str(kind)), plain)
    return plain


def _mismatch(place: str, needed: str, found: object) -> BadImage:
    return BadImage(
        f"bad image: {place} has the wrong type", needed=needed, found=type(found).__name__
    )
