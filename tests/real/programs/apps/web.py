"""Web servers, asked over connections that are kept alive."""

import http.client
import os
import shutil

from talk import PATIENCE_S, connected, free_port, start, work

SIZES = {"small": 100, "large": 2_000_000}


def page(name):
    """A file to be served, and what it holds."""
    body = (name.encode() + b" ") * (SIZES[name] // (len(name) + 1))
    with open(name, "wb") as file:
        file.write(body)
    return body


def client(port, name):
    """Asks for one page again and again; to have to connect again is a failure."""
    body = page(name)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.sock = connected(port)
    here = connection.sock.getsockname()

    def ask(_):
        connection.request("GET", f"/{name}")
        answer = connection.getresponse()
        got = answer.read()
        assert (answer.status, got) == (200, body), f"{answer.status}, {len(got)} bytes"
        assert connection.sock is not None, "the server closed the connection"
        assert connection.sock.getsockname() == here
        assert connection.sock.getpeername() == ("127.0.0.1", port)

    return ask


def clients(port):
    return [client(port, name) for name in (*SIZES, *SIZES)]


def write(name, text):
    with open(name, "w") as file:
        file.write(text)


def nginx():
    """Workers below a master, who send files with sendfile(2)."""
    here, port = os.getcwd(), free_port()
    temporary = " ".join(
        f"{kind}_temp_path {here}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = f"user {os.environ['ZT_WORKERS']};" if "ZT_WORKERS" in os.environ else ""
    write(
        "nginx.conf",
        f"""{user} daemon off; worker_processes 2; pid {here}/pid; error_log {here}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log off; sendfile on; {temporary}
            keepalive_requests 1000000000; keepalive_timeout 1h;
            server {{ listen 127.0.0.1:{port}; root {here}; }}
        }}""",
    )
    start("nginx", "-e", f"{here}/error.log", "-p", here, "-c", f"{here}/nginx.conf")
    work(*clients(port))


def apache():
    """The event MPM: processes of threads, and a scoreboard that they share."""
    here, port = os.getcwd(), free_port()
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core")
    )
    write(
        "apache.conf",
        f"""{modules}
        ServerRoot {here}\nServerName localhost\nPidFile {here}/pid\nErrorLog {here}/error.log
        Listen 127.0.0.1:{port}\nDocumentRoot {here}\nMutex posixsem\nStartServers 2
        KeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 3600\n""",
    )
    start("apache2", "-d", here, "-f", f"{here}/apache.conf", "-DFOREGROUND")
    work(*clients(port))


def haproxy():
    """In front of two web servers; its connections to them are kept and shared, too."""
    port, behind = free_port(), [free_port(), free_port()]
    for each in behind:
        python = shutil.which("python3")
        start(python, os.path.join(os.path.dirname(__file__), "kept_alive.py"), each)
        connected(each).close()
    servers = "".join(f"  server s{each} 127.0.0.1:{each} check\n" for each in behind)
    write(
        "haproxy.conf",
        f"""global\n  maxconn 64\n  nbthread 2
defaults\n  mode http\n  timeout connect 1m\n  timeout client 1h\n  timeout server 1h
frontend front\n  bind 127.0.0.1:{port}\n  default_backend back
backend back\n  http-reuse always\n{servers}""",
    )
    start("haproxy", "-f", "haproxy.conf", "-db")
    work(*clients(port))


APPS = {"nginx": nginx, "apache": apache, "haproxy": haproxy}
