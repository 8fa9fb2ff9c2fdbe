"""Our terminal, joined to that of a pod.

A pod with a terminal gets every key, so ctrl-c is a byte for its own pty; the keys that detach are
kept back (_detach_keys.py). A window that is closed, or a connection that drops, is a detach as well.
When we leave, what the pod had turned on in our terminal is turned off.

A terminal that is stopped, or that nobody reads, keeps the output and nothing else: keys, signals and
the end are seen to.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import PodError, WireTimeout
from ..record import Record, field
from ..screen.modes import Modes
from ..screen.questions import Unasked
from ..supervisor import control
from ..supervisor.control import Outcome
from ..supervisor.ring import SCROLLBACK
from ..supervisor.terminal import get_size
from ._detach_keys import DetachKeys
from ._foreground import TO_GROUP, TO_ROOT, Signals, pass_on
from ._own_terminal import OwnTerminal
from ._screen import Screen
from ._tell import exit_status, explain, say

if TYPE_CHECKING:
    from ..supervisor.control import Client

_LOOK_MS = 500
_LOOK_FOR_KEYS_MS = 100
_CTRL_C = 0x03


class How(Record):
    """The way in which somebody wants to be attached."""

    owner: bool = False
    """Signals are passed on (run, restore); else they detach."""
    redraw: bool = True
    """First comes what is on the screen; else all that is kept of what was written."""
    history: int = 0
    """With so many lines of what scrolled away."""
    keys: DetachKeys = field(factory=DetachKeys)
    read_only: bool = False
    hup: bool = False
    """If our terminal hangs up, so does the pod's."""


class Attached:
    """Our terminal, joined to the pty of a pod."""

    def __init__(self, client: Client, signals: Signals, how: How) -> None:
        self._client = client
        self._signals = signals
        self._how = how
        self._in = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else -1
        self._terminal = OwnTerminal(self._in)
        self._screen = Screen(1)
        self._modes = Modes()
        """Of our terminal, as the pod's output has set them."""
        self._unasked = Unasked()
        self._leaving_at = 0.0
        """When we have asked to be detached."""
        self._wanted_to_end = False
        self._failed: dict[str, Any] | None = None
        self._at_line_start = True

    def run(self) -> Outcome | None:
        """Relay until the pod ends (its outcome) or we detach (None)."""
        keys = self._how.keys
        self._ask()
        poller = select.poll()
        stream = self._client.stream
        for fd in (stream.fileno(), self._signals.fd, self._screen.progress):
            poller.register(fd, select.POLLIN)
        self._terminal.make_raw()
        if self._in >= 0:
            poller.register(self._in, select.POLLIN)
        heard = True
        try:
            while True:
                ready = dict(poller.poll(_LOOK_FOR_KEYS_MS if keys.holds else _LOOK_MS))
                if self._screen.has_moved():
                    self._acknowledge()
                for number in self._signals.take():
                    self._signal(number)
                if self._in in ready:
                    self._keys()
                self._type(keys.overdue())
                while (message := self._client.receive_now()) is not None:
                    if message.get("id") != self._request:
                        self._failed = message if message.get("ok") is False else self._failed
                        continue
                    if "stream" in message:
                        self._show(message)
                    elif "screen" in message:
                        self._draw(message["screen"], message["at"])
                    elif message.get("ok"):
                        report = message.get("outcome")
                        return self._shown(Outcome.from_dict(report)) if report else None
                    elif "ok" in message:
                        raise PodError.from_dict(message["error"])
                if heard and stream.ended:  # and so always ready
                    poller.unregister(stream.fileno())
                    heard = False
                    if self._failed is not None:  # we were not let in
                        raise PodError.from_dict(self._failed.get("error") or {})
                if not self._client.alive() and not self._client.has_message():
                    return self._shown(self._client.last_words())
                if self._leaving_at and self._is_hung():
                    return None  # who is gone is detached, when it hears that
        finally:
            self._terminal.restore()

    def _ask(self) -> None:
        rows, cols = get_size(self._in) if self._in >= 0 else (0, 0)
        how = self._how
        self._request = self._client.send(
            "attach",
            rows=rows,
            cols=cols,
            tail=0 if how.redraw else 2 * SCROLLBACK,
            redraw=how.redraw,
            read_only=how.read_only,
        )

    def _is_hung(self) -> bool:
        return time.monotonic() - self._leaving_at > control.SILENCE_S

    def _shown(self, outcome: Outcome) -> Outcome:
        """When the last of it is on the screen, or nobody waits for that."""
        self._terminal.restore()  # from here on ctrl-c is for us
        poller = select.poll()
        poller.register(self._screen.progress, select.POLLIN)
        poller.register(self._signals.fd, select.POLLIN)
        while not self._screen.is_done and not self._wanted_to_end:
            poller.poll()
            self._screen.has_moved()
            for number in self._signals.take():
                self._wanted_to_end |= number in (*TO_ROOT, *TO_GROUP[:2])
        return outcome

    def _acknowledge(self) -> None:
        with contextlib.suppress(PodError, WireTimeout):  # if it ended just now, the loop sees it
            self._client.post("ack", id=self._request, at=self._screen.shown_to)

    def _show(self, message: dict[str, Any]) -> None:
        data = message["stream"]
        if data:
            self._at_line_start = data.endswith(b"\n")
        if message.get("skipped"):
            note = f"\r\n[zaptrace: {message['skipped']} bytes scrolled away]\r\n"
            data = note.encode() + data
        answers = message.get("answers", True)
        data = self._unasked.rest() + data if answers else self._unasked.of(data)
        self._modes.follow(data)
        self._screen.show(data, message["at"] + len(message["stream"]))

    def _draw(self, facts: dict[str, Any], at: int) -> None:
        """What is on the pod's screen; nothing where it has written nothing yet."""
        from ..screen.drawing import drawn
        from ..screen.emulator import replayed

        if not facts["data"]:
            return
        pod = replayed(facts["before"], facts["data"], facts["sizes"])
        self._modes = pod.modes
        self._modes.goes_on(pod.unfinished)
        self._at_line_start = pod.col == 0
        self._screen.show(drawn(pod, *get_size(self._terminal.fd), self._how.history), at)

    def _keys(self) -> None:
        try:
            data = os.read(self._in, 4096)
        except OSError:
            data = b""
        if not data:  # in raw mode no key makes an end
            self._hung_up()
        sent, leave = self._how.keys.typed(data)
        self._type(sent)
        if leave or (self._how.read_only and _CTRL_C in data):
            self._detach()

    def _type(self, data: bytes) -> None:
        if data and not self._how.read_only:
            self._client.post("input", data=data)

    def _signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            if self._terminal.fd >= 0:
                rows, cols = get_size(self._terminal.fd)
                self._client.post("resize", rows=rows, cols=cols)
        elif number == signal.SIGTSTP:
            self._terminal.restore()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._terminal.make_raw()
            self._signal(signal.SIGWINCH)
        elif number == signal.SIGHUP:
            self._hung_up()
        elif self._how.owner:
            self._wanted_to_end |= number in TO_ROOT
            pass_on(self._client, number)
        else:
            self._detach()

    def _hung_up(self) -> NoReturn:
        """Our terminal is gone, and we with it; the pod only if it was asked for."""
        with contextlib.suppress(PodError, WireTimeout):
            if self._how.hup:
                pass_on(self._client, signal.SIGHUP)
            self._client.post("detach")
        raise SystemExit(128 + signal.SIGHUP)

    def close(self) -> bool:
        """No more is shown. False when the terminal takes nothing: then we have no words, either."""
        self._screen.add(self._modes.undone())
        self._modes = Modes()
        return self._screen.close()

    def new_line(self) -> None:
        """So that a remark of ours does not follow half a line of the pod's."""
        if not self._at_line_start:
            with contextlib.suppress(OSError):
                os.write(1, b"\n")

    def _detach(self) -> None:
        self._leaving_at = self._leaving_at or time.monotonic()
        self._client.post("detach")


def follow(client: Client, signals: Signals, how: How) -> int:
    """Stay with a pod's terminal until it ends or we detach; the exit status for our caller."""
    attached = Attached(client, signals, how)
    try:
        outcome = attached.run()
    finally:
        heard = attached.close()
    if not heard:
        return 0 if outcome is None else exit_status(outcome)
    if outcome is None or outcome.how != "exited":
        attached.new_line()
    if outcome is None:
        say(f"detached from pod {client.name}; zaptrace attach {client.name} comes back")
        return 0
    explain(client.name, outcome)
    return exit_status(outcome)
