"""A pod of one process, which is the test itself: captured, killed and restored without ptrace.

    world.hold(fd, ...)         these fds are the pod's
    world.store(room, key, ...) what the room's C half would have noted
    world.capture(room)         its States, as they come back from an image
    world.kill()                the pod's fds are closed; their numbers stay taken
    world.restore(room, states) the numbers are the restored files

`round_trip(room)` does all of it, so a test looks at the same fd numbers before and after.

FrozenPod, Build, the image and the engine between them are the real ones. Not so what lies below:
the tracer, which has no process (`_Door`), and which fds and children a process shows in /proc.
Descriptors come and go by the fdtable room. A file of another room than the one under test
outlives kill(): restore() has it, as that room would have made it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from zaptrace import resources
from zaptrace.ids import Rpid, Vpid
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux import procfs
from zaptrace.linux.native import check, ffi, lib, new_error
from zaptrace.pod.checkpoint import Counting, capture
from zaptrace.pod.contents import read_rooms, read_stored
from zaptrace.pod.restore import fill
from zaptrace.resources import fdtable
from zaptrace.shapes import Seen
from zaptrace.view.build import CHANNEL, Build, BuildProcess, Stage
from zaptrace.view.frozen import FrozenFile, FrozenPod, Kept
from zaptrace.view.store import Stored, fill_store

VPID = 7
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_MAP_FIXED_NOREPLACE = 0x100000
_SOURCES = ("zaptrace._native", "zaptrace.linux.native")
"""Where modules have `lib` from; one that is loaded during a test shall not keep ours."""


class _Door:
    """csrc/api.h, for a pod whose one process is this one, and makes its system calls by itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(lib, name)

    def zt_pod_tasks(self, pod: Any, infos: Any, capacity: int) -> int:
        us, task = os.getpid(), infos[0]
        task.rtid, task.vtid, task.rpid, task.vpid = us, VPID, us, VPID
        task.stopped, task.left_ns = 1, -1
        return 1

    def zt_ids_to_virtual(self, pod: Any, rpid: int) -> int:
        """The tracer takes this process for the supervisor."""
        return VPID if rpid == os.getpid() else lib.zt_ids_to_virtual(pod, rpid)

    def zt_ids_peer(self, pod: Any, rpid: int) -> int:
        return VPID if rpid == os.getpid() else lib.zt_ids_peer(pod, rpid)

    def zt_loop_run_program(
        self, pod: Any, rtid: int, rows: Any, count: int, data: Any, size: int, done: Any, err: Any
    ) -> int:
        _map_stub_region()
        there = ffi.cast("void *", lib.zt_stub_data(count))
        ffi.memmove(there, data, size)
        for done[0] in range(count):
            row = rows[done[0]]
            args = [rows[a].result if row.flags >> i & 1 else a for i, a in enumerate(row.args)]
            result = _libc.syscall(*map(ctypes.c_long, (row.nr, *args)))
            row.result = result if result != -1 else -ctypes.get_errno()
            if row.result < 0 and row.flags & lib.ZT_ROW_MUST:
                err.kind = lib.ZT_ERR_PROGRAM
                return -1
        done[0] = count
        ffi.memmove(data, there, size)
        return 0


@functools.cache
def _map_stub_region() -> None:
    """Where programs have their data; every process of a pod has it."""
    start, end = lib.zt_stub_start(), lib.zt_stub_end()
    access = mmap.PROT_READ | mmap.PROT_WRITE
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    address = ctypes.c_void_p(start)
    got = _libc.mmap(address, ctypes.c_size_t(end - start), access, kind, -1, ctypes.c_long(0))
    assert got == start, "the addresses of the stub region are taken"


class World:
    """`stdio` and `tty_master` are the pod's; `build` is that of the last restore."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._tracers: list[Any] = []
        self._start_tracer(moved=False)
        door = _Door()
        for name, module in list(sys.modules.items()):
            if name.startswith("zaptrace.") and name not in _SOURCES and hasattr(module, "lib"):
                monkeypatch.setattr(module, "lib", door)
        monkeypatch.setattr(procfs, "fds", lambda rpid: sorted(self._held))
        monkeypatch.setattr(procfs, "children", lambda rpid: [])
        self.home = home
        self.stdio: dict[tuple[int, int], str] = {}
        self.kept, self.keeps = Kept(), False
        self.tty_master: int | None = None
        self.build: Build | None = None
        self.provided: set[int] = set()
        """The files that the room has made in the last restore, ..."""
        self.inodes: list[tuple[int, int]] = []
        """... and the inodes that it has replaced."""
        self._held: set[int] = set()
        self._images: list[Image] = []
        self._kept: dict[int, int] = {}
        self._tables: list[fdtable.State] = []
        self._lost: list[fdtable.State] = []
        self._room: ModuleType | None = None
        self.pod = self._look()

    @property
    def image(self) -> Image:
        """The last one."""
        return self._images[-1]

    def hold(self, *fds: int) -> FrozenFile:
        """These are the pod's; the open file of the first."""
        self._held.update(fds)
        self._refresh()
        file = self.pod.file_at(VPID, fds[0])
        assert file is not None
        return file

    def drop(self, fd: int) -> None:
        """It is the pod's no more."""
        self._held.discard(fd)
        self._refresh()

    def store(self, room: ModuleType, key: bytes, value: bytes) -> None:
        """As the room's C half would have done at a call."""
        fill_store(self.handle, [Stored(room.NAME, key, value)])

    def capture(self, room: ModuleType) -> list[Any]:
        self._refresh()
        told: list[Any] = []

        def tell(pod: FrozenPod) -> list[Any]:
            told.extend(room.capture(pod))
            return told

        rooms = [SimpleNamespace(NAME=room.NAME, capture=tell), fdtable]
        path = self.home / str(len(self._images))
        with DirectorySink(path) as sink:
            sink.commit(capture(self.pod, Counting(sink, None), rooms))
        self._images.append(Image.open(path))
        (_, states), (_, self._tables) = read_rooms(self.image, [room, fdtable], Seen())
        assert states == told
        self._room = room
        return states

    def kill(self) -> None:
        assert self._room is not None
        ours = self.pod.files(self._room.NAME)
        others = [file for file in self.pod.all_files if file not in ours]
        self._kept = {file.id: os.dup(file.local) for file in others}
        self._lost = self._tables
        self.pod.close()
        self.kept.close()
        self.kept = Kept()
        self._start_tracer(moved=True)
        null = os.open(os.devnull, os.O_RDWR)
        for number in self._held:
            os.dup2(null, number)
        os.close(null)

    def restore(self, room: ModuleType, states: list[Any], **given: Any) -> Build:
        """Fields of the build can be `given`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        stdin = os.dup(CHANNEL)
        stored = read_stored(self.image)
        fill_store(self.handle, stored)
        nobody = dict.fromkeys(("launch", "end", "stop", "go_on"), _nothing)
        made = {**nobody, "stored": stored, **given}
        self.build = build = Build(self.handle, self.image, "world", channel=ours, **made)
        build.processes[Vpid(VPID)] = BuildProcess(self.handle, Vpid(VPID), Rpid(os.getpid()))
        for file_id, fd in self._kept.items():
            build.provide(file_id, fd)
        # Files come through the channel, so our own 0 is away until they are there.
        back = SimpleNamespace(
            NAME="stdin", restore=lambda _, build: build.at(Stage.FILES, os.dup2, stdin, CHANNEL)
        )
        rooms: list[tuple[Any, list[Any]]] = [(fdtable, self._lost), (back, [])]
        earlier = resources.ROOMS.index(room) < resources.ROOMS.index(fdtable)
        rooms.insert(0 if earlier else len(rooms), (room, states))
        self._lost = []
        os.dup2(theirs.fileno(), CHANNEL)
        self.inodes = []
        build.at(Stage.RESUME, lambda: self.inodes.extend(build._inodes))
        try:
            with ours, theirs:
                fill(build, rooms)
        except BaseException:
            for deferred in build.before_thaw:
                deferred.give_up()
            raise
        finally:
            self.provided = {*build._files} - {*self._kept}
            self._kept = {}
            os.dup2(stdin, CHANNEL)
            os.close(stdin)
            build.close()
        waiting = [*build.before_thaw]
        try:
            while waiting:
                waiting[0].work()
                del waiting[0]
        finally:
            for deferred in waiting:
                with contextlib.suppress(OSError):
                    deferred.give_up()
        return build

    def round_trip(self, room: ModuleType, **given: Any) -> list[Any]:
        states = self.capture(room)
        self.kill()
        self.restore(room, states, **given)
        return states

    def close(self) -> None:
        self.pod.close()
        self.kept.close()
        for fd in (*self._held, *self._kept.values()):
            with contextlib.suppress(OSError):
                os.close(fd)
        for handle in self._tracers:
            lib.zt_pod_destroy(handle)

    @property
    def handle(self) -> Any:
        """The tracer's, of the pod as it lives now."""
        return self._tracers[-1]

    def _start_tracer(self, *, moved: bool) -> None:
        """It knows our number, and nothing of what the one before knew."""
        handle = lib.zt_pod_create(moved, 0, err := new_error())
        check(0 if handle else -1, err)
        lib.zt_ids_bind(handle, VPID, os.getpid())
        self._tracers.append(handle)

    def _look(self) -> FrozenPod:
        pod = FrozenPod(self.handle, "world", self.stdio, self.tty_master, self.kept)
        pod.keeps = self.keeps
        return pod

    def _refresh(self) -> None:
        """Look at it again, as a later freeze would."""
        self.pod.close()
        self.pod = self._look()


def _nothing(*_args: object) -> int:
    raise AssertionError("the world has one process")
