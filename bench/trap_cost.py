"""What a system call costs in a pod, next to the same call outside."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .common import Line, compiled, launch, report, scratch

ROUNDS = 5


def parse(text: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        name, nanoseconds = line.split()
        found.setdefault(name, []).append(float(nanoseconds) / 1000)
    return found


def in_pod(command: list[str], place: Path) -> str:
    out = place / "out"
    pod = launch(command, out)
    try:
        pod.wait(600)
    finally:
        pod.kill()
        pod.close()
    return out.read_text()


def measure(rounds: int = ROUNDS) -> list[Line]:
    command = [str(compiled("calls")), "1"]
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    with scratch() as place:
        for _ in range(rounds):
            plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for kept, text in ((theirs, plain), (ours, in_pod(command, place))):
                for name, samples in parse(text).items():
                    kept.setdefault(name, []).extend(samples)
    return [Line(name, "µs", ours[name], "native", theirs[name]) for name in theirs]


def main() -> None:
    report("trap_cost", measure())


if __name__ == "__main__":
    main()
