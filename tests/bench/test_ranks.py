"""The rank test, held to a count of all orders, and to what has to hold of any."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ranks import p_value, u_of
from bench.samples import spread

GROUP = st.lists(st.integers(0, 50), min_size=1, max_size=25)


def counted(a: list[int], b: list[int]) -> float:
    """Of all ways to choose the first group, how many differ by as much."""
    everything, middle = [*a, *b], len(a) * len(b) / 2
    far = abs(u_of(a, b) - middle)
    hits = total = 0
    for chosen in combinations(range(len(everything)), len(a)):
        one = [everything[i] for i in chosen]
        other = [everything[i] for i in range(len(everything)) if i not in chosen]
        total += 1
        hits += abs(u_of(one, other) - middle) >= far - 1e-9
    return hits / total


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=9, unique=True), st.data())
def test_without_ties_it_is_exact(values: list[int], data: st.DataObject):
    at = data.draw(st.integers(1, len(values) - 1))
    assert p_value(values[:at], values[at:]) == pytest.approx(counted(values[:at], values[at:]))


@given(GROUP, GROUP)
def test_it_is_a_chance_and_the_order_of_groups_is_none_of_its_business(a: list[int], b: list[int]):
    assert 0 <= p_value(a, b) <= 1
    assert p_value(a, b) == pytest.approx(p_value(b, a))
    assert p_value([3 * x + 7 for x in a], [3 * x + 7 for x in b]) == pytest.approx(p_value(a, b))


@given(GROUP)
def test_a_group_does_not_differ_from_itself(a: list[int]):
    assert p_value(a, a) > 0.9


@pytest.mark.parametrize(
    ("n", "m", "p"),
    [(3, 3, 0.1), (4, 4, 2 / 70), (5, 5, 2 / 252), (8, 8, 2 / 12870)],
)
def test_groups_that_do_not_overlap(n: int, m: int, p: float):
    """As the tables have it: 2 of all (n + m over n) orders."""
    assert p_value(range(n), range(100, 100 + m)) == pytest.approx(p)


def test_with_ties_it_is_near_to_the_count():
    a, b = [1, 2, 2, 3, 3, 4, 5, 5], [3, 4, 5, 5, 6, 6, 7]
    assert p_value(a, b) == pytest.approx(counted(a, b), abs=0.02)
    assert p_value([1, 1], [1, 1]) == 1
    assert p_value([], [1.0]) == 1


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_a_spread_is_in_order_and_of_what_was_given(values: list[float]):
    low, middle, high = spread(values)
    assert low <= middle <= high
    assert low in values and high in values
