"""The supervisor of one test pod: reads a command per line, answers a line of JSON to each.

It is forked by nursery.py, which has loaded all of this.

    {"verb": "launch", "argv": [...], ...}     ->  {"ok": ...}  or  {"error": traceback}

It uses the Python API in its own process, as an embedding program would. SIGUSR1 prints where every
thread of it is (to stderr, which is the test's runner.log).
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import gc
import json
import os
import shutil
import signal
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import snapshot
from harness.sabotage import KINDS
from zaptrace.cancel import Cancel
from zaptrace.errors import ZaptraceError
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux.native import lib
from zaptrace.linux.tracee import Thread, tasks
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

ENDED = "it has no process any more"
"""How a checkpoint says that the program had ended."""


class Runner:
    def __init__(self) -> None:
        self.pod: Pod | None = None
        self.count = 0
        self.image: Path | None = None
        self.untouched: snapshot.Snapshot | None = None
        self.before: snapshot.Snapshot | None = None
        self.seen: snapshot.Snapshot | None = None

    def do_launch(
        self, argv: list[str], env: dict[str, str], cwd: str, out: str, place: str
    ) -> int:
        self.place = Path(place)
        null = os.open("/dev/null", os.O_RDONLY)
        output = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        stdio = Stdio(null, output, output, tty=False)
        level = int(env.get("ZT_CPU_LEVEL", 0))
        if "ZT_NO_PTRACE_RSEQ" in env:  # as a kernel before 5.13
            untold: Any = types.SimpleNamespace(
                flags=lib.ZT_RSEQ_UNTOLD, address=0, size=0, signature=0
            )
            Thread.rseq = lambda thread: untold  # type: ignore[method-assign]
        self.pod = Pod.launch(argv, name="test", cwd=cwd, env=env, stdio=stdio, cpu_level=level)
        os.close(null)
        os.close(output)
        return os.getpid()

    def do_checkpoint(
        self, then: str, compare: bool, rehearsal: bool, waits: bool = True
    ) -> dict[str, Any] | None:
        """With `compare`, the frozen pod is looked at before it stops or goes on.

        None when it had ended by then. Any other error is one, whatever the program did since.
        """

        assert self.pod
        self.count += 1
        image = self.place / f"image-{self.count}"
        try:
            with self._looking_first(compare):
                report = checkpoint(
                    self.pod,
                    DirectorySink(image),
                    then="hold" if compare else then,
                    rehearsal=rehearsal,
                )
        except ZaptraceError as error:
            if ENDED in error.what:  # the program was faster than we
                return None
            raise
        facts = dataclasses.asdict(report) | {"ids": [], "differences": []}
        if compare:
            assert self.untouched
            self.before = snapshot.take(self.pod)
            facts["differences"] = snapshot.differences(
                self.untouched, self.before, here=True, ending=not waits
            )
            facts["ids"] = self._ids()
            if then == "resume":
                self.pod.thaw()
            else:
                self.pod.kill()
        if then == "stop":
            self.pod.close()
            self.pod = None
            self.image = image
        else:
            Image.open(image).close()
            shutil.rmtree(image)
        return facts

    @contextlib.contextmanager
    def _looking_first(self, compare: bool) -> Iterator[None]:
        """The checkpoint's own freeze is followed by a look at the pod that it has not touched."""
        pod = self.pod
        assert pod
        freeze = pod.freeze

        def freeze_and_look(cancel: Cancel | None = None) -> None:
            freeze(cancel)
            self.untouched = snapshot.take(pod)

        if compare:
            pod.freeze = freeze_and_look  # type: ignore[method-assign]
        try:
            yield
        finally:
            pod.__dict__.pop("freeze", None)

    def do_restore(self, compare: bool) -> dict[str, Any]:
        """The image is removed at once: a restored pod does not lean on it."""

        assert self.image
        null = os.open("/dev/null", os.O_RDWR)
        image = Image.open(self.image)
        try:
            self.pod = restore(image, stdio=Stdio(null, null, null, tty=False), hold=compare)
        finally:
            image.close()
            os.close(null)
        shutil.rmtree(self.image)
        differences: list[str] = []
        ids: list[tuple[int, int]] = []
        if compare:
            assert self.before
            self.seen = snapshot.take(self.pod)
            differences = snapshot.differences(self.before, self.seen, held=True)
            ids = self._ids()
            self.pod.thaw()
        return {"differences": differences, "ids": ids}

    def _ids(self) -> list[tuple[int, int]]:
        """What each thread is called: by the pod, and by the host."""
        pod = self.pod
        assert pod
        return [(task.vtid, task.rtid) for task in pod.call(lambda: tasks(pod.handle))]

    def do_ids(self, numbers: list[int]) -> dict[int, str]:
        """Who has these numbers on this host, other than a process of the pod."""
        return {number: _who_is(number) for number in numbers}

    def do_sabotaged_checkpoint(self, kind: str, at: int) -> dict[str, Any]:
        """A rehearsed checkpoint in which one call of ours fails; what came of it."""

        pod = self.pod
        assert pod
        image = self.place / "sabotaged"

        def attempt() -> None:
            checkpoint(pod, DirectorySink(image), then="resume", rehearsal=True)

        found = self._sabotaged(kind, at, attempt)
        found["image"] = image.exists()
        found["left"] = sorted(p.name for p in self.place.iterdir() if "sabotaged" in p.name)
        if image.exists():
            shutil.rmtree(image)
        return found | {"frozen": pod.frozen, "alive": pod.wait(0) is None}

    def do_sabotaged_restore(self, kind: str, at: int) -> dict[str, Any]:
        """A restore, held and then discarded, in which one call of ours fails."""

        null = os.open("/dev/null", os.O_RDWR)

        def attempt() -> None:
            with Image.open(str(self.image)) as image:
                slots = Stdio(null, null, null, tty=False)
                restore(image, stdio=slots, hold=True).close()

        try:
            return self._sabotaged(kind, at, attempt)
        finally:
            os.close(null)

    def _sabotaged(self, kind: str, at: int, attempt: Callable[[], None]) -> dict[str, Any]:
        error = ""
        with KINDS[kind](at) as sabotage:
            try:
                attempt()
            except ZaptraceError as e:
                error = f"{type(e).__name__}: {e.what}"
        gc.collect()  # what an error's traceback held is closed when that goes
        descriptors = len(os.listdir("/proc/self/fd"))
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return {
            "made": sabotage.made,
            "what": sabotage.what,
            "error": error,
            "descriptors": descriptors,
            "children": len(children),
        }

    def do_fault(self, name: str) -> None:
        """From now on this fault point is on; "" for none."""
        os.environ["ZAPTRACE_FAULT"] = name

    def do_wait(self, timeout: float) -> int | None:
        return self.pod.wait(timeout) if self.pod else None

    def do_signal(self, number: int, vpid: int | None = None) -> None:
        assert self.pod
        self.pod.signal(number, vpid)

    def do_freeze(self) -> None:
        assert self.pod
        self.pod.freeze()

    def do_thaw(self) -> None:
        assert self.pod
        self.pod.thaw()

    def do_look(self, against: str | None) -> list[str]:
        """How the frozen pod differs from what it was at an earlier look: before, seen, or none."""
        assert self.pod
        last = getattr(self, against) if against else None
        self.seen = snapshot.take(self.pod)
        return snapshot.differences(last, self.seen) if last else []

    def do_processes(self) -> list[dict[str, Any]]:
        return [snapshot.plain(p) for p in self.pod.processes()] if self.pod else []

    def do_close(self) -> None:
        if self.pod:
            self.pod.kill()
            self.pod.close()
            self.pod = None


def _who_is(number: int) -> str:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return "no such process"
    except PermissionError:
        pass
    return "a stranger"


def main() -> None:
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    runner = Runner()
    # Our stdout is the protocol: nothing else may write to it, nor any pod inherit it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"ok": getattr(runner, f"do_{asked.pop('verb')}")(**asked)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
