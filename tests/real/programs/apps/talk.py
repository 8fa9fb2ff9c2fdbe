"""What every application's file leans on: ports, processes, and workers that go on until the go.

A worker is a function that is called with 0, 1, 2 ... and asserts that all is as it should be. Each
has a thread. When every one has been through its first time, the program says ready; when the file
named by ZT_GO is there, they stop.
"""

import contextlib
import os
import random
import socket
import subprocess
import threading
import time
import traceback

PATIENCE_S = 120
LOG = "servers.log"

_started = []


def free_port():
    """Not one of those that the kernel gives to clients, who might have it a moment later."""
    while True:
        port = random.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def connected(port):
    """A connection, once the server is there."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        except ConnectionRefusedError:
            _all_live()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def until(true):
    """Returns once `true()` is; what it raises means not yet."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            if true():
                return
        _all_live()
        if time.monotonic() > deadline:
            raise TimeoutError(f"never {true}")
        time.sleep(0.05)


def _all_live():
    for process in _started:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"


def start(*words, **how):
    """A process that is ended with us; what it says, and nobody reads, is in LOG."""
    with open(LOG, "ab") as log:
        how = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **how}
        process = subprocess.Popen(list(map(str, words)), **how)
    _started.append(process)
    return process


def done(*words, **how):
    """What a command says that has to succeed."""
    words = list(map(str, words))
    return subprocess.run(words, capture_output=True, text=True, check=True, **how).stdout


def end_all():
    """Last started, first ended."""
    for process in reversed(_started):
        if process.poll() is None:
            process.terminate()
    for process in _started:
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def kill_all():
    for process in _started:
        process.kill()


def over():
    return os.path.exists(os.environ["ZT_GO"])


def work(*workers):
    """How often each was called. Raises what they raised, together."""
    failed, counts = [], [0] * len(workers)
    once = threading.Barrier(len(workers) + 1)

    def go_on(n):
        try:
            workers[n](0)
        except BaseException:
            failed.append(f"worker {n}, at first: {traceback.format_exc()}")
        once.wait()
        counts[n] = 1
        while not failed and not over():
            try:
                workers[n](counts[n])
            except BaseException:
                failed.append(f"worker {n}, time {counts[n]}: {traceback.format_exc()}")
            counts[n] += 1
            time.sleep(0.005)

    threads = [threading.Thread(target=go_on, args=(n,)) for n in range(len(workers))]
    for thread in threads:
        thread.start()
    once.wait()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    if failed:
        raise AssertionError("\n".join(failed))
    return counts


class Session:
    """A program that is asked at its stdin and answers at its stdout, with a line of ours at the end."""

    def __init__(self, *words, end):
        """`end` is what makes the program print the word END."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = start(*words, **pipes)
        self.end, self.asked = end, 0

    def ask(self, text):
        self.asked += 1
        mark = f"end-{self.asked}"
        self.process.stdin.write(f"{text}\n{self.end.replace('END', mark)}\n".encode())
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.decode().strip() == mark:
                return "\n".join(lines)
            lines.append(line.decode().rstrip())
        raise EOFError(f"after {text!r}: {lines}")


def echoed(writer, reader, text):
    """A line that is written to one process comes out of another."""
    writer.stdin.write(text + b"\n")
    writer.stdin.flush()
    got = reader.stdout.readline()
    assert got == text + b"\n", (
        f"{got[:80]!r}, of {len(got)} bytes, for {text[:80]!r}, of {len(text)}"
    )
