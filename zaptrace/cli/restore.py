"""zaptrace restore: make a pod from an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ._common import IMAGE, allow_changed, as_json, detach_keys, hup, log_size
from ._detach_keys import DetachKeys
from ._job import truncate_files as truncate_files_option
from ._tell import print_json
from ._which import TakesImage

if TYPE_CHECKING:
    PortsType = click.ParamType[tuple[int, int]]
    PathsType = click.ParamType[tuple[str, str]]
else:  # a generic only from click 8.4 on
    PortsType = PathsType = click.ParamType

_MOST, _PATH_MOST = (1 << 16) - 1, 107


class Ports(PortsType):
    """8080=8081."""

    name = "ports"

    def convert(self, value: object, param: object, ctx: object) -> tuple[int, int]:
        """Both."""
        if isinstance(value, tuple):
            return value[0], value[1]
        old, equals, new = str(value).partition("=")
        if not equals or not all(
            w.isascii() and w.isdigit() and 0 < int(w) <= _MOST for w in (old, new)
        ):
            self.fail(f"{value!r} is not OLD=NEW, two ports from 1 to {_MOST}")
        return int(old), int(new)


class Paths(PathsType):
    """/run/a.sock=/run/b.sock, made absolute."""

    name = "paths"

    def convert(self, value: object, param: object, ctx: object) -> tuple[str, str]:
        """Both."""
        if isinstance(value, tuple):
            return value[0], value[1]
        old, _, new = str(value).partition("=")
        if not old or not new:
            self.fail(f"{value!r} is not OLD=NEW, two paths")
        if len(os.fsencode(os.path.abspath(new))) > _PATH_MOST:
            self.fail(f"{new!r} is longer than the {_PATH_MOST} bytes that an address has")
        return os.path.abspath(old), os.path.abspath(new)


@click.command(cls=TakesImage)
@click.argument("image", type=IMAGE)
@click.option("--name", help="Name of the pod; the one it had when not given.")
@click.option("-d", "--detach", is_flag=True, help="Leave it in the background, with a log.")
@detach_keys
@hup
@allow_changed
@truncate_files_option
@log_size
@click.option(
    "--port",
    "ports",
    type=Ports(),
    metavar="OLD=NEW",
    multiple=True,
    help="Who listens at port OLD does so at NEW. May be given more than once.",
)
@click.option(
    "--socket",
    "sockets",
    type=Paths(),
    metavar="OLD=NEW",
    multiple=True,
    help="A unix socket that is bound to the path OLD is bound to NEW. May be given more than once.",
)
@as_json
def command(
    image: str,
    name: str | None,
    detach: bool,
    detach_keys: DetachKeys | None,
    hup: bool,
    allow_changed: tuple[str, ...],
    truncate_files: bool,
    log_size: int | None,
    ports: tuple[tuple[int, int], ...],
    sockets: tuple[tuple[str, str], ...],
    as_json: bool,
) -> int:
    """Make a pod from IMAGE; it goes on where it was.

    IMAGE may be the directory of a job's images (run --images): then from the newest that is good.

    \b
    zaptrace restore web.zap -d             in the background
    zaptrace restore web.zap                in the foreground, as zaptrace run would have it
    zaptrace restore web.zap --name web-2 --port 8080=8081   a second one, beside the first

    A pod that had a terminal of its own brings it along, with what was on its screen. Stdio that
    came from outside the pod is connected to ours, to a new pty, or with -d to /dev/null and the
    log. The image stays as it is.
    Files that the pod had open or mapped have to be what they were: the same contents as far as they
    went then. For data that may be other data, say so with --allow-changed.
    What it wrote after the image was made it writes again: files that have grown since are named, and
    --truncate-files cuts them back to what they were, just before the pod runs.
    Its environment and its directories are what they were: programs have read them long ago.
    Exit status: as for zaptrace run.
    """
    from ..supervisor import runtime
    from ..supervisor.starter import Job
    from ._start import Joining, bring_up

    job = Job(
        "restore",
        runtime.place(),
        name,
        image=os.path.abspath(image),
        allow_changed=[os.path.abspath(path) for path in allow_changed],
        cut_back=truncate_files,
        log_size=log_size,
        ports=dict(ports),
        sockets=dict(sockets),
    )
    return bring_up(job, detach, print_json if as_json else None, Joining(detach_keys, hup))
