"""Our vDSO: every libc finds its functions, and they shift the clocks that start with the host."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.vdso_elf import (
    DT_HASH,
    DT_NEEDED,
    DT_SONAME,
    PT_INTERP,
    PT_LOAD,
    PT_TLS,
    Elf,
)
from harness.world import require

CSRC = Path(__file__).resolve().parent.parent.parent / "csrc"

# By path: "build" is also the name of a well-known package.
_spec = importlib.util.spec_from_file_location("zt_vdso_build", CSRC / "vdso" / "build.py")
assert _spec
assert _spec.loader
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

PARAMS = 0x10_0000_0000  # far from where the kernel maps anything by itself
IMAGE = PARAMS + 0x1_0000

FUNCTIONS = ("clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu")
NAMES = [prefix + name for name in FUNCTIONS for prefix in ("__vdso_", "")]

# PLTRELSZ, PLTGOT, RELA, RELASZ, REL, RELSZ, TEXTREL, JMPREL, INIT(_ARRAY), FINI(_ARRAY), RELR
DT_OF_LOADERS_WORK = {2, 3, 7, 8, 17, 18, 22, 23, 12, 13, 25, 26, 27, 28, 36, 35}


@pytest.fixture(scope="module")
def elf() -> bytes:
    return build.compile_vdso(PARAMS)


def test_one_segment_that_needs_no_loader(elf):
    image = Elf(elf)
    assert (image.type, image.machine) == (3, 62)  # ET_DYN, EM_X86_64
    (load,) = (s for s in image.segments if s[0] == PT_LOAD)
    _, flags, offset, vaddr, _, filesz, memsz, _ = load
    assert (offset, vaddr) == (0, 0)
    assert flags == 5  # read and execute
    assert filesz == memsz <= 2 * 4096
    assert not {PT_INTERP, PT_TLS} & {s[0] for s in image.segments}
    for segment in image.segments:
        assert segment[2] == segment[3]  # offset is address: it is mapped as it lies in the file
        assert segment[2] + segment[5] <= filesz


def test_nothing_to_relocate(elf):
    image = Elf(elf)
    assert not DT_OF_LOADERS_WORK & image.dynamic.keys()
    assert DT_NEEDED not in image.dynamic
    assert image.string(image.dynamic[DT_SONAME]) == "linux-vdso.so.1"


@pytest.mark.parametrize("name", NAMES)
def test_symbols_as_each_libc_looks_for_them(elf, name):
    image = Elf(elf)
    index = image.find_sysv(name)  # musl, older glibc
    assert index
    assert index == image.find_gnu(name)  # glibc, Go
    assert image.version(index) == "LINUX_2.6"
    _, info, other, section, value, size = image.symbol(index)
    assert info & 15 == 2  # STT_FUNC
    assert info >> 4 == (1 if name.startswith("__vdso_") else 2)  # STB_GLOBAL, or STB_WEAK
    assert (other & 3, section != 0) == (0, True)
    assert 0 < value < value + size <= len(elf)


def test_what_is_not_there_is_not_found(elf):
    image = Elf(elf)
    for name in ("__vdso_getrandom", "memcpy", ""):
        assert image.find_sysv(name) is None
        assert image.find_gnu(name) is None


def test_nothing_but_the_functions_is_exported(elf):
    image = Elf(elf)
    _, count = struct.unpack_from("<II", elf, image.dynamic[DT_HASH])
    assert {image.symbol(n)[0] for n in range(1, count)} == {*NAMES, "LINUX_2.6"}


def test_the_last_instruction_is_not_a_system_call(elf):
    """The seccomp filter sees the address after it, which must still be of our text."""
    assert 0 < elf.rindex(b"\x0f\x05") + 2 < len(elf)


ENTRIES = {
    "clock_gettime": 0x620,
    "clock_getres": 0x670,
    "gettimeofday": 0x6A0,
    "time": 0x6C0,
    "getcpu": 0x6F0,
}
"""For ever: programs in images know them."""


@pytest.mark.parametrize("compiler", ["cc", "clang"])
def test_programs_enter_where_they_always_did(monkeypatch, compiler: str):
    """Under another version, too, or another compiler's: they look for it but once, as they begin."""
    require(compiler)
    monkeypatch.setenv("CC", compiler)
    image = Elf(build.compile_vdso(PARAMS))
    for name, address in ENTRIES.items():
        for each in (name, f"__vdso_{name}"):
            assert image.symbol(image.find_sysv(each))[4] == address, each


def test_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(build, "LARGEST", 100)
    with pytest.raises(ValueError, match="room for 100"):
        build.compile_vdso(PARAMS)


# -- the functions, called -------------------------------------------------------------------------


def compile_c(scratch: Path, name: str, source: str, *flags: str) -> Path:
    build.build(scratch, PARAMS)
    (scratch / f"{name}.c").write_text(source)
    program = scratch / name
    cc = (os.environ.get("CC") or "cc").split()
    subprocess.run(
        [*cc, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", *flags, f"-I{scratch}",
         f"-I{CSRC / 'vdso'}", f"-DIMAGE={IMAGE:#x}UL", "-o", str(program),
         str(scratch / f"{name}.c")],
        check=True,
    )  # fmt: skip
    return program


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


# Finds a function in a vDSO, by the SysV hash table's count of symbols.
LOOKUP = r"""
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "params.h"
#include "zt_vdso_image.h"

#define CHECK(x) do { if (!(x)) { \
    fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #x, errno); exit(1); } } while (0)

__attribute__((unused)) static uint64_t offset_in_vdso(const char *base, const char *name)
{
    const Elf64_Phdr *ph = (const void *)(base + ((const Elf64_Ehdr *)base)->e_phoff);
    const Elf64_Dyn *dyn = 0;
    const Elf64_Sym *symbols = 0;
    const char *strings = 0;
    const Elf64_Word *hash = 0;
    for (int i = 0; i < ((const Elf64_Ehdr *)base)->e_phnum; i++)
        if (ph[i].p_type == PT_DYNAMIC)
            dyn = (const void *)(base + ph[i].p_offset);
    for (; dyn->d_tag; dyn++) {
        if (dyn->d_tag == DT_SYMTAB) symbols = (const void *)(base + dyn->d_un.d_ptr);
        if (dyn->d_tag == DT_STRTAB) strings = base + dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_HASH) hash = (const void *)(base + dyn->d_un.d_ptr);
    }
    if (!hash)
        return 0; /* a host may have the GNU table alone: our vDSO makes calls then */
    for (unsigned i = 0; i < hash[1]; i++)
        if (!strcmp(strings + symbols[i].st_name, name))
            return symbols[i].st_value;
    return 0;
}
"""

IN_ONE_PROCESS = (
    LOOKUP
    + r"""
static int (*ours)(clockid_t, struct timespec *);
static struct zt_vdso_params *params = (void *)ZT_VDSO_IMAGE_PARAMS;

static int64_t read_clock(clockid_t clock, int by_call)
{
    struct timespec t;
    CHECK((by_call ? syscall(SYS_clock_gettime, clock, &t) : ours(clock, &t)) == 0);
    CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void check_clock(clockid_t clock, int64_t offset)
{
    params->monotonic_offset_ns = offset;
    /* the coarse clocks are as old as the last tick */
    const int64_t before = read_clock(clock, 1), got = read_clock(clock, 0);
    const int64_t after = read_clock(clock, 1);
    CHECK(got - offset >= before - 20000000 && got - offset <= after + 20000000);
}

static void *function(const char *name)
{
    const uint64_t offset = offset_in_vdso((char *)IMAGE, name);
    CHECK(offset);
    return (void *)(IMAGE + offset);
}

static int calls;
static int edge_sec, edge_nsec;
static int edge(clockid_t clock, struct timespec *t)
{
    calls++;
    if (clock == 99)
        return -EINVAL;
    t->tv_sec = edge_sec;
    t->tv_nsec = edge_nsec;
    return 0;
}

static void check_edge(int sec, int nsec, int64_t offset, long want_sec, long want_nsec)
{
    struct timespec t;
    edge_sec = sec, edge_nsec = nsec;
    params->monotonic_offset_ns = offset;
    CHECK(ours(CLOCK_MONOTONIC, &t) == 0);
    CHECK(t.tv_sec == want_sec && t.tv_nsec == want_nsec);
    CHECK(ours(CLOCK_REALTIME, &t) == 0);
    CHECK(t.tv_sec == sec && t.tv_nsec == nsec);
}

int main(void)
{
    const int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    CHECK(mmap((void *)ZT_VDSO_IMAGE_PARAMS, 4096, PROT_READ | PROT_WRITE, anon, -1, 0) == params);
    const size_t size = ZT_VDSO_IMAGE_PAGES * 4096;
    char *image = mmap((void *)IMAGE, size, PROT_READ | PROT_WRITE, anon, -1, 0);
    CHECK(image == (void *)IMAGE);
    memcpy(image, zt_vdso_image, sizeof(zt_vdso_image));
    CHECK(mprotect(image, size, PROT_READ | PROT_EXEC) == 0);
    ours = function("__vdso_clock_gettime");
    CHECK((void *)ours == function("clock_gettime"));

    const char *host = (const char *)getauxval(AT_SYSINFO_EHDR);
    for (int by_host = 0; by_host < 2; by_host++) {
        memset(params, 0, sizeof(*params));
        if (by_host && host) {
#define TAKE(name) if (offset_in_vdso(host, "__vdso_" #name)) \
            params->name = (uint64_t)host + offset_in_vdso(host, "__vdso_" #name)
            TAKE(clock_gettime); TAKE(gettimeofday); TAKE(time); TAKE(clock_getres); TAKE(getcpu);
            printf("host %d\n", params->clock_gettime != 0);
        }

        const int64_t offsets[] = {
            0, 1, -1, 999999999, -999999999, 1000000000, 86400 * 1000000000L * 400, -5000000001L,
        };
        const clockid_t shifted[] = { 1, 4, 6, 7 }, not_shifted[] = { 0, 2, 3, 5, 11 };
        for (unsigned i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
            for (int k = 0; k < 4; k++)
                check_clock(shifted[k], offsets[i]);
            for (int k = 0; k < 5; k++) {
                const int64_t before = read_clock(not_shifted[k], 1);
                params->monotonic_offset_ns = offsets[i];
                CHECK(llabs(read_clock(not_shifted[k], 0) - before) < 20000000);
            }
            CHECK(ours(12345, &(struct timespec){ 0 }) == -EINVAL);
            CHECK(ours(-1 & 0x7fffffff, &(struct timespec){ 0 }) == -EINVAL);
        }

        struct timespec resolution = { 9, 9 }, wanted = { 0 };
        int (*getres)(clockid_t, struct timespec *) = function("__vdso_clock_getres");
        CHECK(getres(CLOCK_MONOTONIC, &resolution) == 0);
        CHECK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &wanted) == 0);
        CHECK(!memcmp(&resolution, &wanted, sizeof(wanted)));
        CHECK(getres(12345, &resolution) == -EINVAL);

        struct timeval tv = { 0 };
        int (*get)(struct timeval *, struct timezone *) = function("__vdso_gettimeofday");
        CHECK(get(&tv, NULL) == 0 && labs(tv.tv_sec - time(NULL)) <= 1);
        time_t now = 0, (*get_time)(time_t *) = function("__vdso_time");
        CHECK(labs(get_time(&now) - time(NULL)) <= 1 && labs(now - time(NULL)) <= 1);
        CHECK(get_time(NULL) >= now);
        unsigned cpu = ~0u, node = ~0u;
        int (*getcpu_)(unsigned *, unsigned *, void *) = function("__vdso_getcpu");
        CHECK(getcpu_(&cpu, &node, NULL) == 0 && cpu < 65536 && node < 65536);
        CHECK(getcpu_(&cpu, NULL, NULL) == 0);
    }

    memset(params, 0, sizeof(*params));
    params->clock_gettime = (uint64_t)edge;
    check_edge(10, 999999999, 1, 11, 0);
    check_edge(10, 0, -1, 9, 999999999);
    check_edge(10, 500000000, 500000000, 11, 0);
    check_edge(10, 500000000, -500000001, 9, 999999999);
    check_edge(10, 1, -3000000002L, 6, 999999999);
    check_edge(10, 1, 3999999999L, 14, 0);
    check_edge(10, 7, 0, 10, 7);
    CHECK(calls == 14);
    CHECK(ours(99, NULL) == -EINVAL);
    puts("PASS");
    return 0;
}
"""
)


def test_functions_and_offset(tmp_path):
    assert run(compile_c(tmp_path, "one", IN_ONE_PROCESS)).endswith("PASS\n")


# -- under the libcs that are here -----------------------------------------------------------------

# Starts a program, and before its first instruction puts our vDSO into it, as zaptrace does.
LAUNCHER = (
    LOOKUP
    + r"""
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static pid_t pid;

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
    struct user_regs_struct saved, regs;
    CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &saved));
    const long code = ptrace(PTRACE_PEEKTEXT, pid, saved.rip, 0);
    CHECK(!ptrace(PTRACE_POKETEXT, pid, saved.rip, (code & ~0xffffL) | 0x050f));
    regs = saved;
    regs.rax = nr, regs.orig_rax = -1;
    regs.rdi = a, regs.rsi = b, regs.rdx = c, regs.r10 = d, regs.r8 = e, regs.r9 = f;
    CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &regs) && !ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
    CHECK(waitpid(pid, NULL, 0) == pid && !ptrace(PTRACE_GETREGS, pid, 0, &regs));
    CHECK(!ptrace(PTRACE_POKETEXT, pid, saved.rip, code));
    CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &saved));
    return regs.rax;
}

static void put(uint64_t address, const void *from, size_t size)
{
    struct iovec local = { (void *)from, size }, remote = { (void *)address, size };
    CHECK(process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)size);
}

int main(int argc, char **argv)
{
    (void)argc;
    pid = fork();
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    CHECK(!ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL));

    const int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    const long size = ZT_VDSO_IMAGE_PAGES * 4096;
    CHECK(call(SYS_mmap, ZT_VDSO_IMAGE_PARAMS, 4096, 3, anon, -1, 0) == (long)ZT_VDSO_IMAGE_PARAMS);
    CHECK(call(SYS_mmap, IMAGE, size, 3, anon, -1, 0) == (long)IMAGE);
    put(IMAGE, zt_vdso_image, sizeof(zt_vdso_image));
    CHECK(call(SYS_mprotect, IMAGE, size, PROT_READ | PROT_EXEC, 0, 0, 0) == 0);

    struct user_regs_struct regs;
    CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
    uint64_t at = regs.rsp + 8 * (1 + ptrace(PTRACE_PEEKDATA, pid, regs.rsp, 0) + 1);
    while (ptrace(PTRACE_PEEKDATA, pid, at, 0))
        at += 8;
    uint64_t host = 0;
    for (at += 8;; at += 16) {
        const long type = ptrace(PTRACE_PEEKDATA, pid, at, 0);
        CHECK(type != AT_NULL);
        if (type == AT_SYSINFO_EHDR) {
            host = ptrace(PTRACE_PEEKDATA, pid, at + 8, 0);
            CHECK(!ptrace(PTRACE_POKEDATA, pid, at + 8, IMAGE));
            break;
        }
    }
    const char *mine = (const char *)getauxval(AT_SYSINFO_EHDR);
    const uint64_t offset = offset_in_vdso(mine, "__vdso_clock_gettime");
    struct zt_vdso_params params = {
        .clock_gettime = offset ? host + offset : 0,
        .monotonic_offset_ns = 1000000L * 1000000000,
    };
    put(ZT_VDSO_IMAGE_PARAMS, &params, sizeof(params));
    CHECK(!ptrace(PTRACE_DETACH, pid, 0, 0));
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
"""
)

TARGET = (
    LOOKUP
    + r"""
int main(void)
{
    struct timespec ours, host;
    CHECK(getauxval(AT_SYSINFO_EHDR) == IMAGE);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &ours) == 0);
    CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &host) == 0);
    CHECK(labs(ours.tv_sec - host.tv_sec - 1000000) <= 1);
    CHECK(clock_gettime(CLOCK_REALTIME, &ours) == 0);
    CHECK(labs(ours.tv_sec - time(NULL)) <= 1);
    struct timeval tv;
    CHECK(gettimeofday(&tv, NULL) == 0 && labs(tv.tv_sec - ours.tv_sec) <= 1);
    errno = 0;
    CHECK(clock_gettime(12345, &ours) == -1 && errno == EINVAL);
    puts("PASS");
    return 0;
}
"""
)


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(tool), reason=f"there is no {tool} here")


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("cc", ()),
        ("cc", ("-static",)),
        pytest.param("musl-gcc", (), marks=needs("musl-gcc")),
        pytest.param("musl-gcc", ("-static",), marks=needs("musl-gcc")),
    ],
)
def test_a_program_finds_it_by_the_auxiliary_vector(tmp_path, monkeypatch, compiler, flags):
    launcher = compile_c(tmp_path, "launcher", LAUNCHER)
    if compiler != "cc":
        monkeypatch.setenv("CC", compiler)
    target = compile_c(tmp_path, "target", TARGET, *flags)
    assert run(launcher, target) == "PASS\n"


GO_TARGET = """
package main

import (
	"fmt"
	_ "unsafe"
)

//go:linkname nanotime runtime.nanotime
func nanotime() int64

func main() { fmt.Println(nanotime()) }
"""


@needs("go")
def test_go_reads_the_pods_clock(tmp_path):
    launcher = compile_c(tmp_path, "launcher", LAUNCHER)
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.go").write_text(GO_TARGET)
    (module / "none.s").write_text("")  # lets a function have no body
    (module / "go.mod").write_text("module target\n")
    subprocess.run(["go", "build", "-o", "target"], cwd=module, check=True, timeout=170)
    shifted = int(run(launcher, module / "target")) / 1e9
    assert 0 <= time.monotonic() + 1_000_000 - shifted < 60


def test_python_reads_the_pods_clock(tmp_path):
    launcher = compile_c(tmp_path, "launcher", LAUNCHER)
    script = "import time; print(int(time.monotonic()), int(time.time()))"
    monotonic, wall = map(int, run(launcher, sys.executable, "-c", script).split())
    assert 0 <= time.monotonic() + 1_000_000 - monotonic < 60
    assert 0 <= time.time() - wall < 60
