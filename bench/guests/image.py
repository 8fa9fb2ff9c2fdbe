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
        return self.disk.exists()

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
            f"cp $(ls {root}/boot/initrd.img-* | tail -1) {new}/initrd.img",
            f"mke2fs -q -t ext4 -d {root} {new}/disk.raw {_DISK_MIB}M",
            f"qemu-img convert -O qcow2 {new}/disk.raw {new}/disk.qcow2",
            f"rm -rf {new}/disk.raw {root}", f"chmod -R a+rX {new}",
            f"rm -rf {self.place}", f"mv {new} {self.place}",
        ]  # fmt: skip
        script = " && ".join(steps)
        status, said = asroot.run(["sh", "-c", script], patience_s=_PATIENCE_S)
        if status:
            raise RefusedError(f"the guest cannot be made: {last_words(said)}")


MINIMAL = Image("minimal", ("linux-image-cloud-amd64", "initramfs-tools", "python3-minimal"))
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


def programs(place: Path) -> Path:
    """A disk with the programs and loads of ours, which guests have at /bench."""
    for source in PROGRAMS.glob("*.c"):
        compiled(source.stem)
    load("common.py")
    directory, disk = place / "programs", place / "programs.raw"
    shutil.copytree(BUILT, directory)
    ended_well(["mke2fs", "-q", "-t", "ext4", "-d", str(directory), str(disk), "16M"])
    return disk


def command_line(argv: list[str]) -> str:
    """As a guest's shell is to be given it: programs of ours are elsewhere there."""
    return shlex.join(word.replace(f"{BUILT}/", "/bench/") for word in argv)
