"""Files of one user that something has changed: records of pods, keys, notes, records of arrivals."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz import odd
from fuzz.judge import Judge

from zaptrace.cli import group
from zaptrace.errors import ZaptraceError
from zaptrace.linux import scratch
from zaptrace.migration import Destination
from zaptrace.network.keys import Keys
from zaptrace.supervisor import control, runtime, sweeping

_OUTCOME: dict[str, Any] = {
    "how": "exited", "status": 256, "to": None, "instance": "1-2", "left": 0, "why": "",
    "told": [], "name": "web", "meta": {}, "written": 1.5,
}  # fmt: skip
_META: dict[str, Any] = {
    "name": "web", "instance": "1-2", "created": 1.5, "started": 1.5, "argv": ["sleep", "60"],
    "image": None, "stdio": "log", "supervisor": 4194305, "written": 1.5,
}  # fmt: skip
_RECORD = {"id": "0" * 32, "name": "web", "state": "whole", "from": "somebody"}
_NO_PID = 1 << 22
"""PID_MAX_LIMIT: nobody has it."""
_ENDPOINT = "tcp://192.0.2.7:7077"


class Files:
    """A runtime directory, a directory of keys, temporary files; then some are others."""

    def __init__(self, corpus: Path, home: Path, judge: Judge) -> None:
        self._judge = judge
        self._home = home
        self._run, self._config, self._tmp = (home / name for name in ("run", "config", "tmp"))
        self._staged = self._run / sweeping.STAGED / "127.0.0.1_7077"
        self._mine, self._theirs = Keys(home / "mine").identity, Keys(home / "theirs").identity
        os.environ["ZAPTRACE_RUNTIME_DIR"] = str(self._run)
        os.environ["ZAPTRACE_CONFIG_DIR"] = str(self._config)

    def __call__(self, rng: random.Random) -> None:
        self._anew()
        held = self._held() if rng.random() < 0.5 else None
        said = []
        for _ in range(1 if rng.random() < 0.7 else 2):
            said.append(self._change(rng))
        readers = rng.sample(self._readers(), 4)
        try:
            with self._judge.input(), contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
                self._all(readers)
        except BaseException as error:
            error.add_note("; ".join(said))
            raise
        finally:
            if held is not None:
                os.close(held)

    @staticmethod
    def _all(readers: list[Callable[[], object]]) -> None:
        refused = None
        for reader in readers:
            try:
                reader()
            except ZaptraceError as error:
                str(error)
                refused = error
        if refused is not None:
            raise refused

    def _anew(self) -> None:
        for path in (self._run, self._config, self._tmp):
            odd.clear(path)
        entry, ended = self._run / "web", self._run / ".ended"
        arrival = self._staged / ("0" * 32)
        for directory in (entry, ended, arrival / "image", self._tmp, self._config):
            directory.mkdir(parents=True)
        for directory in (self._run, self._run / sweeping.STAGED, self._staged, self._config):
            directory.chmod(0o700)
        left = self._home / "tmp" / "zaptrace-try.01234567"
        left.mkdir()
        identity = Keys(self._home / "mine").directory / "identity"
        shutil.copy(identity, self._config / "identity")
        host = _ENDPOINT.removeprefix("tcp://")
        texts: dict[Path, bytes] = {
            entry / "lock": b"",
            entry / "pid": b"%d\n" % _NO_PID,
            entry / "log": b"said\n",
            entry / "supervisor.log": b"ended\n",
            ended / "web.log": b"said\n",
            self._tmp / "zaptrace-note-0123456789abcdef": os.fsencode(left),
            self._config / "authorized_hosts": f"# us\n{self._theirs.text} they\n".encode(),
            self._config / "known_hosts": f"{host} {self._theirs.text}\n".encode(),
            self._config / "identity": identity.read_bytes(),
        }
        values: dict[Path, dict[str, Any]] = {
            entry / "meta": _META,
            ended / "web.json": _OUTCOME,
            arrival / "record": _RECORD,
        }
        import json

        for path, value in values.items():
            path.write_text(json.dumps(value))
        for path, text in texts.items():
            path.write_bytes(text)
        self._texts, self._values = texts, values

    def _held(self) -> int:
        """The entry is of a pod that lives."""
        lock = os.open(self._run / "web" / "lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def _change(self, rng: random.Random) -> str:
        path = rng.choice([*self._texts, *self._values])
        if rng.random() < 0.3 or not path.is_file():
            how = odd.put(path, rng)
            if how == odd.HUGE_FILE and path.name.endswith("log"):  # it would be printed
                path.unlink()
            return f"{path.name}: {how}"
        if path in self._values:
            data = odd.json_like(self._values[path], rng)
        else:
            data = odd.bytes_like(self._texts[path], rng)
        if path.name != "pid" or not data.strip().isdigit():  # no number of somebody else
            path.unlink()  # which may not be written to, by now
            path.write_bytes(data)
        return f"{path.name}: {data[:100]!r}"

    def _readers(self) -> list[Callable[[], object]]:
        base, entry = self._run, self._run / "web"
        keys = lambda: Keys(self._config)  # noqa: E731
        return [
            lambda: runtime.pods(base),
            lambda: runtime.find("web", base),
            lambda: runtime.is_running(entry),
            lambda: runtime.supervisor_pid(entry),
            lambda: runtime.free_name("web", base),
            lambda: runtime.describe_end(runtime.ended("web", base) or {}),
            lambda: runtime.claim("web", base).remove(),
            self._past,
            lambda: sweeping.sweep(base),
            scratch.sweep,
            lambda: Destination(self._staged, _spawns_nothing).kept(),
            lambda: keys().who(self._theirs.public),
            lambda: keys().server_key(_ENDPOINT),
            lambda: keys().remember(_ENDPOINT, self._mine.public),
            lambda: keys().authorize(self._mine.text, "we"),
            *(lambda words=words: group.run(words.split()) for words in self._commands()),
        ]

    def _commands(self) -> list[str]:
        """Of a pod that lives, a supervisor would have to answer; there is none here."""
        commands = ["logs web", "keys show"]
        if not self._alive():
            commands += ["ps", "ps web", "check web", "freeze web", "attach web"]
        return commands

    def _alive(self) -> bool:
        try:
            return runtime.is_alive(self._run / "web")
        except ZaptraceError:
            return True

    def _past(self) -> None:
        with control.Client("web", self._run, "1-2") as client:
            client.alive()
            client.past()
            str(client.gone())


def _spawns_nothing(image: str, name: str, gives_up: Callable[[], bool]) -> Any:
    raise ZaptraceError("nobody asked for it")
