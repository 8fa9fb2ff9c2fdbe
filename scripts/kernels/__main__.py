"""make kernels: images of one kernel and processor, restored on others, in machines without KVM.

Kernels are Debian's, from packages, into build/kernels; qemu-system-x86_64 has to be installed. Each
machine runs three times, one machine at a time: to make images, to restore those of the others, and
to run tests. That takes minutes each, or much more on a busy host; what was cut short goes on where
it stopped. What was seen is written into docs/hosts.md. The status is that of all that had to go
well; what has to be refused must name what is lacking. Names of programs keep to those, to images,
and to what is printed.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import machine
from expected import refusal, right_to_make
from machine import Machine
from packages import Packages
from page import Seen, of_machines, of_pairs, put
from steps import Step, Steps

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "kernels"
PAGE = ROOT / "docs" / "hosts.md"
MACHINES = (
    Machine("5.10", "Haswell"),
    Machine("6.1", "Nehalem,+rdrand", "clocksource=acpi_pm"),
    Machine("6.12", "Haswell,+la57", "clocksource=hpet vsyscall=xonly"),
    Machine("7", "Haswell,+la57"),
    Machine("7", "max"),
)
PROGRAMS = (
    "clocks", "guard_pages", "high_addresses", "posix_timer", "protection_keys", "rseq",
    "tcp_established", "threads", "vsyscall", "xstate",
)  # fmt: skip
PROBED = (
    "tests/linux/test_abilities.py", "tests/linux/test_cpu.py", "tests/linux/test_host.py",
    "tests/linux/test_sock_diag.py",
    "tests/linux/test_xstate.py", "tests/resources/test_memory_needs.py",
    "tests/resources/test_rseq.py", "tests/resources/test_signal_stack.py",
)  # fmt: skip
"""What is probed, and what becomes of its absence."""
TESTED = ("epoll", "posix_timer", "rseq", "threads")
"""Programs that a guest tests in a few flavours, with all that is compared before and after."""
TESTS = [
    *(f"tests/test_programs.py::test_program[{name}-{flavour}]" for name in TESTED
      for flavour in ("resume", "restore")),
    *PROBED,
]  # fmt: skip


def compiled(name: str) -> Path:
    """A program of tests/programs, under the name that the tests give it."""
    built, source = PLACE / "programs" / f"{name}-cc", ROOT / "tests" / "programs" / f"{name}.c"
    built.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-std=gnu11", "-O1", "-pthread", "-o", built, source, "-lrt", "-lm"]
    subprocess.run(command, check=True, timeout=600)
    return built


class Run:
    """All steps of all machines, one after the other."""

    def __init__(self, programs: list[str]) -> None:
        built = [compiled(name) for name in sorted({*programs, *TESTED})]
        self._system = machine.system(ROOT, built, programs, TESTS)
        packages = Packages(PLACE)
        self._kernels = {m.series: packages.kernel(m.series) for m in MACHINES}
        self._steps = Steps(PLACE / "done")
        self.made: dict[str, Step] = {}
        self.wrong = 0

    def _run(self, here: Machine, mode: str, given: dict[str, bytes]) -> Step:
        kernel = self._kernels[here.series]
        words = f"{mode} {here} {sorted(given)}".encode()
        goes_in = [words, self._system.known_by, kernel.image.read_bytes(), *given.values()]
        print(f"{here.title}: {mode}", flush=True)
        run = partial(machine.run, here, kernel, mode, self._system.packed, given, PLACE)
        return self._steps.run(f"{mode}-{here.key}", goes_in, run)

    def make(self, here: Machine) -> Seen:
        """Images of each program, of which `made` has what others need."""
        self.made[here.key] = step = self._run(here, "make", {})
        seen = Seen(step)
        for name, result in step.results.items():
            seen.add(name, result, right=right_to_make(name, result, here), well=result == "made")
        return self._counted(seen)

    def restore(self, here: Machine) -> dict[str, Seen]:
        """By the machine that the images are of."""
        others = {m.key: self.made[m.key].given for m in MACHINES if m != here}
        step = self._run(here, "restore", {key: others[key] for key in others if others[key]})
        releases = {m.series: self.made[m.key].release for m in MACHINES}
        seen = {key: Seen(step) for key in others}
        for key in others:
            if not others[key]:
                seen[key].wrong.append("no image was made there")
        for name, result in step.results.items():
            key, _, image = name.partition("/")
            word = refusal(image, next(m for m in MACHINES if m.key == key), here, releases)
            right = word in result if word else result == "PASS"
            seen[key].add(image, result, right=right, well=not word)
        return {key: self._counted(one) for key, one in seen.items()}

    def test(self, here: Machine) -> Seen:
        seen = Seen(step := self._run(here, "test", {}))
        for name, result in step.results.items():
            word = result.partition(" ")[0]
            seen.add(name, result, right=word in ("passed", "skipped"), well=word == "passed")
        return self._counted(seen)

    def _counted(self, seen: Seen) -> Seen:
        self.wrong += len(seen.wrong)
        for text in seen.wrong:
            print(f"  wrong: {text}", flush=True)
        return seen


def main() -> int:
    chosen = sys.argv[1:]
    run = Run(chosen or list(PROGRAMS))
    made: dict[Machine, Seen] = {}
    restored: dict[Machine, dict[str, Seen]] = {}
    tested: dict[Machine, Seen] = {}

    def tables() -> str:
        return f"{of_machines(MACHINES, made, tested)}\n\n{of_pairs(MACHINES, restored)}"

    for mode, seen in (("make", made), ("restore", restored), ("test", tested)):
        for here in MACHINES:
            seen[here] = getattr(run, mode)(here)
            if not chosen:
                put(PAGE, tables())  # one that is cut short has told what it saw
    if chosen:
        print(tables())
    print(f"wrong: {run.wrong}")
    return run.wrong > 0


sys.exit(main())
