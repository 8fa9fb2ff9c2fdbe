"""A pod of which every part is needed for each answer: beating.py SOCKET BYTES.

Two processes, a thread, a pipe, a socket pair, a System V segment of BYTES bytes, private memory, and
a listener at the path SOCKET. Who connects gets the number of turns so far. When one of the
processes is gone, the other ends as well.
"""

import ctypes
import os
import socket
import sys
import threading
import zlib

IPC_CREAT, SEGMENT = 0o1000, 0o600
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p


def counting(turns: ctypes.c_uint64, asked: int, answers: socket.socket) -> None:
    while os.read(asked, 1):
        turns.value += 1
        answers.sendall(b"!")


def main() -> None:
    path, size = sys.argv[1], int(sys.argv[2])
    number = libc.shmget(0, size, IPC_CREAT | SEGMENT)
    assert number >= 0, os.strerror(ctypes.get_errno())
    turns = ctypes.c_uint64.from_address(libc.shmat(number, None, 0))
    asked, asks = os.pipe()
    answers, answered = socket.socketpair()
    if not os.fork():
        os.close(asks)
        answered.close()
        thread = threading.Thread(target=counting, args=(turns, asked, answers))
        thread.start()
        thread.join()
        os._exit(0)
    os.close(asked)
    answers.close()
    memory = bytearray(os.urandom(1 << 16) * 16)
    checksum = zlib.crc32(memory)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(0.1)
    print("beating", flush=True)
    while True:
        os.write(asks, b"?")
        if answered.recv(1) != b"!":
            os._exit(3)
        try:
            with listener.accept()[0] as who:
                assert zlib.crc32(memory) == checksum
                who.sendall(b"%d" % turns.value)
        except TimeoutError:
            pass


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, ConnectionError):
        os._exit(4)
