"""Debian's kernels, from its packages: of each series the newest that can be had."""

from __future__ import annotations

import lzma
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SUITES = (
    *("debian bullseye", "debian-security bullseye-security"),
    *("debian bookworm", "debian-security bookworm-security"),
    *("debian trixie", "debian trixie-backports", "debian-security trixie-security"),
)


_LISTS_LAST_S = 24 * 3600

MODULES = ("unix_diag", "inet_diag", "tcp_diag", "udp_diag")
"""Those that a kernel gets for itself where there is a modprobe; in this order."""


@dataclass(frozen=True)
class Kernel:
    image: Path
    modules: list[bytes]


class Packages:
    """Apt, with lists of its own: this host's are of one release, and stay as they are.

    Where an image is split (since 7.0), the kernel itself is in what is called linux-binary.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        apt = place / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (apt / name).mkdir(parents=True, exist_ok=True)
        lines = [f"deb [signed-by={_KEYS}] http://deb.debian.org/{suite} main" for suite in _SUITES]
        (apt / "sources").write_text("\n".join(lines) + "\n")
        options = {
            "Dir::Etc::sourcelist": apt / "sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": apt / "lists",
            "Dir::Cache": apt / "cache",
            "APT::Sandbox::User": "root",
        }
        self._options = [
            word for key, value in options.items() for word in ("-o", f"{key}={value}")
        ]
        if not _is_new(apt / "updated"):
            self._apt("apt-get", "-qq", "update")
            (apt / "updated").touch()

    def _apt(self, command: str, *words: str, check: bool = True) -> str:
        ran = subprocess.run(
            [command, *self._options, *words],
            cwd=self._place, stdout=subprocess.PIPE, text=True, check=check, timeout=600,
        )  # fmt: skip
        return ran.stdout

    def kernel(self, series: str) -> Kernel:
        """A series' newest; 7 is a series, and so is 6.12. Asked once a day."""
        known = self._place / "apt" / f"newest-{series}"
        if _is_new(known) and (image := self._fetched(known.read_text())):
            return image
        pattern = rf"^linux-(image|binary)-{re.escape(series)}\.[^ ]*cloud-amd64(-unsigned)?$"
        found = self._apt("apt-cache", "--names-only", "search", pattern)
        names = [line.split()[0] for line in found.splitlines()]
        without = {name.replace("-binary-", "-image-") for name in names if "-binary-" in name}
        for name in sorted({*names} - without, key=_version, reverse=True):
            if image := self._fetched(name):
                known.write_text(name)
                return image
        sys.exit(f"no kernel {series} can be had: apt knows {' '.join(names) or 'none'}")

    def _fetched(self, name: str) -> Kernel | None:
        """None: the archive's list has it, and the archive has not any more."""
        found = [self._unpacked(name)]
        if "-binary-" in name:
            found.append(self._unpacked(name.replace("-binary-", "-modules-")))
        images = [path for place in found for path in place.rglob("vmlinuz*") if path.is_file()]
        modules = [path for place in found for path in place.rglob("*.ko*")]
        if not images:
            return None
        named = {path.name.partition(".")[0]: path for path in modules}
        return Kernel(images[0], [_plain(named[name]) for name in MODULES if name in named])

    def _unpacked(self, name: str) -> Path:
        place = self._place / name
        if not place.exists():
            self._apt("apt-get", "-q", "download", name, check=False)
            if package := max(self._place.glob(f"{name}_*.deb"), default=None):
                subprocess.run(["dpkg-deb", "-x", package, place], check=True, timeout=600)
        return place


def _is_new(file: Path) -> bool:
    return file.exists() and time.time() - file.stat().st_mtime < _LISTS_LAST_S


def _plain(module: Path) -> bytes:
    content = module.read_bytes()
    return lzma.decompress(content) if module.suffix == ".xz" else content


def _version(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name.partition("+deb")[0])]
