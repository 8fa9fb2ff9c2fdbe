"""gunicorn with two workers on a unix socket, and a client that asks it one thing after the other."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.getcwd()
PATH = "web.sock"


def app(environ, start_response):
    body = f"{int(environ['QUERY_STRING']) ** 2}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(PATH)


def main():
    command = ["-m", "gunicorn", "--bind", f"unix:{PATH}", "--workers", "2", "--log-level", "error"]
    command += ["--no-control-socket"] if "--no-control-socket" in sys.argv else []
    server = subprocess.Popen(
        [sys.executable, *command, "--pythonpath", os.path.dirname(__file__), "web_workers:app"]
    )
    while True:
        try:
            probe = Connection("pod")
            probe.request("GET", "/?1")
            assert probe.getresponse().read() == b"1"
            break
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)
    for n in range(150):
        connection = Connection("pod")
        connection.request("GET", f"/?{n}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, f"{n * n}".encode()), n
        connection.close()
        if n % 30 == 0:
            print("asked", n, flush=True)
        time.sleep(0.01)
    server.send_signal(signal.SIGTERM)
    print("server", server.wait())


if __name__ == "__main__":
    main()
