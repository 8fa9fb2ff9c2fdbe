"""Syscall programs: lists of system calls that the stub makes in a process, in one go.

    p = Program()
    fd = p.call("openat", AT_FDCWD, p.string("/tmp/x"), os.O_RDONLY, 0)
    p.call("dup3", fd, 7, 0)
    p.call("close", fd)

A row that is an argument stands for its result. Every row must succeed unless it `may_fail`.
Where data lies in the process is decided when the program is run.
"""

from __future__ import annotations

import errno
import functools
import struct
from dataclasses import dataclass, field

from .native import Array, Handle, NativeError, ProgramRow, check, ffi, lib, new_error


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


@dataclass
class Program:
    """A list of system calls, with the data that they need."""

    rows: list[tuple[str, tuple[Argument, ...], bool]] = field(default_factory=list)
    _data: bytearray = field(default_factory=bytearray)

    def call(self, name: str, *args: Argument, may_fail: bool = False) -> Row:
        """Append a call; the value returned stands for its result."""
        self.rows.append((name, args, may_fail))
        return Row(len(self.rows) - 1)

    def data(self, content: bytes) -> Data:
        """Constant bytes, aligned to 16."""
        offset = -(-len(self._data) // 16) * 16
        self._data += bytes(offset - len(self._data)) + content
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

    @property
    def size(self) -> int:
        """Bytes that it needs in the stub region."""
        return len(self.rows) * ffi.sizeof("zt_program_row") + len(self._data)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def run(self, pod: Handle, rtid: int) -> Results:
        """Run it in a thread that is at rest. `pod` is the tracer's.

        Raises ProgramError when a row that must succeed fails, TraceeGone when the thread dies.
        """
        count = len(self.rows)
        base = lib.zt_stub_data(count)
        for at, target in self._pointers:
            struct.pack_into("<Q", self._data, at, base + target.offset)
        rows = ffi.new("zt_program_row[]", count)
        for row, (name, args, may_fail) in zip(rows, self.rows, strict=True):
            row.nr = number_of(name)
            flags = 0 if may_fail else lib.ZT_ROW_MUST
            for i, arg in enumerate(args):
                if isinstance(arg, Row):
                    flags |= 1 << i
                    row.args[i] = arg.index
                elif isinstance(arg, Data):
                    row.args[i] = base + arg.offset
                else:
                    row.args[i] = arg & 0xFFFFFFFFFFFFFFFF
            row.flags = flags
        data = ffi.from_buffer(self._data) if self._data else ffi.NULL
        done = ffi.new("uint32_t *")
        err = new_error()
        failed = lib.zt_program_run(pod, rtid, rows, count, data, len(self._data), done, err)
        if failed and err.kind == lib.ZT_ERR_PROGRAM and done[0] < count:
            raise ProgramError(self, rtid, done[0], -rows[done[0]].result, rows)
        check(failed, err)
        return Results([row.result for row in rows], bytes(self._data))


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
        self, program: Program, rtid: int, failed: int, code: int, rows: Array[ProgramRow]
    ) -> None:
        name = program.rows[failed][0]
        symbol = errno.errorcode.get(code, str(code))
        super().__init__(f"{name} in process {rtid} failed with {symbol}", lib.ZT_ERR_PROGRAM, code)
        self.failed = failed
        first = max(0, failed - 8)
        self.trace = "\n".join(
            f"{i:4} {program.rows[i][0]}({', '.join(hex(a) for a in rows[i].args)}) = {rows[i].result}"
            for i in range(first, failed + 1)
        )
        self.found = "\n           ".join(self.trace.splitlines())
