"""What is seen of the processor: what a program sees, and nothing of the kernel's."""

from __future__ import annotations

import pytest

from zaptrace.linux import cpu, procfs

SPELLED = {"sse3": "pni", "lzcnt": "abm"}
"""Where the kernel has its own word for a feature."""


def words_of_the_kernel() -> set[str]:
    for line in procfs.read("/proc/cpuinfo").splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    raise AssertionError("no flags in /proc/cpuinfo")


def test_it_agrees_with_the_kernel_where_that_has_a_word():
    """The kernel hides what it has switched off, so its words are the fewer."""
    kernel = words_of_the_kernel()
    names = {name for word in cpu._NAMES.values() for name in word.values()} - {cpu._NEVER}
    seen = {SPELLED.get(name, name) for name in cpu.features()}
    assert {"sse2", "pni", "cx16"} <= seen
    assert kernel & {SPELLED.get(name, name) for name in names} <= seen


def test_words_of_the_kernel_are_no_features():
    """An image of 6.12 was refused on 5.10 for two of these."""
    never = {
        "la57",
        "xtopology",
        "smep",
        "smap",
        "umip",
        "erms",
        "arat",
        "hypervisor",
        "constant_tsc",
    }
    assert not never & cpu.features()


@pytest.mark.parametrize(
    ("word", "value", "names"),
    [
        ((7, 0, cpu.ECX), 1 << 16, set()),  # la57
        ((7, 0, cpu.EBX), 1 << 16 | 1 << 7, {"avx512f"}),
        ((1, 0, cpu.ECX), 1 << 31 | 1 << 21, set()),
        ((7, 1, cpu.EAX), 1 << 15, {"cpuid.7.1.eax.15"}),  # not given to anything so far
    ],
)
def test_names_of_bits(word: tuple[int, int, int], value: int, names: set[str]):
    assert cpu.named(word, value) == names


def test_the_layout_is_that_of_the_processor():
    layout = cpu.layout()
    assert all(at + size <= layout.size for at, size in layout.where.values())
    assert ("xcr0.avx" in cpu.features()) == (2 in layout.where)
