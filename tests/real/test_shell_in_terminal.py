"""An interactive bash in its pod's terminal, with jobs, is carried, and attached to again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.hosts import Host, Terminal, cli, two_hosts
from harness.supervisors import eventually
from harness.world import require

PROMPT = r"prompt\d> "


def sleeps(host: Host) -> str:
    """The states of all that is called sleep. What the shell starts or continues has the terminal first."""
    processes = (process for pod in host.pods() for process in pod["processes"])
    return "".join(p["state"] for p in processes if p["comm"] == "sleep")


def begin(host: Host, place: Path) -> Terminal:
    """A shell with a stopped and a background job, a variable and a place that it went to."""
    bash = require("bash")
    env = {**host.env, "TERM": "xterm", "HISTFILE": "/dev/null"}
    term = Terminal([*cli(), "run", "--name", "shell", "--", bash, "--norc", "-i"], env, place)
    term.type("PS1='prompt1''> '\n")
    term.expect(PROMPT)
    term.type("stty -a | grep -o 'rows [0-9]*'; tty\n")
    term.expect(r"/dev/pts/\d+")
    term.expect(PROMPT)
    term.type("sleep 1000\n")
    eventually(lambda: sleeps(host) == "S", "that it sleeps")
    term.type("\x1a")
    term.expect("Stopped")
    term.expect(PROMPT)
    term.type("sh -c 'while :; do sleep 0.1; done' &\n")
    term.expect(PROMPT)
    term.type("kept=it-is; cd /usr; echo at:$PWD\n")
    term.expect("at:/usr")
    term.expect(PROMPT)
    return term


def go_on(term: Terminal, host: Host) -> None:
    """All of that is still there, and works."""
    term.type("\n")
    term.expect(PROMPT)
    term.type("echo got:$kept:$PWD\n")
    term.expect("got:it-is:/usr")
    term.type("jobs\n")
    term.expect(r"Stopped\s+sleep 1000")
    term.expect(r"Running\s+sh -c")
    term.type("fg %1\n")
    term.expect("sleep 1000")
    eventually(lambda: "T" not in sleeps(host), "that it goes on")
    term.type("\x03")
    term.expect(PROMPT)
    term.type("kill %2; wait; echo jobs:$(jobs | wc -l)\n")
    term.expect("jobs:0")
    term.type("exit 5\n")


def test_restored_and_attached(place: Path):
    host = Host(place, "a")
    term = begin(host, place)
    try:
        host.run("checkpoint", "shell", "--to", str(place / "image"), "--stop")
        term.wait()
        term.close()
        term = Terminal([*cli(), "restore", str(place / "image")], host.env)
        go_on(term, host)
        assert term.wait() == 5
    finally:
        term.close()
        host.close()


@pytest.mark.slow
def test_migrated_and_attached(place: Path):
    with two_hosts(place) as (a, b):
        term = begin(a, place)
        try:
            a.run("migrate", "shell", b.endpoint)
            term.wait()
            term.close()
            term = Terminal([*cli(), "attach", "shell"], b.env)
            go_on(term, b)
            assert term.wait() == 5
        finally:
            term.close()
