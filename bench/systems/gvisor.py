"""gVisor: a kernel of its own in user space, whose programs' calls are intercepted by ptrace.

As root, for its checkpoint needs that. The container sees this host's files, read-only, and the
directory that the run works in.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import asroot
from ..system import PATIENCE_S, Inside, LateError, Load, RefusedError, System
from ..tools import BUILT, first_line, last_words

PLATFORM = "ptrace"


def _config(argv: Sequence[str], place: Path) -> dict:
    env = [f"PATH={os.environ['PATH']}", f"HOME={place}"]
    user = {"uid": os.getuid(), "gid": os.getgid()}
    kinds = ("pid", "mount", "ipc", "uts", "network")
    return {
        "ociVersion": "1.0.0",
        "process": {"args": [*argv], "cwd": str(place), "env": env, "user": user},
        "root": {"path": "/", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": str(BUILT), "type": "bind", "source": str(BUILT), "options": ["ro"]},
            {"destination": str(place), "type": "bind", "source": str(place)},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }


class Runsc:
    """The command, with what all of them are given."""

    def __init__(self, place: Path) -> None:
        self._start = [
            "runsc", "--root", str(place / "state"), "--platform", PLATFORM, "--ignore-cgroups",
            "--network", "none",
        ]  # fmt: skip

    def __call__(self, *words: str, out: Path | None = None, patience_s: float = PATIENCE_S) -> str:
        status, said = asroot.run([*self._start, *words], out=out, patience_s=patience_s)
        if status < 0:
            raise LateError(f"runsc {words[0]}: {last_words(said)}")
        if status:
            raise RefusedError(f"runsc {words[0]}: {last_words(said) or f'status {status}'}")
        return said


class GvisorLoad(Load):
    def __init__(self, runsc: Runsc, name: str, bundle: Path, out: Path) -> None:
        self._runsc, self._name, self._bundle, self.out = runsc, name, bundle, out
        out.touch()
        runsc("run", "--detach", "--bundle", str(bundle), name, out=out)

    def freeze(self) -> None:
        self._runsc("pause", self._name)

    def thaw(self) -> None:
        self._runsc("resume", self._name)

    def suspend(self, to: Path) -> None:
        self._runsc("checkpoint", "--image-path", str(to), self._name)
        self._gone()

    def resume(self, state: Path) -> None:
        self._runsc(
            "restore", "--detach", "--bundle", str(self._bundle), "--image-path", str(state),
            self._name, out=self.out,
        )  # fmt: skip

    def _gone(self) -> None:
        self._runsc("delete", "--force", self._name)

    def close(self) -> None:
        with contextlib.suppress(RefusedError):
            self._gone()


class GvisorInside(Inside):
    def __init__(self, place: Path) -> None:
        self._place, self._runsc, self._count = place, Runsc(place), 0

    def _bundle(self, argv: Sequence[str]) -> tuple[str, Path, Path]:
        self._count += 1
        bundle = self._place / f"bundle-{self._count}"
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(_config(argv, self._place)))
        name = f"bench-{os.getpid()}-{self._count}"
        return name, bundle, self._place / f"out-{self._count}"

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        name, bundle, _ = self._bundle(argv)
        return self._runsc("run", "--bundle", str(bundle), name, patience_s=patience_s)

    def start(self, argv: Sequence[str]) -> Load:
        name, bundle, out = self._bundle(argv)
        return GvisorLoad(self._runsc, name, bundle, out)

    def start_anew(self) -> tuple[float, float | None]:
        began = time.perf_counter()
        self._runsc("do", "true")
        return 1e3 * (time.perf_counter() - began), None


class Gvisor(System):
    name = "gvisor"
    about = f"a kernel in user space, calls intercepted by {PLATFORM} (runsc), as root"
    programs = ("runsc",)
    packages = ("runsc",)
    as_root = True

    def version(self) -> str:
        return first_line(["runsc", "--version"])

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        yield GvisorInside(place)
