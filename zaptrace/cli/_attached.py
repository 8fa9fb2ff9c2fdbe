"""Our terminal, joined to that of a pod.

A pod with a terminal gets every key, so ctrl-c is a byte for its own pty. The one key kept back is
ctrl-\\ : followed by d it detaches; twice, it is sent once; alone, it is sent after a second.

A terminal that is stopped, or that nobody reads, keeps the output and nothing else: keys, signals and
the end are seen to.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, Any

from ..errors import PodError, WireTimeout
from ..supervisor import control
from ..supervisor.control import Outcome
from ..supervisor.terminal import get_size
from ._foreground import TO_GROUP, TO_ROOT, Signals, last_words, pass_on
from ._screen import Screen
from ._tell import exit_status, explain, say

if TYPE_CHECKING:
    from ..supervisor.control import Client

_DETACH = 0x1C  # ctrl-\
_DETACH_WAIT_S = 1.0
_LOOK_MS = 500


class Attached:
    """Our terminal, joined to the pty of a pod."""

    def __init__(self, client: Client, signals: Signals, *, owner: bool, tail: int) -> None:
        """`owner`: signals are passed on (run); else they detach. `tail`: bytes to show first."""
        self._client = client
        self._signals = signals
        self._owner = owner
        self._tail = tail
        self._in = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else -1
        self._tty = self._in
        self._screen = Screen(1)
        self._held_key_at = 0.0
        self._leaving_at = 0.0
        """When we have asked to be detached."""
        self._wanted_to_end = False
        self._failed: dict[str, Any] | None = None
        self._cooked: list[Any] | None = None
        self._at_line_start = True

    def run(self) -> Outcome | None:
        """Relay until the pod ends (its outcome) or we detach (None)."""
        rows, cols = get_size(self._in) if self._in >= 0 else (0, 0)
        self._request = self._client.send("attach", rows=rows, cols=cols, tail=self._tail)
        poller = select.poll()
        stream = self._client.stream
        for fd in (stream.fileno(), self._signals.fd, self._screen.progress):
            poller.register(fd, select.POLLIN)
        self._raw()
        if self._in >= 0:
            poller.register(self._in, select.POLLIN)
        heard = True
        try:
            while True:
                ready = dict(poller.poll(100 if self._held_key_at else _LOOK_MS))
                if self._screen.has_moved():
                    self._acknowledge()
                for number in self._signals.take():
                    self._signal(number)
                if self._in in ready and not self._keys():
                    poller.unregister(self._in)
                    self._in = -1
                self._release_held_key()
                while (message := self._client.receive_now()) is not None:
                    if message.get("id") != self._request:
                        self._failed = message if message.get("ok") is False else self._failed
                        continue
                    if "stream" in message:
                        self._show(message)
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
                    return self._shown(last_words(self._client))
                if self._leaving_at and self._is_hung():
                    return None  # who is gone is detached, when it hears that
        finally:
            self._restore()

    def _is_hung(self) -> bool:
        return time.monotonic() - self._leaving_at > control.SILENCE_S

    def _shown(self, outcome: Outcome) -> Outcome:
        """When the last of it is on the screen, or nobody waits for that."""
        self._restore()  # from here on ctrl-c is for us
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
        self._screen.show(data, message["at"] + len(message["stream"]))

    def _keys(self) -> bool:
        try:
            data = os.read(self._in, 4096)
        except OSError:
            return False
        if not data:
            return False
        sent = bytearray()
        for key in data:
            if self._held_key_at:
                self._held_key_at = 0.0
                if key in b"dD":
                    self._detach()
                    continue
                sent.append(_DETACH)
                if key != _DETACH:
                    sent.append(key)
            elif key == _DETACH:
                self._held_key_at = time.monotonic()
            else:
                sent.append(key)
        if sent:
            self._client.post("input", data=bytes(sent))
        return True

    def _release_held_key(self) -> None:
        if self._held_key_at and time.monotonic() - self._held_key_at > _DETACH_WAIT_S:
            self._held_key_at = 0.0
            self._client.post("input", data=bytes([_DETACH]))

    def _signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            if self._tty >= 0:
                rows, cols = get_size(self._tty)
                self._client.post("resize", rows=rows, cols=cols)
        elif number == signal.SIGTSTP:
            self._restore()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._raw()
            self._signal(signal.SIGWINCH)
        elif self._owner:
            self._wanted_to_end |= number in TO_ROOT
            pass_on(self._client, number)
            if number == signal.SIGHUP:  # our terminal is gone, and we with it
                self._restore()
                raise SystemExit(128 + number)
        else:
            self._detach()

    def close(self) -> bool:
        """No more is shown. False when the terminal takes nothing: then we have no words, either."""
        return self._screen.close()

    def new_line(self) -> None:
        """So that a remark of ours does not follow half a line of the pod's."""
        if not self._at_line_start:
            with contextlib.suppress(OSError):
                os.write(1, b"\n")

    def _detach(self) -> None:
        self._leaving_at = self._leaving_at or time.monotonic()
        self._client.post("detach")

    def _raw(self) -> None:
        if self._tty >= 0 and self._cooked is None:
            self._cooked = termios.tcgetattr(self._tty)
            tty.setraw(self._tty, termios.TCSANOW)

    def _restore(self) -> None:
        if self._cooked is not None:
            with contextlib.suppress(termios.error):
                # Not TCSADRAIN: a terminal that nobody reads would hold us here.
                termios.tcsetattr(self._tty, termios.TCSANOW, self._cooked)
            self._cooked = None


def follow(client: Client, signals: Signals, *, owner: bool, tail: int) -> int:
    """Stay with a pod's terminal until it ends or we detach; the exit status for our caller."""
    attached = Attached(client, signals, owner=owner, tail=tail)
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
