"""The runtime directory: where the pods of one user on one host can be found.

    $ZAPTRACE_RUNTIME_DIR, else /tmp/zaptrace-<uid>   (0700, ours)
    ├── .lock              held (flock) while an entry is made or cleaned away
    ├── .ended/            what is left of pods that ended, unless that is elsewhere: see kept.py
    ├── .<anything>        not pods; other parts of zaptrace may keep theirs here (staged images)
    └── <pod>/             one live pod; its supervisor holds the flock on `lock`
        ├── lock           whoever holds it is alive: a pid could be another's by now
        ├── pid            of the supervisor
        ├── meta           JSON: what was started, by whom, when
        ├── control.sock   see control.py
        ├── log, log.old   what a detached pod wrote, see logs.py; or elsewhere: see kept.py
        └── supervisor.log what the supervisor has to say

Nobody cleans up after a SIGKILL, so whoever looks does: an entry whose lock is free is stale and is
removed by the next `claim` or `pods`. A supervisor whose entry was taken away makes it again.

Not $XDG_RUNTIME_DIR: that goes with the last session of a user, and cron has none.
Lock order: `.lock` before any pod's `lock`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time

from ..errors import HostError, NoSuchPod, PodError, ZaptraceError
from ..linux import private, records
from ..record import Record
from ..text import as_json, close_to
from . import kept

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from typing import Any

    from ..linux.private import StrPath

_NAME_MOST = 40
_SOCKET_PATH_MAX = 107
"""sizeof(sockaddr_un.sun_path) less the NUL."""
_META: dict[str, records.Check] = {
    "name": records.is_text,
    "instance": records.is_text,
    "created": records.is_time,
    "started": records.is_time,
    "argv": records.are_texts,
    "image": records.is_text_or_none,
    "stdio": records.is_text,
    "supervisor": records.is_pid,
}
_OUTCOME: dict[str, records.Check] = {
    "how": records.is_text,
    "status": records.is_status,
    "to": records.is_text_or_none,
    "instance": records.is_text,
    "left": records.is_count,
    "why": records.is_text,
    "told": records.are_texts,
    "images": records.is_text_or_none,
    "meta": records.is_map,
    "written": records.is_time,
}
_PID_BYTES = 64
_TIDY_S = 5.0
_LOCK_S = 60.0
"""Hundreds that start and end at once on a busy host are through by then."""
_ABANDON_S = 15.0
"""A supervisor that is told to end has as long to remove what it has made of its pod."""


def root(path: StrPath | None = None) -> Path:
    """The runtime directory, made when missing. Raises HostError when it is not only ours."""
    from pathlib import Path  # which a start does without

    return Path(place(path))


def place(path: StrPath | None = None) -> str:
    """The same as a string."""
    base = os.fspath(path) if path is not None else _wanted_root()
    do = "chmod go-w it, or set ZAPTRACE_RUNTIME_DIR to a directory of your own"
    with _as_host_error(f"cannot make the runtime directory {base}"):
        if not os.path.islink(base):
            private.make_directory(base)
        private.check_directory(base, "the runtime directory", do)
    return base


def _wanted_root() -> str:
    if given := os.environ.get("ZAPTRACE_RUNTIME_DIR"):
        return os.path.abspath(given)
    if not os.access("/tmp", os.W_OK) and (xdg := os.environ.get("XDG_RUNTIME_DIR")):
        return os.path.join(xdg, "zaptrace")
    return kept.usual_root()


def check_name(name: str) -> str:
    """`name` itself, when it can name a pod; PodError otherwise."""
    if _is_name(name):
        return name
    raise PodError(
        f"{name!r} cannot name a pod",
        needed="1 to 40 letters, digits, '.', '_' or '-', the first a letter or digit",
        found=name,
    )


def _is_name(text: str) -> bool:
    return text[:1].isalnum() and len(text) <= _NAME_MOST and all(map(_may_be_in_name, text))


def _may_be_in_name(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "_.-")


def free_name(argv0: str, base: StrPath, taken: Collection[str] = ()) -> str:
    """A name for a pod that runs `argv0`: its base name, numbered when that is taken."""
    fit = (c if _may_be_in_name(c) else " " for c in os.path.basename(argv0))
    stem = "-".join("".join(fit).split()).strip("-._")[:30] or "pod"
    number, name = 1, stem
    while name in taken or is_running(os.path.join(base, name)):
        number += 1
        name = f"{stem}-{number}"
    return name


class PodDir(Record):
    """The entry of a pod that is ours: made by `claim`, held until `release`."""

    path: str
    lock_fd: int

    @property
    def name(self) -> str:
        """The pod's name."""
        return os.path.basename(self.path)

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Replace `meta` in one step."""
        what = f"cannot start pod {self.name!r}"
        with _as_host_error(what), _whole(self.file("meta")) as beside:
            _write_json(beside, meta)

    def record_end(self, ended: dict[str, Any]) -> None:
        """Note how the pod ended and keep its log, under `.ended`, for late askers.

        From here on the name counts as free; a new `claim` waits for our `release`.
        """
        base = os.path.dirname(self.path)
        with _locked(base):
            place = kept.directory(base)
            private.refuse_link(place)
            private.make_directory(place)
            record = os.path.join(place, f"{self.name}.json")
            with _whole(record) as beside:  # first: if there is no room, the log stays, too
                _write_json(beside, ended)
                kept.keep_log(self.path)
            kept.prune(place)

    def again(self, meta: dict[str, Any]) -> None:
        """Make what was taken away of it; PodError when another pod has its name by now."""
        base, lock = place(os.path.dirname(self.path)), self.file("lock")
        with _as_host_error(f"cannot be found again: pod {self.name!r}"), _locked(base):
            if not os.path.exists(lock) or not os.path.samestat(
                os.stat(lock), os.fstat(self.lock_fd)
            ):
                if is_alive(self.path):
                    raise PodError(f"another pod is called {self.name!r} by now")
                private.make_directory(self.path)
                fresh = private.open_file(lock, os.O_RDWR)
                _take(fresh, lock)
                os.close(self.lock_fd)
                self.lock_fd = fresh
            private.write(self.file("pid"), f"{os.getpid()}\n")
        if meta:
            self.write_meta(meta)

    def release(self) -> None:
        """Remove the entry."""
        with _locked(os.path.dirname(self.path)):
            self.remove()

    def remove(self) -> None:
        """The same with the lock of the runtime directory."""
        _remove(self.path)
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1


def claim_free(argv0: str, base: StrPath) -> PodDir:
    """Take a free name for a new pod that runs `argv0`."""
    taken: set[str] = set()
    while True:  # at most once for each pod that there is
        name = free_name(argv0, base, taken)
        try:
            return claim(name, base)
        except PodError:  # another supervisor was faster, or is long at tidying up
            taken.add(name)


def claim(name: str, base: StrPath) -> PodDir:
    """Take `name` for a new pod of this process. PodError when a live pod has it."""
    path = os.path.join(base, check_name(name))
    length = len(os.fsencode(path)) + len("/control.sock")
    if length > _SOCKET_PATH_MAX:
        raise HostError(
            f"cannot make the control socket of pod {name!r}",
            needed=f"a path of at most {_SOCKET_PATH_MAX} bytes",
            found=f"{path}/control.sock, {length} bytes",
            remedy="set ZAPTRACE_RUNTIME_DIR to a shorter path, or give the pod a shorter name",
        )
    patience = time.monotonic() + _TIDY_S
    while is_alive(path) and not is_running(path) and time.monotonic() < patience:
        time.sleep(0.01)  # that pod has ended, and its supervisor is tidying up
    with _as_host_error(f"cannot start pod {name!r}"), _locked(base):
        private.refuse_link(path)
        if os.path.exists(path):
            if is_alive(path):
                raise PodError(
                    f"cannot start pod {name!r}: the name is taken",
                    needed="a name that no running pod has",
                    found=f"pod {name!r}, supervisor {supervisor_pid(path) or 'starting'}",
                    do=f"choose another --name, or end that pod: zaptrace stop {name}",
                    changed="nothing",
                )
            _remove(path)
        lock_fd = -1
        try:
            private.make_directory(path)
            lock_fd = private.open_file(f"{path}/lock", os.O_RDWR)
            _take(lock_fd, f"{path}/lock")  # who only looks holds it for a moment
            private.write(f"{path}/pid", f"{os.getpid()}\n")
        except BaseException:
            PodDir(path, lock_fd).remove()
            raise
    return PodDir(path, lock_fd)


def is_alive(path: StrPath) -> bool:
    """True while a supervisor holds the lock of the entry `path`."""
    try:
        fd = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as e:
        raise HostError(
            f"cannot tell whether pod {os.path.basename(path)!r} lives",
            needed="the lock of its supervisor",
            found=f"{e.strerror}: {path}/lock",
            remedy=f"if no process has it (fuser {path}/lock): rm -r {path}",
        ) from e
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_starting(path: StrPath) -> bool:
    """True while a supervisor holds the entry and its pod is not whole yet."""
    return is_alive(path) and not read_meta(path)


def end_starting(path: StrPath) -> bool:
    """End the supervisor of a pod that is not whole yet, and what there is of the pod with it.

    False when it was not starting (any more): then it can be asked to.
    """
    for number, patience in ((signal.SIGTERM, _ABANDON_S), (signal.SIGKILL, _TIDY_S)):
        pid = supervisor_pid(path)
        if pid is None or not is_starting(path):
            return False
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if is_starting(path):  # so the number is still its
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)
        limit = time.monotonic() + patience
        while is_starting(path) and time.monotonic() < limit:
            time.sleep(0.01)
        if not is_alive(path):
            return True
    return False


def is_running(path: StrPath) -> bool:
    """True while a supervisor holds the entry and has not recorded the end of its pod."""
    if not is_alive(path):
        return False
    base, name = os.path.split(path)
    past = ended(name, base)
    return past is None or past.get("instance") != read_meta(path).get("instance", "")


def supervisor_pid(path: StrPath) -> int | None:
    """The pid noted in the entry `path`; only sure while `is_alive`."""
    try:
        pid = int(private.read(os.path.join(path, "pid"), _PID_BYTES))
    except (OSError, ValueError):
        return None
    return pid if records.is_pid(pid) else None


def pods(base: StrPath) -> list[str]:
    """The names of the live pods, sorted; stale entries are removed on the way."""
    running, stale = [], []
    for name in sorted(os.listdir(base)):
        entry = os.path.join(base, name)
        if not _is_name(name) or os.path.islink(entry):
            continue
        if is_running(entry):
            running.append(name)
        elif not is_alive(entry):
            stale.append(entry)
    if stale:
        with _locked(base):
            for entry in stale:
                if not is_alive(entry):
                    _remove(entry)
    return running


def names() -> list[str]:
    """The live pods of this user, for completion: none where we cannot look."""
    try:
        return pods(place())
    except (ZaptraceError, OSError):
        return []


def find(name: str, base: StrPath) -> str:
    """The entry of the live pod `name`; PodError when there is none."""
    path = os.path.join(base, check_name(name))
    private.refuse_link(path)
    if is_running(path):
        return path
    from .unreached import call_back

    if not call_back(base, name) and is_running(path):
        return path
    others = pods(base)
    past, close = ended(name, base), close_to(name, others)
    raise NoSuchPod(
        f"there is no pod {name!r}",
        needed="a running pod of that name",
        found=(f"it {describe_end(past)}; " if past else "")
        + (f"running pods: {', '.join(others)}" if others else "no pod is running"),
        do=f"did you mean {close}?" if close else "zaptrace ps lists the pods",
    )


def read_meta(path: StrPath) -> dict[str, Any]:
    """What the supervisor noted about its pod; empty while it is starting."""
    return records.read(os.path.join(path, "meta"), _META) or {}


def ended(name: str, base: StrPath) -> dict[str, Any] | None:
    """How the last pod of that name ended (see supervisor.Outcome), if that is still known."""
    path = os.path.join(kept.directory(base), f"{name}.json")
    return records.read(path, _OUTCOME, needed=("how",))


def ended_names(base: StrPath) -> list[str]:
    """The pods of which it is known how they ended, sorted; others of these names may run."""
    with contextlib.suppress(FileNotFoundError):
        there = os.listdir(kept.directory(base))
        stems = (name.removesuffix(".json") for name in there if name.endswith(".json"))
        return sorted(filter(_is_name, stems))
    return []


def forget_ended(names: list[str], base: StrPath) -> None:
    """Remove what is left of these pods, which have ended; others of these names may run."""
    with _locked(base):
        for name in names:
            kept.forget(kept.directory(base), check_name(name))


def ended_meta(past: dict[str, Any]) -> dict[str, Any]:
    """What is known of a pod that ended in this way; empty where it makes no sense."""
    meta: dict[str, Any] = past.get("meta") or {}
    return meta if all(_META[key](meta[key]) for key in _META.keys() & meta) else {}


def ended_log(name: str, base: StrPath) -> Path:
    """Where the log of the last ended pod of that name is, if it had one."""
    from pathlib import Path

    return Path(kept.directory(base), f"{name}.log")


def describe_end(outcome: dict[str, Any]) -> str:
    """An outcome in words, to follow "pod web"."""
    how, status = outcome.get("how"), outcome.get("status")
    if how == "migrated":
        return f"moved to {outcome.get('to')}"
    if how == "checkpointed":
        return f"was stopped by a checkpoint to {outcome.get('to')}"
    if how == "discarded":
        return "was discarded"
    if how == "failed":
        return f"was ended by a fault of its tracer ({outcome.get('why')})"
    if status is None:
        return "ended"
    if os.WIFSIGNALED(status):
        return f"was ended by signal {os.WTERMSIG(status)}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"


@contextlib.contextmanager
def _as_host_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise HostError(
            what,
            needed="a runtime directory that can be written to",
            found=f"{e.strerror}: {e.filename or 'no file'}",
            remedy="set ZAPTRACE_RUNTIME_DIR to a directory with room that you can write to",
            changed="nothing",
        ) from e


@contextlib.contextmanager
def _locked(base: StrPath) -> Iterator[None]:
    lock = os.path.join(base, ".lock")
    private.refuse_link(lock)
    fd = private.open_file(lock, os.O_RDWR)
    try:
        _take(fd, lock)
        yield
    finally:
        os.close(fd)


def _remove(entry: str) -> None:
    kept.drop_log(entry)
    try:
        for name in os.listdir(entry):
            os.unlink(os.path.join(entry, name))
        os.rmdir(entry)
    except OSError:
        from ..linux.scratch import remove_tree  # for what nobody of us puts there

        remove_tree(entry)


def _take(fd: int, path: str) -> None:
    """Have the lock. Nobody holds one for long, unless he was stopped or hangs: then HostError."""
    limit = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > limit:
                break
        time.sleep(0.002)
    raise HostError(
        f"cannot have the lock of {os.path.dirname(path)}",
        needed="the lock of the runtime directory for a moment",
        found=f"others have it, for {_LOCK_S:.0f} s by now",
        remedy=f"see who does (fuser {path}), and continue or end that process",
    )


@contextlib.contextmanager
def _whole(path: str) -> Iterator[str]:
    """What is written beside it, and is in its place after the block: no reader sees half of it."""
    directory, name = os.path.split(path)
    beside = os.path.join(directory, f".{name}.{os.getpid()}")
    try:
        yield beside
        os.rename(beside, path)
    except OSError:
        kept.unlink(beside)
        raise


def _write_json(path: str, value: dict[str, Any]) -> None:
    private.write(path, as_json(value | {"written": time.time()}))
