"""On which nodes the pages of a mapping are to lie: mbind(2).

The kernel tells it for one address at a time, so nothing is asked until somebody in the pod has set one
(csrc/resources/memory.c). Pages that lie elsewhere by then are moved where that can be.
Not carried: the home node (set_mempolicy_home_node(2)), which the kernel does not tell.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from ...linux.program import Program
from ...shapes import U32, Address, Length
from ...view.frozen import FrozenPod, FrozenProcess
from .mappings import Mapping

_NODES = 1024
"""Bits of a node mask, as many as any kernel of this architecture has (CONFIG_NODES_SHIFT)."""
_MPOL_F_ADDR = 2
_MPOL_MF_MOVE = 2
_AT_ONCE = 100


@dataclass(frozen=True)
class Policy:
    start: Address
    end: Address
    mode: U32
    """With its flags (MPOL_F_STATIC_NODES and its like)."""
    nodes: Annotated[bytes, Length(_NODES // 8)]


def capture(pod: FrozenPod, process: FrozenProcess, mappings: list[Mapping]) -> list[Policy]:
    if not pod.store("memory"):
        return []
    found: list[Policy] = []
    for at in range(0, len(mappings), _AT_ONCE):
        found += _ask(process, mappings[at : at + _AT_ONCE])
    return found


def _ask(process: FrozenProcess, mappings: list[Mapping]) -> Iterable[Policy]:
    program = Program()
    asked = []
    for m in mappings:
        mode, nodes = program.buffer(8), program.buffer(_NODES // 8)
        row = program.call(
            "get_mempolicy", mode, nodes, _NODES, m.start, _MPOL_F_ADDR, may_fail=True
        )
        asked.append((m, row, mode, nodes))
    results = process.run(program)
    for m, row, mode, nodes in asked:
        (value,) = struct.unpack("<i4x", results.bytes(mode))
        if results[row] == 0 and value:
            yield Policy(m.start, m.end, value, results.bytes(nodes))


def load(program: Program, policies: list[Policy]) -> None:
    """When all is mapped. A host without such nodes refuses: then the row fails, and names it."""
    for one in policies:
        nodes = program.data(one.nodes)
        program.call(
            "mbind", one.start, one.end - one.start, one.mode, nodes, _NODES, _MPOL_MF_MOVE
        )
