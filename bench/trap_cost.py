"""What a system call costs in a pod, next to the same call outside."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .common import Late, Line, compiled, launch, report, scratch

ROUNDS = 5
PATIENCE_S = 600


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
        if pod.wait(PATIENCE_S) is None:
            raise Late(f"the end of {' '.join(command)} in a pod did not come in {PATIENCE_S} s")
    finally:
        pod.kill()
        pod.close()
    return out.read_text()


def natively(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PATIENCE_S
        ).stdout
    except subprocess.TimeoutExpired:
        raise Late(f"the end of {' '.join(command)} did not come in {PATIENCE_S} s") from None


def measure(rounds: int = ROUNDS) -> list[Line]:
    command = [str(compiled("calls")), "1"]
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    with scratch() as place:
        for _ in range(rounds):
            plain = natively(command)
            for kept, text in ((theirs, plain), (ours, in_pod(command, place))):
                for name, samples in parse(text).items():
                    kept.setdefault(name, []).extend(samples)
    return [Line(name, "µs", ours[name], "native", theirs[name]) for name in theirs]


def main() -> None:
    report("trap_cost", measure())


if __name__ == "__main__":
    main()
