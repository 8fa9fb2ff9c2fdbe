"""A shell with job control starts zaptrace with an `&`."""

from __future__ import annotations

import shlex

from harness.shell import Shell


def test_it_runs_and_leaves_the_terminal_to_the_shell(zaptrace: Shell) -> None:
    """It was stopped before there was a pod, as whoever sets up a terminal from the background."""
    script = 'read -r line; echo "read=$line="; exec sleep 1000'
    run = shlex.join([*zaptrace.command, "run", "--name", "web", "--", "sh", "-c", script])
    with zaptrace.terminal("--norc", "--noediting", "-i", command=["bash"]) as screen:
        screen.type(b"PS1=\r")
        screen.type(run.encode() + b" &\r")
        screen.expect(b"read==")
        screen.type(b"echo still $((40 + 2))\r")
        screen.expect(b"still 42")
        assert zaptrace("stop", "web").returncode == 0
        screen.type(b"wait %1; echo status $?\r")
        screen.expect(b"status 143")
        screen.type(b"exit\r")
        assert screen.end() == 0
