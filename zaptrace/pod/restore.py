"""From an image to a running pod: the rooms' work, stage by stage (see build.Stage)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NoReturn

from ..cancel import Cancel
from ..errors import BadImage, RestoreError, ZaptraceError, refusals_of_the_host
from ..ids import Rpid
from ..image.image import Image
from ..linux import host, outside
from ..linux.native import check, lib, new_error
from ..log import fault
from ..view.build import Build, Deferred, Stage
from ..view.store import fill_store
from . import growth
from .command import raise_file_limit
from .contents import Contents, Rooms, read
from .growth import grown
from .pod import Pod, Stdio

FAULT_POINTS = {stage: f"restore.after_{stage.name.lower()}" for stage in Stage}


def restore(
    image: Image,
    *,
    name: str | None = None,
    stdio: Stdio | None = None,
    hold: bool = False,
    handed_over: bool = False,
    allow_changed: Collection[str] = (),
    cut_back: bool = False,
    tell: Callable[[str], object] = lambda _: None,
    ports: Mapping[int, int] | None = None,
    sockets: Mapping[str, str] | None = None,
    cancel: Cancel | None = None,
) -> Pod:
    """The pod of an image, running, or (`hold`) whole but frozen until `thaw`.

    With `hold`, what the pod's former self still holds on this host is taken at the thaw; one that is
    `handed_over` has ended by then, so there is no way back. The files
    at the paths `allow_changed` may be other ones than they were. Files that the pod wrote to and that
    have grown since are told (growth.py), and at the thaw cut back to what they were if so wished.
    Who listens at a port of `ports` does so at the one that it is mapped to, and what is bound to a path
    of `sockets` is bound to another.

    Raises RestoreError, BadImage, HostError, Cancelled; then nothing of the pod is left.
    """
    contents = read(image)
    host.check_facts(contents.host)
    pod = Pod(name or contents.pod.name, moved=True, stdio=stdio)
    try:
        contended = hold and host.is_this_one(contents.host)
        make(
            pod,
            image,
            contents,
            contended=contended,
            rehearsal=False,
            no_way_back=handed_over,
            allow_changed=_paths(allow_changed),
            ports=ports,
            sockets=sockets,
            cancel=cancel,
        )
        files = grown(contents, _paths(allow_changed))
        for file in files:
            how = "is cut back" if cut_back else "left as it is; --truncate-files cuts it back"
            tell(f"{file}; {how}")
        if cut_back and files:
            pod.before_thaw.append(Deferred(partial(growth.cut_back, files), lambda: None))
        if not hold:
            pod.thaw()
    except BaseException as error:
        pod.close()
        if isinstance(error, ZaptraceError) and error.changed is None:
            error.changed = "nothing; what was made of the pod is gone again"
        raise
    return pod


def make(
    pod: Pod,
    image: Image,
    contents: Contents,
    *,
    contended: bool,
    rehearsal: bool,
    no_way_back: bool = False,
    allow_changed: frozenset[bytes] = frozenset(),
    ports: Mapping[int, int] | None = None,
    sockets: Mapping[str, str] | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Make the pod of an image in `pod`, a moved one that is empty; it stays frozen. See Build."""
    raise_file_limit()
    check = (cancel or Cancel()).check
    with refusals_of_the_host(f'cannot restore pod "{pod.name}"'):
        how = {
            "contended": contended,
            "rehearsal": rehearsal,
            "no_way_back": no_way_back,
            "allow_changed": allow_changed,
            "ports": dict(ports or {}),
            "sockets": {os.fsencode(old): os.fsencode(new) for old, new in (sockets or {}).items()},
        }
        pod.call(_make, pod, image, contents, how, check)


def _paths(names: Collection[str]) -> frozenset[bytes]:
    """As the kernel names them, for so they stand in images."""
    paths = [os.fsencode(name) for name in names]
    return frozenset(outside.call(path, partial(os.path.realpath, path)) for path in paths)


def claim(
    image: Image, *, stdio: Stdio | None = None, allow_changed: Collection[str] = ()
) -> list[ZaptraceError]:
    """What stands against restoring the image here; nothing is made. For `zaptrace check`."""
    found: list[ZaptraceError] = []
    contents = read(image)
    try:
        host.check_facts(contents.host)
    except ZaptraceError as error:
        found.append(error)
    build = Build(
        None,  # type: ignore[arg-type]  # there is no pod, and CLAIM asks for none
        image,
        "check",
        _nothing,
        _nothing,
        _nothing,
        _nothing,
        None,  # type: ignore[arg-type]  # nor a process to pass files to
        stdio=(stdio or Stdio()).named(),
        allow_changed=_paths(allow_changed),
        stored=contents.stored,
    )
    _register(build, contents.rooms)
    for room, work, args in build.work(Stage.CLAIM):
        try:
            work(*args)
        except RestoreError as error:
            error.resource = error.resource or room
            found.append(error)
    return found


def _nothing(*_args: object) -> NoReturn:
    raise RestoreError("nothing is made while checking")


def _register(build: Build, rooms: Rooms) -> None:
    for room, states in rooms:
        build.room = room.NAME
        room.restore(states, build)


def _make(
    pod: Pod,
    image: Image,
    contents: Contents,
    how: dict[str, Any],
    check_wanted: Callable[[], None],
) -> None:
    fill_store(pod.handle, contents.stored)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    root = contents.pod.root

    def launch(exe: str, vpid: int) -> Rpid:
        return pod.launch_root(
            exe,
            [exe],
            {},
            vpid=vpid,
            hold=True,
            fds=[theirs.fileno(), -1, -1],
            tty=False,
            root=vpid == root,
        )

    def end(rpid: int, signal: int) -> None:
        check(lib.zt_loop_end_process(pod.handle, rpid, signal, err := new_error()), err)

    def stop(rpid: int, signal: int) -> None:
        check(lib.zt_loop_stop_process(pod.handle, rpid, signal, err := new_error()), err)

    def go_on(rpid: int) -> None:
        check(lib.zt_loop_continue_process(pod.handle, rpid, err := new_error()), err)

    build = Build(
        pod.handle,
        image,
        pod.name,
        launch,
        end,
        stop,
        go_on,
        ours,
        stdio=pod.stdio.named(),
        tty_master=pod.tty_master,
        stored=contents.stored,
        **how,
    )
    try:
        with ours, theirs:
            fill(build, contents.rooms, check_wanted)
        pod.tty_master, pod.stdio.scrollback = build.tty_master, build.scrollback
    finally:
        pod.before_thaw = build.before_thaw
        build.close()


def fill(build: Build, rooms: Rooms, check_wanted: Callable[[], None] = lambda: None) -> None:
    """Have rooms restore their States, stage by stage, as long as `check_wanted` does not raise."""
    _register(build, rooms)
    for stage in Stage:
        _run_stage(build, stage, check_wanted)
        fault(FAULT_POINTS[stage])
        check_wanted()
    build.close_inodes()  # what watches files from now on would tell that they are closed
    for work in (*build.last, *build.loads):
        try:
            work()
        except OSError as error:
            raise _failed(Stage.RESUME, "its last step", error) from error


def _run_stage(build: Build, stage: Stage, check_wanted: Callable[[], None]) -> None:
    for room, work, args in build.work(stage):
        check_wanted()
        try:
            work(*args)
        except (RestoreError, BadImage) as error:
            if isinstance(error, RestoreError):
                error.stage = error.stage or stage.name
                error.resource = error.resource or room
            raise
        except (ZaptraceError, OSError) as error:
            raise _failed(stage, room, error) from error
    for process in list(build.processes.values()):
        check_wanted()
        try:
            process.run_stage(stage)
        except ZaptraceError as error:
            raise _failed(stage, "program", error, process.vpid) from error


def _failed(stage: Stage, room: str, error: Exception, vpid: int | None = None) -> RestoreError:
    what = error.what if isinstance(error, ZaptraceError) else str(error)
    return RestoreError(
        f"cannot restore the pod: {room} failed at stage {stage.name}: {what}",
        stage=stage.name,
        resource=room,
        vpid=vpid,
        found=getattr(error, "found", None),
        do=getattr(error, "do", None),
    )
