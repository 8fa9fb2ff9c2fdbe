"""Calls that are looked at without a stop (csrc/pod/looker.h): the same answers as by stops, from the
thread that looks, whatever comes in between."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import PATIENCE_S, eventually
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux.native import lib
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.counts import Counts, counts
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

pytestmark = pytest.mark.tracer

# Calls that never wait, so that none of them may ever be seen to have been interrupted. It tells of itself
# every thousand rounds, and ends when its input does.
CALLS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

static pid_t self, group, session;
static volatile int rounds, ticks;
static void on_tick(int s) { (void)s; ticks++; }
static void want(long got, long wanted, const char *what)
{
	if (got == wanted)
		return;
	printf("wrong: %s gave %ld (errno %d), not %ld\n", what, got, errno, wanted);
	fflush(stdout);
	_exit(1);
}

static int64_t now(clockid_t clock)
{
	struct timespec t;
	want(syscall(SYS_clock_gettime, clock, &t), 0, "clock_gettime");
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Clocks as the C library's vDSO tells them, and what is told of them beside that. */
static void clocks(void)
{
	struct timespec before, after;
	struct sysinfo host;
	struct tms used;
	struct rlimit limit;
	clock_gettime(CLOCK_MONOTONIC, &before);
	const int64_t at = now(CLOCK_MONOTONIC), boot = now(CLOCK_BOOTTIME);
	const int64_t raw = now(CLOCK_MONOTONIC_RAW), second = boot / 1000000000;
	clock_gettime(CLOCK_MONOTONIC, &after);
	want(at >= before.tv_sec * 1000000000 + before.tv_nsec, 1, "the moment before");
	want(at <= after.tv_sec * 1000000000 + after.tv_nsec, 1, "the moment after");
	want(now(CLOCK_BOOTTIME) >= boot && now(CLOCK_MONOTONIC_RAW) >= raw, 1, "other clocks");
	want(now(CLOCK_PROCESS_CPUTIME_ID) > 0, 1, "CPU time");
	want(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, -8L), -1, "nowhere");
	want(errno, EFAULT, "its errno");
	want(syscall(SYS_clock_gettime, CLOCK_BOOTTIME, clocks), -1, "into text");
	want(errno, EFAULT, "its errno");
	want(sysinfo(&host), 0, "sysinfo");
	want(host.uptime >= second - 2 && host.uptime <= second + 60, 1, "uptime");
	want(host.totalram > 0 && host.procs > 0, 1, "the host");
	want(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur > 0, 1, "getrlimit");
	const clock_t ticks = times(&used);
	want(times(NULL) >= ticks, 1, "times");
	want(used.tms_utime > 0 && !used.tms_cutime && !used.tms_cstime, 1, "user time");
}

static void *calls(void *unused)
{
	for (;;) {
		clocks();
		want(getppid(), 1, "getppid");
		want(kill(self, 0), 0, "kill");
		want(kill(2, 0), -1, "kill of nobody");
		want(errno, ESRCH, "its errno");
		want(getsid(self), session, "getsid");
		want(getsid(0), session, "its own");
		want(getsid(2), -1, "getsid of nobody");
		want(errno, ESRCH, "its errno");
		want(getpgid(self), group, "getpgid");
		want(getpgid(-1), -1, "getpgid below 0");
		want(errno, ESRCH, "its errno");
		want(getpgrp(), group, "getpgrp");
		want(syscall(SYS_tgkill, self, self, 0), 0, "tgkill");
		want(setpriority(PRIO_PROCESS, (id_t)self, getpriority(PRIO_PROCESS, 0)), 0, "setpriority");
		want(ptrace(PTRACE_TRACEME, 0, 0, 0), -1, "ptrace");
		want(errno, EPERM, "its errno");
		want(semget(0x7a54, 1, 0), -1, "semget of none");
		want(errno, ENOENT, "its errno");
		rounds++;
	}
	return unused;
}

int main(void)
{
	char byte;
	pthread_t thread;
	struct itimerval often = {{0, 700}, {0, 700}};
	struct sigaction action = {.sa_handler = on_tick}; /* no SA_RESTART */
	self = getpid(), group = getpgrp(), session = getsid(0);
	for (struct tms used = {0}; !used.tms_utime; times(&used))
		for (volatile int i = 0; i < 1000000; i++)
			;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread, NULL, calls, NULL);
	for (int before = 0;; before = rounds) {
		while (rounds - before < 300)
			if (read(0, &byte, 1) == 0)
				return 0;
		printf("%d %d\n", rounds, ticks);
		fflush(stdout);
	}
}
"""

LOOKED = (
    "getppid",
    "kill",
    "getsid",
    "tgkill",
    "setpriority",
    "ptrace",
    "semget",
)
LOOKED_MOVED = (
    "getppid",
    "kill",
    "getsid",
    "getpgid",
    "getpgrp",
    "sysinfo",
    "times",
    "ptrace",
    "semget",
)
"""In a pod with other numbers than the kernel's, and of `clock_gettime` all but CPU time."""


@pytest.fixture
def calls(place: Path) -> list[str]:
    (place / "calls.c").write_text(CALLS)
    command = ["cc", "-O1", "-pthread", "-o", place / "calls", place / "calls.c"]
    subprocess.run(command, check=True)
    return [str(place / "calls")]


@pytest.fixture
def stdio(place: Path) -> Iterator[tuple[Stdio, Path]]:
    """Input that has nothing to read and does not end, and where the output goes."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    out = os.open(place / "out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield Stdio(ours, out, out), place / "out"
    for fd in (ours, theirs, out):
        os.close(fd)


def gets_on(told: Path) -> None:
    """Some hundred rounds more, and every answer right."""
    before = told.read_text().count("\n")
    eventually(lambda: told.read_text().count("\n") >= before + 2 or "wrong" in told.read_text())
    assert "wrong" not in told.read_text()


def looks() -> bool:
    """Does this host let us? If a listener of somebody else's is there, nobody else can have one."""
    tried = "import ctypes; c = ctypes.CDLL(None); c.prctl(38, 1, 0, 0, 0); " + LISTEN
    return bool(lib.zt_can_look()) and not subprocess.run([sys.executable, "-c", tried]).returncode


# seccomp(SET_MODE_FILTER, NEW_LISTENER | WAIT_KILLABLE_RECV, all is allowed)
LISTEN = """
code = ctypes.create_string_buffer(bytes([6, 0, 0, 0, 0, 0, 255, 127]))
class Program(ctypes.Structure): _fields_ = [("size", ctypes.c_ushort), ("at", ctypes.c_void_p)]
program = Program(1, ctypes.addressof(code))
listener = c.syscall(317, 1, 8 | 32, ctypes.byref(program))
if listener < 0: raise SystemExit(3)
"""


def stopped_and_looked(told: Counts) -> tuple[int, int]:
    return told.stops["call entry"], told.stops["looked at"]


@pytest.mark.parametrize("way", ["look", "stop"])
def test_answers_are_the_same(
    calls: list[str], stdio: tuple[Stdio, Path], place: Path, way: str, monkeypatch
):
    """Through signals, freezes and a checkpoint; and in the pod that is made of that."""
    monkeypatch.setenv("ZAPTRACE_LOOK", way)
    of_it, out = stdio
    pod = Pod.launch(calls, name="looked", stdio=of_it)
    try:
        gets_on(out)
        for _ in range(20):
            pod.freeze()
            pod.thaw()
        gets_on(out)
        told = pod.call(counts, pod)
        names = {call.name for call in told.calls if call.entered}
        assert names >= set(LOOKED)
        stopped, looked = stopped_and_looked(told)
        if way == "look" and looks():
            assert looked > 1000 and stopped < 100  # what the C library does when it begins
        else:
            assert stopped > 1000 and not looked
        checkpoint(pod, DirectorySink(place / "image"), then="stop")
        pod.close()
        with contextlib.closing(Image.open(place / "image")) as image:
            pod = restore(image, stdio=of_it)
        gets_on(out)
        pod.freeze()
        pod.thaw()
        gets_on(out)
        told = pod.call(counts, pod)
        _, looked = stopped_and_looked(told)
        assert bool(looked) == (way == "look" and looks())
        calls_of = {call.name: call for call in told.calls}
        assert "prlimit64" not in calls_of  # of itself it may know all but its CPU time
        if looked:
            clocks, cpu_time = calls_of["clock_gettime"], calls_of["clock_gettime"].left
            assert clocks.answered > 1000 and cpu_time > 100
            assert clocks.entered - clocks.answered - cpu_time in (0, 1)  # one may be under way
            of_moved = [calls_of[name].answered for name in LOOKED_MOVED]
            assert all(of_moved) and looked == sum(of_moved) + clocks.answered
    finally:
        pod.kill()
        pod.close()


def holders(parent: int) -> list[int]:
    """Who holds the listeners, so that none is closed before all of the pod is killed."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [p for p in found if Path(f"/proc/{p}/comm").read_text() == "zaptrace-holder\n"]


def holds_a_listener(pid: int) -> bool:
    fds = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.readlink(fd) == "anon_inode:seccomp notify" for fd in fds)


SUPERVISOR = """
import sys, time
from zaptrace.pod.pod import Pod, Stdio
pod = Pod.launch(sys.argv[1:], name="killed", stdio=Stdio(0, 1, 2))
time.sleep(600)
"""


def test_whose_supervisor_is_killed_sees_no_listener_close(
    calls: list[str], stdio: tuple[Stdio, Path], place: Path
):
    """A call would answer ENOSYS in between."""
    of_it, out = stdio
    run = [sys.executable, "-c", SUPERVISOR, *calls]
    for _ in range(3):
        told = out.read_text().count("\n")
        supervisor = subprocess.Popen(run, stdin=of_it.stdin, stdout=of_it.stdout)
        eventually(lambda told=told: out.read_text().count("\n") >= told + 2)
        ours = holders(supervisor.pid)
        assert len(ours) == looks()
        assert all(holds_a_listener(holder) for holder in ours)
        supervisor.kill()
        supervisor.wait()
        for holder in ours:  # it ends by itself
            eventually(lambda holder=holder: not Path(f"/proc/{holder}/exe").exists())
    assert "wrong" not in out.read_text()


def test_the_holder_ends_with_its_pod(calls: list[str], stdio: tuple[Stdio, Path]):
    before = holders(os.getpid())
    with Pod.launch(calls, name="held", stdio=stdio[0]) as pod:
        assert len(holders(os.getpid())) == len(before) + looks()
        pod.kill()
    assert holders(os.getpid()) == before


UNDER_A_LISTENER = (
    """
import ctypes, os, sys
c = ctypes.CDLL(None)
c.prctl(38, 1, 0, 0, 0)
"""
    + LISTEN
    + """
from zaptrace.pod.counts import counts
from zaptrace.pod.pod import Pod, Stdio
ours, theirs = os.pipe()
null = os.open(os.devnull, os.O_RDWR)
script = "import os, time; print(os.getppid(), flush=True); time.sleep(600)"
pod = Pod.launch([sys.executable, "-c", script], name="under", stdio=Stdio(null, theirs, null))
with open(ours, 'rb') as out:
    said = out.readline()
stops = pod.call(counts, pod).stops
pod.kill()
pod.close()
print(said, stops["looked at"], stops["call entry"] > 0)
"""
)


def test_under_a_listener_of_somebody_elses_all_stops():
    """The kernel allows one in all filters of a thread (EBUSY)."""
    if not looks():
        return  # then everything stops as it is: test_answers_are_the_same
    run = [sys.executable, "-c", UNDER_A_LISTENER]
    said = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE_S)
    assert said.stdout == "b'1\\n' 0 True\n", said.stderr


# Filters of a program's own count more than ours, as far as they say more than "allowed".
FILTERED = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void on(unsigned call, unsigned verdict)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, code};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		_exit(90);
}

static int end_of(void (*child)(void))
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		child();
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void traced(void) { on(SYS_getppid, SECCOMP_RET_TRACE | 5); syscall(SYS_getppid); }
static void answered(void) { on(SYS_getppid, SECCOMP_RET_ERRNO | 7); syscall(SYS_getppid); }
static void strict(void) { prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); syscall(SYS_getppid); }

static volatile pid_t tid;
static volatile int came_back;
static void *thread(void *unused)
{
	tid = (pid_t)syscall(SYS_gettid);
	strict();
	came_back = 1;
	return unused;
}

int main(void)
{
	pthread_t one;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	printf("traced %d answered %d strict %d\n", end_of(traced) >> 8, end_of(answered) >> 8, end_of(strict));
	pthread_create(&one, NULL, thread, NULL);
	while (!tid || !syscall(SYS_tgkill, getpid(), tid, 0))
		usleep(1000);
	printf("alone %d\n", !came_back);
	return 0;
}
"""


@pytest.mark.parametrize("way", ["native", "look", "stop"])
def test_a_programs_own_filters_count_more(place: Path, way: str, monkeypatch: pytest.MonkeyPatch):
    (place / "filtered.c").write_text(FILTERED)
    command = ["cc", "-O1", "-pthread", "-o", place / "filtered", place / "filtered.c"]
    subprocess.run(command, check=True)
    with open(place / "out", "w+") as out:
        if way == "native":
            subprocess.run([place / "filtered"], stdout=out, timeout=PATIENCE_S, check=True)
        else:
            monkeypatch.setenv("ZAPTRACE_LOOK", way)
            null = os.open(os.devnull, os.O_RDWR)
            stdio = Stdio(null, out.fileno(), null)
            with Pod.launch([str(place / "filtered")], name="filtered", stdio=stdio) as pod:
                assert pod.wait(PATIENCE_S) == 0
            os.close(null)
        out.seek(0)
        said = "traced 38 answered 7 strict 9\nalone 1\n"
        if way == "native" and "Seccomp:\t0" not in Path("/proc/self/status").read_text():
            said = "traced 38 answered 7"  # under a filter the kernel has no strict mode; a pod has
        assert out.read().startswith(said)
