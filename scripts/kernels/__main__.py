"""make kernels: images of one kernel and processor, restored on others, in machines without KVM.

Kernels are Debian's, from packages (apt-get download), into build/kernels; qemu-system-x86_64 has to
be installed. One machine runs at a time, and takes a minute or more. The status is that of the pairs
that had to go well; one that has to be refused must name what is lacking.
"""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
import sys
from pathlib import Path

import machine

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "kernels"
PROGRAMS = ("threads", "sigaltstack", "rseq", "xstate")
SERIES = ("6.1", "6.12")
CPU, LESSER_CPU = "Haswell", "Nehalem"


def kernel(series: str) -> Path:
    """The newest of Debian's cloud kernels of a series that apt knows."""
    pattern = rf"^linux-image-{re.escape(series)}\.[^ ]*cloud-amd64-unsigned$"
    said = subprocess.run(
        ["apt-cache", "--names-only", "search", pattern], capture_output=True, text=True, check=True
    )
    names = [line.split()[0] for line in said.stdout.splitlines()]
    if not names:
        sys.exit(f"apt knows no kernel {series}; apt-get update, or another mirror")
    name = max(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    place = PLACE / name
    if not place.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", name], cwd=PLACE, check=True)
        package = max(PLACE.glob(f"{name}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, place], check=True)
    return next(place.glob("boot/vmlinuz-*"))


def programs() -> list[Path]:
    built = PLACE / "programs"
    built.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        source = ROOT / "tests" / "programs" / f"{name}.c"
        command = ["cc", "-std=gnu11", "-O1", "-pthread", "-o", built / name, source, "-lrt", "-lm"]
        subprocess.run(command, check=True)
    return [built / name for name in PROGRAMS]


def told(said: str) -> dict[str, str]:
    """What became of each program."""
    return dict(re.findall(r"^@ (\S+) (.*?)\r?$", said, re.M))


def stored(said: str) -> bytes:
    packed = re.search(r"@begin\s(.*?)@end", said, re.S)
    return gzip.decompress(base64.b64decode(packed[1])) if packed else b""


def main() -> int:
    system, kernels = machine.system(ROOT, programs()), {s: kernel(s) for s in SERIES}
    wrong = 0
    print("| made on | restored on | program | result |\n| --- | --- | --- | --- |", flush=True)

    def run(on: str, cpu: str, mode: str, made: tuple[str, bytes] = ("", b"")) -> bytes:
        nonlocal wrong
        said = machine.run(kernels[on], cpu, mode, system, made[1], PLACE)
        results, here = told(said), f"{kernels[on].name.removeprefix('vmlinuz-')}, {cpu}"
        refused = cpu == LESSER_CPU
        for name in PROGRAMS:
            result = results.get(name, "nothing was said")
            right = "lacks features" in result if refused else result in ("made", "PASS")
            wrong += not right
            if mode == "restore" or not right:
                print(f"| {made[0] or '-'} | {here} | {name} | {result} |", flush=True)
        return stored(said)

    for maker in SERIES:
        images = run(maker, CPU, "make")
        for other in SERIES:
            run(other, CPU, "restore", (f"{maker}, {CPU}", images))
        run(maker, LESSER_CPU, "restore", (f"{maker}, {CPU}", images))
    return wrong > 0


sys.exit(main())
