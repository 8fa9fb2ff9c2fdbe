"""Ways to be at the terminal of a pod, to leave it, and what is said where there is none."""

from __future__ import annotations

import json
import os

import pytest

from harness.hosts import Terminal
from harness.shell import Shell
from harness.supervisors import eventually
from harness.world import waited
from zaptrace.cli._detach_keys import DetachKeys
from zaptrace.errors import PodError


class TestWithoutATerminal:
    def test_attach(self, zaptrace: Shell) -> None:
        done = zaptrace("attach", "web")
        assert done.returncode == 1
        assert done.stderr == (
            "zaptrace: cannot attach to pod 'web': this is no terminal\n"
            "  needed   a terminal as stdin and as stdout\n"
            "  found    stdin is none and stdout is none\n"
            "  do       in a terminal of yours: zaptrace attach web; zaptrace logs web prints what it"
            " wrote\n"
            "  changed  nothing\n"
        )

    def test_run_with_one(self, zaptrace: Shell) -> None:
        done = zaptrace("run", "-it", "--name", "web", "--", "true")
        assert done.returncode == 125
        assert "cannot run it in a terminal: this is no terminal" in done.stderr
        assert zaptrace("ps", "--json").stdout == "[]\n"

    def test_run_with_our_stdin(self, zaptrace: Shell) -> None:
        done = zaptrace("run", "-i", "--", "cat", text_in="said\n")
        assert (done.returncode, done.stdout) == (0, "said\n")


class TestATerminalThatNobodySees:
    def test_it_waits_for_somebody(self, zaptrace: Shell) -> None:
        script = "stty size; read x; echo got $x; exit 4"
        done = zaptrace("run", "-d", "-t", "--name", "web", "--", "sh", "-c", script)
        assert (done.returncode, done.stdout) == (0, "web\n")
        assert json.loads(zaptrace("ps", "--json").stdout)[0]["meta"]["stdio"] == "tty"
        eventually(lambda: zaptrace("logs", "web").stdout == "24 80\n")
        with zaptrace.terminal("attach") as screen:
            screen.expect(b"24 80")
            screen.type(b"this\r")
            screen.expect(b"got this")
            assert screen.end() == 4
            assert screen.is_cooked()

    def test_it_is_as_large_as_ours(self, zaptrace: Shell) -> None:
        with zaptrace.terminal(
            "run", "-dt", "--name", "web", "--", "sh", "-c", "stty size; read x"
        ) as it:
            assert it.end() == 0
        eventually(lambda: zaptrace("logs", "web").stdout == "30 100\n")


class TestWhich:
    def test_the_only_one_that_has_a_terminal(self, zaptrace: Shell) -> None:
        with zaptrace.terminal("attach") as screen:
            assert screen.end() == 1
            screen.expect(b"found    none has\r\n")
        zaptrace("run", "-d", "--name", "log", "--", "sleep", "60")
        zaptrace("run", "-d", "-t", "--name", "one", "--", "sh", "-c", "read x; echo one: $x")
        with zaptrace.terminal("attach") as screen:
            eventually(lambda: not screen.is_cooked())
            screen.type(b"hello\r")
            screen.expect(b"one: hello")
            assert screen.end() == 0

    def test_of_several_none(self, zaptrace: Shell) -> None:
        for name in ("one", "two"):
            zaptrace("run", "-d", "-t", "--name", name, "--", "sleep", "60")
        with zaptrace.terminal("attach") as screen:
            assert screen.end() == 1
            screen.expect(b"these have: one, two\r\n")


class TestReadOnly:
    def test_no_key_reaches_the_pod(self, zaptrace: Shell) -> None:
        script = "while read x; do echo got $x; done"
        zaptrace("run", "-d", "-t", "--name", "web", "--", "sh", "-c", script)
        with zaptrace.terminal("attach", "--read-only") as looks:
            eventually(lambda: not looks.is_cooked())
            looks.type(b"unheard\r")
            with zaptrace.terminal("attach", "web") as types:
                eventually(lambda: not types.is_cooked())
                types.type(b"heard\r")
                types.expect(b"got heard")
            looks.expect(b"got heard")
            looks.type(b"\x03")
            assert looks.end() == 0
            looks.expect(b"detached from pod web")
        assert "unheard" not in zaptrace("logs", "web").stdout


class TestDetachKeys:
    def test_others(self, zaptrace: Shell) -> None:
        script = "stty raw -echo; echo up; exec cat -v"
        keys = ["--detach-keys", "ctrl-p,q"]
        with zaptrace.terminal("run", *keys, "--name", "web", "--", "sh", "-c", script) as screen:
            screen.expect(b"up")
            screen.type(b"\x1cd\x10x\x10q")
            assert screen.end() == 0
            assert b"detached" in screen.shown
        assert zaptrace("logs", "web").stdout.endswith("^\\d^Px")
        with zaptrace.terminal("attach", "--detach-keys", "^a") as screen:
            screen.expect(b"up")
            screen.type(b"\x01")
            assert screen.end() == 0

    def test_that_are_none(self, zaptrace: Shell) -> None:
        done = zaptrace("run", "--detach-keys", "ctrl-é", "--", "true")
        assert done.returncode == 2
        assert "no keys to detach with" in done.stderr

    @pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-1", "ab", "a,,b", ",".join("abcdefghi")])
    def test_what_is_no_key(self, text: str) -> None:
        with pytest.raises(PodError, match="no keys to detach with"):
            DetachKeys(text)

    @pytest.mark.parametrize(
        ("text", "typed", "sent", "leaves"),
        [
            ("ctrl-\\,d", b"ab\x1cdef", b"ab", True),
            ("ctrl-\\,d", b"\x1cD", b"", True),
            ("ctrl-\\,d", b"\x1c\x1cd", b"\x1cd", False),
            ("ctrl-\\,d", b"\x1cx", b"\x1cx", False),
            ("^p,^q", b"\x10\x11", b"", True),
            ("q", b"aq", b"a", True),
            ("a,b,c", b"abxabc", b"abx", True),
            ("a,b,c", b"aba", b"ab", False),
        ],
    )
    def test_typed(self, text: str, typed: bytes, sent: bytes, leaves: bool) -> None:
        for size in (1, len(typed)):
            keys, found, left = DetachKeys(text), b"", False
            for at in range(0, len(typed), size):
                more, left = keys.typed(typed[at : at + size])
                found += more
                if left:
                    break
            assert (found, left) == (sent, leaves)

    def test_alone_it_is_sent_after_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = DetachKeys()
        assert keys.typed(b"\x1c") == (b"", False)
        assert keys.holds and keys.overdue() == b""
        monkeypatch.setattr("zaptrace.cli._detach_keys._WAIT_S", -1.0)
        assert keys.overdue() == b"\x1c" and not keys.holds


@pytest.mark.parametrize("heard", [True, False], ids=["by a signal", "by the end of what is read"])
def test_a_terminal_that_hangs_up_is_a_detach(zaptrace: Shell, heard: bool) -> None:
    script = "while read x; do echo got $x; done"
    zaptrace("run", "-d", "-t", "--name", "web", "--", "sh", "-c", script)
    deaf = "" if heard else "trap '' HUP; "
    argv = ["sh", "-c", f'{deaf}exec "$@"', "sh", *zaptrace.command, "attach", "web"]
    window = Terminal(argv, zaptrace.env)
    try:
        window.type("one\n")
        window.expect("got one")
        os.close(window.master)
        _, status = os.waitpid(window.pid, 0)
        waited.discard(window.pid)
    finally:
        window.close()
    assert os.waitstatus_to_exitcode(status) == 129
    with zaptrace.terminal("attach", "web") as screen:
        screen.expect(b"got one")
        screen.type(b"still\r")
        screen.expect(b"got still")


def test_logs_of_a_terminal_ask_ours_nothing(zaptrace: Shell) -> None:
    script = (
        "printf 'one\\r\\n\\033[?1000h\\033[c\\033[6n\\033[31mred\\033[0m\\r\\n\\033[?1049hother'"
    )
    script += "; exec sleep 60"
    zaptrace("run", "-d", "-t", "--name", "web", "--", "sh", "-c", script)
    eventually(lambda: "other" in zaptrace("logs", "web").stdout)
    assert "\x1b[6n" in zaptrace("logs", "web").stdout
    with zaptrace.terminal("logs", "web") as screen:
        assert screen.end() == 0
        assert screen.shown == b"one\r\n\x1b[0;31mred\x1b[0m\r\nother\r\n"


def test_what_the_pod_had_turned_on_is_off_when_we_leave(zaptrace: Shell) -> None:
    script = "printf '\\033[?1049h\\033[?1000h\\033[?25l\\033[31mup'; exec sleep 60"
    with zaptrace.terminal("run", "--name", "web", "--", "sh", "-c", script) as screen:
        screen.expect(b"up")
        screen.type(b"\x1cd")
        assert screen.end() == 0
        off = b"\x1b[0m\x1b[?1000l\x1b[?25h\x1b[?1049l"
        assert off in screen.shown, screen.shown
        assert screen.shown.index(off) < screen.shown.index(b"detached")
    with zaptrace.terminal("attach", "web") as screen:
        screen.expect(b"up")
        assert zaptrace("stop", "web", "--kill").returncode == 0
        assert screen.end() == 137
        assert off in screen.shown, screen.shown
