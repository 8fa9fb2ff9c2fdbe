"""Which memories come to be by a fork alone, and when, of those that a plan of the tree makes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from ...view.build import Birth
from . import tree


def of_memories(
    plan: Iterable[tree.Step], memory: Mapping[int, int], forked: Container[int]
) -> dict[int, Birth]:
    """`memory`: of each process that lives, the first that has the same; `forked`: who executes nothing.

    What a helper makes has what its maker had when the helper was made.
    """
    found: dict[int, Birth] = {}
    helpers: dict[int, Birth] = {}
    for number, step in enumerate(plan):
        if not isinstance(step, tree.Fork | tree.Orphan):
            continue
        birth = helpers.get(step.by)
        if step.by in memory:
            birth = Birth(memory[step.by], number)
        if birth is None:  # by a helper that is a copy of nobody
            continue
        if step.vpid not in memory:
            helpers[step.vpid] = birth
        elif step.vpid in forked and memory[step.vpid] != birth.maker:
            found[memory[step.vpid]] = birth
    return found
