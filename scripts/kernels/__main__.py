"""make kernels: images of one kernel and processor, restored on others, in machines without KVM.

Kernels are Debian's, from packages, into build/kernels; qemu-system-x86_64 has to be installed. Each
machine runs twice: to make images, and to restore those of the others. That takes minutes each, or
much more on a busy host. The status is that of all that had to go well; what has to be refused
must name what is lacking. Names of programs keep to those.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import machine
from machine import Machine
from packages import Packages

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "kernels"
MACHINES = (
    Machine("5.10", "Haswell"),
    Machine("6.1", "Nehalem,+rdrand", "clocksource=acpi_pm"),
    Machine("6.1", "Haswell"),
    Machine("6.12", "Haswell,+la57", "clocksource=hpet vsyscall=xonly"),
    Machine("7", "max"),
)
PROGRAMS = (
    "blocked_futex", "blocked_time_left", "clocks", "cpu_seen", "epoll", "fork_tree",
    "guard_pages", "high_addresses", "inotify_queue", "pi_mutex", "pipe_contents", "posix_timer",
    "protection_keys", "pty_session", "registers", "rseq", "signals_pending", "sigaltstack",
    "tcp_established", "threads", "timerfd", "unix_in_flight", "vsyscall", "xstate",
)  # fmt: skip
AT_ONCE = 2
NEEDS = {"guard_pages": ((6, 13), "guard pages")}
"""Programs that have what older kernels lack, and what the refusal there names."""


def programs(names: list[str]) -> list[Path]:
    built = PLACE / "programs"
    built.mkdir(parents=True, exist_ok=True)
    for name in names:
        source = ROOT / "tests" / "programs" / f"{name}.c"
        command = ["cc", "-std=gnu11", "-O1", "-pthread", "-o", built / name, source, "-lrt", "-lm"]
        subprocess.run(command, check=True, timeout=600)
    return [built / name for name in names]


def refusal(image: str, made_on: Machine, here: Machine, releases: dict[str, str]) -> str | None:
    """What has to stand in the refusal of an image; None: it has to be restored."""
    name, _, level = image.partition("@v")
    if (int(level) if level else made_on.level) > here.level:
        return "lacks features"
    if name == "xstate" and made_on.level > here.level:
        return "lacks registers"  # without CPUID faulting it has seen them, and used them
    if here.level > made_on.level == 3 and level != "2":
        return "left no room"  # no XSAVEC there, and here glibc would save registers of MPX
    if name == "high_addresses" and made_on.is_five_levels and not here.is_five_levels:
        return "addresses of 56 bits"
    needed, word = NEEDS.get(name, ((0, 0), ""))
    if _numbers(releases[here.series]) < needed <= _numbers(releases[made_on.series]):
        return word
    return None


def right_to_make(name: str, result: str, here: Machine) -> bool:
    """A level that is above the processor's is refused."""
    level = name.partition("@v")[2]
    above = bool(level) and int(level) > here.level
    return f"is not x86-64-v{level}" in result if above else result == "made"


def _numbers(release: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", release)[:2]
    return int(major), int(minor)


def said_of(said: str) -> dict[str, str]:
    return dict(re.findall(r"^@ (\S+) (.*?)\r?$", said, re.M))


def tell(cells: tuple[str, ...]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> int:
    names = sys.argv[1:] or list(PROGRAMS)
    system, packages = machine.system(ROOT, programs(names)), Packages(PLACE)
    kernels = {m.series: packages.kernel(m.series) for m in MACHINES}
    wrong = 0

    def all_of_them(mode: str, images: dict[str, bytes]) -> Iterator[tuple[Machine, str, bytes]]:
        nonlocal wrong
        with ThreadPoolExecutor(AT_ONCE) as pool:
            run = partial(machine.run, mode=mode, initramfs=system, stored=images, place=PLACE)
            ran = pool.map(lambda here: (here, *run(here, kernels[here.series])), MACHINES)
            for here, said, given in ran:
                wrong += "@end" not in said
                yield here, said, given

    images: dict[str, bytes] = {}
    releases: dict[str, str] = {}
    for here, said, images[here.key] in all_of_them("make", {}):
        for line in re.findall(r"^@@ .*?(?=\r?$)|^@ability .*?\|no\|.*?(?=\r?$)", said, re.M):
            print(f"{here.key}: {line.lstrip('@')}", flush=True)
        release = re.search(r"^@@ (\S+)", said, re.M)
        releases[here.series] = release[1] if release else "0.0"
        for name, result in said_of(said).items():
            if not right_to_make(name, result, here):
                wrong += 1
                print(f"{here.key}: {name} {result}", flush=True)
    tell(("made on", "restored on", "PASS", "refused as it has to be", "wrong"))
    tell(("---",) * 5)
    for here, said, _ in all_of_them("restore", images):
        counted: dict[str, list[list[str]]] = defaultdict(lambda: [[], [], []])
        for name, result in said_of(said).items():
            key, _, image = name.partition("/")
            word = refusal(image, next(m for m in MACHINES if m.key == key), here, releases)
            right = word in result if word else result == "PASS"
            counted[key][2 if not right else 1 if word else 0].append(image)
            if not right:
                wrong += 1
                print(f"{here.key}: {name} {result}", flush=True)
        for key, found in counted.items():
            tell((key, here.key, *(" ".join(some) for some in found)))
    return wrong > 0


sys.exit(main())
