"""A syscall program that is larger than the stub takes is run in pieces, and nobody can tell."""

from __future__ import annotations

import errno
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from zaptrace.linux import program as module
from zaptrace.linux.native import ffi, lib
from zaptrace.linux.program import Program, ProgramError

BASE, CAPACITY = 1 << 40, 4096
FAILS = 0xBAD


class Stub:
    """In place of a process: a call answers the sum of its arguments, of data the word there, and
    leaves its answer in the data of its last argument."""

    def __init__(self) -> None:
        self.pieces: list[int] = []

    def run(
        self, pod: Any, rtid: int, rows: Any, count: int, data: Any, size: int, done: Any, err: Any
    ) -> int:
        assert count * ffi.sizeof("zt_program_row") + size <= CAPACITY
        self.pieces.append(count)
        memory, start = ffi.buffer(data, size) if size else bytearray(), self.data(count)
        for i, row in enumerate(rows):
            total = 0
            for n, arg in enumerate(row.args):
                if row.flags & 1 << n:
                    assert arg < i
                    total += rows[arg].result
                elif arg >= BASE:
                    (word,) = struct.unpack_from("<Q", memory, arg - start)
                    if word >= BASE:  # a pointer
                        (word,) = struct.unpack_from("<Q", memory, word - start)
                    total += word
                elif arg == FAILS:
                    code = row.args[1] or errno.EBADF
                    row.result, done[0], err.kind = -code, i, lib.ZT_ERR_PROGRAM
                    return -1
                else:
                    total += arg
            if row.args[5] >= BASE:
                struct.pack_into("<Q", memory, row.args[5] - start, total)
            row.result = total
        done[0] = count
        return 0

    def data(self, rows: int) -> int:
        return BASE + rows * int(ffi.sizeof("zt_program_row"))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    known = {
        name: getattr(lib, name) for name in ("ZT_ROW_MUST", "ZT_ROW_XRSTOR", "ZT_ERR_PROGRAM")
    }
    fake = SimpleNamespace(
        **known,
        zt_stub_capacity=lambda: CAPACITY,
        zt_stub_data=stub.data,
        zt_loop_run_program=stub.run,
    )
    module.number_of("close")  # before there is no table
    monkeypatch.setattr(module, "lib", fake)
    return stub


def word(number: int) -> bytes:
    return struct.pack("<Q", number)


def test_results_data_and_pointers_reach_across_pieces(stub: Stub) -> None:
    program = Program()
    first = program.call("close", 1)
    shared = program.data(word(100))
    pointer = program.pointer(bytes(8), {0: shared})
    into = program.buffer(8)
    last = first
    for i in range(500):
        own = program.data(word(i) + bytes(i % 40))
        last = program.call("close", first, own, pointer, 1000, 0, into)
    total = program.call("close", last, into)
    results = program.run(None, 1)
    assert len(stub.pieces) > 10 and sum(stub.pieces) == 502
    expected, held = 0, 0
    for i in range(500):
        expected = 1 + i + 100 + 1000 + held
        held = expected
    assert results[last] == expected
    assert results[total] == 2 * expected
    assert struct.unpack("<Q", results.bytes(into)) == (expected,)


def test_a_small_one_is_one_piece(stub: Stub) -> None:
    program = Program()
    program.call("close", program.data(b""), program.data(word(3)))
    for _ in range(9):
        program.call("close", 1)
    program.run(None, 1)
    assert stub.pieces == [10]


def test_the_row_that_failed_is_named_by_its_place_in_the_whole(stub: Stub) -> None:
    program = Program()
    for i in range(200):
        program.call("close", i)
    program.call("munmap", FAILS, 0, 5)
    program.call("close", 0)
    with pytest.raises(ProgramError, match="munmap in process 1 failed with EBADF") as error:
        program.run(None, 1)
    assert error.value.failed == 200
    assert " 200 munmap(0xbad, 0x0, 0x5" in error.value.trace


@pytest.mark.parametrize(
    ("name", "code", "remedy"),
    [
        ("clone", errno.EAGAIN, "ulimit -u, or the container's pids limit"),
        ("set_mempolicy", errno.EPERM, "a container's seccomp profile denies set_mempolicy"),
        ("fcntl", errno.EAGAIN, ""),
    ],
)
def test_what_the_host_refuses_says_what_to_do(
    stub: Stub, name: str, code: int, remedy: str
) -> None:
    program = Program()
    program.call(name, FAILS, code)
    with pytest.raises(ProgramError, match=f"failed with {errno.errorcode[code]}") as error:
        program.run(None, 1)
    assert remedy in (error.value.do or "") and bool(remedy) == bool(error.value.do)
