#!/usr/bin/python3.11
"""The first process of a virtual machine: runs programs in pods, as an ordinary user.

It says how each went.

make       each program is started, checkpointed and ended; all of /w goes out as lines of base64
restore    /w is as another machine left it; each pod is restored, told to go on, and has to pass
"""

from __future__ import annotations

import base64
import ctypes
import io
import os
import sys
import tarfile
import time
import traceback
from pathlib import Path

USER = 1500
W = Path("/w")
PATIENCE_S = 120.0
sys.path[:0] = ["/zt", "/zt/site"]


def mount(kind: str, where: str) -> None:
    os.makedirs(where, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
        print(f"cannot mount {kind}: {os.strerror(ctypes.get_errno())}", flush=True)


def make(program: Path) -> str:
    from zaptrace.image.sink import DirectorySink
    from zaptrace.pod.checkpoint import checkpoint
    from zaptrace.pod.pod import Pod, Stdio

    work = W / program.name
    work.mkdir()
    out = os.open(work / "out", os.O_WRONLY | os.O_CREAT, 0o644)
    null = os.open("/dev/null", os.O_RDONLY)
    env = {"ZT_GO": str(work / "go"), "PATH": "/bin"}
    stdio = Stdio(null, out, out, tty=False)
    with Pod.launch([str(program)], name="it", cwd=str(work), env=env, stdio=stdio) as pod:
        await_text(work / "out", "ready", lambda: pod.wait(0.05))
        checkpoint(pod, DirectorySink(str(work / "image")), then="stop")
    return "made"


def restore(program: Path) -> str:
    from zaptrace.image.image import Image
    from zaptrace.pod.pod import Stdio
    from zaptrace.pod.restore import restore as restored

    work = W / program.name
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


def as_user(work) -> None:
    """Each in a process of its own, so that one that hangs or crashes is one line."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which setuid has taken away
            work()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)


def one(program: Path, what) -> None:
    def work() -> None:
        try:
            print(f"\n@ {program.name} {what(program)}", flush=True)
        except Exception as error:
            found = getattr(error, "found", None)
            said = " ".join(f"{error} {found or ''}".split())
            print(f"\n@ {program.name} failed: {type(error).__name__}: {said}", flush=True)

    as_user(work)


def main() -> None:
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        mount(kind, where)
    mount("tmpfs", "/dev/shm")
    os.chmod("/dev/shm", 0o1777)
    mount("tmpfs", "/tmp")
    os.chmod("/tmp", 0o1777)
    mode = dict(w.split("=", 1) for w in Path("/proc/cmdline").read_text().split() if "=" in w)[
        "zt"
    ]
    print(f"\n@@ {os.uname().release} {mode}", flush=True)
    W.mkdir(exist_ok=True)
    if (stored := Path("/w.tar")).exists():
        with tarfile.open(stored) as tar:
            tar.extractall(W)
    os.chown(W, USER, USER)
    for program in sorted(Path("/programs").iterdir()):
        if mode == "make" or (W / program.name / "image").exists():
            one(program, make if mode == "make" else restore)
    if mode == "make":
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w:gz") as tar:
            for path in sorted(W.iterdir()):
                tar.add(path, path.name)
        print("\n@begin", flush=True)
        print(base64.encodebytes(held.getvalue()).decode(), flush=True)
    print("\n@end", flush=True)


try:
    main()
except BaseException:
    traceback.print_exc()
finally:
    sys.stderr.flush()
    sys.stdout.flush()
    ctypes.CDLL(None).reboot(0x4321FEDC)  # RB_POWER_OFF
