"""What is on the screen of a pod's terminal is there again after a restore, a migration and every attach.

The viewer's terminal is a window of tmux (harness/window.py), so it is looked at by something that knows
nothing of ours. The text with its colours, the cursor and what is turned on have to be the same.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.hosts import Host, cli, two_hosts
from harness.supervisors import eventually
from harness.window import Window
from harness.world import require

Open = Callable[..., Window]

STILL = r"""
printf 'left of\033[31;1m red\033[0m\r\n\033[44m blue \033[K\033[0m\r\n'
printf '\033[?1049h\033[2J\033[5;12r\033[?1000h\033[?1006h\033[?25l\033[?1h\033=\033[?2004h'
printf '\033[3;7H\033[7mhere\033[0m'
printf '\033[9;1Ha line \346\227\245\346\234\254 e\314\201 \033[38;5;202morange\033[9;70H0123456789x'
printf '\033[20;80HW\033[15;3H'
stty raw -echo; exec sleep 1000
"""
"""It draws once, and never again, whatever becomes of its window."""


@pytest.fixture
def opened(place: Path) -> Iterator[Open]:
    """Opens windows on a host."""
    windows: list[Window] = []

    def open_(host: Host, *argv: str, **more: object) -> Window:
        env = {**host.env, "LANG": "C.UTF-8", "HISTFILE": "/dev/null"}
        windows.append(Window(place, [*cli(), *argv], env, **more))
        return windows[-1]

    yield open_
    for window in windows:
        window.close()


def still(window: Window, place: Path) -> None:
    window.expect("0123456789")
    eventually(lambda: window.cursor() == "2,14")


def vim(window: Window, place: Path) -> None:
    window.expect("line 3")
    window.type(":syntax on\r:set mouse=a number\r12Goan unsaved word")
    window.expect("an unsaved word")


def less(window: Window, place: Path) -> None:
    window.expect("line 3")
    window.type("40g")
    window.expect("line 61")


def bash(window: Window, place: Path) -> None:
    window.expect("$")
    window.type("PS1='\\[\\e[32m\\]ready>\\[\\e[0m\\] '; clear\r")
    window.expect("ready>")
    window.type("seq 20; sleep 1000\r")
    window.expect("20")
    window.press("C-z")
    window.expect("Stopped")
    window.type("echo a line that is not ended")
    window.expect("not ended")


def python(window: Window, place: Path) -> None:
    window.expect(">>>")
    window.type("kept = 'is kept'\rprint('\\x1b[35mpurple\\x1b[0m')\rkept + ' an")
    window.expect("kept + ' an")


def tmux(window: Window, place: Path) -> None:
    window.expect("$")
    window.type("PS1='inside> '; clear\r")
    window.expect("inside>")
    window.press("C-b", "%")
    window.expect("│")
    window.expect("$")
    window.type("echo in the ot''her pane\r")
    window.expect("in the other pane")


SEEN: dict[str, tuple[Callable[[Window, Path], None], list[str]]] = {
    "still": (still, ["sh", "-c", STILL]),
    "vim": (vim, ["vim", "-u", "NONE", "-N", "-n", "text.c"]),
    "less": (less, ["less", "text.c"]),
    "bash": (bash, ["bash", "--norc", "--noprofile"]),
    "python": (python, ["python3", "-i", "-q"]),
    "tmux": (tmux, ["tmux", "-S", "inner", "-f", "inner.conf", "new-session", "sh"]),
}


def begun(name: str, host: Host, place: Path, opened: Open) -> Window:
    work, argv = SEEN[name]
    require(argv[0])
    (place / "text.c").write_text("".join(f"int i; /* line {n} */\n" for n in range(100)))
    (place / "inner.conf").write_text("set -g status off\nset -g default-command 'exec sh'\n")
    env = ["--env", "PS1=$ ", "--env", "LANG=C.UTF-8"]
    window = opened(host, "run", "--name", "it", *env, "--", *argv, cwd=place)
    work(window, place)
    return window


def settled(window: Window) -> tuple:
    """When it shows the same for a while: programs draw when they come to it."""
    last, since = window.all(), time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        now = window.all()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 0.4

    eventually(quiet)
    return last


def same(window: Window, before: tuple) -> None:
    """Told in full where it never comes to that."""
    try:
        eventually(lambda: window.all() == before)
    except AssertionError:
        now = window.all()
        assert now[1:] == before[1:]
        assert [pair for pair in zip(now[0], before[0], strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("name", SEEN)
def test_after_a_restore_and_an_attach(name: str, place: Path, opened: Open) -> None:
    host = Host(place, "a")
    try:
        first = begun(name, host, place, opened)
        before = settled(first)
        host.run("checkpoint", "it", "--to", str(place / "image"), "--stop")
        first.expect("ended:0")
        assert first.at_rest(), first.flags()
        second = opened(host, "restore", str(place / "image"))
        same(second, before)
        second.press("C-\\", "d")
        second.expect("ended:0")
        assert second.at_rest(), second.flags()
        third = opened(host, "attach")
        same(third, before)
        host.run("stop", "--kill", "it")
        third.expect("ended:137")
        assert third.at_rest(), third.flags()
    finally:
        host.close()


@pytest.mark.slow
def test_after_a_migration(place: Path, opened: Open) -> None:
    with two_hosts(place) as (a, b):
        window = begun("still", a, place, opened)
        before = settled(window)
        a.run("migrate", "it", b.endpoint)
        window.expect("ended:0")
        assert window.at_rest(), window.flags()
        same(opened(b, "attach"), before)


def test_without_scrollback_an_image_has_nothing_of_it(place: Path, opened: Open) -> None:
    host = Host(place, "a")
    try:
        settled(begun("still", host, place, opened))
        host.run("checkpoint", "it", "--codec", "none", "--to", str(place / "with"))
        host.run(
            "checkpoint", "it", "--to", str(place / "image"),
            "--codec", "none", "--no-scrollback", "--stop",
        )  # fmt: skip
        host.run("restore", str(place / "image"), "-d")
        window = opened(host, "attach")
        eventually(lambda: host.pods()[0]["attached"] == 1)
        host.run("stop", "--kill", "it")
        window.expect("ended:")
        assert "0123456789" not in window.scrolled()
        assert b"0123456789" in b"".join(p.read_bytes() for p in (place / "with").iterdir())
        assert b"0123456789" not in b"".join(p.read_bytes() for p in (place / "image").iterdir())
    finally:
        host.close()


def test_what_scrolled_away_is_there_to_scroll_back_to(place: Path, opened: Open) -> None:
    host = Host(place, "a")
    try:
        first = opened(host, "run", "--name", "it", "--", "sh", "-c", "seq 200; exec sleep 1000")
        first.expect("200")
        first.close()
        second = opened(host, "attach", "--tail", "100")
        second.expect("200")
        lines = [line for line in second.scrolled().split("\n") if line.isdigit()]
        assert lines == [str(n) for n in range(78, 201)]
    finally:
        host.close()


def test_no_question_is_asked_again(place: Path, opened: Open) -> None:
    """Else the answers would be typed into whatever reads now."""
    host = Host(place, "a")
    questions = r"\033[c\033[>c\033[6n\033[5n\033[?1$p\033[18t"
    questions += r"\033P$qm\033\\\033P+q544e\033\\\033]11;?\007"
    script = f"stty raw -echo; printf '{questions}'; head -c1 >/dev/null; exec cat -v"
    try:
        host.run("run", "-d", "-t", "--name", "it", "--", "sh", "-c", script)
        first = opened(host, "attach")
        eventually(lambda: host.pods()[0]["attached"] == 1)
        first.type("yes")
        first.expect("es")
        before = settled(first)
        assert before[0][0] == "es", before
        host.run("checkpoint", "it", "--to", str(place / "image"), "--stop")
        first.expect("ended:")
        second = opened(host, "restore", str(place / "image"))
        same(second, before)
        second.type("!")
        second.expect("es!")
        assert second.text().strip() == "es!"
    finally:
        host.close()


def test_one_of_several_answers(place: Path, opened: Open) -> None:
    host = Host(place, "a")
    script = (
        "stty raw -echo; head -c1 >/dev/null; printf 'up\\033[6n'; head -c 6 | cat -v; exec cat -v"
    )
    try:
        host.run("run", "-d", "-t", "--name", "it", "--", "sh", "-c", script)
        windows = [opened(host, "attach", "it") for _ in range(3)]
        eventually(lambda: host.pods()[0]["attached"] == 3)
        windows[2].type("!")
        windows[2].expect("up^[[1;3R")
        windows[1].type("no more")
        windows[2].expect("no more")
        assert {window.text().strip() for window in windows} == {"up^[[1;3Rno more"}
    finally:
        host.close()


def test_the_size_follows_those_who_are_there(place: Path, opened: Open) -> None:
    host = Host(place, "a")
    script = "trap 'stty size' WINCH; echo up; while :; do sleep 0.1; done"
    try:
        first = opened(host, "run", "--name", "it", "--", "sh", "-c", script)
        first.expect("up")
        second = opened(host, "attach", "it", rows=20, cols=100)
        first.expect("20 80")
        looks = opened(host, "attach", "it", "--read-only", rows=10, cols=40)
        looks.expect("20 80")
        second.resize(30, 60)
        first.expect("24 60")
        second.close()
        first.expect("24 80")
        looks.type("q")
        looks.press("C-c")
        looks.expect("ended:0")
        assert "10 40" not in first.text()
    finally:
        host.close()


def test_who_fills_the_window_is_told_to_draw_anew(place: Path, opened: Open) -> None:
    """By its size, which is another for a moment."""
    host = Host(place, "a")
    script = "trap 'echo moved' WINCH; echo up; while :; do sleep 0.05; done"
    try:
        host.run("run", "-d", "-t", "--name", "it", "--", "sh", "-c", script)
        eventually(lambda: "up" in host.run("logs", "it").stdout)
        window = opened(host, "attach")
        window.expect("moved")
        window.press("C-c")
        window.expect("ended:130")
    finally:
        host.close()


@pytest.mark.parametrize("hup", [False, True])
def test_a_window_that_closes(hup: bool, place: Path, opened: Open) -> None:
    """The pod goes on, unless it was started with --hup."""
    host = Host(place, "a")
    script = "trap 'exit 7' HUP; echo up; while :; do sleep 0.1; done"
    try:
        options = ["--hup"] if hup else []
        window = opened(host, "run", *options, "--name", "it", "--", "sh", "-c", script)
        window.expect("up")
        window.close()
        if hup:
            eventually(lambda: host.pods() == [])
            return
        eventually(lambda: host.pods()[0]["attached"] == 0)
        again = opened(host, "attach")
        again.expect("up")
        host.run("signal", "it", signal.SIGHUP.name)
        again.expect("ended:7")
    finally:
        host.close()
