"""A desktop without a screen: Xvnc, terminals, an editor in one of them, and, where they are installed, a
window manager, a text editor with a window, an image viewer and a browser that shows a page; and a client
that asks the server for the windows that there are."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time

from common import give_up, go_on, home, need

TERMINALS = 3
WINDOWS = (["xedit", "page.html"], ["feh", "image.ppm"], ["dillo", "page.html"])
"""What else there is of these is started."""
_QUERY_TREE = 15
_PATIENCE_S = 60.0


class Display:
    """As little of the X protocol as tells the windows below the root."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.sendall(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        state, length = struct.unpack("<Bxxxxx H", self._take(8))
        told = self._take(4 * length)
        if state != 1:
            give_up("the display lets nobody in")
        vendor, formats = struct.unpack_from("<H", told, 16)[0], told[21]
        self._root = struct.unpack_from("<I", told, 32 + (vendor + 3) // 4 * 4 + 8 * formats)[0]

    def _take(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            part = self._socket.recv(size - len(got))
            if not part:
                give_up("the display is gone")
            got += part
        return got

    def windows(self) -> int:
        self._socket.sendall(struct.pack("<BxHI", _QUERY_TREE, 2, self._root))
        head = self._take(32)
        count: int = struct.unpack_from("<H", head, 16)[0]
        self._take(4 * struct.unpack_from("<I", head, 4)[0])
        return count if head[0] == 1 else 0


def main() -> None:
    need("Xvnc", "xterm")
    place = home()
    number = next(
        n
        for n in range(40, 400)
        if not os.path.exists(f"/tmp/.X{n}-lock") and not os.path.exists(f"/tmp/.X11-unix/X{n}")
    )
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    server = [
        "Xvnc", f":{number}", "-SecurityTypes", "None", "-rfbunixpath", f"{place}/vnc", "-rfbport",
        "-1", "-nolisten", "tcp", "-geometry", "1280x1024", "-depth", "24",
    ]  # fmt: skip
    subprocess.Popen(server, **quiet)
    path = f"/tmp/.X11-unix/X{number}"
    deadline = time.monotonic() + _PATIENCE_S
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            give_up("Xvnc did not come up")
        time.sleep(0.05)
    os.environ["DISPLAY"] = f":{number}"
    display = Display(path)
    with open("twmrc", "w") as rc:
        rc.write("RandomPlacement\n")  # else it asks where to put each, and nobody else is heard
    for manager in (["twm", "-f", "twmrc"], ["openbox"], ["fluxbox"], ["xfwm4"]):
        if shutil.which(manager[0]):
            subprocess.Popen(manager, **quiet)
            break
    editor = next((e for e in ("vim", "nano", "vi") if shutil.which(e)), "cat")
    for command in [["bash"], [editor], ["sh", "-c", "while sleep 1; do date; done"]][:TERMINALS]:
        subprocess.Popen(["xterm", "-e", *command], **quiet)
    with open("page.html", "w") as page:
        page.write("<h1>A page</h1>" + "<p>that is looked at.</p>" * 100)
    with open("image.ppm", "wb") as image:
        image.write(b"P6 640 480 255\n" + bytes(range(256)) * (640 * 480 * 3 // 256))
    more = [command for command in WINDOWS if shutil.which(command[0])]
    for command in more:
        subprocess.Popen(command, **quiet)
    while (there := display.windows()) < TERMINALS + len(more):
        if time.monotonic() > deadline:
            give_up("its windows did not come up")
        time.sleep(0.05)
    time.sleep(2)  # until frames are around them and all is drawn
    there = display.windows()
    go_on(lambda _: display.windows() == there, 20)


main()
