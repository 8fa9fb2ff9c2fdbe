#!/usr/bin/python3.11
"""The first process of a virtual machine: runs programs in pods, as an ordinary user.

It says how each went, a line that begins with @ for each.

make:KEY       each program is started, checkpointed, goes on, is checkpointed and ended; what became
               of it, /w/KEY, goes out on the second serial line. Also said: what `zaptrace check` says
test:KEY       tests of this tree, whose names lie in /tests; one line each
restore:KEY    /w is as the other machines left it; each pod is restored, told to go on, and has to pass
"""

from __future__ import annotations

import ctypes
import fcntl
import io
import os
import shutil
import signal
import socket
import struct
import sys
import tarfile
import termios
import time
import traceback
import tty
from pathlib import Path
from xml.etree import ElementTree

USER = 1500
W = Path("/w")
ZT = Path("/zt")
PATIENCE_S = 120.0
AN_ITEM_S = 300
ALL_TESTS_S = 3000
sys.path.insert(0, str(ZT))

LEVELS = {"threads": (0, 2), "xstate": (0, 2), "high_addresses": (0, 2)}
"""Programs that are also run at a level of the processor, 0 being all of it."""


def mount(kind: str, where: str, options: str = "") -> None:
    os.makedirs(where, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, options.encode() or None):
        print(f"cannot mount {kind}: {os.strerror(ctypes.get_errno())}", flush=True)


def loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def load_modules() -> None:
    for path in sorted(Path("/modules").glob("*"), key=lambda path: int(path.name)):
        with path.open("rb") as file:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syscall(313, file.fileno(), b"", 0):  # finit_module
                print(f"cannot load module {path.name}: {os.strerror(ctypes.get_errno())}")


def make(work: Path, program: Path, level: int) -> str:
    from zaptrace.image.sink import DirectorySink
    from zaptrace.linux import cpu
    from zaptrace.pod.checkpoint import checkpoint
    from zaptrace.pod.pod import Pod, Stdio

    work.mkdir(parents=True)
    out = os.open(work / "out", os.O_WRONLY | os.O_CREAT, 0o644)
    null = os.open("/dev/null", os.O_RDONLY)
    env = {"ZT_GO": str(work / "go"), "PATH": "/bin"}
    if level:
        cpu.keep_to(level, env)
        if cpu.has_faulting():
            env["ZT_CPU_LEVEL"] = str(level)
    stdio = Stdio(null, out, out, tty=False)
    pod = Pod.launch(
        [str(program)], name="it", cwd=str(work), env=env, stdio=stdio, cpu_level=level
    )
    with pod:
        await_text(work / "out", "ready", lambda: pod.wait(0.05))
        checkpoint(pod, DirectorySink(str(work / "first")), then="resume")
        shutil.rmtree(work / "first")
        checkpoint(pod, DirectorySink(str(work / "image")), then="stop")
    return "made"


def restore(work: Path) -> str:
    from zaptrace.image.image import Image
    from zaptrace.pod.pod import Stdio
    from zaptrace.pod.restore import restore as restored

    out = os.open(work / "out", os.O_WRONLY | os.O_APPEND)
    null = os.open("/dev/null", os.O_RDONLY)
    with (
        Image.open(str(work / "image")) as image,
        restored(image, stdio=Stdio(null, out, out, tty=False)) as pod,
    ):
        (work / "go").touch()
        await_text(work / "out", "PASS", lambda: pod.wait(0.05))
    return "PASS"


def await_text(path: Path, text: str, ended) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while text not in path.read_text():
        if (status := ended()) is not None and text not in path.read_text():
            raise RuntimeError(f"it ended ({status}): {path.read_text()[-300:]}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {text!r} in {PATIENCE_S:.0f} s: {path.read_text()[-300:]}")


def as_user(work, patience: int = AN_ITEM_S) -> str:
    """Each in a process of its own, so that one that hangs or crashes is one line: how it ended."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which setuid has taken away
            signal.alarm(patience)
            work()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        return ""
    by = signal.Signals(os.WTERMSIG(status))
    return f"no end in {patience} s" if by == signal.SIGALRM else f"ended by {by.name}"


def one(name: str, what) -> None:
    """`what`, and a line on it, with what a failure needed and found."""

    def work() -> None:
        try:
            said = what()
        except Exception as error:
            parts = [getattr(error, key, None) for key in ("needed", "found")]
            more = " | ".join(str(part) for part in parts if part)
            said = " ".join(f"failed: {type(error).__name__}: {error} | {more}".split())
        print(f"\n@ {name} {said}", flush=True)

    if ended := as_user(work):
        print(f"\n@ {name} failed: {ended}", flush=True)


def abilities() -> None:
    from zaptrace.linux import abilities

    for ability in abilities.probe():
        print(f"\n@ability {ability.name}|{'yes' if ability.ok else 'no'}|{ability.because}")


def give(directory: Path) -> None:
    """Raw bytes, on a line whose tty would make other bytes of some."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        tar.add(directory, directory.name)
    line = os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    with os.fdopen(line, "wb") as file:
        file.write(held.getvalue())
        file.flush()
        termios.tcdrain(line)


def made(key: str) -> None:
    as_user(abilities)
    for program in sorted(Path("/programs").read_text().split()):
        for level in LEVELS.get(program, (0,)):
            name = program + (f"@v{level}" if level else "")
            path = ZT / "build" / "programs" / f"{program}-cc"
            one(name, lambda at=W / key / name, it=path, level=level: make(at, it, level))
    give(W / key)


def tested(key: str) -> None:
    report = W / key / "report.xml"
    env = {
        "PATH": "/usr/bin:/bin", "HOME": str(W / key), "PYTHONPATH": str(ZT),
        "LANG": "C.UTF-8", "ZAPTRACE_TEST_PATIENCE_S": str(PATIENCE_S),
    }  # fmt: skip
    pytest = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    pytest += ["-p", "pytest_timeout", "-o", f"timeout={AN_ITEM_S}", f"--junitxml={report}"]
    nodes = Path("/tests").read_text().split("\n")

    def run() -> None:
        os.chdir(ZT)
        os.execve(sys.executable, [*pytest, *nodes], env)

    ended = as_user(run, ALL_TESTS_S)
    if ended or not report.exists():
        print(f"\n@ pytest failed: {ended or 'it made no report'}", flush=True)
        return
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        how = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        said = "passed" if how is None else f"{how.tag} {how.get('message', '')}"
        name = f"{case.get('classname')}::{case.get('name')}".replace(" ", "_")
        print(f"\n@ {name} {' '.join(said.split())}", flush=True)


def restored(key: str) -> None:
    for stored in sorted(path for path in Path("/stored").iterdir() if path.name != key):
        with tarfile.open(stored) as tar:
            tar.extractall(W)
        for work in sorted((W / stored.name).iterdir()):
            if (work / "image" / "manifest").exists():
                one(f"{stored.name}/{work.name}", lambda work=work: restore(work))


def main() -> None:
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        mount(kind, where)
    mount("devpts", "/dev/pts", "mode=0620,ptmxmode=0666")
    for place in ("/dev/shm", "/tmp"):
        mount("tmpfs", place, "mode=1777")
    words = dict(w.split("=", 1) for w in Path("/proc/cmdline").read_text().split() if "=" in w)
    mode, _, key = words["zt"].partition(":")
    (clock,) = Path("/sys/devices/system/clocksource").glob("*/current_clocksource")
    print(f"\n@@ {os.uname().release} {clock.read_text().strip()} {mode}", flush=True)
    W.mkdir(exist_ok=True)
    (W / key).mkdir()
    for place in (W / key, ZT / "build" / "programs"):
        os.chown(place, USER, USER)
    loopback()
    load_modules()
    import zaptrace.pod.checkpoint
    import zaptrace.pod.pod
    import zaptrace.pod.restore  # noqa: F401, once for all that are forked

    {"make": made, "restore": restored, "test": tested}[mode](key)
    print("\n@end", flush=True)


try:
    main()
except BaseException:
    traceback.print_exc()
finally:
    sys.stderr.flush()
    sys.stdout.flush()
    ctypes.CDLL(None).reboot(0x4321FEDC)  # RB_POWER_OFF
