"""Syscall programs: lists of system calls that the stub makes in a process, in one go.

    p = Program()
    fd = p.call("openat", AT_FDCWD, p.string("/tmp/x"), os.O_RDONLY, 0)
    p.call("dup3", fd, 7, 0)
    p.call("close", fd)

A row that is an argument stands for its result. Every row must succeed unless it `may_fail`.
Where data lies in the process is decided when the program is run.
"""

from __future__ import annotations

import bisect
import errno
import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import MORE_PROCESSES
from .native import Array, Handle, NativeError, ProgramRow, check, ffi, lib, new_error

_ROW_SIZE = ffi.sizeof("zt_program_row")
_SMALL, _MADV_DONTNEED = 3 << 12, 4
_PIECE = 1 << 18  # of a program that is too large: what the stub touches stays in the process

_XRSTOR = "XRSTOR"
"""Stands for a call's name in a row that is none."""


@dataclass(frozen=True)
class Row:
    """The result of a row, to be used as an argument of later ones."""

    index: int


@dataclass(frozen=True)
class Data:
    """Bytes that lie in the process while the program runs; `at(n)` is n bytes further on."""

    offset: int
    size: int

    def at(self, distance: int) -> Data:
        return Data(self.offset + distance, self.size - distance)


Argument = int | Row | Data


def number_of(name: str) -> int:
    """The number of a system call on this architecture (a row of csrc/syscalls.py)."""
    return _numbers()[name]


@functools.cache
def _numbers() -> dict[str, int]:
    names = ((nr, lib.zt_call_name(nr)) for nr in range(lib.zt_call_count()))
    return {ffi.string(name).decode(): nr for nr, name in names if name}


def give_back(program: Program) -> None:
    """The stub's memory that larger programs have used; the last row of a program of few.

    It stays where the process has locked all that it has, the stub with it (mlockall(2)).
    """
    first = lib.zt_stub_data(0) + _SMALL
    size = lib.zt_stub_end() - first
    program.call("madvise", first, size, _MADV_DONTNEED, may_fail=True)


@dataclass
class Program:
    """A list of system calls, with the data that they need."""

    rows: list[tuple[str, tuple[Argument, ...], bool]] = field(default_factory=list)
    _data: bytearray = field(default_factory=bytearray)

    def call(self, name: str, *args: Argument, may_fail: bool = False) -> Row:
        """Append a call; the value returned stands for its result."""
        self.rows.append((name, args, may_fail))
        return Row(len(self.rows) - 1)

    def load_registers(self, area: Data, components: int) -> Row:
        """Append an XRSTOR of `components` (xstate.py) from `area`, at a multiple of 64; no call."""
        self.rows.append((_XRSTOR, (area, components & 0xFFFFFFFF, components >> 32), False))
        return Row(len(self.rows) - 1)

    def data(self, content: bytes) -> Data:
        """Constant bytes, aligned to 16."""
        offset = -(-len(self._data) // 16) * 16
        self._data += bytes(offset - len(self._data)) + content
        if self._starts[-1:] != [offset]:
            self._starts.append(offset)
        return Data(offset, len(content))

    def string(self, text: str | bytes) -> Data:
        """A NUL-terminated string."""
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        return self.data(raw + b"\0")

    def strings(self, texts: list[bytes]) -> Data:
        """A NULL-terminated array of pointers to strings, as argv is."""
        items = [self.string(text) for text in texts]
        table = self.data(bytes(8 * (len(items) + 1)))
        self._pointers += [(table.offset + 8 * i, item) for i, item in enumerate(items)]
        return table

    def pointer(self, content: bytes, pointers: dict[int, Data]) -> Data:
        """A struct: constant bytes, with the address of other data at some offsets."""
        placed = self.data(content)
        self._pointers += [(placed.offset + at, target) for at, target in pointers.items()]
        return placed

    def buffer(self, size: int) -> Data:
        """Zero bytes for the kernel to write to; Results.bytes gives them back."""
        return self.data(bytes(size))

    _pointers: list[tuple[int, Data]] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that it needs in the stub region."""
        return len(self.rows) * _ROW_SIZE + len(self._data)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def run(self, pod: Handle, rtid: int) -> Results:
        """Run it in a thread that is at rest. `pod` is the tracer's.

        What is more than the stub takes at once is run in pieces, one after the other.
        Raises ProgramError when a row that must succeed fails, TraceeGone when the thread dies.
        """
        values: list[int] = []
        for first, end, places in self._pieces():
            values += self._run_piece(pod, rtid, first, end, places, values)
        return Results(values, bytes(self._data))

    def _pieces(self) -> Iterator[tuple[int, int, dict[int, int]]]:
        """Rows (first, end), and where in the data of that piece which of our data lies."""
        capacity = lib.zt_stub_capacity()
        if self.size <= capacity:
            yield 0, len(self.rows), {start: start for start in self._starts}
            return
        capacity = min(capacity, _PIECE)
        pointers: dict[int, list[int]] = {}
        for at, target in self._pointers:
            pointers.setdefault(self._start_of(at), []).append(self._start_of(target.offset))
        first, places, size = 0, dict[int, int](), 0
        for i, (_name, args, _may_fail) in enumerate(self.rows):
            needed = self._reached(args, pointers)
            new = [start for start in needed if start not in places]
            more = _ROW_SIZE + sum(map(self._room_of, new))
            if size + more > capacity and i > first:
                yield first, i, places
                first, places, size = i, {}, 0
                new = needed
                more = _ROW_SIZE + sum(map(self._room_of, new))
            used = size - _ROW_SIZE * (i - first)
            for start in new:
                places[start] = used
                used += self._room_of(start)
            size += more
        yield first, len(self.rows), places

    def _reached(self, args: tuple[Argument, ...], pointers: dict[int, list[int]]) -> list[int]:
        """Where the data starts that a row names, and what that points to."""
        found = [self._start_of(arg.offset) for arg in args if isinstance(arg, Data)]
        for start in found:
            found += [s for s in pointers.get(start, ()) if s not in found]
        return list(dict.fromkeys(found))

    def _start_of(self, offset: int) -> int:
        return self._starts[bisect.bisect_right(self._starts, offset) - 1]

    def _end_of(self, start: int) -> int:
        i = bisect.bisect_right(self._starts, start)
        return self._starts[i] if i < len(self._starts) else len(self._data)

    def _room_of(self, start: int) -> int:
        return -(-(self._end_of(start) - start) // 16) * 16

    def _run_piece(
        self,
        pod: Handle,
        rtid: int,
        first: int,
        end: int,
        places: dict[int, int],
        earlier: list[int],
    ) -> list[int]:
        base = lib.zt_stub_data(end - first)
        rows = ffi.new("zt_program_row[]", end - first)

        def address(offset: int) -> int:
            start = self._start_of(offset)
            return base + places[start] + offset - start

        for row, (name, args, may_fail) in zip(rows, self.rows[first:end], strict=True):
            flags = 0 if may_fail else lib.ZT_ROW_MUST
            if name == _XRSTOR:
                flags |= lib.ZT_ROW_XRSTOR
            else:
                row.nr = number_of(name)
            for i, arg in enumerate(args):
                if isinstance(arg, Row):
                    if arg.index < first:
                        row.args[i] = earlier[arg.index] & 0xFFFFFFFFFFFFFFFF
                    else:
                        flags |= 1 << i
                        row.args[i] = arg.index - first
                elif isinstance(arg, Data):
                    row.args[i] = address(arg.offset)
                else:
                    row.args[i] = arg & 0xFFFFFFFFFFFFFFFF
            row.flags = flags
        for at, target in self._pointers:
            if self._start_of(at) in places:
                struct.pack_into("<Q", self._data, at, address(target.offset))
        data = bytearray(max((p + self._room_of(s) for s, p in places.items()), default=0))
        for start, place in places.items():
            content = self._data[start : self._end_of(start)]
            data[place : place + len(content)] = content
        self._call(pod, rtid, rows, first, data)
        for start, place in places.items():
            size = self._end_of(start) - start
            self._data[start : start + size] = data[place : place + size]
        return [row.result for row in rows]

    def _call(
        self, pod: Handle, rtid: int, rows: Array[ProgramRow], first: int, data: bytearray
    ) -> None:
        count = len(rows)
        done = ffi.new("uint32_t *")
        err = new_error()
        view = ffi.from_buffer(data) if data else ffi.NULL
        failed = lib.zt_loop_run_program(pod, rtid, rows, count, view, len(data), done, err)
        if failed and err.kind == lib.ZT_ERR_PROGRAM and done[0] < count:
            raise ProgramError(self, rtid, first, done[0], rows)
        check(failed, err)


class Results:
    """What the rows of a program answered: `results[row]`, and `results.bytes(buffer)`."""

    def __init__(self, values: list[int], data: bytes) -> None:
        self._values = values
        self._data = data

    def __getitem__(self, row: Row) -> int:
        return self._values[row.index]

    def bytes(self, data: Data) -> bytes:
        return self._data[data.offset : data.offset + data.size]


class ProgramError(NativeError):
    """A row that had to succeed did not; `trace` shows the rows up to it."""

    def __init__(
        self, program: Program, rtid: int, piece: int, failed: int, rows: Array[ProgramRow]
    ) -> None:
        name = program.rows[piece + failed][0]
        code = -rows[failed].result
        symbol = errno.errorcode.get(code, str(code))
        super().__init__(f"{name} in process {rtid} failed with {symbol}", lib.ZT_ERR_PROGRAM, code)
        self.failed = piece + failed
        first = max(0, failed - 8)
        self.trace = "\n".join(
            f"{piece + i:4} {program.rows[piece + i][0]}"
            f"({', '.join(hex(a) for a in rows[i].args)}) = {rows[i].result}"
            for i in range(first, failed + 1)
        )
        self.found = "\n           ".join(self.trace.splitlines())
        if code in (errno.EPERM, errno.ENOSYS):
            self.do = (
                f"where a container's seccomp profile denies {name}: allow it, or go elsewhere"
            )
        if code == errno.EAGAIN and name == "clone":
            self.do = MORE_PROCESSES
