"""Handlers that return into the host's vDSO, whose code is another under another kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.supervisors import eventually
from zaptrace.errors import RestoreError
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux import host
from zaptrace.linux.native import lib
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

pytestmark = pytest.mark.tracer

# It makes itself one that was interrupted at the address that it is given, and stays in its handler.
PROGRAM = r"""
import ctypes, os, signal, sys, time
RIP = 40 + 128  # in a struct ucontext

@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def handler(number, info, context):
    ctypes.c_uint64.from_address(context + RIP).value = int(sys.argv[1])
    open(sys.argv[2], "w").close()
    time.sleep(600)

class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_char * 128),
                ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]

SIGINFO = 4
action = Action(ctypes.cast(handler, ctypes.c_void_p), b"", SIGINFO, None)
assert not ctypes.CDLL(None).sigaction(signal.SIGUSR1, ctypes.byref(action), None)
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.parametrize("within", [True, False])
def test_such_an_image_goes_on_under_the_same_kernel_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch, within: bool
):
    at = lib.zt_stub_host() + 0x800 if within else 0x1234
    null = os.open(os.devnull, os.O_RDWR)
    stdio = Stdio(null, null, null)
    argv = ["/usr/bin/python3", "-c", PROGRAM, str(at), str(place / "up")]
    try:
        with Pod.launch(argv, name="handler", stdio=stdio) as pod:
            eventually((place / "up").exists)
            checkpoint(pod, DirectorySink(place / "image"), then="stop")
        with Image.open(place / "image") as image:
            with restore(image, stdio=stdio) as again:
                again.kill()
            monkeypatch.setattr(host, "vdso", lambda: "of another kernel")
            if within:
                with pytest.raises(RestoreError, match="returns into the vDSO"):
                    restore(image, stdio=stdio)
            else:
                with restore(image, stdio=stdio) as again:
                    again.kill()
    finally:
        os.close(null)
