"""Ports of a pod's connections that are others' by the time of its restore: nobody in it can tell."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from harness.runs import PodRun
from harness.snapshot import diag
from harness.world import PROGRAMS, compiled, environment


class Robbed(PodRun):
    """Between checkpoint and restore its ports are taken; where it listens only if `all_of_them`."""

    taken: list[socket.socket]
    all_of_them = False

    def _stopped(self, facts: dict[str, Any]) -> None:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for port in self.ports:
                sock = socket.socket(family)
                with contextlib.suppress(OSError):
                    sock.bind((host, port))
                    sock.listen()
                self.taken.append(sock)

    def look(self) -> None:
        """Which ports its connections have, where nothing of it listens."""
        inodes = set()
        for task in self.ask("processes"):
            fds = Path(f"/proc/{task['rpid']}/fd")
            inodes |= {fd.stat().st_ino for fd in fds.iterdir() if "socket" in os.readlink(fd)}
        sockets = [seen for inode, seen in diag.dump().items() if inode in inodes]
        listens = {seen["ports"][0] for seen in sockets if seen["state"] == 10}
        others = {port for seen in sockets for port in seen["ports"]} - {0, *listens}
        self.ports = others | listens if self.all_of_them else others


@pytest.mark.parametrize("program", ["tcp_established", "tcp_half_closed", "tcp_peer_closed"])
def test_ports_are_taken(program: str, place: Path):
    run_robbed(program, place)


@pytest.mark.parametrize(
    "program", ["listen_mptcp", "tcp_backlog", "tcp_connecting", "tcp_time_wait", "tcp_unaccepted"]
)
def test_ports_that_it_listens_at_are_taken(program: str, place: Path):
    """It listens at others, where all in the pod find it by the old ones."""
    run_robbed(program, place, all_of_them=True)


def run_robbed(program: str, place: Path, *, all_of_them: bool = False) -> None:
    work = place / "work"
    work.mkdir()
    argv = [str(compiled(PROGRAMS / f"{program}.c"))]
    it = Robbed("restore", argv, place, environment(), work)
    it.taken, it.all_of_them = [], all_of_them
    try:
        it.start()
        it.wait_for("ready")
        for _ in range(2):  # what is told is told again by the next
            it.look()
            assert it.ports
            # Until the thaw, those that it listens at are the other's.
            assert it._move(compare=not all_of_them)
        it.go()
        outcome = it.finish()
        assert outcome.exit == 0
        assert "PASS" in outcome.output
    finally:
        it.close()
        for sock in it.taken:
            sock.close()
