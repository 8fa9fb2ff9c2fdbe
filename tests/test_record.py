"""What a record is given, and what it has when it is not."""

from __future__ import annotations

import pytest

from zaptrace.record import Record, field


class Pair(Record):
    left: int
    right: int = 2
    others: list[int] = field(factory=list)


def test_fields_by_order_and_by_name():
    assert Pair.fields == ("left", "right", "others")
    assert vars(Pair(1)) == {"left": 1, "right": 2, "others": []}
    assert Pair(1, 3) == Pair(right=3, left=1)
    assert Pair(1) != Pair(2)
    assert repr(Pair(1)) == "Pair(left=1, right=2, others=[])"


def test_what_is_made_is_made_anew():
    one, other = Pair(1), Pair(1)
    one.others.append(3)
    assert other.others == []


def test_another_one_with_a_change():
    one = Pair(1, 3)
    assert one.but(left=2) == Pair(2, 3)
    assert one == Pair(1, 3)


@pytest.mark.parametrize("wrong", [{}, {"left": 1, "nonsense": 2}, {"right": 1}])
def test_what_is_no_such_record(wrong: dict[str, int]):
    with pytest.raises(TypeError):
        Pair(**wrong)
    with pytest.raises(TypeError):
        Pair(1, 2, [], 4)
