"""Two host servers' worth of zaptrace on one host, for pods that move."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..command_cost import COMPILED
from ..system import LateError, Load, RefusedError
from ..throttle import Throttle
from ..tools import ZAPTRACE, ended_well

_MOVE_S = 600.0


class Hosts:
    """A runtime directory each; the destination's server is up."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.source, self.destination = (self._environment(name) for name in ("a", "b"))
        self._server = subprocess.Popen(
            [ZAPTRACE, "serve", "--listen", "tcp://127.0.0.1:0", "--json"], env=self.destination,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._server.stdout
        said = json.loads(self._server.stdout.readline() or "{}")
        if "endpoint" not in said:
            self.close()
            raise RefusedError("zaptrace serve did not come up")
        self.port, self.key = urlsplit(said["endpoint"]).port or 0, said["key"]

    def _environment(self, name: str) -> dict[str, str]:
        directory = self.place / name
        directory.mkdir(mode=0o700)
        return COMPILED | {
            "ZAPTRACE_RUNTIME_DIR": str(directory),
            "XDG_CONFIG_HOME": str(self.place / "config"),
        }

    def close(self) -> None:
        self._server.terminate()
        try:
            self._server.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.communicate()


class HostedLoad(Load):
    """A pod that the command line started, which writes to `out` by itself."""

    def __init__(self, hosts: Hosts, name: str, argv: Sequence[str]) -> None:
        self._hosts, self._name, self.out = hosts, name, hosts.place / f"out-{name}"
        self.out.touch()
        script = 'exec "$@" >>"$OUT"'
        command = [ZAPTRACE, "run", "--name", name, "-d", "--", "sh", "-c", script, "sh", *argv]
        ended_well(command, env=hosts.source | {"OUT": str(self.out)}, cwd=hosts.place)

    def move(self, by: Throttle) -> None:
        to = f"tcp://127.0.0.1:{by.to(self._hosts.port)}"
        command = [ZAPTRACE, "migrate", self._name, to, "--key", self._hosts.key]
        ended_well(command, _MOVE_S, env=self._hosts.source)

    def close(self) -> None:
        for env in (self._hosts.source, self._hosts.destination):
            if os.path.isdir(f"{env['ZAPTRACE_RUNTIME_DIR']}/{self._name}"):
                with contextlib.suppress(RefusedError, LateError):
                    ended_well([ZAPTRACE, "stop", "--kill", self._name], env=env)
