"""The control socket of a pod: message forms, and the client half.

A supervisor listens at <runtime>/<pod>/control.sock, a stream socket. One message is one frame
(stream.py), a msgpack map:

    request   {"v": 1, "id": n, "verb": str, ...arguments}
    progress  {"v": 1, "id": n, "progress": {...}}           none or more, from long verbs
    beat      {"v": 1, "id": n, "beat": true}                every second, until the reply, unless the
                                                             verb is wait, attach or exec
    screen    {"v": 1, "id": n, "screen": {...}, "at": int}  from "attach" with redraw, before its stream:
                                                             what makes it (scrollback.py), up to `at`
    stream    {"v": 1, "id": n, "stream": bytes, "at": int,
               "skipped": int, "answers": bool}              none or more, from "attach"
    reply     {"v": 1, "id": n, "ok": true, ...results}      exactly one, and the last
              {"v": 1, "id": n, "ok": false, "error": ZaptraceError.to_dict()}
    one-way   {"v": 1, "verb": "input" | "resize" | "ack" | "detach", ...}   never answered

verb        arguments                                   results
status      processes: bool                             name state since meta attached processes[]
                                                        answered[]: see pod/counts.py, Refusal
                                                        inside: true, if the client is one of them
stats                                                   name stops calls[]; see pod/counts.py
wait                                                    outcome, once the pod ended (see Outcome)
attach      rows cols tail, redraw: bool,               outcome, once ended; {"detached": true}
            read_only: bool
freeze                                                  frozen
thaw                                                    frozen
signal      signal: int, vpid: int|None, group: bool,
            heard: bool; it came to the client, and
            may say that a job is to be saved
            group with vpid: the group of that one
exec        argv cwd env umask tty, detach: bool;       status, as os.waitpid gives it, once it ended, or
            its 0, 1 and 2 come along as descriptors    how the pod went away (outcome); vpid, if detached;
                                                        progress: vpid, once it runs
stop        grace: seconds, kill: bool                  outcome; progress: behind, or left more seconds
discard                                                 outcome; for a pod that was not to be
checkpoint  to: path, then: "resume"|"stop",            report
            codec, rehearsal: bool (true),
            outside: "refuse"|"close",
            scrollback: bool (true),
            overwrite: bool
try                                                     report; a checkpoint that is thrown away
rollback    image: path, allow_changed: paths           none: whoever asks is of the pod, and ends
branch      image: path, name, ports, sockets           name, instance; whoever asks is of the pod
migrate     to: endpoint, options,                      report; the outcome goes to who waits
            scrollback: bool (true)
scrollback  screen: bool                                data, at; what a tty pod wrote last; or screen
cancel      what: id of a request, by: who wants it     cancelled: true; that request is answered, too

A request whose client goes away is cancelled, as if it had asked for it; `wait` and `stop` are not.
A client that hears nothing for SILENCE_S seconds takes the supervisor for hung. A reply with the id 0
is to a message that could not be read, or to a client that is not let in.

`attach` has flow control: the client acknowledges how far it has written ("ack": at), and at most
WINDOW bytes are under way. An argument or a key that is not known is ignored, so that both sides
can grow; a "v" that is not known is answered with an error.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time

from ..errors import Cancelled, NoSuchPod, PodError, WireError, WireTimeout, ZaptraceError
from ..limits import CONTROL, STREAM
from ..linux import private
from ..record import Record, field
from . import own_process, runtime
from .stream import Stream

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, NoReturn

    from ..linux.private import StrPath

VERSION = 1
ONE_WAY = ("input", "resize", "ack", "detach")
WINDOW = STREAM
SAVED = 85
"""The exit status of a job that was saved, and is to be run again."""
BEAT_S = 1.0
SILENCE_S = 30.0
"""Much longer than a supervisor on a host that is busy, or swaps, takes to beat."""
GIVE_UP_S = 40.0
"""How long a client waits for what it has cancelled: longer than the supervisor does."""
_LOOK_S = 0.2
"""How often a waiting client looks whether the supervisor still lives."""
_AGAIN_S = 0.01
"""How often a client looks for what makes no descriptor ready."""
_LAST_WORDS = 400


class Outcome(Record):
    """How a pod's time on this host came to its end."""

    how: str
    """exited · failed (we had to end it) · killed (stop) · checkpointed (--stop) · migrated · discarded"""
    status: int | None = None
    """Wait status of the root process, as os.waitpid gives it; None when it did not end."""
    to: str | None = None
    """Where it went: an image or an endpoint."""
    instance: str = ""
    """Which pod of that name it was."""
    left: int = 0
    """Processes that live on after the root process ended."""
    why: str = ""
    """Of `failed`: what ended it."""
    told: list[str] = field(factory=list)
    """What its tracer had to say meanwhile, such as that a process had to be ended."""
    images: str | None = None
    """Of a job: where its images are."""

    @property
    def saved(self) -> bool:
        """The job is to be run again: it goes on from its newest image."""
        here = self.to is not None and os.path.dirname(self.to) == self.images
        return self.how == "checkpointed" and here

    def to_dict(self) -> dict[str, Any]:
        """As a map for msgpack and JSON."""
        return dict(vars(self))

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> Outcome:
        """The outcome that a supervisor described."""
        return Outcome(**{k: fields[k] for k in Outcome.fields if k in fields})


def pack(message: dict[str, Any]) -> bytes:
    """One frame."""
    from .. import plain

    return plain.dumps({"v": VERSION, **message})


def unpack(frame: bytes) -> dict[str, Any]:
    """The message in a frame. Raises WireError for anything that is not one."""
    from .. import plain

    try:
        message = plain.loads(frame, CONTROL)
    except ValueError as e:
        raise WireError("bad control message", needed="msgpack", found=str(e)) from None
    if not isinstance(message, dict):
        raise WireError("bad control message", needed="a map", found=type(message).__name__)
    if message.get("v") != VERSION:
        raise WireError(
            "bad control message",
            needed=f"protocol version {VERSION}",
            found=repr(message.get("v")),
            do="use the same zaptrace for the client and for the pod",
        )
    return message


class Client:
    """A connection to the supervisor of one pod. Not for use by several threads at once."""

    def __init__(self, name: str, root: StrPath | None = None, instance: str | None = None) -> None:
        """Connect to pod `name`; PodError when it is not running.

        With `instance`, only that very pod counts, not a later one of the same name, and it may
        have ended already: `wait` then says how.
        """
        self.name = name
        self.root = root if root is not None else runtime.place()
        self.path = os.path.join(self.root, name) if instance else runtime.find(name, self.root)
        self.instance = instance or runtime.read_meta(self.path).get("instance")
        self.closed = False
        self.gives_up: Callable[[], bool] = lambda: False
        """Asked now and then while a call waits: True is as a ctrl-c."""
        self._next = 0
        self._held: dict[int, list[dict[str, Any]]] = {}
        self._connected: Stream | None = None

    @property
    def stream(self) -> Stream:
        """The connection, made when it is needed. Raises PodError for a supervisor that is dead."""
        deadline = time.monotonic() + SILENCE_S
        while self._connected is None:
            if self.closed or not self.alive():
                raise self.gone()
            with contextlib.ExitStack() as stack:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                try:
                    sock.connect(f"{self.path}/control.sock")
                    stack.pop_all()
                    self._connected = Stream(sock)
                    return self._connected
                except FileNotFoundError:  # not there yet, or not any more
                    if (pid := runtime.supervisor_pid(self.path)) is not None:
                        with contextlib.suppress(OSError):
                            os.kill(pid, own_process.SOUGHT)
                except (BlockingIOError, ConnectionRefusedError):
                    pass
            self._refuse_silence(deadline)
            time.sleep(_AGAIN_S)
        return self._connected

    def close(self) -> None:
        """Let go of the connection; the pod does not care."""
        self.closed = True
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        verb: str,
        *,
        timeout: float | None = None,
        progress: Callable[[dict[str, Any]], None] | None = None,
        **arguments: object,
    ) -> dict[str, Any]:
        """Send a request and return its reply; raises the supervisor's error.

        `timeout` is in seconds, None for as long as the supervisor lives, and says so. A ctrl-c
        meanwhile has the request cancelled: what then holds is raised, or returned if it was too late.
        """
        request = self.send(verb, **arguments)
        try:
            return self._reply(request, timeout, progress, patient=verb == "wait")
        except KeyboardInterrupt:
            if verb == "wait":
                raise
            return self._give_up(request)

    def _reply(
        self,
        request: int,
        timeout: float | None,
        progress: Callable[[dict[str, Any]], None] | None = None,
        patient: bool = False,
    ) -> dict[str, Any]:
        for message in self.follow(request, timeout, patient):
            if "progress" in message:
                if progress is not None:
                    progress(message["progress"])
            elif "ok" in message:
                return message
        raise AssertionError("follow ends with a reply or an error")

    def _give_up(self, request: int) -> dict[str, Any]:
        by = "the client" if self.gives_up() else "ctrl-c at the client"
        self.gives_up = lambda: False
        asked = self.send("cancel", what=request, by=f"{by} that asked for it")
        try:
            return self._reply(request, GIVE_UP_S)
        except Cancelled as error:
            error.exit_status = 128 + signal.SIGINT
            raise
        except WireTimeout:
            self._reply(asked, BEAT_S)  # raises why it could not be cancelled, if so
            raise

    def send(self, verb: str, **arguments: object) -> int:
        """Send a request and return its id, for `follow`."""
        self._next += 1
        self.post(verb, id=self._next, **arguments)
        return self._next

    def send_with(self, fds: Sequence[int], verb: str, **arguments: object) -> int:
        """The same with descriptors, which may be done with the first request of all."""
        self._next += 1
        stream, deadline = self.stream, time.monotonic() + SILENCE_S
        stream.put_with(pack({"verb": verb, "id": self._next, **arguments}), fds)
        self._look(stream.flush, select.POLLOUT, deadline)
        return self._next

    def post(self, verb: str, **arguments: object) -> None:
        """Send without expecting an answer."""
        stream, deadline = self.stream, time.monotonic() + SILENCE_S
        stream.put(pack({"verb": verb, **arguments}))
        self._look(stream.flush, select.POLLOUT, deadline)

    def follow(
        self, request: int, timeout: float | None = None, patient: bool = True
    ) -> Iterator[dict[str, Any]]:
        """The messages that answer `request`, up to and with its reply; raises its error.

        Unless `patient`, a supervisor that says nothing for SILENCE_S seconds counts as hung.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            held = self._held.get(request)
            silence = deadline if patient else _sooner(deadline, time.monotonic() + SILENCE_S)
            message = held.pop(0) if held else self._receive(silence)
            if "beat" in message:
                continue
            if message.get("id") != request:
                self._held.setdefault(int(message.get("id", 0)), []).append(message)
                continue
            final = "ok" in message
            if final:
                self._held.pop(request, None)
                if not message["ok"]:
                    raise ZaptraceError.from_dict(message.get("error") or {})
            yield message
            if final:
                return

    def receive_now(self) -> dict[str, Any] | None:
        """A message that is already here, for callers with an event loop of their own."""
        if not self.has_message():
            return None
        frame = self.stream.take()
        return unpack(frame) if frame is not None else None

    def has_message(self) -> bool:
        """Is there one?"""
        stream = self.stream
        if not stream.has_frame():
            stream.read()
        return stream.has_frame()

    def alive(self) -> bool:
        """True while the supervisor of this very pod lives."""
        if not runtime.is_alive(self.path):
            return False
        now = runtime.read_meta(self.path).get("instance")
        return now is None or self.instance is None or now == self.instance

    def wait(self, timeout: float | None = None) -> Outcome:
        """How the pod ended, once it did; also when it ended before we asked."""
        try:
            return Outcome.from_dict(self.call("wait", timeout=timeout)["outcome"])
        except PodError:
            if (past := self.past()) is not None:
                return past
            raise

    def past(self) -> Outcome | None:
        """How this very pod ended, from what its supervisor left behind."""
        fields = runtime.ended(self.name, self.root)
        if fields is None or (self.instance and fields.get("instance") != self.instance):
            return None
        return Outcome.from_dict(fields)

    def last_words(self) -> Outcome:
        """How this very pod ended, whose supervisor is gone. Raises PodError: nobody knows."""
        if (past := self.past()) is not None:
            return past
        raise self.gone()

    def _receive(self, deadline: float | None) -> dict[str, Any]:
        self._look(self.has_message, select.POLLIN, deadline)
        frame = self.stream.take()
        assert frame is not None, "that is what was waited for"
        return unpack(frame)

    def _look(self, ready: Callable[[], bool], events: int, deadline: float | None) -> None:
        """Wait for `ready`, but not for a supervisor that is dead, nor past the deadline."""
        while not ready():
            if self.gives_up():
                raise KeyboardInterrupt
            self._refuse_silence(deadline)
            if self.stream.ended:
                self._await_end(deadline)
            poll = select.poll()
            poll.register(self.stream.fileno(), events)
            if not poll.poll(_LOOK_S * 1000) and not self.alive():
                if ready():  # its last words
                    return
                raise self.gone()

    def _await_end(self, deadline: float | None) -> NoReturn:
        """The connection was cut: the supervisor ends, or does not let us in."""
        if refused := self._held.get(0):
            raise ZaptraceError.from_dict(refused[-1].get("error") or {})
        deadline = _sooner(deadline, time.monotonic() + SILENCE_S)
        while self.alive():
            if self._answers():
                raise PodError(
                    f"the connection to pod {self.name!r} was cut",
                    needed="one that lasts until the answer",
                    found="its supervisor lives, and knows nothing of this one",
                    do="a process that goes on from an image has to ask again",
                )
            self._refuse_silence(deadline)
            time.sleep(_AGAIN_S)
        raise self.gone()

    def _answers(self) -> bool:
        """Does the supervisor answer on a new connection? One that was killed may still take it."""
        sock = socket.socket(socket.AF_UNIX)
        stream = Stream(sock)
        try:
            if sock.connect_ex(f"{self.path}/control.sock"):
                return False
            stream.put(pack({"verb": "status", "id": 1, "processes": False}))
            stream.flush()
            poll = select.poll()
            poll.register(stream.fileno(), select.POLLIN)
            poll.poll(_LOOK_S * 1000)
            stream.read()
            return stream.has_frame()
        finally:
            stream.close()

    def _refuse_silence(self, deadline: float | None) -> None:
        if deadline is not None and time.monotonic() > deadline:
            pid = runtime.supervisor_pid(self.path)
            raise WireTimeout(
                f"pod {self.name!r} did not answer in time",
                needed="an answer of its supervisor",
                found=f"none; supervisor {pid} is alive",
                do=f"try again; if it never answers: kill -KILL {pid} ends it, and the pod with it",
            )

    def gone(self) -> PodError:
        """The error for a supervisor that went away under us."""
        if (past := self.past()) is not None:
            return NoSuchPod(
                f"pod {self.name!r} is not running any more",
                found=f"it {runtime.describe_end(past.to_dict())}",
            )
        if runtime.ended(self.name, self.root) or runtime.is_running(self.path):
            return PodError(
                f"pod {self.name!r} is not running any more",
                found="how it ended is not known any more: a later pod has had its name",
            )
        last = ""
        with contextlib.suppress(OSError):
            said = private.tail(f"{self.path}/supervisor.log", _LAST_WORDS)
            last = said.decode(errors="replace").strip()
        return PodError(
            f"the supervisor of pod {self.name!r} died",
            needed="a supervisor that says how its pod ended",
            found="it is gone and left no record" + (f"; it said last: {last}" if last else ""),
            changed="the pod's processes died with it",
        )


def _sooner(deadline: float | None, other: float) -> float:
    return other if deadline is None else min(deadline, other)
