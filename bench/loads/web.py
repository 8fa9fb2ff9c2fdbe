"""web.py N: nginx, and a client with N connections that it keeps; each tick one of them asks."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time

from common import go_on, home, need

CONFIG = """
daemon off; pid {home}/pid; error_log {home}/log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000; keepalive_timeout 1h;
client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
server {{ listen 127.0.0.1:{port}; root {home}; }} }}
"""


def main() -> None:
    need("nginx")
    place, clients = home(), int(sys.argv[1])
    os.chmod(place, 0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open("page", "w") as page:
        page.write("kept")
    with open("conf", "w") as conf:
        conf.write(CONFIG.format(home=place, port=port))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = subprocess.Popen(["nginx", "-e", f"{place}/log", "-c", f"{place}/conf"])
    first = None
    while first is None and server.poll() is None:
        try:
            first = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.02)
    more = (socket.create_connection(("127.0.0.1", port)) for _ in range(clients - 1))
    connections = [first, *more]

    def ask(number: int) -> bool:
        connections[number].sendall(b"GET /page HTTP/1.1\r\nHost: bench\r\n\r\n")
        got = b""
        while not got.endswith(b"\r\n\r\nkept"):
            part = connections[number].recv(4096)
            if not part:
                return False
            got += part
        return got.startswith(b"HTTP/1.1 200")

    go_on(ask, clients)


main()
