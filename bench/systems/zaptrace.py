"""zaptrace, of this tree, through its library; each mode of it is a system."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..command_cost import COMPILED, cost
from ..system import PATIENCE_S, Inside, LateError, Load, NotOfferedError, RefusedError, System
from ..tools import ZAPTRACE, compiled, wait_for_ready
from ._hosts import HostedLoad, Hosts
from ._pods import idle_supervisor, many_pods

_COMPLETE = {"_ZAPTRACE_COMPLETE": "bash_complete", "COMP_WORDS": "zaptrace r", "COMP_CWORD": "1"}
COMMANDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "help": ([ZAPTRACE, "--help"], {}),
    "completion": ([ZAPTRACE], _COMPLETE),
}


@contextlib.contextmanager
def _files(out: Path) -> Iterator[tuple[int, int]]:
    """/dev/null to read, and `out` to write to its end."""
    null = os.open(os.devnull, os.O_RDWR)
    written = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield null, written
    finally:
        os.close(null)
        os.close(written)


def _launch(argv: Sequence[str], out: Path) -> Any:
    from zaptrace.pod.pod import Pod, Stdio

    with _files(out) as (null, written):
        return Pod.launch(
            [*argv], name="bench", cwd=str(out.parent), env={**os.environ},
            stdio=Stdio(null, written, written, tty=False),
        )  # fmt: skip


def _restore(state: Path, out: Path) -> Any:
    """Verified first, as every restore is."""
    from zaptrace.image.image import Image
    from zaptrace.pod.restore import restore
    from zaptrace.pod.stdio import Stdio

    with _files(out) as (null, written), contextlib.closing(Image.open(state)) as image:
        return restore(image, stdio=Stdio(null, written, written, tty=False))


def _refusal(error: Exception) -> RefusedError:
    parts = (getattr(error, key, None) for key in ("needed", "found"))
    return RefusedError(" | ".join(str(part) for part in (error, *parts) if part))


class PodLoad(Load):
    frozen_ms: float | None = None
    """Of the last `suspend`, as the pod itself counts it."""

    def __init__(self, argv: Sequence[str], out: Path, rehearsal: bool = True) -> None:
        self.out, self._rehearsal = out, rehearsal
        self.pod = _launch(argv, out)

    def freeze(self) -> None:
        self.pod.freeze()

    def thaw(self) -> None:
        self.pod.thaw()

    def suspend(self, to: Path) -> None:
        from zaptrace.errors import ZaptraceError
        from zaptrace.image.sink import DirectorySink
        from zaptrace.pod.checkpoint import checkpoint

        try:
            saved = checkpoint(self.pod, DirectorySink(to), then="stop", rehearsal=self._rehearsal)
        except ZaptraceError as error:
            raise _refusal(error) from error
        self.frozen_ms = 1e3 * saved.downtime_s
        self.pod.close()

    def resume(self, state: Path) -> None:
        from zaptrace.errors import ZaptraceError

        try:
            self.pod = _restore(state, self.out)
        except ZaptraceError as error:
            raise _refusal(error) from error

    def close(self) -> None:
        self.pod.kill()
        self.pod.close()


class PodInside(Inside):
    def __init__(self, place: Path, *, moved: bool = False, rehearsal: bool = True) -> None:
        self._place, self._moved, self._rehearsal = place, moved, rehearsal
        self._count = 0
        self._hosts: Hosts | None = None

    def _start(self, argv: Sequence[str]) -> tuple[PodLoad, Path]:
        """A pod that has begun; it was moved before the program began, where that is the mode."""
        self._count += 1
        out, go = (self._place / f"{name}-{self._count}" for name in ("out", "go"))
        if not self._moved:
            return PodLoad(argv, out, self._rehearsal), out
        before = self._place / f"before-{self._count}"
        load = PodLoad([compiled("later"), str(go), *argv], before)
        try:
            wait_for_ready(before)
            image = self._place / f"image-{self._count}"
            load.suspend(image)
            load.resume(image)
        except BaseException:
            load.close()
            raise
        go.touch()
        load.out = before  # with one line of ours at its beginning
        return load, before

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        load, out = self._start(argv)
        try:
            status = load.pod.wait(patience_s)
            if status is None:
                raise LateError(
                    f"the end of {' '.join(argv)} in a pod did not come in {patience_s:.0f} s"
                )
        finally:
            load.close()
        said = out.read_text(errors="replace").removeprefix("ready\n" if self._moved else "")
        if status:
            raise RefusedError(f"status {status}: {said[-200:]}")
        return said

    def start(self, argv: Sequence[str]) -> Load:
        return self._start(argv)[0]

    def start_to_move(self, argv: Sequence[str]) -> Load:
        """From one host server to another; one that has moved before moves as any does."""
        if self._moved:
            raise NotOfferedError("moves as any pod does")
        self._hosts = self._hosts or Hosts(self._place)
        self._count += 1
        return HostedLoad(self._hosts, f"moves-{self._count}", argv)

    def close(self) -> None:
        if self._hosts:
            self._hosts.close()

    def start_anew(self) -> tuple[float, float | None]:
        """As a user types it; a pod that was moved is not what one starts."""
        if self._moved:
            raise NotOfferedError("is not what one starts")
        return cost([ZAPTRACE, "run", "--", "true"], self._environment())

    def _environment(self) -> dict[str, str]:
        """A runtime directory with a short name, for the names of sockets have an end."""
        directory = self._place / "run"
        directory.mkdir(mode=0o700, exist_ok=True)
        return COMPILED | {"ZAPTRACE_RUNTIME_DIR": str(directory)}

    def command(self, case: str, place: Path) -> list[tuple[str, float, str]]:
        environment = self._environment()
        if case == "idle supervisor":
            return idle_supervisor(self._place / "run", environment)
        if case.endswith("pods"):
            return many_pods(int(case.split()[0]), self._place / "run", environment)
        argv, more = COMMANDS[case]
        clock, busy = cost(argv, environment | more)
        return [("clock", clock, "ms"), ("cpu", busy, "ms")]


class Fresh(System):
    name = "zaptrace-fresh"
    about = "a pod that runs where it was started"
    usual = True
    moved = False
    rehearsal = True

    def version(self) -> str:
        from zaptrace import __version__

        return f"zaptrace {__version__}"

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        inside = PodInside(place, moved=self.moved, rehearsal=self.rehearsal)
        try:
            yield inside
        finally:
            inside.close()


class Moved(Fresh):
    name = "zaptrace-moved"
    about = "a pod that was restored, so that its numbers differ from this host's"
    moved = True


class Detached(Fresh):
    name = "zaptrace-detached"
    about = "such a pod whose threads are attached only while something needs it"

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        before = os.environ.get("ZAPTRACE_PTRACE")
        os.environ["ZAPTRACE_PTRACE"] = "when-needed"
        try:
            with super().up(place) as inside:
                yield inside
        finally:
            os.environ.pop("ZAPTRACE_PTRACE")
            if before is not None:
                os.environ["ZAPTRACE_PTRACE"] = before


class Unrehearsed(Fresh):
    name = "zaptrace-unrehearsed"
    about = "a pod whose checkpoints are not tried out before it is ended"
    rehearsal = False

    def supports(self, experiment: str) -> bool:
        return experiment in ("suspend", "many", "units")
