"""Where logs are, and what is left of pods that ended.

    $XDG_STATE_HOME/zaptrace/<host>, else ~/.local/state/zaptrace/<host>   for the usual runtime directory
    ├── <pod>.json     how the last pod of that name ended
    ├── <pod>.log      what it wrote, if it had a log, and older and times of that, see logs.py
    └── live/<pod>.log   of one that runs

Beside a runtime directory that is not the usual one, and where there is no such place: the same in its
.ended, and the log of a pod that runs in its entry. So what is in the usual one may be gone after a boot,
and logs are not.
"""

from __future__ import annotations

import contextlib
import os

from ..linux import private

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..linux.private import StrPath

LOGS = ("", ".old", ".times", ".old.times")
ALL = (".json", *(f".log{suffix}" for suffix in LOGS))
_MOST = 32


def usual_root() -> str:
    """The runtime directory where nothing else is said: one that outlives a logout."""
    return f"/tmp/zaptrace-{os.geteuid()}"


def directory(base: StrPath) -> str:
    """For the pods of the runtime directory `base`."""
    return _state(base) or os.path.join(base, ".ended")


def notes(base: StrPath) -> str:
    """Where it is noted what lasts longer than the runtime directory does."""
    return _state(base) or os.fspath(base)


def live_log(entry: StrPath) -> str:
    """The log of the pod whose entry this is, while it runs."""
    base, name = os.path.split(entry)
    if (state := _state(base)) is None:
        return os.path.join(entry, "log")
    live = os.path.join(state, "live")
    private.refuse_link(live)
    private.make_directory(live)
    return os.path.join(live, f"{name}.log")


def keep_log(entry: StrPath) -> None:
    """That pod has ended: its log is that of the last one of its name."""
    base, name = os.path.split(entry)
    live, ended = live_log(entry), os.path.join(directory(base), f"{name}.log")
    for suffix in LOGS:
        unlink(ended + suffix)
        with contextlib.suppress(FileNotFoundError):
            os.rename(live + suffix, ended + suffix)


def drop_log(entry: StrPath) -> None:
    """Nobody wants what there is of it."""
    with contextlib.suppress(OSError):
        live = live_log(entry)
        for suffix in LOGS:
            unlink(live + suffix)


def prune(place: str) -> None:
    """The last ones to end are known of."""
    names = os.listdir(place)
    for name in names:  # of one that was killed while it wrote, under our lock
        if name.startswith(".") and ".json." in name:
            unlink(os.path.join(place, name))
    records = [name for name in names if name.endswith(".json") and not name.startswith(".")]
    if len(records) <= _MOST:
        return
    records.sort(key=lambda name: os.stat(os.path.join(place, name)).st_mtime, reverse=True)
    for name in records[_MOST:]:
        forget(place, name.removesuffix(".json"))


def forget(place: str, name: str) -> None:
    """All that is left of the last pod of that name."""
    for suffix in ALL:
        unlink(os.path.join(place, name + suffix))


def unlink(path: str) -> None:
    """What is not there need not be removed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _state(base: StrPath) -> str | None:
    """None where it is not to be had, or the runtime directory is not the usual one."""
    if os.fspath(base) != usual_root():
        return None
    home = os.environ.get("HOME", "")
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
    if not os.path.isabs(state):
        return None
    path = os.path.join(state, "zaptrace", os.uname().nodename)
    try:
        private.make_directory(path)
    except OSError:
        return None
    return path if os.access(path, os.W_OK | os.X_OK) else None
