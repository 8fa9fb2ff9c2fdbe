"""States say what their values may be, and nothing else comes in."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from zaptrace import resources, shapes
from zaptrace.errors import BadImage
from zaptrace.pod.contents import PodFacts
from zaptrace.resources.room import encode_state
from zaptrace.shapes import Fd, GivesFile, NamesFile, Path, Seen, Size, Word, read
from zaptrace.view.store import Stored


def bare(kind: Any, place: str) -> list[str]:
    """Where a number or a text may be any."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        inner = typing.get_args(kind)[0]
        scalar = not typing.get_args(inner) and not dataclasses.is_dataclass(inner)
        return [] if scalar else bare(inner, place)
    if dataclasses.is_dataclass(kind):
        return [
            wrong
            for name, hint in shapes.hints(kind).items()
            for wrong in bare(hint, f"{place}.{name}")
        ]
    if origin in (list, dict, tuple, typing.Union, types.UnionType):
        return [wrong for one in typing.get_args(kind) for wrong in bare(one, place)]
    return [] if kind in (bool, type(None)) else [f"{place}: {kind}"]


@pytest.mark.parametrize("room", resources.ROOMS, ids=lambda room: room.NAME)
def test_every_field_says_what_it_may_be(room: Any):
    assert bare(room.State, room.NAME) == []


@pytest.mark.parametrize("kind", [Stored, PodFacts])
def test_so_does_what_is_no_rooms(kind: type):
    assert bare(kind, kind.__name__) == []


@dataclass(frozen=True)
class Inner:
    fd: Fd
    file_id: NamesFile


@dataclass(frozen=True)
class Outer:
    path: Path | None
    name: Word
    inner: list[Inner]
    sizes: dict[Word, Size]
    pair: tuple[Word, bool]


GOOD = {
    "path": b"/x",
    "name": "\udcff",
    "inner": [{"fd": 3, "file_id": 7}],
    "sizes": {"a": 0},
    "pair": ["x", True],
}


def test_there_and_back():
    found = read(Outer, GOOD)
    assert found == Outer(b"/x", "\udcff", [Inner(3, 7)], {"a": 0}, ("x", True))
    assert read(Outer, encode_state(found)) == found
    assert read(Outer, GOOD | {"path": None}).path is None


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"path": b"/a\0b"}, r"Outer\.path has a NUL"),
        ({"path": b""}, r"Outer\.path has the wrong length"),
        ({"path": b"x" * 5000}, r"Outer\.path has the wrong length"),
        ({"path": "/x"}, r"Outer\.path has the wrong type"),
        ({"name": 7}, r"Outer\.name has the wrong type"),
        ({"name": "é" * 200}, r"Outer\.name has the wrong length"),
        ({"inner": {}}, r"Outer\.inner has the wrong type"),
        ({"inner": [GOOD["inner"][0], {"fd": True, "file_id": 7}]}, r"Outer\.inner\[1\]\.fd has"),
        ({"inner": [{"fd": -1, "file_id": 7}]}, r"Outer\.inner\[0\]\.fd is out of range"),
        ({"inner": [{"fd": 1 << 30, "file_id": 7}]}, r"Outer\.inner\[0\]\.fd is out of range"),
        ({"inner": [{"fd": 1}]}, r"Outer\.inner\[0\] has the wrong fields"),
        ({"sizes": {"a": -1}}, r"Outer\.sizes\['a'\] is out of range"),
        ({"sizes": {7: 1}}, r"Outer\.sizes\[7\] has the wrong type"),
        ({"pair": ["x"]}, r"Outer\.pair has the wrong length"),
        ({"more": 1}, "Outer has the wrong fields"),
    ],
    ids=repr,
)
def test_what_is_wrong_is_named_with_its_place(wrong: dict[str, Any], where: str):
    with pytest.raises(BadImage, match=where):
        read(Outer, GOOD | wrong)


@dataclass(frozen=True)
class Grown:
    fd: Fd
    later: Word = "as it was"
    lists: list[Fd] = field(default_factory=list)


def test_what_came_later_may_be_missing():
    """Images of earlier versions lack it; its default is what it was then."""
    assert read(Grown, {"fd": 3}) == Grown(3, "as it was", [])
    assert read(Grown, {"fd": 3, "later": "x"}) == Grown(3, "x", [])
    with pytest.raises(BadImage, match="has the wrong fields"):
        read(Grown, {"later": "x"})
    with pytest.raises(BadImage, match="has the wrong fields"):
        read(Grown, {"fd": 3, "latest": "x"})


@dataclass(frozen=True)
class Giver:
    file_id: GivesFile


def test_what_is_named_has_to_be_given_once():
    seen = Seen()
    read(Outer, GOOD, seen)
    with pytest.raises(BadImage, match="names open file 7, which there is not"):
        seen.refuse_unknown()
    read(Giver, {"file_id": 7}, seen)
    seen.refuse_unknown()
    with pytest.raises(BadImage, match="is open file 7 again"):
        read(Giver, {"file_id": 7}, seen)
