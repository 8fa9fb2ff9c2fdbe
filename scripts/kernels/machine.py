"""A virtual machine of one kernel: what is in it, and what it said."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packages import Kernel

MEMORY = "1G"
_PACKAGES = (
    *("_cffi_backend", "cffi", "blake3", "lz4", "msgpack", "ptrace", "zstandard"),
    *("_pytest", "iniconfig", "packaging", "pluggy", "py", "pygments", "pytest", "pytest_timeout"),
)
_TOOLS = ("sh", "cat", "sleep", "true")
_SITE = "/usr/local/lib/python3.11/dist-packages"
_PATIENCE_S = 3600


class Initramfs:
    """Files for a kernel to unpack: cpio's newc format (Documentation/driver-api/early-userspace)."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, int, bytes]] = {}

    def add(self, name: str, content: bytes, mode: int, time: float = 0) -> None:
        """`time` is what Python knows by whether it has compiled a module already."""
        for parent in reversed(Path(name).parents):
            if str(parent) not in ("/", "."):
                self.files.setdefault(str(parent), (stat.S_IFDIR | 0o755, 0, b""))
        self.files[name] = (mode, int(time), content)

    def copy(self, path: Path, name: str | None = None) -> None:
        """A file, or all below a directory; what a link leads to stands for it."""
        if path.is_dir():
            for entry in path.iterdir():
                if entry.name not in ("test", "tests", "idlelib", "ensurepip"):
                    self.copy(entry, f"{name or path}/{entry.name}")
        elif path.is_file():
            mode = stat.S_IFREG | (0o755 if os.access(path, os.X_OK) else 0o644)
            self.add(name or str(path), path.read_bytes(), mode, path.stat().st_mtime)

    def with_libraries(self, path: Path, name: str | None = None) -> None:
        self.copy(path, name)
        self.libraries_of(path)

    def libraries_of(self, path: Path) -> None:
        told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for word in told.split():
            if word.startswith("/"):
                self.copy(Path(word))

    def known_by(self) -> bytes:
        """What is in it, without what Python compiles for itself and when a file was written."""
        known = hashlib.blake2b()
        for name, (mode, _, content) in sorted(self.files.items()):
            if "/__pycache__" not in name:
                known.update(f"{name} {mode} {len(content)}\0".encode() + content)
        return known.digest()

    def packed(self) -> bytes:
        made = bytearray()
        entries = [*self.files.items(), ("/TRAILER!!!", (0, 0, b""))]
        for number, (name, (mode, time, content)) in enumerate(entries, 1):
            field = name.lstrip("/").encode() + b"\0"
            numbers = [number, mode, 0, 0, 1, time, len(content), 0, 0, 0, 0, len(field), 0]
            made += b"070701" + b"".join(b"%08X" % n for n in numbers) + field
            made += bytes(-len(made) % 4) + content
            made += bytes(-len(made) % 4)
        return bytes(made)


@dataclass(frozen=True)
class System:
    packed: bytes
    known_by: bytes


def system(root: Path, built: list[Path], programs: list[str], tests: Iterable[str]) -> System:
    """Python, zaptrace as it is built in this tree, its tests, and programs.

    `programs` are those of which images are made, `tests` what pytest is given.
    """
    made = Initramfs()
    made.with_libraries(Path("/usr/bin/python3.11"))
    made.copy(Path("/usr/lib/python3.11"))
    site = next((root / ".venv/lib").glob("python3.11/site-packages"))
    for entry in site.iterdir():
        if entry.name.split(".")[0] in _PACKAGES:
            made.copy(entry, f"{_SITE}/{entry.name}")
    made.copy(root / "zaptrace", "/zt/zaptrace")
    made.copy(root / "tests", "/zt/tests")
    made.copy(root / "pyproject.toml", "/zt/pyproject.toml")
    for name in [name for name in made.files if ".so" in name]:
        made.libraries_of(Path(name.replace(_SITE, str(site)).replace("/zt", str(root))))
    for tool in _TOOLS:
        made.with_libraries(Path(f"/bin/{tool}"))
    for path in built:
        made.with_libraries(path, f"/zt/build/programs/{path.name}")
    for name, words in (("programs", programs), ("tests", tests)):
        made.add(f"/{name}", "\n".join(words).encode(), stat.S_IFREG | 0o644)
    guest = (root / "scripts/kernels/guest.py").read_bytes()
    made.add("/init", guest, stat.S_IFREG | 0o755)
    return System(made.packed(), made.known_by())


@dataclass(frozen=True)
class Machine:
    """A kernel and a processor, of which one knows whether it can what another can."""

    series: str
    cpu: str
    more: str = ""
    """Further words for the kernel."""

    @property
    def key(self) -> str:
        return f"{self.series}-{self.cpu}"

    @property
    def words(self) -> str:
        """For people."""
        cpu = self.cpu.replace(",+", " with ").replace("max", "all that QEMU has (max)")
        return ", ".join([cpu, *self.more.split()])

    @property
    def title(self) -> str:
        return f"{self.series}, {self.words}"

    @property
    def level(self) -> int:
        """Of x86-64-vN: N; max is more than any."""
        return {"Nehalem": 2, "Haswell": 3, "max": 9}[self.cpu.partition(",")[0]]

    @property
    def is_five_levels(self) -> bool:
        """Debian's 5.10 for clouds never is."""
        return self.series != "5.10" and ("la57" in self.cpu or self.cpu == "max")


def run(
    machine: Machine,
    kernel: Kernel,
    mode: str,
    initramfs: bytes,
    stored: dict[str, bytes],
    place: Path,
) -> tuple[str, bytes]:
    """What a machine said on its first serial line until it switched itself off, and on its second:
    there it gives what it has made. `stored` is what others gave."""
    archive, gift = place / f"initramfs-{machine.key}", place / f"made-{mode}-{machine.key}"
    more = Initramfs()
    for key, content in stored.items():
        more.add(f"/stored/{key}", content, stat.S_IFREG | 0o644)
    for number, module in enumerate(kernel.modules):
        more.add(f"/modules/{number}", module, stat.S_IFREG | 0o644)
    archive.write_bytes(initramfs + bytes(-len(initramfs) % 4) + more.packed())
    words = f"console=ttyS0 quiet panic=-1 no_timer_check zt={mode}:{machine.key} {machine.more}"
    command = [
        *("nice", "-n", "19", "qemu-system-x86_64", "-accel", "tcg", "-cpu", machine.cpu),
        *("-m", MEMORY, "-smp", "1", "-display", "none", "-no-reboot", "-nodefaults"),
        *("-serial", "stdio", "-serial", f"file:{gift}"),
        *("-kernel", str(kernel.image), "-initrd", str(archive), "-append", words),
    ]
    heard = place / f"said-{mode}-{machine.key}"
    with heard.open("w+b") as out:
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            out.write(f"\n@@ it was ended after {_PATIENCE_S} s\n".encode())
        finally:
            archive.unlink()
    return heard.read_text(errors="replace"), gift.read_bytes()
