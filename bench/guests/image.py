"""Systems for guests, from the distribution's packages (mmdebstrap), and disks of them.

They are made once, by root, and kept in PLACE; who runs a guest only reads them.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from .. import asroot
from ..system import RefusedError
from ..tools import BUILT, PROGRAMS, compiled, ended_well, last_words

PLACE = Path("/var/tmp/zaptrace-bench-guests")
INIT = Path(__file__).with_name("init.sh")
_PATIENCE_S = 3600.0
_DISK_MIB = 3072


@dataclass(frozen=True)
class Image:
    """A system by name: kernel, initial ram disk, and a disk to start from."""

    name: str
    packages: tuple[str, ...]

    @property
    def kernel(self) -> Path:
        return PLACE / self.name / "vmlinuz"

    @property
    def ramdisk(self) -> Path:
        return PLACE / self.name / "initrd.img"

    @property
    def disk(self) -> Path:
        return PLACE / self.name / "disk.qcow2"

    def there(self) -> bool:
        return self.disk.exists()

    def make(self) -> None:
        """RefusedError when it cannot be made. Half of one is never taken for a whole one."""
        new = PLACE / f"{self.name}.new"
        release = ended_well(["sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"']).strip()
        tar, root = new / "root.tar", new / "root"
        steps = [
            f"rm -rf {new}", f"mkdir -p -m 755 {PLACE} {root}",
            f"mmdebstrap --quiet --mode=root --variant=minbase "
            f"--include={','.join(self.packages)} {release} {tar}",
            f"tar -C {root} -xf {tar} --exclude=./dev/*", f"rm {tar}",
            f"install -m 755 {INIT} {root}/bench-init", f"mkdir -p {root}/bench",
            f"cp $(ls {root}/boot/vmlinuz-* | tail -1) {new}/vmlinuz",
            f"cp $(ls {root}/boot/initrd.img-* | tail -1) {new}/initrd.img",
            f"mke2fs -q -t ext4 -d {root} {new}/disk.raw {_DISK_MIB}M",
            f"qemu-img convert -O qcow2 {new}/disk.raw {new}/disk.qcow2",
            f"rm -rf {new}/disk.raw {root}", f"chmod -R a+rX {new}",
            f"rm -rf {PLACE / self.name}", f"mv {new} {PLACE / self.name}",
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
    ),
)  # fmt: skip


def programs(place: Path) -> Path:
    """A disk with the programs of bench/programs, which guests have at /bench."""
    for source in PROGRAMS.glob("*.c"):
        compiled(source.stem)
    directory, disk = place / "programs", place / "programs.raw"
    shutil.copytree(BUILT, directory)
    make = ["mke2fs", "-q", "-t", "ext4", "-d", directory, disk, "16M"]
    ended_well([str(word) for word in make])
    return disk


def command_line(argv: list[str]) -> str:
    """As a guest's shell is to be given it: programs of ours are elsewhere there."""
    return shlex.join(word.replace(f"{BUILT}/", "/bench/") for word in argv)
