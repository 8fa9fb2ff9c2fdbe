"""contrib/: what lies there works as it stands."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

from harness.shell import Shell
from harness.world import PATIENCE_S, ROOT
from zaptrace.supervisor import runtime


def test_the_unit_of_a_host_server(place: Path) -> None:
    """It is started by its line, at a port of ours, and ends well when it is stopped."""
    text = (ROOT / "contrib" / "zaptrace-serve.service").read_text(encoding="utf-8")
    unit = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    program, *argv = shlex.split(unit["ExecStart"].replace("0.0.0.0:7077", "127.0.0.1:0"))
    assert program == "zaptrace" and unit["KillMode"] == "process"
    shell = Shell(runtime.root(place / "run"), "zaptrace")
    shell.env["XDG_CONFIG_HOME"] = str(place / "config")
    with shell.start(*argv, "--json") as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["endpoint"].startswith("tcp://127.0.0.1:")
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0
