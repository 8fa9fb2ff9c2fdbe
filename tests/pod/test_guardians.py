"""A pod that nobody is attached to does not outlive its supervisor, nor a guardian (csrc/pod/guardian.h),
nor both."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually
from harness.world import SEED, require

pytestmark = pytest.mark.tracer

ROUNDS = int(os.environ.get("ZAPTRACE_TEST_KILLS", "28")) // 7
"""Of each kind; by hand: ZAPTRACE_TEST_KILLS=1000."""

# Everybody has the write end of the pipe that is its output, so its end is when all of them are gone.
STORM = r"""
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void leaf(unsigned seed, char **argv)
{
	srand(seed);
	usleep((unsigned)rand() % 2000);
	if (rand() % 4 == 0 && fork() == 0) /* an orphan */
		usleep((unsigned)rand() % 3000);
	if (rand() % 8 == 0)
		execl(argv[0], argv[0], "leaf", NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		leaf((unsigned)getpid(), argv);
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			for (unsigned seed = (unsigned)i;; seed += 3) {
				pid_t pid = fork();
				if (pid == 0)
					leaf(seed, argv);
				waitpid(pid, NULL, 0);
			}
	if (fork() == 0)
		for (;;)
			;
	usleep(20000);
	if (write(1, "on\n", 3) == 3)
		while (pause())
			;
	return 1;
}
"""

SUPERVISOR = """
import sys
from zaptrace.linux.native import lib
from zaptrace.pod.pod import Pod, Stdio
pod = Pod.launch(sys.argv[1:], name="guarded", stdio=Stdio(0, 1, 2))
print("detaches" if pod.call(lambda: lib.zt_pod_detaches(pod.handle)) else "attached", flush=True)
try:
    pod.wait(600)
finally:
    pod.kill()
"""


def guardians(supervisor: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{supervisor}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [p for p in found if Path(f"/proc/{p}/comm").read_text() == "zaptrace-guard\n"]


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("storm")
    place.chmod(0o755)
    (place / "storm.c").write_text(STORM)
    subprocess.run(["cc", "-O1", "-o", place / "storm", place / "storm.c"], check=True)
    return place / "storm"


def read_until(fd: int, wanted: bytes) -> bytes:
    """What came, up to `wanted` or the end of all who could write."""
    said = b""
    limit = time.monotonic() + PATIENCE_S
    while not wanted or wanted not in said:
        assert select.select([fd], [], [], limit - time.monotonic())[0], said
        more = os.read(fd, 4096)
        if not more:
            return said
        said += more
    return said


KILLED = ("s", "0", "1", "s0", "s1", "0s", "1s")


@pytest.mark.parametrize("killed", KILLED, ids=lambda who: f"killed-{who}")
def test_nobody_is_left(storm: Path, killed: str):
    """At random moments of a storm of forks: the supervisor (s), a guardian, or both."""
    for seed in range(ROUNDS):
        nobody_is_left([str(storm)], killed, f"{SEED}{killed}{seed}")


@pytest.mark.parametrize("killed", ["s", "s0"], ids=lambda who: f"killed-{who}")
def test_nobody_is_left_of_what_a_relative_traced(storm: Path, killed: str):
    """What is executed then has nothing of ours in it."""
    nobody_is_left(
        [require("strace"), "-f", "-o", os.devnull, str(storm)], killed, f"{SEED}{killed}"
    )


def nobody_is_left(argv: list[str], killed: str, seed: str) -> None:
    rng = random.Random(seed)
    ours, theirs = os.pipe()
    run = [sys.executable, "-c", SUPERVISOR, *argv]
    env = os.environ | {"ZAPTRACE_PTRACE": "when-needed"}
    supervisor = subprocess.Popen(run, env=env, stdin=subprocess.DEVNULL, stdout=theirs)
    os.close(theirs)
    try:
        said = read_until(ours, b"on\n")
        while b"detaches\n" not in said and b"attached\n" not in said:
            said += read_until(ours, b"\n")
        if b"attached\n" in said:
            assert not guardians(
                supervisor.pid
            )  # this host cannot: the kernel ends all with their tracer
            killed = "s"
        else:  # they name themselves, in their own time
            eventually(lambda: len(guardians(supervisor.pid)) == 2)
        who = guardians(supervisor.pid)
        time.sleep(rng.random() * 0.03)
        for each in killed:
            os.kill(supervisor.pid if each == "s" else who[int(each)], signal.SIGKILL)
        assert read_until(ours, b"") is not None
    finally:
        supervisor.kill()
        supervisor.wait()
        os.close(ours)
