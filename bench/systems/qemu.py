"""QEMU: a whole virtual machine, suspended to a file by migration, or into its disk by savevm.

By KVM where a guest boots with it; else by TCG, which translates every instruction, and then every
table of the report says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .. import asroot
from ..guests.image import MINIMAL, SERVER, Image, command_line, programs
from ..guests.line import Line, connected
from ..system import PATIENCE_S, Inside, LateError, Load, NotOfferedError, RefusedError, System
from ..throttle import Throttle
from ..tools import ended_well, first_line, until
from ._pods import idle, memory

MEMORY_MIB = 2048
_BOOT_S = 600.0
_KVM_S = 60.0
_SAVE_S = 300.0


@cache
def kvm() -> bool:
    """Does a kernel say anything under it?"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not MINIMAL.there():
        return False
    try:
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "512", "-nodefaults",
             "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(MINIMAL.kernel),
             "-append", "console=ttyS0 panic=-1"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_KVM_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return b"Linux version" in (late.stdout or b"")
    return b"Linux version" in done.stdout


class Monitor:
    """QEMU's own line (QMP)."""

    def __init__(self, path: Path) -> None:
        until(path.exists, f"the monitor {path}", 60.0, pause=0.005)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_SAVE_S)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rw")
        self._file.readline()  # its greeting
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: Any) -> Any:
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while line := self._file.readline():
            told = json.loads(line)
            if "error" in told:
                raise RefusedError(f"{command}: {told['error'].get('desc')}")
            if "return" in told:
                return told["return"]
        raise RefusedError(f"{command}: the machine went away")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Machine:
    """One process of QEMU. `out` is what the guest writes to its third serial line."""

    def __init__(
        self, image: Image, place: Path, disk: Path, out: Path, *more: str, boots: bool = True
    ) -> None:
        """`place` is its own; programs and disk may be another's."""
        place.mkdir(exist_ok=True)
        monitor, line = (place / name for name in ("monitor", "line"))
        for path in (monitor, line):
            path.unlink(missing_ok=True)
        words = "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check"
        accel = ("kvm", "host") if kvm() else ("tcg", "max")
        command = [
            "qemu-system-x86_64", "-M", "pc", "-accel", accel[0], "-cpu", accel[1],
            "-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", image.kernel, "-initrd", image.ramdisk, "-append", f"{words} init={image.init}",
            "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe",
            "-drive", f"file={disk.with_name('programs.raw')},if=virtio,format=raw,readonly=on",
            "-qmp", f"unix:{monitor},server=on,wait=off",
            "-serial", f"file:{place / 'console'}",
            "-chardev", f"socket,id=line,path={line},server=on,wait=off", "-serial", "chardev:line",
            "-chardev", f"file,id=out,path={out},append=on", "-serial", "chardev:out", *more,
        ]  # fmt: skip
        with (place / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.monitor = Monitor(monitor)
            self.line = Line(connected(line, 60.0))
            if boots:
                self.line.until("@up\n", _BOOT_S)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for name in ("monitor", "line"):
            if there := getattr(self, name, None):
                there.close()


class GuestLoad(Load):
    def __init__(self, inside: QemuInside, argv: Sequence[str]) -> None:
        self._inside, self.out = inside, inside.out
        os.truncate(self.out, 0)
        command = (
            f"stty -F /dev/ttyS2 raw -echo; {command_line([*argv])} >/dev/ttyS2 2>&1 & echo $!"
        )
        self._pid = inside.machine.line.run(command, PATIENCE_S).split()[-1]

    def freeze(self) -> None:
        self._inside.machine.monitor("stop")

    def thaw(self) -> None:
        self._inside.machine.monitor("cont")

    def suspend(self, to: Path) -> None:
        to.mkdir()
        self._inside.suspend(to)

    def resume(self, state: Path) -> None:
        self._inside.resume(state)

    def move(self, by: Throttle) -> None:
        self._inside.move(by)

    def close(self) -> None:
        self._inside.end_of(self._pid)


class QemuInside(Inside):
    """A guest that is there all the time; loads of it come and go."""

    def __init__(self, image: Image, place: Path) -> None:
        self.image, self.place = image, place
        self.disk, self.out = place / "disk.qcow2", place / "out"
        self._machines = 0
        programs(place)
        self.machine = self._boot()

    def _boot(self, *more: str, boots: bool = True) -> Machine:
        if boots:
            self.disk.unlink(missing_ok=True)
            backing = ["-b", str(self.image.disk), "-F", "qcow2", str(self.disk)]
            ended_well(["qemu-img", "create", "-q", "-f", "qcow2", *backing])
            self.out.write_bytes(b"")
        self._machines += 1
        own = self.place / f"m{self._machines}"
        return Machine(self.image, own, self.disk, self.out, *more, boots=boots)

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        return self.machine.line.run(command_line([*argv]), patience_s)

    def start(self, argv: Sequence[str]) -> Load:
        return GuestLoad(self, argv)

    def start_to_move(self, argv: Sequence[str]) -> Load:
        return self.start(argv)

    def move(self, by: Throttle) -> None:
        """Live: memory is sent while it runs, and again where it was written to, until little is left."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        there = self._boot("-incoming", f"tcp:127.0.0.1:{port}", boots=False)
        try:
            self.machine.monitor("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            self.machine.monitor("migrate", uri=f"tcp:127.0.0.1:{by.to(port)}")
            self._until_moved()
        except BaseException:
            there.end()
            raise
        self.machine.end()
        self.machine = there

    def start_anew(self) -> tuple[float, float | None]:
        """Boot, and be told to do nothing."""
        self.machine.end()
        began = time.perf_counter()
        self.machine = self._boot()
        self.run(["true"])
        return 1e3 * (time.perf_counter() - began), None

    def command(self, case: str, place: Path) -> list[tuple[str, float, str]]:
        if case != "1 pods":
            raise NotOfferedError("is looked at alone")
        took, _ = self.start_anew()
        pids = [self.machine.process.pid]
        return [("start", took, "ms"), *memory(pids), *idle(pids)]

    def suspend(self, to: Path) -> None:
        """All of its memory in a file, by the way of a migration that is not held back."""
        monitor = self.machine.monitor
        monitor("stop")
        monitor("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        monitor("migrate", uri=f"exec:cat >{to / 'machine'}")
        self._until_moved()
        self.machine.end()
        shutil.copy(self.disk, to / "disk.qcow2")

    def _until_moved(self) -> None:
        deadline = time.monotonic() + _SAVE_S
        while (how := self.machine.monitor("query-migrate").get("status")) != "completed":
            if how in ("failed", "cancelled"):
                raise RefusedError(f"migrate: {how}")
            if time.monotonic() > deadline:
                raise LateError(f"migrate: {how} after {_SAVE_S:.0f} s")
            time.sleep(0.005)

    def resume(self, state: Path) -> None:
        more = ("-incoming", f"exec:cat {state / 'machine'}")
        self.machine = self._boot(*more, boots=False)
        monitor = self.machine.monitor
        until(
            lambda: monitor("query-status")["status"] != "inmigrate",
            "all of it",
            _SAVE_S,
            pause=0.005,
        )
        monitor("cont")

    def end_of(self, pid: str) -> None:
        """A guest that is not as it was is made anew."""
        try:
            if self.machine.process.poll() is not None:
                raise RefusedError("it is not there")
            self.machine.monitor("cont")
            self.machine.line.run(f"kill -9 {pid}; sleep 0.2", 30.0)
        except (RefusedError, LateError, OSError):
            self.machine.end()
            self.machine = self._boot()


class SavevmInside(QemuInside):
    def suspend(self, to: Path) -> None:
        """A snapshot within the disk, which is then the whole state; it stays stopped, or it would go on
        until it is ended."""
        self.machine.monitor("stop")
        said = self.machine.monitor("human-monitor-command", **{"command-line": "savevm bench"})
        if said.strip():
            raise RefusedError(f"savevm: {said.strip()}")
        self.machine.end()
        shutil.move(self.disk, to / "disk.qcow2")

    def resume(self, state: Path) -> None:
        shutil.copy(state / "disk.qcow2", self.disk)
        self.machine = self._boot("-loadvm", "bench", boots=False)
        self.machine.monitor("cont")


class Minimal(System):
    name = "qemu-minimal"
    programs = ("qemu-system-x86_64", "qemu-img", "mke2fs", "mmdebstrap")
    packages = ("qemu-system-x86", "qemu-utils", "e2fsprogs", "mmdebstrap")
    about = f"a virtual machine of {MEMORY_MIB} MiB with a minimal guest, suspended by migration to a file"
    image = MINIMAL
    inside: type[QemuInside] = QemuInside

    @property
    def words(self) -> str:  # type: ignore[override]
        return "virtual machines by " + (
            "KVM" if kvm() else "TCG: emulated, as there is no KVM here"
        )

    def missing(self) -> str | None:
        if line := super().missing():
            return line
        if not self.image.there() and not asroot.offered():
            return "as root once, to make the guest: make bench-all"
        return None

    def version(self) -> str:
        found = re.search(r"version (\S+)", first_line(["qemu-system-x86_64", "--version"]))
        return f"QEMU {found[1] if found else '?'}, {'KVM' if kvm() else 'TCG'}"

    def supports(self, experiment: str) -> bool:
        return experiment not in ("many", "units")

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        if not self.image.there():
            self.image.make()
        inside = self.inside(self.image, place)
        try:
            yield inside
        finally:
            inside.machine.end()


class Savevm(Minimal):
    name = "qemu-minimal-savevm"
    about = "the same, suspended by a snapshot into its disk (savevm, loadvm)"
    inside = SavevmInside

    def supports(self, experiment: str) -> bool:
        return experiment == "suspend"


class Server(Minimal):
    name = "qemu-server"
    about = f"a virtual machine of {MEMORY_MIB} MiB with the services of a server, suspended by migration"
    image = SERVER

    def supports(self, experiment: str) -> bool:
        return experiment in ("suspend", "applications", "start")
