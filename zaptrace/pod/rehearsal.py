"""A restore beside the frozen original, before the original ends.

A checkpoint that stops the pod, or a check, makes the pod of the image just written: every process,
every mapping, every descriptor, every row of every program. No instruction of it runs, and it is
thrown away. So what would make the restore fail is known while the pod can still go on.

Two things are not what a real restore does. Bulk contents are left out (Build.needed), so the cost
does not grow with memory. And what only one can have, a port, a path, a lock, the bytes of a named
pipe, is the original's: it is made under another name or not taken (Build.rehearsal).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ..cancel import Cancel
from ..errors import BadImage, Cancelled, ZaptraceError, refusals_of_the_host
from ..image.image import Image
from .contents import read
from .pod import Pod, Stdio
from .restore import make


def rehearse(path: str, cancel: Cancel | None = None) -> None:
    """Restore the image at `path`, whose pod is frozen on this host, and throw it away.

    Raises what the restore would raise, with what is to be done by who wants to stop the pod.
    """
    try:
        with (
            refusals_of_the_host("the image cannot be tried"),
            Image.just_written(path) as image,
            _stdio() as stdio,
        ):
            _rehearse(image, stdio, cancel)
    except Cancelled:
        raise
    except ZaptraceError as error:
        raise _would_not(error, "report this; --no-rehearsal stops the pod all the same") from None


def read_again(path: str) -> None:
    """Look at what the image at `path` says, as whoever restores it does first. Raises BadImage."""
    try:
        with Image.just_written(path) as image:
            read(image)
    except BadImage as error:
        raise _would_not(error, "report this; a checkpoint at another moment may succeed") from None


def _would_not(error: ZaptraceError, do: str) -> ZaptraceError:
    error.what = f"the image would not restore: {error.what}"
    error.do = error.do or do
    error.changed = None  # who has frozen the pod knows
    return error


def _rehearse(image: Image, stdio: Stdio, cancel: Cancel | None) -> None:
    contents = read(image)
    pod = Pod(contents.pod.name, moved=True, stdio=stdio)
    try:
        make(pod, image, contents, contended=True, rehearsal=True, cancel=cancel)
    finally:
        pod.close()


@contextlib.contextmanager
def _stdio() -> Iterator[Stdio]:
    """Pipes that nobody uses, in place of what the user gave to the pod."""
    with contextlib.ExitStack() as stack:
        pipes: list[int] = []
        for _ in range(2):
            pipes += os.pipe()
            stack.callback(os.close, pipes[-2])
            stack.callback(os.close, pipes[-1])
        yield Stdio(pipes[0], pipes[1], pipes[3])
