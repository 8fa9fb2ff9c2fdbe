"""zaptrace ps --stats: what a pod stopped for, for people and for programs."""

from __future__ import annotations

import json
import sys

from harness.shell import Shell
from harness.supervisors import eventually


def test_they_are_shown(zaptrace: Shell):
    assert (
        zaptrace("run", "--name", "it", "-d", "--", "sh", "-c", "true; sleep 600").returncode == 0
    )
    eventually(lambda: "sleep" in zaptrace("ps", "it").stdout)
    shown = zaptrace("ps", "--stats", "it").stdout
    assert "WHY" in shown and "exec" in shown and "CALL" in shown and "getppid" in shown
    facts = json.loads(zaptrace("ps", "--stats", "it", "--json").stdout)
    assert facts["name"] == "it" and facts["stops"]["exec"] >= 1
    names = [call["name"] for call in facts["calls"]]
    assert "getppid" in names
    refused = zaptrace("ps", "--stats")
    assert refused.returncode == 2 and "--stats wants a POD" in refused.stderr
    gone = zaptrace("ps", "--stats", "nobody")
    assert gone.returncode == 3 and "nobody" in gone.stderr


_ASKS = """
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(2):
    assert libc.ptrace(0, 0, 0, 0) == -1 and ctypes.get_errno() == 1
open("/proc/self/comm", "w").write("gdb")
assert libc.ptrace(0, 0, 0, 0) == -1
print("asked", flush=True)
time.sleep(600)
"""


def test_what_is_refused_on_purpose_is_counted(zaptrace: Shell):
    run = ("run", "--name", "it", "-d", "--", sys.executable, "-c", _ASKS)
    assert zaptrace(*run).returncode == 0
    eventually(lambda: zaptrace("logs", "it").stdout == "asked\n")
    assert "answered EPERM: ptrace 3 times (gdb)" in zaptrace("ps", "it").stdout.splitlines()
    answered = json.loads(zaptrace("ps", "it", "--json").stdout)["answered"]
    assert {"errno": "EPERM", "name": "ptrace", "times": 3, "who": "gdb"} in answered
