"""Extended register state, as NT_X86_XSTATE has it: XSAVE's standard format.

0      512   what FXSAVE keeps: x87 and SSE; at 464 the components that the kernel saves (XCR0)
512     64   header: 8 bytes, the components that are in use; zeros
576          the others, each where CPUID leaf 0xD says, which differs between processors
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from ..errors import BadImage, HostError

COMPONENTS = {
    0: "x87",
    1: "sse",
    2: "avx",
    3: "bndregs",
    4: "bndcsr",
    5: "opmask",
    6: "zmm_hi256",
    7: "hi16_zmm",
    9: "pkru",
    17: "tilecfg",
    18: "tiledata",
    19: "apx",
}
LEGACY_SIZE = 512
_HEADER, _HEADER_SIZE = 512, 64
_ENABLED = 464
_LEGACY = 0b11
_PKRU = 9
_PKRU_AT_BEGIN = 0x55555554
"""What the kernel gives a new program: all keys but the first are closed."""


@dataclass(frozen=True)
class Layout:
    size: int
    """Of the whole; 512 for a processor without XSAVE."""
    where: dict[int, tuple[int, int]]
    """Offset and size of each component above SSE."""

    def plain(self) -> dict[str, Any]:
        """For an image."""
        return {"size": self.size, "where": [[n, *place] for n, place in self.where.items()]}

    @staticmethod
    def of(given: Any) -> Layout:
        """The layout of an image; BadImage when it is none."""
        try:
            where = {int(n): (int(at), int(size)) for n, at, size in given["where"]}
            it = Layout(int(given["size"]), where)
        except (KeyError, TypeError, ValueError):
            raise BadImage("bad image: it does not say how its registers lie") from None
        floor = _HEADER + _HEADER_SIZE
        if any(at < floor or n < 2 or size < 0 or n > 62 for n, (at, size) in where.items()):
            raise BadImage("bad image: its registers lie where none can")
        return it


def convert(state: bytes, source: Layout, host: Layout) -> bytes:
    """`state` of a processor with the layout `source`, as one with the layout `host` has it.

    HostError: a component that the host lacks is in use.
    """
    if source == host and len(state) in (host.size, LEGACY_SIZE):
        return state
    used, values = components(state, source)
    lacking = [n for n in values if n not in host.where and _counts(n, values[n])]
    if lacking:
        names = " ".join(COMPONENTS.get(n, str(n)) for n in lacking)
        raise HostError(
            "this host's processor lacks registers that a thread of the pod is using",
            needed=names,
            found="a processor, or a kernel, without them",
            remedy="restore on a host that has them (CPUID leaf 0xd, XCR0)",
        )
    if host.size == LEGACY_SIZE:
        return state[:_ENABLED] + bytes(LEGACY_SIZE - _ENABLED)
    values = {n: value for n, value in values.items() if n in host.where}
    if _PKRU in host.where and _PKRU not in source.where:
        values[_PKRU] = struct.pack("<Q", _PKRU_AT_BEGIN)
    return _packed(state, used & _LEGACY, values, host)


def beginning(number: int, host: Layout) -> bytes:
    """What XRSTOR takes to load zeros into a component, as registers that are in use."""
    at, size = host.where[number]
    area = bytearray(at + size)
    struct.pack_into("<Q", area, _HEADER, 1 << number)
    return bytes(area)


def components(state: bytes, source: Layout) -> tuple[int, dict[int, bytes]]:
    """Which are in use, as bits, and the bytes of those above SSE; BadImage when they are not there."""
    if len(state) < LEGACY_SIZE or LEGACY_SIZE < len(state) < _HEADER + _HEADER_SIZE:
        raise BadImage("bad image: it has too little register state", found=f"{len(state)} bytes")
    used = _LEGACY
    if len(state) > LEGACY_SIZE:
        (used,) = struct.unpack_from("<Q", state, _HEADER)
    return used, {n: _component(n, state, source) for n in range(2, 64) if used >> n & 1}


def _component(number: int, state: bytes, source: Layout) -> bytes:
    at, size = source.where.get(number, (len(state), 1))
    if at + size > len(state):
        raise BadImage(f"bad image: it lacks the registers {COMPONENTS.get(number, number)}")
    return state[at : at + size]


def _counts(number: int, value: bytes) -> bool:
    """Is it other than a program finds it at its start?"""
    if number == _PKRU and int.from_bytes(value[:4], "little") == _PKRU_AT_BEGIN:
        return False
    return any(value)


def _packed(state: bytes, used: int, values: dict[int, bytes], host: Layout) -> bytes:
    made = bytearray(host.size)
    made[:LEGACY_SIZE] = state[:LEGACY_SIZE]
    enabled = _LEGACY
    for number in host.where:
        enabled |= 1 << number
    for number, value in values.items():
        at, size = host.where[number]
        if len(value) > size and any(value[size:]):
            raise HostError(
                f"this host's processor has other registers {COMPONENTS.get(number, number)}",
                needed=f"{len(value)} bytes of them",
                found=f"{size} bytes",
                remedy="restore on a host with the same kind of processor",
            )
        part = value[:size]
        made[at : at + len(part)] = part
        used |= 1 << number
    struct.pack_into("<Q", made, _ENABLED, enabled)
    struct.pack_into("<Q", made, _HEADER, used)
    return bytes(made)
