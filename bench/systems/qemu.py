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
from ..guests.image import MICRO, MINIMAL, SERVER, Image, command_line, programs, programs_in_ram
from ..guests.line import Line, connected
from ..system import (
    PATIENCE_S,
    EndlessError,
    Inside,
    LateError,
    Load,
    NotOfferedError,
    RefusedError,
    System,
)
from ..throttle import Throttle
from ..tools import ended_well, first_line, until
from ._pods import idle, memory

MEMORY_MIB = 2048
_BOOT_S = 600.0
_KVM_S = 60.0
_THERE_S = 60.0
"""Until a machine that was started has its lines."""
_SAVE_S = 300.0
_LIVE_S = 60.0
"""So long a live migration may take: at 100 Mbit/s the memory of a guest goes there twice."""
_MICRO = "microvm,acpi=off,rtc=on,pit=on,pic=on,isa-serial=on"


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
        self._socket = connected(path, _THERE_S)
        self._socket.settimeout(PATIENCE_S)
        self._file, self._asked = self._socket.makefile("rw"), 0
        self._file.readline()  # its greeting
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: Any) -> Any:
        self._asked += 1
        asked = {"execute": command, "arguments": arguments, "id": self._asked}
        self._file.write(json.dumps(asked) + "\n")
        self._file.flush()
        while line := self._line(command):
            told = json.loads(line)
            if told.get("id") != self._asked:  # news, or the answer to one who was interrupted
                continue
            if "error" in told:
                raise RefusedError(f"{command}: {told['error'].get('desc')}")
            if "return" in told:
                return told["return"]
        raise RefusedError(f"{command}: the machine went away")

    def _line(self, command: str) -> str:
        try:
            return self._file.readline()
        except TimeoutError:
            raise LateError(f"{command}: no answer in {PATIENCE_S:.0f} s") from None

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what was still to be written to one that is gone
            self._file.close()
        self._socket.close()


class Machine:
    """One process of QEMU. `out` is what the guest writes to its third serial line."""

    def __init__(
        self, image: Image, place: Path, disk: Path, out: Path, *more: str, boots: bool = True
    ) -> None:
        """`place` is its own; programs and disk may be another's. What is all in ram has its ram disk
        as `disk`."""
        place.mkdir(exist_ok=True)
        self._console = place / "console"
        monitor, line = (place / name for name in ("monitor", "line"))
        for path in (monitor, line):
            path.unlink(missing_ok=True)
        words = "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check"
        accel = ("kvm", "host") if kvm() else ("tcg", "max")
        common = [
            "qemu-system-x86_64", "-accel", accel[0], "-cpu", accel[1], "-m", str(MEMORY_MIB),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", image.kernel, "-qmp", f"unix:{monitor},server=on,wait=off",
            "-serial", f"file:{self._console}",
            "-chardev", f"socket,id=line,path={line},server=on,wait=off",
            "-chardev", f"file,id=out,path={out},append=on",
        ]  # fmt: skip
        if image.in_ram:
            own = [
                "-M", _MICRO, "-initrd", disk, "-append", f"{words} tsc=reliable rdinit={image.init}",
                "-device", "isa-serial,chardev=line,iobase=0x2f8,irq=3",
                "-device", "isa-serial,chardev=out,iobase=0x3e8,irq=4",
            ]  # fmt: skip
        else:
            own = [
                "-M", "pc", "-initrd", image.ramdisk, "-append", f"{words} init={image.init}",
                "-serial", "chardev:line", "-serial", "chardev:out",
                "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe",
                "-drive", f"file={disk.with_name('programs.raw')},if=virtio,format=raw,readonly=on",
            ]  # fmt: skip
        command = [*common, *own, *more]
        with (place / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.monitor = Monitor(monitor)
            self.line = Line(connected(line, _THERE_S))
            if boots:
                self.line.until("@up\n", _BOOT_S)
        except BaseException:
            self.end()
            raise

    def last_words(self) -> str:
        """Empty while it is there."""
        if self.process.poll() is None:
            return ""
        said = self._console.read_text(errors="replace") if self._console.exists() else ""
        panics = re.findall(r"Kernel panic.*", said)
        return f"its machine ended: {panics[-1] if panics else 'status ' + str(self.process.returncode)}"

    def end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
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

    def ended(self) -> str:
        return self._inside.machine.last_words()

    def close(self) -> None:
        self._inside.end_of(self._pid)


class QemuInside(Inside):
    """A guest that is there all the time; loads of it come and go."""

    def __init__(self, image: Image, place: Path) -> None:
        self.image, self.place = image, place
        self.out, self._machines = place / "out", 0
        if image.in_ram:
            self.disk = programs_in_ram(image, place)
        else:
            self.disk = place / "disk.qcow2"
            programs(place)
        self._machine: Machine | None = self._boot()

    @property
    def machine(self) -> Machine:
        """Made anew where it was ended, for who comes next."""
        self._machine = self._machine or self._boot()
        return self._machine

    @machine.setter
    def machine(self, other: Machine) -> None:
        self._machine = other

    def end(self) -> None:
        machine, self._machine = self._machine, None
        if machine:
            machine.end()

    def _boot(self, *more: str, boots: bool = True) -> Machine:
        if boots:
            self.out.write_bytes(b"")
        if boots and not self.image.in_ram:
            self.disk.unlink(missing_ok=True)
            backing = ["-b", str(self.image.disk), "-F", "qcow2", str(self.disk)]
            ended_well(["qemu-img", "create", "-q", "-f", "qcow2", *backing])
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
            self._until_moved(_LIVE_S)
        except BaseException:
            there.end()
            raise
        self.machine.end()
        self.machine = there

    def start_anew(self) -> tuple[float, float | None]:
        """Boot, and be told to do nothing."""
        self.end()
        began = time.perf_counter()
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
        self._until_moved(_SAVE_S)
        self.machine.end()
        if not self.image.in_ram:
            shutil.copy(self.disk, to / "disk.qcow2")

    def _until_moved(self, patience_s: float) -> None:
        """EndlessError when it goes on and on; it is called off then."""
        deadline = time.monotonic() + patience_s
        while (now := self.machine.monitor("query-migrate")).get("status") != "completed":
            if (how := now.get("status")) in ("failed", "cancelled"):
                raise RefusedError(f"migrate: {how}")
            if time.monotonic() > deadline:
                self.machine.monitor("migrate_cancel")
                raise EndlessError(f"called off after {patience_s:.0f} s: {going_on(now)}")
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
        machine = self._machine
        if machine is None:
            return
        try:
            if machine.process.poll() is not None:
                raise RefusedError("it is not there")
            machine.monitor("cont")
            machine.line.run(f"kill -9 {pid}; sleep 0.2", 30.0)
        except (RefusedError, LateError, OSError):
            self.end()


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


def going_on(migration: dict[str, Any]) -> str:
    """What query-migrate says of one that is not over."""
    ram = migration.get("ram", {})
    mib = {key: ram.get(key, 0) / 2**20 for key in ("transferred", "remaining")}
    return (
        f"{ram.get('dirty-sync-count', 0)} passes, {mib['transferred']:.0f} MiB sent, "
        f"{mib['remaining']:.0f} MiB still to send"
    )


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
            inside.end()


class Micro(Minimal):
    name = "qemu-microvm"
    about = (
        f"the machine type microvm, {MEMORY_MIB} MiB, without PCI, ACPI and disk: the minimal guest is in "
        "its initial ram disk; suspended by migration to a file"
    )
    image = MICRO
    programs = ("qemu-system-x86_64", "cpio", "mmdebstrap")
    packages = ("qemu-system-x86", "cpio", "mmdebstrap")

    def supports(self, experiment: str) -> bool:
        return experiment in ("run_cost", "suspend", "start", "freeze", "pods")


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
