"""%load_ext zaptrace: a kernel that runs in a pod writes itself to an image, and goes back to one.

    %checkpoint [NAME]     write the kernel's pod to NAME.zap in its directory; the kernel goes on
    %rollback [NAME]       everything is as it was when NAME.zap was written; the last one without NAME
    %branch [NAME]         a second kernel, as this one is now, in a pod NAME; both go on

Whoever is connected (Jupyter, a console) connects again: in the image its connections are cut.
A kernel is frozen in the midst of %checkpoint or %branch, and so goes on from there when it is restored.
The second kernel listens elsewhere (see connection.py), which NAME.json tells.
"""

from __future__ import annotations

import functools
import os
import shlex
import time
from collections.abc import Callable
from typing import Any

from ..api.pod import Pod
from ..api.verbs import current
from ..errors import PodError, ZaptraceError

_DEFAULT = "checkpoint"
_WHOLE_S = 30.0
_LOOK_S = 0.02


def load(shell: Any) -> None:
    """Have the magics in an IPython shell."""
    magics = Magics()
    for magic in (magics.checkpoint, magics.rollback, magics.branch):
        shell.register_magic_function(_plainly(magic), "line", magic.__name__)


def _plainly(magic: Callable[[str], None]) -> Callable[[str], None]:
    """An error is told as it is, without a traceback; the cell has failed."""
    from IPython.core.error import UsageError

    @functools.wraps(magic)
    def told(line: str) -> None:
        try:
            magic(line)
        except ZaptraceError as error:
            raise UsageError(f"zaptrace: {error}") from None

    return told


class Magics:
    """What was written last is where a rollback goes to."""

    def __init__(self) -> None:
        self._last: str | None = None

    def checkpoint(self, line: str) -> None:
        """%checkpoint [NAME]: write this kernel to NAME.zap; it goes on."""
        pod, image = _own(), _image(line, _DEFAULT)
        self._last = image  # the one that is restored knows it, too
        _remove(image)
        try:
            report = pod.checkpoint(image, outside="close")
        except ZaptraceError:
            if not _is_another(pod):
                raise
            print(f"this is {image} again")
        else:
            size, stood = report.bytes / (1 << 20), report.downtime_s * 1000
            print(f"{image}: {size:.1f} MiB, stood still for {stood:.1f} ms")

    def rollback(self, line: str) -> None:
        """%rollback [NAME]: be again what NAME.zap holds; without NAME what was written last."""
        pod = _own()
        image = _image(line, None) if line.strip() else self._last
        if image is None:
            raise PodError(
                "there is nothing to roll back to",
                needed="an image of this kernel",
                do="%checkpoint NAME writes one",
                changed="nothing",
            )
        try:
            pod.rollback(image)
        except ZaptraceError:
            if not _is_another(pod):
                raise
            print(f"{image} could not be restored here; everything is as it was")

    def branch(self, line: str) -> None:
        """%branch [NAME]: a second kernel as this one is now, in a pod of its own; both go on."""
        from .connection import Connection

        pod = _own()
        name = _word(line, None) if line.strip() else _free_name(pod)
        ours = Connection.ours()
        theirs = ours.elsewhere(name)
        image = _image(name, None)
        _remove(image)
        theirs.write()
        try:
            pod.branch(name, image, ports=ours.ports_at(theirs), sockets=ours.paths_at(theirs))
        except ZaptraceError:
            if not _is_another(pod):
                theirs.remove()
                raise
            theirs.become_ours()
            self._last = image
        print(f"{name}: jupyter console --existing {theirs.file}")


def _free_name(pod: Pod) -> str:
    from ..supervisor import runtime

    return runtime.free_name(pod.name, runtime.place(), runtime.ended_names(runtime.place()))


def _own() -> Pod:
    if (pod := current()) is not None:
        return pod
    raise PodError(
        "this kernel is in no pod",
        needed="a kernel that was started in one",
        do="zaptrace run -d --name nb -- python3 -m ipykernel_launcher -f nb.json",
        changed="nothing",
    )


def _image(line: str, default: str | None) -> str:
    name = _word(line, default)
    return os.path.abspath(name if name.endswith(".zap") else f"{name}.zap")


def _word(line: str, default: str | None) -> str:
    words = shlex.split(line) or ([default] if default else [])
    if len(words) != 1:
        raise PodError("one name is needed", found=line, changed="nothing")
    return words[0]


def _is_another(pod: Pod) -> bool:
    """Are we the pod that was made from an image of that one? It runs before it is known to be whole."""
    deadline = time.monotonic() + _WHOLE_S
    while (now := current()) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return now is not None and now != pod


def _remove(image: str) -> None:
    """One of ours that was written before under that name."""
    from ..image.image import read_manifest
    from ..linux.scratch import remove_tree

    if os.path.isdir(image):
        read_manifest(image)  # else it is none
        remove_tree(image)
