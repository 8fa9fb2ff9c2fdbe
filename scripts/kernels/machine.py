"""A virtual machine of one kernel: what is in it, and what it said."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
from pathlib import Path

PATIENCE_S = 900
MEMORY = "640M"
_PACKAGES = ("_cffi_backend", "cffi", "blake3", "lz4", "msgpack", "ptrace", "zstandard")


class Initramfs:
    """Files for a kernel to unpack: cpio's newc format (Documentation/driver-api/early-userspace)."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, bytes]] = {}

    def add(self, name: str, content: bytes, mode: int) -> None:
        for parent in reversed(Path(name).parents):
            if str(parent) not in ("/", "."):
                self.files.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self.files[name] = (mode, content)

    def copy(self, path: Path, name: str | None = None) -> None:
        """A file, or all below a directory; what a link leads to stands for it."""
        if path.is_dir():
            for entry in path.iterdir():
                if entry.name not in ("__pycache__", "test", "tests", "idlelib", "ensurepip"):
                    self.copy(entry, f"{name or path}/{entry.name}")
        elif path.is_file():
            mode = stat.S_IFREG | (0o755 if os.access(path, os.X_OK) else 0o644)
            self.add(name or str(path), path.read_bytes(), mode)

    def with_libraries(self, path: Path, name: str | None = None) -> None:
        self.copy(path, name)
        self.libraries_of(path)

    def libraries_of(self, path: Path) -> None:
        told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for word in told.split():
            if word.startswith("/"):
                self.copy(Path(word))

    def packed(self) -> bytes:
        made = bytearray()
        entries = [*self.files.items(), ("/TRAILER!!!", (0, b""))]
        for number, (name, (mode, content)) in enumerate(entries, 1):
            field = name.lstrip("/").encode() + b"\0"
            numbers = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(field), 0]
            made += b"070701" + b"".join(b"%08X" % n for n in numbers) + field
            made += bytes(-len(made) % 4) + content
            made += bytes(-len(made) % 4)
        return gzip.compress(bytes(made), 1)


def system(root: Path, programs: list[Path]) -> bytes:
    """Python, zaptrace as it is built in this tree, and programs."""
    made = Initramfs()
    made.with_libraries(Path("/usr/bin/python3.11"))
    made.copy(Path("/usr/lib/python3.11"))
    site = next((root / ".venv/lib").glob("python3.11/site-packages"))
    for entry in site.iterdir():
        if entry.name.split(".")[0] in _PACKAGES:
            made.copy(entry, f"/zt/site/{entry.name}")
    made.copy(root / "zaptrace", "/zt/zaptrace")
    for name in [name for name in made.files if ".so" in name]:
        made.libraries_of(Path(name.replace("/zt/site", str(site)).replace("/zt", str(root))))
    for program in programs:
        made.with_libraries(program, f"/programs/{program.name}")
    guest = (root / "scripts/kernels/guest.py").read_bytes()
    made.add("/init", guest, stat.S_IFREG | 0o755)
    return made.packed()


def run(kernel: Path, cpu: str, mode: str, initramfs: bytes, stored: bytes, place: Path) -> str:
    """What a machine said on its serial line until it switched itself off."""
    archive = place / "initramfs"
    more = Initramfs()
    if stored:
        more.add("/w.tar", stored, stat.S_IFREG | 0o644)
    archive.write_bytes(initramfs + bytes(-len(initramfs) % 4) + more.packed())
    command = [
        *("nice", "qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-m", MEMORY, "-smp", "1"),
        *("-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(archive)),
        *("-append", f"console=ttyS0 quiet panic=-1 PYTHONHASHSEED=0 zt={mode}"),
    ]  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr
