"""Programs at terminals, typed to and read from as a person would."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from talk import PATIENCE_S, start, work


class Terminal:
    """One program in a session of its own on a terminal, whose other end we have."""

    def __init__(self, *words, **env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        own = {**os.environ, "TERM": "xterm", "SHELL": "/bin/sh", "PS1": "$ ", **env}
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        self.process = start(*words, **ends, env=own, preexec_fn=_lead)
        os.close(slave)
        self.text = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Read on until it is there; what came before it is used up."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], (pattern, self.text)
            self.text += os.read(self.master, 65536).decode(errors="replace")
        self.text = self.text[found.end() :]

    def ends_by(self, text):
        self.type(text)
        assert self.process.wait(PATIENCE_S) == 0


def _lead():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def python():
    terminal = Terminal("python3", "-i")

    def ask(i):
        terminal.expect(">>> ")
        terminal.type(f"{i} + 10000\n")
        terminal.expect(f"\n{i + 10000}\r")

    work(ask)
    terminal.expect(">>> ")
    terminal.ends_by("exit()\n")


def shell(*words, **env):
    """A shell in a program that shows it on our terminal."""
    terminal = Terminal(*words, **env)
    terminal.expect(r"\$ ")

    def ask(i):
        terminal.type(f"echo ={i}+$(({i}+1))=\r")
        terminal.expect(f"={i}\\+{i + 1}=")

    work(ask)
    terminal.ends_by("exit\r")


def tmux():
    """A server and its client, who has given it our terminal by SCM_RIGHTS."""
    shell(
        "tmux", "-L", "of-the-pod", "-f", "/dev/null", "new-session", "sh", TMUX_TMPDIR=os.getcwd()
    )


def screen():
    os.mkdir("screens", 0o700)
    shell("screen", "-c", "/dev/null", "sh", SCREENDIR=f"{os.getcwd()}/screens")


def script():
    shell("script", "-qc", "sh", "typescript")
    with open("typescript") as file:
        assert "=0+1=" in file.read()


def vim():
    terminal = Terminal("vim", "-u", "NONE", "-n", "file")
    terminal.expect("~")

    def ask(i):
        terminal.type(f"oline {i}\x1b:w\r")
        terminal.expect(f"\\b{i + 2} ?(L|lines),.*written")

    (lines,) = work(ask)
    terminal.ends_by(":q\r")
    with open("file") as file:
        assert file.read() == "\n" + "".join(f"line {i}\n" for i in range(lines))


def less():
    with open("text", "w") as file:
        file.writelines(f"line {n:06d}\n" for n in range(1, 100_001))
    terminal = Terminal("less", "text")
    terminal.expect("line 000023")

    def ask(i):
        first = 1000 + i * 37 % 90_000
        terminal.type(f"{first}g")
        terminal.expect(f"line {first + 22:06d}")

    work(ask)
    terminal.ends_by("q")


def monitor(*words):
    """It shows itself anew again and again, and looks at all of /proc each time."""
    terminal = Terminal(*words)

    def ask(_):
        terminal.text = ""
        terminal.expect("[0-9]")

    work(ask)
    terminal.ends_by("q")


APPS = {
    "python": python,
    "tmux": tmux,
    "screen": screen,
    "script": script,
    "vim": vim,
    "less": less,
    "top": lambda: monitor("top", "-d", "0.3"),
    "htop": lambda: monitor("htop", "-d", "3"),
}
