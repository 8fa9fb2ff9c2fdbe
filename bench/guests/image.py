"""Systems for guests, from the distribution's packages (mmdebstrap), and disks of them.

They are made once, by root, and kept in PLACE; who runs a guest only reads them.
"""

from __future__ import annotations

import shlex
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from .. import asroot
from ..system import RefusedError
from ..tools import BUILT, PROGRAMS, compiled, ended_well, last_words, load

PLACE = Path("/var/tmp/zaptrace-bench-guests")
INIT = Path(__file__).with_name("init.sh")
SERVICE = Path(__file__).with_name("bench.service")
_WANTS = "etc/systemd/system/multi-user.target.wants"
_PATIENCE_S = 3600.0
_DISK_MIB = 3072


@dataclass(frozen=True)
class Image:
    """A system by name: kernel, initial ram disk, and a disk to start from."""

    name: str
    packages: tuple[str, ...]
    init: str = "/bench-init"
    """Its first process. Another than ours starts that as a service (bench.service)."""
    in_ram: bool = False
    """All of it is in the initial ram disk, and there is no other."""

    @property
    def place(self) -> Path:
        """Another one when it is of other packages: what is used is never changed."""
        made_of = zlib.crc32(" ".join(self.packages).encode())
        return PLACE / f"{self.name}-{made_of:08x}"

    @property
    def kernel(self) -> Path:
        return self.place / "vmlinuz"

    @property
    def ramdisk(self) -> Path:
        return self.place / "initrd.img"

    @property
    def disk(self) -> Path:
        return self.place / "disk.qcow2"

    def there(self) -> bool:
        return (self.ramdisk if self.in_ram else self.disk).exists()

    def make(self) -> None:
        """RefusedError when it cannot be made. Half of one is never taken for a whole one."""
        new = self.place.with_suffix(".new")
        release = ended_well(["sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"']).strip()
        tar, root = new / "root.tar", new / "root"
        steps = [
            f"rm -rf {new}", f"mkdir -p -m 755 {PLACE} {root}",
            f"mmdebstrap --quiet --mode=root --variant=minbase "
            f"--include={','.join(self.packages)} {release} {tar}",
            f"tar -C {root} -xf {tar} --exclude=./dev/*", f"rm {tar}",
            f"install -m 755 {INIT} {root}/bench-init", f"mkdir -p {root}/bench",
            f"install -D -m 644 {SERVICE} {root}/etc/systemd/system/bench.service",
            f"mkdir -p {root}/{_WANTS} && ln -s ../bench.service {root}/{_WANTS}/bench.service",
            f"cp $(ls {root}/boot/vmlinuz-* | tail -1) {new}/vmlinuz",
            *(self._of_ram(new, root) if self.in_ram else self._of_disk(new, root)),
            f"rm -rf {root}", f"chmod -R a+rX {new}",
            f"rm -rf {self.place}", f"mv {new} {self.place}",
        ]  # fmt: skip
        script = " && ".join(steps)
        status, said = asroot.run(["sh", "-c", script], patience_s=_PATIENCE_S)
        if status:
            raise RefusedError(f"the guest cannot be made: {last_words(said)}")

    @staticmethod
    def _of_disk(new: Path, root: Path) -> list[str]:
        return [
            f"cp $(ls {root}/boot/initrd.img-* | tail -1) {new}/initrd.img",
            f"mke2fs -q -t ext4 -d {root} {new}/disk.raw {_DISK_MIB}M",
            f"qemu-img convert -O qcow2 {new}/disk.raw {new}/disk.qcow2",
            f"rm {new}/disk.raw",
        ]

    @staticmethod
    def _of_ram(new: Path, root: Path) -> list[str]:
        """Without modules, of which a guest without devices needs none, and what nobody reads in it."""
        return [
            f"cd {root}", f"rm -rf {' '.join(_NOT_IN_RAM)}",
            f"find . | cpio --quiet -o -H newc >{new}/initrd.img", "cd /",
        ]  # fmt: skip


_NOT_IN_RAM = (
    "boot", "usr/lib/modules", "usr/share/doc", "usr/share/locale", "usr/share/man",
    "usr/share/i18n", "usr/lib/x86_64-linux-gnu/gconv", "var/cache", "var/lib/apt",
)  # fmt: skip

MINIMAL = Image("minimal", ("linux-image-cloud-amd64", "initramfs-tools", "python3-minimal"))
MICRO = Image("micro", MINIMAL.packages, in_ram=True)
SERVER = Image(
    "server",
    (
        "linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "dbus", "udev", "cron",
        "rsyslog", "openssh-server", "iproute2", "python3", "nginx-light", "postgresql",
        "redis-server", "sqlite3", "git", "gcc", "libc6-dev", "make",
        "apache2-utils", "tigervnc-standalone-server", "xterm", "twm", "vim-tiny", "bash",
        "x11-apps", "feh", "dillo", "python3-ipykernel",
    ),
    "/sbin/init",
)  # fmt: skip


def _programs(directory: Path) -> None:
    """The programs and loads of ours."""
    for source in PROGRAMS.glob("*.c"):
        compiled(source.stem)
    load("common.py")
    shutil.copytree(BUILT, directory)


def programs(place: Path) -> Path:
    """A disk with them, which guests have at /bench."""
    directory, disk = place / "programs", place / "programs.raw"
    _programs(directory)
    ended_well(["mke2fs", "-q", "-t", "ext4", "-d", str(directory), str(disk), "16M"])
    return disk


def programs_in_ram(image: Image, place: Path) -> Path:
    """The image's ram disk with them at its end."""
    root, whole = place / "root", place / "initrd.img"
    root.mkdir()
    _programs(root / "bench")
    shutil.copyfile(image.ramdisk, whole)
    append = f"cd {root} && find . | cpio --quiet -o -H newc >>{whole}"
    ended_well(["sh", "-c", append])
    return whole


def command_line(argv: list[str]) -> str:
    """As a guest's shell is to be given it: programs of ours are elsewhere there."""
    return shlex.join(word.replace(f"{BUILT}/", "/bench/") for word in argv)
