"""A window of tmux as somebody's terminal: a test can see what it shows, and what is turned on."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from pathlib import Path

from harness.supervisors import eventually, is_gone
from harness.world import reap, require, waited

AT_REST = {
    "alternate_on": "0",
    "cursor_flag": "1",
    "mouse_any_flag": "0",
    "mouse_sgr_flag": "0",
    "keypad_cursor_flag": "0",
    "keypad_flag": "0",
    "insert_flag": "0",
    "wrap_flag": "1",
    "origin_flag": "0",
    "scroll_region_upper": "0",
}
"""Of a window in which nothing was turned on; the last line that scrolls depends on its size."""


class Window:
    """`command` in a window of its own. It stays when that ends, and says how it did."""

    def __init__(
        self,
        place: Path,
        command: list[str],
        env: dict[str, str],
        rows: int = 24,
        cols: int = 80,
        cwd: Path | None = None,
    ) -> None:
        self.rows = rows
        self._socket = str(place / f"tmux-{len(list(place.glob('tmux-*')))}")
        self._tmux = require("tmux")
        self._env = {k: v for k, v in env.items() if k not in ("TMUX", "TMUX_PANE")}
        script = f"{shlex.join(command)}; echo ended:$?; exec sleep 1000"
        (place / "tmux.conf").write_text("set -g status off\nset -g escape-time 0\n")
        self._command(
            "-f", str(place / "tmux.conf"), "new-session", "-d", "-x", str(cols), "-y", str(rows),
            *(["-c", str(cwd)] if cwd else []), f"exec sh -c {shlex.quote(script)}",
        )  # fmt: skip
        self._server = int(self._said("#{pid}"))
        waited.add(self._server)

    def _command(self, *words: str) -> str:
        done = subprocess.run(
            [self._tmux, "-S", self._socket, *words],
            env=self._env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=True,
        )
        return done.stdout

    def _said(self, what: str) -> str:
        return self._command("display-message", "-p", what).rstrip("\n")

    def type(self, text: str) -> None:
        """As it stands."""
        self._command("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """By their names in tmux."""
        self._command("send-keys", *keys)

    def shows(self) -> list[str]:
        """Its lines, with their colours; not that of nothing at their ends."""
        lines = self._command("capture-pane", "-p", "-e").split("\n")[: self.rows]
        return [re.sub(r"(\x1b\[[0-9;]*m)+$", "", line) for line in lines]

    def text(self) -> str:
        """The same without colours."""
        return self._command("capture-pane", "-p")

    def scrolled(self) -> str:
        """With all that scrolled away before."""
        return self._command("capture-pane", "-p", "-S", "-")

    def cursor(self) -> str:
        return self._said("#{cursor_x},#{cursor_y}")

    def all(self) -> tuple[list[str], str, dict[str, str]]:
        """What it shows, where the cursor is, what is turned on."""
        return self.shows(), self.cursor(), self.flags()

    def flags(self) -> dict[str, str]:
        flags = [*AT_REST, "scroll_region_lower"]
        words = self._said(" ".join(f"#{{{flag}}}" for flag in flags)).split()
        return dict(zip(flags, words, strict=True))

    def at_rest(self) -> bool:
        """Is nothing turned on in it any more?"""
        return self.flags() == AT_REST | {"scroll_region_lower": str(self.rows - 1)}

    def expect(self, text: str) -> None:
        eventually(lambda: text in self.text(), f"{text!r} in\n{self.text()}")

    def resize(self, rows: int, cols: int) -> None:
        self.rows = rows
        self._command("resize-window", "-x", str(cols), "-y", str(rows))

    def close(self) -> None:
        """As somebody does who closes the window: whoever runs in it hears SIGHUP."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._command("kill-server")
        eventually(lambda: is_gone(self._server), "the end of tmux")
        waited.discard(self._server)
        reap()
