"""Where a kernel is to be found: its connection file, and those of its branches.

A branch is at other ports over TCP, and at other paths over ipc; its key and the rest are the same, so
whoever knows the one file makes out the other. The kernel itself reads its file as it starts, never again;
what it tells of itself (%connect_info), and what it removes as it ends, is that of the branch then.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PodError
from ..linux import private
from ..text import as_json

_KINDS = ("shell", "iopub", "stdin", "control", "hb")


@dataclass(frozen=True)
class Connection:
    """What is in a connection file."""

    file: str
    facts: dict[str, Any]

    @classmethod
    def ours(cls) -> Connection:
        """Of the kernel that we are in."""
        from ipykernel.connect import get_connection_file

        try:
            file = os.path.abspath(get_connection_file())
            return cls(file, json.loads(Path(file).read_bytes()))
        except (RuntimeError, OSError, ValueError) as error:
            raise PodError(
                "cannot branch: it is not known where this kernel is to be found",
                needed="a kernel of Jupyter, with its connection file",
                found=str(error),
                changed="nothing",
            ) from error

    def elsewhere(self, name: str) -> Connection:
        """For a branch of that name: NAME.json beside ours."""
        file = os.path.join(os.path.dirname(self.file), f"{name}.json")
        if os.path.lexists(file):
            raise PodError(
                f"cannot branch: {file} is there already",
                needed="a name of which there is no connection file",
                do="choose another name, or remove the file if no kernel has it",
                changed="nothing",
            )
        if self._over_ipc:
            ip = os.path.join(os.path.dirname(os.path.abspath(self.facts["ip"])), f"{name}-ipc")
            return Connection(file, {**self.facts, "ip": ip})
        return Connection(file, {**self.facts, **_free_ports(self.facts["ip"])})

    def ports_at(self, other: Connection) -> dict[int, int]:
        """Of each of ours the other's."""
        if self._over_ipc:
            return {}
        return {self.facts[key]: other.facts[key] for key in self._keys}

    def paths_at(self, other: Connection) -> dict[str, str]:
        """The same, of paths."""
        if not self._over_ipc:
            return {}
        here, there = os.path.abspath(self.facts["ip"]), other.facts["ip"]
        return {f"{here}-{self.facts[k]}": f"{there}-{other.facts[k]}" for k in self._keys}

    def write(self) -> None:
        """The file, which is for its user alone: who has the key may run what he likes."""
        private.write(self.file, as_json(self.facts))

    def remove(self) -> None:
        """The file is of no use."""
        with contextlib.suppress(OSError):
            os.unlink(self.file)

    def become_ours(self) -> None:
        """We are that branch."""
        from ipykernel.kernelapp import IPKernelApp

        app: Any = IPKernelApp.instance()
        app.connection_file, app.ip = self.file, self.facts["ip"]
        for key in self._keys:
            setattr(app, key, self.facts[key])

    @property
    def _over_ipc(self) -> bool:
        return self.facts.get("transport") == "ipc"

    @property
    def _keys(self) -> list[str]:
        return [f"{kind}_port" for kind in _KINDS]


def _free_ports(ip: str) -> dict[str, int]:
    with contextlib.ExitStack() as held:
        found = {}
        for kind in _KINDS:
            sock = held.enter_context(
                socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
            )
            sock.bind((ip, 0))
            found[f"{kind}_port"] = sock.getsockname()[1]
        return found
