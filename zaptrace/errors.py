"""Every error that zaptrace tells a user, in one tree.

    ZaptraceError
    ├── UnsupportedResource      the pod holds something that cannot be carried
    │   └── Unsettled            but as a rule for a moment only
    ├── HostError                this host cannot do it (.remedy is a command or a setting)
    │   └── LaunchError          (.status) the program of a new pod could not be executed
    ├── PodError                 the name is taken, it is in the wrong state
    │   └── NoSuchPod            there is none of that name, or not any more
    ├── TraceeGone               a process died while we were working on it
    ├── Cancelled                somebody has had it given up (see cancel.py)
    ├── ImageError
    │   ├── BadImage             damaged, cut short, or not an image
    │   │   └── NoImage          there is nothing at its path
    │   └── ImageVersionError    made by a zaptrace that speaks another format
    ├── InternalError            (.report) zaptrace itself is at fault
    ├── RestoreError             (.stage .resource .vpid) the pod could not be made here
    └── WireError
        ├── PeerGone             the other side went away
        ├── PeerVersionError     the other side speaks another protocol
        └── WireTimeout          the other side did not answer in time

An error says what was needed, what was found, what to do, and what changed:

    zaptrace: cannot checkpoint pod "web": process 7 (nginx), fd 12 is io_uring
      needed   a room that can capture anon_inode:[io_uring]; there is none
      found    ring set up before the pod's table refused it
      do       restart the pod; io_uring_setup now answers ENOSYS
      changed  nothing; the pod is running again

The errno handed to a *program* in a pod is another channel and never mixed with these.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os

from .limits import ERROR_TEXT
from .text import shown_lines

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from typing import Any

_FIELDS = ("needed", "found", "do", "changed")


class ZaptraceError(Exception):
    """Something that a user has to know; `str()` gives the house form without the prefix."""

    exit_status: int
    """What a shell would report. Only an error of starting a pod has it."""

    def __init__(
        self,
        what: str,
        *,
        needed: str | None = None,
        found: str | None = None,
        do: str | None = None,
        changed: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.needed = needed
        self.found = found
        self.do = do
        self.changed = changed

    def __str__(self) -> str:
        lines = [shown_lines(self.what)]
        lines += [
            f"  {field:<8} {shown_lines(value)}"
            for field in _FIELDS
            if (value := getattr(self, field)) is not None
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The error as a msgpack-able map, for the control socket and the wire."""
        told: dict[str, Any] = {"class": type(self).__name__, "what": self.what}
        told |= {field: getattr(self, field) for field in _FIELDS}
        told |= {k: getattr(self, k) for k in getattr(self, "_extra", ())}
        return told

    @staticmethod
    def from_dict(told: dict[str, Any]) -> ZaptraceError:
        """The error that a peer described: one of this file, and nothing but text and a number."""
        cls = _known().get(str(told.get("class")), ZaptraceError)
        texts = {name: told[name] for name in _FIELDS if type(told.get(name)) is str}
        extra = {
            name: told[name]
            for name in getattr(cls, "_extra", ())
            if type(told.get(name)) is (int if name in ("vpid", "status") else str)
        }
        fields = {k: v[:ERROR_TEXT] if type(v) is str else v for k, v in (texts | extra).items()}
        return cls(str(told.get("what"))[:ERROR_TEXT], **fields)


class UnsupportedResource(ZaptraceError):
    """The pod holds a thing that no room can carry."""


class Unsettled(UnsupportedResource):
    """As a rule it is there for a moment only: a checkpoint lets the pod run and looks again.

    Raised while files are claimed, before anything is written.
    """


class HostError(ZaptraceError):
    """This host lacks an ability; `remedy` is a command or a setting that gives it."""

    _extra: tuple[str, ...] = ("remedy",)

    def __init__(self, what: str, *, remedy: str | None = None, **fields: str | None) -> None:
        super().__init__(what, **{"do": remedy, **fields})
        self.remedy = remedy


class LaunchError(HostError):
    """The program could not be executed; `status` is 127 (not found) or 126, as a shell reports."""

    _extra = ("remedy", "status")

    def __init__(self, what: str, status: int = 126, **fields: str | None) -> None:
        super().__init__(what, **fields)
        self.status = status


class PodError(ZaptraceError):
    """The pod named is not there, is there already, or is in another state than needed."""


class NoSuchPod(PodError):
    """There is no running pod of that name."""


MORE_PROCESSES = (
    "end other processes of yours, or raise the limit: ulimit -u, or the container's pids limit"
)

_REMEDIES = {
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "raise /proc/sys/fs/file-max, or close files elsewhere",
    errno.ENOMEM: "free some memory, or raise the limit: ulimit -v",
    errno.EAGAIN: MORE_PROCESSES,
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there",
}


@contextlib.contextmanager
def refusals_of_the_host(what: str) -> Iterator[None]:
    """What this host's kernel refuses to zaptrace itself is a HostError: `what` cannot be done."""
    try:
        yield
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "error")
        where = (
            f" {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
        )
        raise HostError(
            what,
            needed="a host that lets zaptrace do what this takes",
            found=f"{code}: {error.strerror or error}{where}",
            remedy=_REMEDIES.get(error.errno or 0, "see what the host has against it"),
        ) from error


def start_thread(thread: threading.Thread) -> None:
    """Start it; HostError where this user, or the container, may have no more of them."""
    try:
        thread.start()
    except RuntimeError:
        raise HostError(
            "zaptrace cannot have a thread more",
            needed="some processes and threads more than the pod has",
            found="the limit of this user, or of the container",
            remedy=MORE_PROCESSES,
        ) from None


class TraceeGone(ZaptraceError):
    """A process of the pod died while something was being done to it."""


class Cancelled(ZaptraceError):
    """The work was given up, because somebody asked for that; `found` says who."""


class ImageError(ZaptraceError):
    """The image cannot be used."""


class BadImage(ImageError):
    """The image is damaged, cut short, or is no image."""


class NoImage(BadImage):
    """There is no directory at the path of the image."""


class ImageVersionError(ImageError):
    """The image has a format version that this zaptrace does not read."""


class RestoreError(ZaptraceError):
    """The pod could not be made on this host; everything made so far is removed again."""

    _extra = ("stage", "resource", "vpid")

    def __init__(
        self,
        what: str,
        *,
        stage: str | None = None,
        resource: str | None = None,
        vpid: int | None = None,
        **fields: str | None,
    ) -> None:
        super().__init__(what, **fields)
        self.stage = stage
        self.resource = resource
        self.vpid = vpid


class InternalError(ZaptraceError):
    """A fault of zaptrace itself; `report` is the file that holds the traceback."""

    _extra = ("report",)

    def __init__(self, what: str, *, report: str | None = None, **fields: str | None) -> None:
        super().__init__(what, **fields)
        self.report = report


class WireError(ZaptraceError):
    """The conversation with another host failed."""


class PeerGone(WireError):
    """The other side went away in the middle."""


class PeerVersionError(WireError):
    """The other side speaks another version of the protocol."""


class WireTimeout(WireError):
    """The other side did not answer in time."""


@functools.cache
def _known() -> dict[str, type[ZaptraceError]]:
    """The classes of this file, by name."""
    return {
        name: one
        for name, one in globals().items()
        if isinstance(one, type) and issubclass(one, ZaptraceError)
    }
