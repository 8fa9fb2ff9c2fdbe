"""A pod put back to what an image of it holds: it ends, and the image goes on under its name.

What the pod is now is written beside the image first, and comes back if the other does not:

    verify the image ──▶ checkpoint --stop to IMAGE.before ──▶ restore IMAGE ──▶ remove IMAGE.before
                                                               └─ failed: restore IMAGE.before

A pod that asks for its own rollback cannot do this, as it ends meanwhile: then `by_another` has `main`
do it, a process of its own. That says why not in a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from ..errors import RestoreError, ZaptraceError
from ..linux import scratch
from .control import Client
from .starter import Job, Started, python, start


def roll_back(client: Client, image: str, allow_changed: list[str]) -> Started:
    """Put the pod of `client` back; returns when the image's is whole. Raises what went wrong.

    TCP and unix connections to outside the pod are cut in what is written of it.
    """
    from ..image.image import Image

    with Image.open(image):
        pass
    before = f"{image}.before"
    client.call("checkpoint", to=before, then="stop", outside="close", rehearsal=False)
    with contextlib.suppress(ZaptraceError):
        client.wait()
    try:
        job = Job("restore", os.fspath(client.root), client.name, image=image, stdio="log")
        job.allow_changed = allow_changed
        done = start(job)
    except ZaptraceError as error:
        _go_back(client, before, error)
        raise
    scratch.remove_tree(before)
    return done


def _go_back(client: Client, before: str, error: ZaptraceError) -> None:
    job = Job("restore", os.fspath(client.root), client.name, image=before, stdio="log")
    try:
        start(job).close()
    except ZaptraceError as worse:
        raise RestoreError(
            f"pod {client.name!r} can neither be rolled back nor go on",
            needed="one of the two images restored",
            found=f"{error.what}; and of the pod as it was: {worse.what}",
            do=f"mend what is said, then: zaptrace restore {before} --name {client.name}",
            changed=f"the pod is stopped, and whole in {before}",
        ) from error
    error.changed = "the pod goes on as it was"
    scratch.remove_tree(before)


def by_another(name: str, root: str, instance: str, image: str, allow_changed: list[str]) -> None:
    """Have it done; returns, if at all, when we have ended, or raises why it was not done."""
    import subprocess

    command = python(__name__, "main", name, root, instance, image, *allow_changed)
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=False,
    )
    if done.stdout:
        raise ZaptraceError.from_dict(json.loads(done.stdout))


def main() -> None:
    """NAME ROOT INSTANCE IMAGE [CHANGED...]"""
    name, root, instance, image, *changed = sys.argv[1:]
    try:
        with Client(name, root, instance) as client:
            roll_back(client, image, changed).close()
    except ZaptraceError as error:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(error.to_dict()), flush=True)
