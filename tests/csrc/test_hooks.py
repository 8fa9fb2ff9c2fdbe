"""What csrc/resources/resource.h promises to the hooks of a room."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from harness.world import ROOT

SOURCES = ("ptrace/mem.c", "base/err.c")
"""What the helpers of resource.h need."""

PRELUDE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "resources/resource.h"

#define check(condition) \
    do { if (!(condition)) { printf("line %d: %s\n", __LINE__, #condition); return 1; } } while (0)
"""


@pytest.fixture
def passes(tmp_path: Path):
    """Compile `main` with the headers of the rooms, and run it: it must return 0."""

    def passes_(body: str) -> None:
        source, program = tmp_path / "main.c", tmp_path / "main"
        source.write_text(PRELUDE + body)
        cc = shlex.split(os.environ.get("CC", "cc"))
        csrc = ROOT / "csrc"
        subprocess.run(
            [*cc, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter",
             "-Werror", "-I", str(csrc), "-I", str(ROOT / "build/generated"), "-o", str(program),
             str(source), *(str(csrc / name) for name in SOURCES)],
            check=True,
        )  # fmt: skip
        done = subprocess.run([program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return passes_


def test_a_path_of_any_length_across_page_ends(passes):
    passes(r"""
int main(void)
{
    const size_t page = 4096;
    zt_task self = {.rtid = {getpid()}};
    char got[PATH_MAX];
    /* Two pages, and nothing behind them. */
    char *memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED && munmap(memory + 2 * page, page) == 0);
    char *end = memory + 2 * page;
    for (size_t length = 0; length < PATH_MAX; length += length < 40 ? 1 : 507) {
        char *path = end - length - 1;
        memset(path, 'a' + length % 26, length);
        path[length] = 0;
        check(zt_hook_path(&self, (uint64_t)path, got) == (int64_t)length);
        check(strcmp(got, path) == 0);
        char *across = memory + page - length / 2; /* the page's end lies in its middle */
        if (length / 2 <= page && length - length / 2 < page) {
            memmove(across, path, length + 1);
            check(zt_hook_path(&self, (uint64_t)across, got) == (int64_t)length);
            check(strlen(got) == length);
        }
    }
    memset(memory, '/', 2 * page);
    memory[PATH_MAX - 1] = 0;
    check(zt_hook_path(&self, (uint64_t)memory, got) == PATH_MAX - 1);
    memory[PATH_MAX - 1] = '/';
    check(zt_hook_path(&self, (uint64_t)memory, got) == -ENAMETOOLONG);
    check(zt_hook_path(&self, (uint64_t)(end - 7), got) == -EFAULT); /* it runs into nothing */
    check(zt_hook_path(&self, 0, got) == -EFAULT);
    check(zt_hook_path(&self, (uint64_t)-1, got) == -EFAULT);
    return 0;
}
""")


def test_the_row_decides_whether_the_exit_half_runs(passes):
    """Whatever an enter half did or left alone; it has no way to say."""
    passes(r"""
static void seen(zt_pod *pod, zt_task *task, zt_call *call) {}

int main(void)
{
    const zt_row enter = {.name = "enter"}, exit = {.name = "exit", .exit = seen};
    const zt_row result = {.name = "result", .result_id = true};
    zt_call call = {.asked = {1, 2}, .issued = {1, 2}};
    check(!zt_row_sees_exit(&enter, &call, true));
    check(zt_row_sees_exit(&exit, &call, false) && zt_row_sees_exit(&exit, &call, true));
    check(!zt_row_sees_exit(&result, &call, false) && zt_row_sees_exit(&result, &call, true));
    call.issued[5] = 1; /* the program gets its own argument back */
    check(zt_row_sees_exit(&enter, &call, false));
    return 0;
}
""")
