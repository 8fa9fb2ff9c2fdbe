"""A desktop: Xvnc with programs on it, looked at by a viewer on another, and by clients of our own."""

import os
import struct

from talk import connected, free_port, start, until, work

_NO_SECURITY, _SHARED, _RAW = 1, 1, 0
_SET_ENCODINGS, _UPDATE_REQUEST = 2, 3
_UPDATE, _BELL, _CUT_TEXT = 0, 2, 3


def looker(port):
    """A client of the RFB protocol (RFC 6143) that asks for the whole screen each time."""
    sock = connected(port)
    file = sock.makefile("rb")
    assert file.read(12) == b"RFB 003.008\n"
    sock.sendall(b"RFB 003.008\n")
    assert _NO_SECURITY in file.read(file.read(1)[0])
    sock.sendall(bytes([_NO_SECURITY]))
    assert file.read(4) == bytes(4)
    sock.sendall(bytes([_SHARED]))
    size = file.read(4)
    file.read(16)
    file.read(*struct.unpack(">I", file.read(4)))
    sock.sendall(struct.pack(">BxHi", _SET_ENCODINGS, 1, _RAW))

    def ask(_):
        sock.sendall(struct.pack(">BBHH", _UPDATE_REQUEST, 0, 0, 0) + size)
        while (kind := file.read(1)[0]) != _UPDATE:
            assert kind in (_BELL, _CUT_TEXT), kind
            if kind == _CUT_TEXT:
                file.read(*struct.unpack(">3xI", file.read(7)))
        _, rectangles = struct.unpack(">BH", file.read(3))
        assert rectangles
        for _ in range(rectangles):
            _, _, width, height, encoding = struct.unpack(">HHHHi", file.read(12))
            assert encoding == _RAW
            assert len(file.read(4 * width * height)) == 4 * width * height

    return ask


def xvnc():
    """Without abstract addresses: those of a pod that moves within its host are its former self's."""
    ports = [free_port(), free_port()]
    for port in ports:
        start("Xvnc", f":{port}", "-rfbport", port, "-localhost", "-SecurityTypes", "None",
              "-geometry", "400x300", "-depth", "24", "-nolisten", "local")  # fmt: skip
        connected(port).close()
    count = "i=0; while :; do i=$((i+1)); echo $i; echo $i >>counted; sleep 0.05; done"
    programs = [
        start("xterm", "-display", f":{ports[0]}", "-e", "sh", "-c", count),
        start(
            "xtigervncviewer", "-Shared", "-RemoteResize=0", "-SecurityTypes", "None",
            f"127.0.0.1::{ports[0]}",
            env={**os.environ, "DISPLAY": f":{ports[1]}"},
        ),
    ]  # fmt: skip
    until(lambda: os.path.getsize("counted"))

    def counts(_):
        before = numbers()
        until(lambda: len(numbers()) > len(before))
        assert all(program.poll() is None for program in programs)

    work(looker(ports[0]), looker(ports[1]), counts)


def numbers():
    with open("counted") as file:
        lines = file.read().split("\n")[:-1]
    assert lines == [str(i + 1) for i in range(len(lines))], lines[-5:]
    return lines


APPS = {"xvnc": xvnc}
