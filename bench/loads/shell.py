"""An idle shell session: bash on a terminal, a job of it in the background, vim in the foreground, in which
a client types a number each tick and saves it."""

from __future__ import annotations

import os
import pty
import shutil
import threading
import time

from common import give_up, go_on, home, need

_PATIENCE_S = 60.0
_LOOK_S = 0.002


def saved(path: str, wanted: str, patience_s: float = _PATIENCE_S) -> bool:
    """Until the file holds that and nothing else."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            with open(path) as file:
                if file.read().strip() == wanted:
                    return True
        except FileNotFoundError:
            pass
        time.sleep(_LOOK_S)
    return False


def drain(terminal: int) -> None:
    """What is shown is looked at by nobody, and must not fill the terminal."""
    while os.read(terminal, 1 << 16):
        pass


def main() -> None:
    need("bash")
    editor = next((e for e in ("vim", "vim.tiny", "vi") if shutil.which(e)), "")
    need(editor or "vim")
    place = home()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="vt100", HOME=place)
        os.execvp("bash", ["bash", "--norc", "-i"])
    threading.Thread(target=drain, args=[terminal], daemon=True).start()
    os.write(terminal, b"sleep 1000000 & echo $! >job\n")
    deadline = time.monotonic() + _PATIENCE_S
    while not (os.path.exists("job") and os.path.getsize("job")):
        if time.monotonic() > deadline:
            give_up("the shell did not start its job")
        time.sleep(_LOOK_S)
    with open("job") as file:
        job = int(file.read())
    os.write(terminal, f"{editor} -u NONE -N text\n".encode())

    def ask(number: int) -> bool:
        os.kill(job, 0)
        os.write(terminal, f"\x1b:%d\ri{number}\x1b:w!\r".encode())
        return saved("text", str(number))

    if not ask(0):
        give_up("the editor did not start")
    go_on(ask, 20)


main()
