"""What csrc/resources/resource.h promises to the hooks of a room."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.world import ROOT

SOURCES = ("ptrace/mem.c", "pod/store.c", "base/err.c")
"""What the helpers of resource.h need."""

PRELUDE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
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
        csrc, generated = ROOT / "csrc", tmp_path / "generated"
        subprocess.run([sys.executable, csrc / "gen_tables.py", generated], check=True)
        subprocess.run(
            [*cc, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter",
             "-Werror", "-I", str(csrc), "-I", str(generated), "-o", str(program),
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


def test_the_store_holds_any_bytes_and_lists_them_in_order(passes):
    passes(r"""
static bool is(const zt_stored *found, const char *room, const char *key, const char *value, uint32_t size)
{
    return found && !strcmp(found->room, room) && found->key_size == strlen(key) &&
           !memcmp(found->key, key, strlen(key)) && found->value_size == size &&
           !memcmp(found->value, value, size);
}

static zt_pod pod;

int main(void)
{
    check(!zt_store_next(&pod.store, NULL) && !zt_store_get(&pod.store, "a", "k", 1));
    zt_store_remove(&pod.store, "a", "k", 1);
    check(zt_store_put(&pod.store, "a", "k", 1, "\0\xff\0", 3) == 0);
    check(zt_store_put(&pod.store, "b", "k", 1, "other", 5) == 0);
    check(zt_store_put(&pod.store, "a", "", 0, NULL, 0) == 0);
    check(is(zt_store_get(&pod.store, "a", "k", 1), "a", "k", "\0\xff\0", 3));
    check(is(zt_store_get(&pod.store, "b", "k", 1), "b", "k", "other", 5));
    check(is(zt_store_get(&pod.store, "a", NULL, 0), "a", "", "", 0));
    check(!zt_store_get(&pod.store, "a", "kk", 2) && !zt_store_get(&pod.store, "c", "k", 1));

    /* Put again, it keeps its place; from its own bytes, too. */
    const zt_stored *entry = zt_store_get(&pod.store, "a", "k", 1);
    check(zt_store_put(&pod.store, "a", entry->key, 1, entry->value + 1, 2) == 0);
    entry = zt_store_next(&pod.store, NULL);
    check(is(entry, "a", "k", "\xff", 2));
    check(is(entry = zt_store_next(&pod.store, entry), "b", "k", "other", 5));
    check(is(entry = zt_store_next(&pod.store, entry), "a", "", "", 0));
    check(!zt_store_next(&pod.store, entry));

    for (int32_t i = 0; i < 100000; i++)
        check(zt_store_put(&pod.store, "many", &i, sizeof i, &i, sizeof i) == 0);
    for (int32_t i = 0; i < 100000; i += 2)
        zt_store_remove(&pod.store, "many", &i, sizeof i);
    int32_t wanted = 1, count = 0;
    for (entry = NULL; (entry = zt_store_next(&pod.store, entry)); count++) {
        if (strcmp(entry->room, "many"))
            continue;
        check(!memcmp(entry->key, &wanted, sizeof wanted) && !memcmp(entry->value, &wanted, sizeof wanted));
        check(zt_store_get(&pod.store, "many", &wanted, sizeof wanted) == entry);
        wanted += 2;
    }
    check(count == 50003 && pod.store.count == 50003);
    zt_store_clear(&pod.store);
    check(!zt_store_next(&pod.store, NULL) && zt_store_put(&pod.store, "a", "k", 1, "v", 1) == 0);
    zt_store_clear(&pod.store);
    return 0;
}
""")


def test_without_memory_the_program_hears_enomem(passes):
    """And what was stored before is there still."""
    passes(r"""
static zt_pod pod;

int main(void)
{
    enum { LARGE = 200 << 20 };
    char *large = mmap(NULL, LARGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(large != MAP_FAILED);
    zt_call call = {.answer = 7};
    zt_hook_store(&pod, &call, "a", "k", 1, "v", 1);
    check(call.answer == 7);
    check(setrlimit(RLIMIT_AS, &(struct rlimit){LARGE + (64 << 20), LARGE + (64 << 20)}) == 0);
    zt_hook_store(&pod, &call, "a", "k", 1, large, LARGE);
    check(call.answer == -ENOMEM);
    const zt_stored *kept = zt_store_get(&pod.store, "a", "k", 1);
    check(kept && kept->value_size == 1 && kept->value[0] == 'v');
    check(zt_store_next(&pod.store, NULL) == kept);
    zt_store_clear(&pod.store);
    return 0;
}
""")
