"""A server and its clients, all in one pod, over TCP connections that are kept.

talking.py KIND SERVER... : starts the server where there is a command for it, has some clients ask it
questions until the file named by ZT_GO is there, each over one connection, and prints that every answer
was right, or which was not.
"""

import asyncio
import contextlib
import http.client
import os
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time

CLIENTS, FEWEST = 3, 20
PAUSE_S = 0.01


def questions():
    """The numbers of those that a client asks: until the go, and some in any case."""
    i = 0
    while i < FEWEST or not os.path.exists(os.environ["ZT_GO"]):
        yield i
        i += 1
        time.sleep(PAUSE_S)


def free_port():
    """Not one of those that the kernel gives to clients, who might have it a moment later."""
    while True:
        port = random.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def connected(port):
    """Once the server is there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 60)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Redis:
    """As much of its protocol as is needed here."""

    def __init__(self, port):
        self.sock = connected(port)
        self.file = self.sock.makefile("rb")

    def ask(self, *words):
        parts = [f"${len(str(w))}\r\n{w}\r\n" for w in words]
        self.sock.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        line = self.file.readline().decode().strip()
        if line.startswith("$") and line != "$-1":
            return self.file.read(int(line[1:]) + 2)[:-2].decode()
        return line[1:]


def redis_client(port, n):
    client = Redis(port)
    for i in questions():
        text = f"{n}.{i} " * (1 + i * 97 % 500)
        assert client.ask("SET", f"key:{n}:{i % 200}", text) == "OK"
        assert client.ask("GET", f"key:{n}:{i % 200}") == text
        assert client.ask("INCR", f"count:{n}") == str(i + 1)


def http_client(port, n):
    connected(port).close()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.connect()
    here = client.sock.getsockname()
    for i in questions():
        body = f"{n}.{i} ".encode() * (1 + i * 997 % 3000)
        client.request("POST", f"/{n}/{i}", body)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, body)
        assert client.sock.getsockname() == here, "it had to connect again"
        assert client.sock.getpeername() == ("127.0.0.1", port)


def files_client(port, n):
    """One connection for each question, as this server has it."""
    connected(port).close()
    for _ in questions():
        done = subprocess.run(
            ["curl", "-sS", "-o", "-", f"http://127.0.0.1:{port}/page"],
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, b"page" * 5000), done


def lines_client(port, n):
    with connected(port) as sock, sock.makefile("rwb") as file:
        for i in questions():
            text = f"{n}.{i} ".encode() * (1 + i * 997 % 9000)
            file.write(text + b"\n")
            file.flush()
            assert file.readline() == text[::-1] + b"\n"


class Reversing(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line[-2::-1] + b"\n")


def socketserver_server(port):
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    server = Server(("127.0.0.1", port), Reversing)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def asyncio_server(port):
    async def talk(reader, writer):
        while line := await reader.readline():
            writer.write(line[-2::-1] + b"\n")
            await writer.drain()

    async def serve():
        server = await asyncio.start_server(talk, "127.0.0.1", port, limit=1 << 20)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()


OURS = {"socketserver": socketserver_server, "asyncio": asyncio_server}
ASK = {"redis": redis_client, "http": http_client, "files": files_client}


def main():
    kind, *command = sys.argv[1:]
    port = free_port()
    server = None
    if kind in OURS:
        OURS[kind](port)
    else:
        words = [word.replace("PORT", str(port)) for word in command]
        with open("page", "wb") as page:
            page.write(b"page" * 5000)
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    failed = []

    def work(n):
        try:
            ASK.get(kind, lines_client)(port, n)
        except BaseException as error:
            failed.append(f"client {n}: {error!r}")

    clients = [threading.Thread(target=work, args=(n,)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if server:
        server.terminate()
        server.wait()
    print("\n".join(failed) or f"{CLIENTS} clients had every answer")


main()
