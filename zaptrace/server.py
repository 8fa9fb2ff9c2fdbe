"""The host server: takes pods in from other hosts.

One process, one listening socket, any number of migrations (see migration/__init__.py for what is said,
wire.py for how). Each pod that arrives gets a supervisor of its own, so pods do not die with the
server; only copies that were never thawed do.

    <runtime directory>/.staged/<host>_<port>/    held with a flock: one server for each address
    └── <migration id>/                           record, image
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .errors import HostError
from .linux import private
from .log import log
from .migration import Check, Destination, Spawn
from .network.keys import Keys, host_of
from .network.wire import Listener, Timeouts
from .supervisor import runtime, sweeping

BIND = "tcp://127.0.0.1:7077"
"""Where a host server listens unless told otherwise: for this host only."""
_SWEPT_S = 2.0
"""Whoever sweeps what servers left has the lock of a staging directory for a moment."""


class Stop:
    """Something to wait for that a signal's handler may say. (The lock of a threading.Event may be held
    by the very thread that the handler interrupts, and then both wait for good.)"""

    def __init__(self) -> None:
        self._said = os.eventfd(0, os.EFD_CLOEXEC)

    def say(self, *_: object) -> None:
        """Whoever waits goes on."""
        os.eventfd_write(self._said, 1)

    def wait(self) -> None:
        """Until it is said."""
        os.read(self._said, 8)  # goes on behind a handler, which os.eventfd_read does not

    def close(self) -> None:
        """Nobody says it any more."""
        os.close(self._said)


class Server:
    """A host server that runs until `close`.

    spawn    restores an image as a frozen pod under a supervisor of its own, see migrate.Spawn
    check    gives the reasons why a pod cannot live here, see migrate.Check
    config   the directory of our keys, see network/keys.py
    staging  where images are kept meanwhile; needs as much space as the pods that arrive
    failed   called when a part of the server has ended that it cannot be without
    """

    def __init__(
        self,
        bind: str = BIND,
        *,
        spawn: Spawn,
        check: Check | None = None,
        config: str | os.PathLike[str] | None = None,
        staging: str | os.PathLike[str] | None = None,
        timeouts: Timeouts | None = None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._keys = Keys(config)
        self._lock = _lock_staging(Path(staging) if staging else _default_staging(bind))
        for name, image in () if staging else sweeping.abandoned(runtime.root()):
            log.warning(
                "pod %s arrived whole at a server that is gone: %s; one at that address settles it",
                name,
                image,
            )
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._lock[1])
            self.destination = Destination(self._lock[0], spawn, check, timeouts)
            self._listener = Listener(
                bind,
                identity=self._keys.identity,
                authorize=self._keys.who,
                accept=self.destination.converse,
                failed=failed,
                timeouts=timeouts,
            )
            undo.pop_all()

    @property
    def endpoint(self) -> str:
        """Where it listens: tcp://address:port, with the real port."""
        return self._listener.endpoint

    @property
    def key(self) -> str:
        """The public key that proves who we are, as text."""
        return self._keys.identity.text

    @property
    def fault(self) -> Exception | None:
        """What ended a part of the server before its time."""
        return self._listener.failed

    def close(self) -> None:
        """End every conversation. Frozen copies that nobody decided about go, their images stay."""
        self.destination.close()
        self._listener.close()
        with contextlib.suppress(OSError):
            os.close(self._lock[1])

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def serve(
    bind: str = BIND,
    *,
    spawn: Spawn,
    check: Check | None = None,
    config: str | os.PathLike[str] | None = None,
    staging: str | os.PathLike[str] | None = None,
    ready: Callable[[Server], None] | None = None,
) -> None:
    """Run a host server until SIGTERM or SIGINT; `ready` is called once it accepts pods.

    Raises what ended a part of it, if one does: a server that hears nobody is none.

    To be called in the main thread.
    """
    stop = Stop()
    before = {number: signal.signal(number, stop.say) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with Server(
            bind, spawn=spawn, check=check, config=config, staging=staging, failed=stop.say
        ) as server:
            log.info("accepting pods at %s, key %s", server.endpoint, server.key)
            if ready is not None:
                ready(server)
            stop.wait()
            if server.fault is not None:
                raise server.fault
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _default_staging(bind: str) -> Path:
    host, _, port = host_of(bind).rpartition(":")
    if port in ("0", "*"):
        port = f"any-{os.getpid()}"
    return runtime.root() / sweeping.STAGED / f"{host.strip('[]')}_{port}"


def _lock_staging(staging: Path) -> tuple[Path, int]:
    private.refuse_link(staging)
    limit = time.monotonic() + _SWEPT_S
    while True:
        private.make_directory(staging)
        fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(staging)):
                return staging, fd
        except FileNotFoundError:
            pass  # who sweeps has just removed it
        except BlockingIOError as e:
            if time.monotonic() > limit:
                os.close(fd)
                raise HostError(
                    f"another host server uses {staging}",
                    needed="an address of our own",
                    found="its lock is held",
                    remedy="choose another --bind, or end that server",
                ) from e
        os.close(fd)
        time.sleep(0.01)
