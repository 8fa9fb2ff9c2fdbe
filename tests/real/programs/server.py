"""Holds what only one can hold: a path, a port, a named pipe with bytes in it, a lock."""

import fcntl
import os
import pathlib
import socket
import sys

here = sys.argv[1]
os.chdir(here)
path = socket.socket(socket.AF_UNIX)
path.bind("by-path")
path.listen()
port = socket.socket()
port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
port.bind(("127.0.0.1", 0))
port.listen()
os.mkfifo("fifo")
fifo = os.open("fifo", os.O_RDWR)
os.write(fifo, b"once")
gone = os.open("gone", os.O_RDWR | os.O_CREAT)
os.write(gone, b"x" * 9)
os.unlink("gone")
lock = os.open("lock", os.O_WRONLY | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
pathlib.Path("port").write_text(str(port.getsockname()[1]))
print("ready", flush=True)
for server in (path, port):
    for _ in range(40):
        server.accept()[0].send(b"original")
assert os.read(fifo, 100) == b"once"
print("PASS", flush=True)
