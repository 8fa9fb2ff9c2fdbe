"""Register state that the kernel keeps on a stack while a signal handler runs.

It is in the layout of the processor that ran then, and the kernel of another would take it for what it
is not, or, where there is more of it than that saves, forget all but x87 and SSE (arch/x86/kernel/fpu/
signal.c). So on a host with another layout it is converted where it lies.

    0       what XSAVE wrote (xstate.py)
    464     0x46505853, 4 bytes: the size of all, 8: the components saved, 4: the size of the state
    size    0x46505845
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import HostError
from . import xstate
from .xstate import Layout

_FIRST, _LAST = 0x46505853, 0x46505845
_SAID = struct.Struct("<IIQI")
_SAID_AT = 464
_ALIGNED = 64
_SMALLEST = 576
_POINTERS_AT, _CODE_AT, _STATE_AT, _USER_CODE = 120, 144, 184, 0x33
"""In a struct sigcontext: rsp and rip, cs, and the address of that state."""
_DYNAMIC = (17, 18)
"""Of Intel AMX: in a frame only if the process has asked for it."""


def converted(
    stack: bytes, address: int, source: Layout, host: Layout
) -> Iterator[tuple[int, bytes]]:
    """What is to be written where in a piece of a stack that begins at `address`.

    HostError: the host lacks registers that are in use there, or has no room for them.
    """
    if source == host or source.size == xstate.LEGACY_SIZE:
        return
    for at, size in _states(stack, address):
        yield address + at, _convert(stack[at : at + size], source, host)


def interrupted(stack: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Of each handler that runs: the instruction that it returns to, and the stack pointer there."""
    for at, _ in _states(stack, address):
        pointer = struct.pack("<Q", address + at)
        found = stack.find(pointer, 0, at)
        while found >= 0:
            begin = found - _STATE_AT
            if begin >= 0 and stack[begin + _CODE_AT] == _USER_CODE:
                rsp, rip = struct.unpack_from("<QQ", stack, begin + _POINTERS_AT)
                yield rip, rsp
            found = stack.find(pointer, found + 1, at)


def _states(stack: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Where one is in a piece of a stack, and its size."""
    mark = struct.pack("<I", _FIRST)
    found = stack.find(mark)
    while found >= 0:
        at = found - _SAID_AT
        if at >= 0 and (address + at) % _ALIGNED == 0 and (size := _size(stack, at)):
            yield at, size
        found = stack.find(mark, found + 1)


def _size(stack: bytes, at: int) -> int:
    """Of the state in the frame there, 0 if there is none."""
    _, whole, _, size = _SAID.unpack_from(stack, at + _SAID_AT)
    if size < _SMALLEST or whole != size + 4 or at + whole > len(stack):
        return 0
    (last,) = struct.unpack_from("<I", stack, at + size)
    return size if last == _LAST else 0


def _convert(state: bytes, source: Layout, host: Layout) -> bytes:
    """As much room as there was, and no more than the host's kernel saves by itself."""
    _, _, saved, size = _SAID.unpack_from(state, _SAID_AT)
    if host.where.keys() - source.where.keys():  # those begin anew when the handler returns
        host = Layout(host.size, {n: at for n, at in host.where.items() if n in source.where})
    whole = xstate.convert(state, source, host)
    ends = {n: at + length for n, (at, length) in host.where.items() if n not in _DYNAMIC}
    used = struct.unpack_from("<Q", whole, 512)[0] if len(whole) >= _SMALLEST else 0
    needed = max((end for n, end in ends.items() if used >> n & 1), default=_SMALLEST)
    own = min(size, max(ends.values(), default=_SMALLEST))
    if needed > own or any(used >> n & 1 for n in _DYNAMIC):
        raise HostError(
            "a signal handler is running, and this host's processor would need more room on its stack",
            needed=f"{max(needed, own)} bytes",
            found=f"{size} bytes",
            remedy="restore on a host with the same kind of processor",
        )
    made = bytearray(whole[:own].ljust(own, b"\0"))
    known = 3 | sum(1 << n for n in host.where if n not in _DYNAMIC)
    _SAID.pack_into(made, _SAID_AT, _FIRST, own + 4, saved & known, own)
    return bytes(made) + struct.pack("<I", _LAST)
