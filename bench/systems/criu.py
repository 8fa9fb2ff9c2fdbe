"""CRIU, the distribution's: processes as they are, saved and restored by root, or in a user namespace by
who is root there."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import asroot
from ..system import PATIENCE_S, Inside, LateError, Load, NotOfferedError, RefusedError, System
from ..tools import BUILT, first_line, last_words, until
from .native import NativeLoad

_ENTER = ("nsenter", "--user", "--mount", "--pid", "--preserve-credentials", "--target")


def _criu(argv: Sequence[str], log: Path, *, root: bool, patience_s: float = PATIENCE_S) -> None:
    """RefusedError has the end of its own log, where errors are."""
    if root:
        status, said = asroot.run(argv, patience_s=patience_s)
        asroot.run(["chmod", "-R", "a+rX", str(log.parent)])  # for whoever measures it
    else:
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=patience_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise LateError(f"criu: no end in {patience_s:.0f} s") from None
        status, said = done.returncode, done.stdout + done.stderr
    if status < 0 and root:
        raise LateError(f"criu: {last_words(said)}")
    if status:
        with contextlib.suppress(OSError):
            said += log.read_text(errors="replace")
        errors = "\n".join(line for line in said.splitlines() if "Error" in line) or said
        raise RefusedError(f"criu: {last_words(errors, 2)}")


@contextlib.contextmanager
def noticed(kind: type[CriuLoad] | type[UserLoad]) -> Iterator[None]:
    """It knows nothing of the load yet when it finds that it does not know this kernel."""
    try:
        yield
    except RefusedError as error:
        if "initialize kernel features" in str(error):
            kind.unusable = str(error)
        raise


class CriuLoad(Load):
    """A process that this host's kernel started; it comes back under the same number."""

    unusable = ""
    """What CRIU said, when it does not work here at all."""

    def __init__(self, argv: Sequence[str], out: Path) -> None:
        self._first = NativeLoad(argv, out)
        self.out, self._pid = out, self._first.pid

    def suspend(self, to: Path) -> None:
        to.mkdir()
        words = ["criu", "dump", "--tree", str(self._pid), "--images-dir", str(to)]
        log = to / "dump.log"
        with noticed(type(self)):
            _criu([*words, "--tcp-established", "--log-file", log.name], log, root=True)
        self._first.close()

    def resume(self, state: Path) -> None:
        log = state / "restore.log"
        words = ["criu", "restore", "--restore-detached", "--images-dir", str(state)]
        _criu([*words, "--tcp-established", "--log-file", log.name], log, root=True)

    def close(self) -> None:
        self._first.close()
        if Path(f"/proc/{self._pid}").exists():
            asroot.run(["kill", "-KILL", "--", f"-{self._pid}"])


class CriuInside(Inside):
    """Until it is saved a program runs natively, and costs what it does there."""

    load: type[CriuLoad] | type[UserLoad] = CriuLoad

    def __init__(self, place: Path) -> None:
        self._place, self._count = place, 0

    def run(self, argv: Sequence[str], patience_s: float = PATIENCE_S) -> str:
        raise NotOfferedError("runs programs natively")

    def start(self, argv: Sequence[str]) -> Load:
        if self.load.unusable:  # and would say so after each load has come up
            raise RefusedError(self.load.unusable)
        self._count += 1
        return self.load(argv, self._place / f"out-{self._count}")


class Criu(System):
    name = "criu-root"
    about = "processes as they are, saved and restored by root (criu dump, restore)"
    programs = ("criu",)
    packages = ("criu",)
    as_root = True
    inside: type[CriuInside] = CriuInside

    def version(self) -> str:
        return "criu " + first_line(["criu", "--version"])

    def supports(self, experiment: str) -> bool:
        return experiment in ("suspend", "many", "units")

    @contextlib.contextmanager
    def up(self, place: Path) -> Iterator[Inside]:
        yield self.inside(place)


class UserLoad(Load):
    """All of it in a user namespace with process numbers of its own, of which the first process
    makes the namespaces and stays."""

    unusable = ""

    def __init__(self, argv: Sequence[str], out: Path) -> None:
        self.out = out
        with out.open("wb") as file:
            self._keeper = subprocess.Popen(
                ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork",
                 "--mount-proc", "--kill-child", "sleep", "1000000"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            self._load: subprocess.Popen[bytes] | None = None
            try:
                until(self._is_made, "a user namespace", 30.0, pause=0.005)
                self._load = subprocess.Popen(
                    [*self._enter(), "env", "-C", str(out.parent), "setsid", *argv],
                    stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            except BaseException:
                self.close()
                raise
            self._program = next((word for word in argv if word.startswith(str(BUILT))), argv[0])

    def _is_made(self) -> bool:
        """Its first process is there, with namespaces and mounts."""
        if self._keeper.poll() is not None:
            raise RefusedError("a user namespace with processes of its own is refused here")
        first = self._first()
        return bool(first) and Path(f"/proc/{first}/comm").read_text() == "sleep\n"

    def _first(self) -> str:
        pid = self._keeper.pid
        return next(iter(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), "")

    def _enter(self) -> list[str]:
        return [*_ENTER, self._first()]

    def suspend(self, to: Path) -> None:
        to.mkdir()
        find = f"pgrep -f -o '{self._program}'"
        criu = f"exec criu dump -t $({find}) -D {to} -o dump.log"
        with noticed(type(self)):
            _criu([*self._enter(), "sh", "-c", criu], to / "dump.log", root=False)

    def resume(self, state: Path) -> None:
        words = ["criu", "restore", "-d", "-D", str(state), "-o", "restore.log"]
        _criu([*self._enter(), *words], state / "restore.log", root=False)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)
        for process in (self._keeper, self._load):
            if process:
                process.wait(30.0)


class UserInside(CriuInside):
    load = UserLoad


class UserCriu(Criu):
    name = "criu-user"
    about = "the same without root, in a user namespace (criu dump, restore)"
    programs = ("criu", "unshare", "nsenter", "pgrep")
    packages = ("criu", "util-linux", "procps")
    as_root = False
    inside = UserInside
