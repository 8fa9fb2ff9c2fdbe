"""A pod made again from an image of it: in its place (rollback), or beside it (branch).

Put back, it ends, and the image goes on under its name.
What the pod is now is written beside the image first, and comes back if the other does not:

    verify the image ──▶ checkpoint --stop to IMAGE.before ──▶ restore IMAGE ──▶ remove IMAGE.before
                                                               └─ failed: restore IMAGE.before

A pod that asks for this itself cannot do it, as it ends meanwhile, and what it starts is in the pod: then
`by_another` has `main` do it, a process of the supervisor's. That says in a line of JSON what came of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

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


def branch(
    root: str, name: str, image: str, ports: dict[int, int], sockets: dict[str, str]
) -> Started:
    """A second pod from an image; it listens at other `ports`, and paths of unix `sockets`."""
    job = Job("restore", root, name, image=image, ports=ports, sockets=sockets, stdio="log")
    return start(job)


def by_another(what: str, *asked: object) -> dict[str, Any]:
    """Have it done; returns, of a rollback only when we have ended, or raises why it was not done."""
    import subprocess

    command = python(__name__, "main", what, json.dumps(asked))
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=False,
    )
    told: dict[str, Any] = json.loads(done.stdout or b"{}")
    if "error" in told:
        raise ZaptraceError.from_dict(told["error"])
    return told


def main() -> None:
    """rollback [NAME, ROOT, INSTANCE, IMAGE, CHANGED] · branch [ROOT, NAME, IMAGE, PORTS, SOCKETS]"""
    what, asked = sys.argv[1], json.loads(sys.argv[2])
    try:
        if what == "rollback":
            name, root, instance, image, changed = asked
            with Client(name, root, instance) as client:
                started = roll_back(client, image, changed)
        else:
            root, name, image, ports, sockets = asked
            started = branch(root, name, image, dict(ports), sockets)
        with started:
            told: dict[str, Any] = {"name": started.name, "instance": started.instance}
    except ZaptraceError as error:
        told = {"error": error.to_dict()}
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(told), flush=True)
