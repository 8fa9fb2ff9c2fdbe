"""Pods that see less of the processor than there is, and images that say so."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.flavours import FLAVOURS, run_flavour
from harness.world import PATIENCE_S, PROGRAMS, REAL, compiled
from zaptrace import shapes
from zaptrace.errors import BadImage, HostError
from zaptrace.linux import cpu, host
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.resources import cpu_level


def this_level() -> int:
    """The highest that this host's processor is; the fewest that we meet is 2."""
    return max(level for level, needed in cpu.LEVELS.items() if needed <= cpu.features())


def faulting() -> None:
    if not cpu.has_faulting():
        pytest.skip("this processor has no CPUID faulting (arch_prctl(2), ARCH_SET_CPUID)")


@pytest.mark.parametrize("level", [2, 3])
@pytest.mark.parametrize("flavour", [f for f in ("pod", "twice", "migrate") if f in FLAVOURS])
def test_a_program_sees_no_more(flavour: str, level: int, place: Path):
    faulting()
    program = compiled(PROGRAMS / "cpu_seen.c")
    run_flavour(flavour, [program], place, env={"ZT_CPU_LEVEL": str(min(level, this_level()))})


def test_who_blocks_sigsegv_and_asks(place: Path):
    """It has its answer and goes on, without a handler: the one thing that shows, docs/hosts.md says."""
    faulting()
    asking = compiled(REAL / "cpuid_blocked.c")
    native = subprocess.run(
        [asking], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (native.returncode, native.stdout) == (0, "PASS\n"), native
    with open(os.devnull) as null, (place / "out").open("wb") as out:
        stdio = Stdio(null.fileno(), out.fileno(), out.fileno(), tty=False)
        command = [str(asking), "faulting"]
        with Pod.launch(command, name="asks", stdio=stdio, cpu_level=2) as pod:
            assert pod.wait(PATIENCE_S) == 0
    assert (place / "out").read_text() == "PASS\n"


def test_an_image_needs_its_level_and_no_more(monkeypatch: pytest.MonkeyPatch):
    """AVX-512 here and there do not matter to a pod that has not seen any."""
    made_on = host.facts(2)
    assert made_on.cpu_level == 2
    assert set(made_on.cpu_features) == cpu.LEVELS[2]
    monkeypatch.setattr(cpu, "features", lambda: cpu.LEVELS[3])
    host.check_facts(made_on)
    host.check_facts(replace(made_on, cpu_features=sorted(cpu.LEVELS[3])))
    with pytest.raises(HostError, match="avx512f"):
        host.check_facts(replace(made_on, cpu_features=sorted(cpu.LEVELS[4])))


def test_a_level_above_the_processor_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu, "features", lambda: cpu.LEVELS[2])
    cpu.check_level(2)
    with pytest.raises(HostError, match="not x86-64-v3") as caught:
        cpu.check_level(3)
    assert "avx2" in str(caught.value.needed)


@pytest.mark.parametrize("level", [3, 1, 5])
def test_no_pod_is_launched_above_the_processor(level: int, monkeypatch: pytest.MonkeyPatch):
    """By whoever launches it: a checkpoint of it would say what is not so, or not be made."""
    monkeypatch.setattr(cpu, "features", lambda: cpu.LEVELS[2])
    with pytest.raises(HostError, match=f"not x86-64-v{level}|no level {level}"):
        Pod.launch(["true"], name="level", cpu_level=level).close()


def test_a_level_that_there_is_not_is_no_level_of_an_image():
    with pytest.raises(BadImage):
        shapes.read(cpu_level.State, {"level": 1})


def test_libraries_are_told_where_the_processor_cannot_hide():
    own = {"GLIBC_TUNABLES": "glibc.malloc.check=1"}
    told = cpu.advice(3, own)
    assert told["GLIBC_TUNABLES"].startswith("glibc.cpu.hwcaps=-AVX512F")
    assert told["GLIBC_TUNABLES"].endswith(":glibc.malloc.check=1")
    assert "cpu.avx512f=off" in told["GODEBUG"] and "avx2" not in told["GODEBUG"]
    assert "cpu.avx2=off" in cpu.advice(2, {})["GODEBUG"]
    assert cpu.advice(4, {}) == {}
