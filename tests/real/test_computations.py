"""Real programs, unmodified: what they print when moved at random moments is what they print."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.flavours import MOVING, compare_native
from harness.world import REAL, ROOT, built, compiled, only_one, python, require, sorted_lines

pytestmark = pytest.mark.parametrize("flavour", MOVING)


def made(name: str, make: Callable[[Path], None]) -> Path:
    """`make(path)` done once for all pytest workers."""
    with only_one(ROOT / "build" / "programs" / name) as target:
        if not target.exists():
            make(target)
    return target


def test_python_processes_and_threads(flavour: str, place: Path):
    compare_native(flavour, [python(), REAL / "workers.py"], place)


def test_bash_script(flavour: str, place: Path):
    compare_native(flavour, [require("bash"), REAL / "jobs.sh"], place, times=6)


def test_static_c(flavour: str, place: Path):
    compare_native(flavour, [compiled(REAL / "static.c", "-static")], place, times=8)


def test_static_musl(flavour: str, place: Path):
    cc = require("musl-gcc", "musl-tools")
    compare_native(flavour, [compiled(REAL / "static.c", "-static", cc=Path(cc).name)], place)


def test_static_go(flavour: str, place: Path):
    go = require("go", "golang-go")

    def make(target: Path) -> None:
        cache = str(target.with_name("go-cache"))
        offline = {"GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        built(
            go, "build", "-o", target, REAL / "ticking.go",
            CGO_ENABLED="0", GOCACHE=cache, **offline,
        )  # fmt: skip

    compare_native(flavour, [made("ticking-go", make)], place, normal=sorted_lines)


def test_java(flavour: str, place: Path):
    java, javac = require("java", "default-jdk-headless"), require("javac", "default-jdk-headless")
    classes = made("java-classes", lambda out: built(javac, "-d", out, REAL / "Counting.java"))
    command = [java, "-Xmx64m", "-XX:+UseSerialGC", "-cp", classes, "Counting"]
    compare_native(flavour, command, place)


def test_java_with_default_collector(flavour: str, place: Path):
    java, javac = require("java", "default-jdk-headless"), require("javac", "default-jdk-headless")
    classes = made("java-classes", lambda out: built(javac, "-d", out, REAL / "Counting.java"))
    compare_native(flavour, [java, "-XX:+UseG1GC", "-cp", classes, "Counting"], place, times=2)


def test_node(flavour: str, place: Path):
    command = [require("node", "nodejs"), REAL / "looping.js"]
    compare_native(flavour, command, place, normal=sorted_lines)


def test_sort_larger_than_its_buffer(flavour: str, place: Path):
    def prepare(work: Path) -> None:
        import random

        dice = random.Random(1)
        lines = (f"{dice.getrandbits(64):016x} {n}\n" for n in range(1_500_000))
        (work / "big").write_text("".join(lines))

    script = "sort -S 2M --parallel=2 -T . big | tee sorted | cksum; wc -l <sorted; ls"
    compare_native(flavour, ["/bin/sh", "-c", script], place, prepare=prepare)


def test_sqlite_transactions(flavour: str, place: Path):
    sqlite = require("sqlite3")

    def prepare(work: Path) -> None:
        sql = ["CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INTEGER);"]
        sql += ["CREATE INDEX tn ON t(n);"]
        for n in range(300):
            rows = ",".join(f"({n * 50 + i}, hex(zeroblob(40)), {n ^ i})" for i in range(50))
            sql += ["BEGIN;", f"INSERT INTO t VALUES {rows};"]
            sql += [f"UPDATE t SET n = n + 1 WHERE id % 300 = {n};", "COMMIT;"]
            if n % 30 == 0:
                sql += ["SELECT count(*), sum(n) FROM t;"]
        sql += ["PRAGMA integrity_check;", "SELECT count(*), sum(id), sum(n) FROM t;"]
        (work / "work.sql").write_text("\n".join(sql))

    def check(work: Path) -> None:
        done = subprocess.run(
            [sqlite, work / "t.db", "PRAGMA integrity_check; SELECT count(*) FROM t;"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.split() == ["ok", "15000"], done.stdout + done.stderr

    command = [sqlite, "t.db", ".read work.sql"]
    compare_native(flavour, command, place, prepare=prepare, check=check)


def test_make_and_gcc(flavour: str, place: Path):
    make, _ = require("make"), require("gcc")
    parts = 12

    def prepare(work: Path) -> None:
        for n in range(parts):
            body = "".join(
                f"int f{n}_{i}(int x) {{ return x * {i} + {n}; }}\n" for i in range(1, 200)
            )
            (work / f"part{n}.c").write_text(body)
        calls = " + ".join(f"f{n}_7({n})" for n in range(parts))
        declared = "".join(f"int f{n}_7(int);\n" for n in range(parts))
        (work / "main.c").write_text(
            f"#include <stdio.h>\n{declared}int main(void)\n"
            f'{{ printf("%d\\n", {calls}); return 0; }}\n'
        )
        objects = " ".join(f"part{n}.o" for n in range(parts))
        (work / "Makefile").write_text(
            f"all: prog\n\t./prog\nprog: main.o {objects}\n\t$(CC) -o $@ $^\n"
            "%.o: %.c\n\t$(CC) -O2 -c -o $@ $<\n"
        )

    def check(work: Path) -> None:
        wanted = sum(n * 7 + n for n in range(parts))
        done = subprocess.run([work / "prog"], capture_output=True, text=True, check=False)
        assert int(done.stdout) == wanted

    compare_native(flavour, [make, "-j2"], place, prepare=prepare, check=check, normal=sorted_lines)
