"""What users have beside servers: a message bus, a database in a file, repositories, copies, names."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys

from talk import PATIENCE_S, connected, done, free_port, start, until, work

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


def dbus():
    """A bus of the user's, somebody who watches it, and two kinds of clients that come and go."""
    here = os.getcwd()
    address = f"unix:path={here}/bus"
    with open("bus.conf", "w") as file:
        file.write(
            f"<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth>"
            '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
            '<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>'
        )
    start("dbus-daemon", f"--config-file={here}/bus.conf", "--nofork")
    until(lambda: os.path.exists("bus"))
    rule = "type='signal',interface='a.b'"
    monitor = start("dbus-monitor", "--address", address, "--profile", rule, **PIPES)
    monitor.stdout.readline()
    there = {"env": {**os.environ, "DBUS_SESSION_BUS_ADDRESS": address}}
    bus = "org.freedesktop.DBus"
    asked = ["--session", "--dest", bus, "--object-path", "/", "--method", f"{bus}.GetNameOwner"]

    def ask(_):
        done("dbus-send", f"--bus={address}", "/a", "a.b.c")
        while b"a.b" not in (line := monitor.stdout.readline()):
            assert line, "the monitor has ended"
        assert done("gdbus", "call", *asked, bus, **there) == f"('{bus}',)\n"

    work(ask)


WRITER = """
import sqlite3, sys
rows = sqlite3.connect("rows", timeout=100, isolation_level=None)
for line in sys.stdin:
    rows.execute("begin immediate")
    rows.execute("insert into each_one values (?, ?)", (int(sys.argv[1]), "x" * 3000))
    rows.execute("update total set n = n + 1")
    rows.execute("commit")
    own = rows.execute("select count(*) from each_one where who = ?", (int(sys.argv[1]),))
    print(*own.fetchone(), flush=True)
"""


def sqlite():
    """Three processes that write to one database with a shared log, and one that looks at it."""
    done("sqlite3", "rows", "pragma journal_mode=wal; create table each_one (who, what);"
         "create table total (n); insert into total values (0);")  # fmt: skip

    def writer(n):
        process = start(sys.executable, "-c", WRITER, n, **PIPES)

        def ask(i):
            process.stdin.write(b"one more\n")
            process.stdin.flush()
            assert int(process.stdout.readline()) == i + 1

        return ask

    def look(_):
        sums = "select (select count(*) from each_one) = (select n from total); pragma quick_check;"
        assert done("sqlite3", "rows", f"begin; {sums} commit;") == "1\nok\n"

    work(*map(writer, range(3)), look)


def git():
    """Commits that are pushed to a daemon, fetched from it, and all there."""
    port = free_port()
    who = {f"GIT_{whose}_{what}": "me@here" for whose in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    how = {"env": {**os.environ, **who, "GIT_CONFIG_NOSYSTEM": "1"}}
    done("git", "init", "-q", "--bare", "-b", "main", "origin")
    start("git", "daemon", "--export-all", "--enable=receive-pack", f"--base-path={os.getcwd()}",
          "--listen=127.0.0.1", f"--port={port}", "--reuseaddr", **how)  # fmt: skip
    connected(port).close()
    origin = f"git://127.0.0.1:{port}/origin"
    done("git", "clone", "-q", origin, "own", **how)

    def ask(i):
        with open("own/file", "w") as file:
            file.write(f"{i}\n" * 5000)
        for words in (
            ["add", "file"],
            ["commit", "-qm", f"{i}"],
            ["push", "-q", origin, "HEAD:main"],
        ):
            done("git", "-C", "own", *words, **how)
        assert int(done("git", "-C", "own", "rev-list", "--count", "HEAD", **how)) == i + 1
        head = done("git", "-C", "own", "rev-parse", "HEAD", **how).strip()
        assert done("git", "ls-remote", origin, "main", **how).split()[0] == head
        shutil.rmtree("copy", ignore_errors=True)
        done("git", "clone", "-q", origin, "copy", **how)
        done("git", "-C", "copy", "fsck", "--strict", **how)

    work(ask)


def rsync():
    """A daemon, and two that copy from it, slowly."""
    here, port = os.getcwd(), free_port()
    os.mkdir("from")
    for n in range(40):
        with open(f"from/{n}", "wb") as file:
            file.write(os.urandom(80_000))
    with open("rsyncd.conf", "w") as file:
        file.write(f"use chroot=no\naddress=127.0.0.1\nport={port}\n[files]\npath={here}/from\n")
    start("rsync", "--daemon", "--no-detach", f"--config={here}/rsyncd.conf")
    connected(port).close()

    def client(n):
        def ask(_):
            shutil.rmtree(f"to-{n}", ignore_errors=True)
            done("rsync", "-a", "--bwlimit=8000", f"rsync://127.0.0.1:{port}/files/", f"to-{n}")
            done("diff", "-r", "from", f"to-{n}")

        return ask

    work(*map(client, range(2)))


def dnsmasq():
    """Names that are asked for by UDP, over one socket, and by TCP."""
    port = free_port()
    start("dnsmasq", "-k", "-C", "/dev/null", "-p", port, "--listen-address=127.0.0.1", "-h", "-R",
          "--bind-interfaces", "--address=/a.test/10.1.2.3", f"--pid-file={os.getcwd()}/pid",
          "-u", done("id", "-un").strip())  # fmt: skip
    connected(port).close()
    by_udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    by_udp.connect(("127.0.0.1", port))
    by_udp.settimeout(PATIENCE_S)

    def question(i):
        head = struct.pack(">HHHHHH", i & 0xFFFF, 0x100, 1, 0, 0, 0)
        return head + b"\1a\4test\0" + struct.pack(">HH", 1, 1)

    def check(answer, i):
        assert answer[:2] == question(i)[:2] and answer.endswith(bytes([10, 1, 2, 3])), answer

    def udp(i):
        by_udp.send(question(i))
        check(by_udp.recv(999), i)

    def tcp(i):
        with contextlib.closing(connected(port)) as sock, sock.makefile("rwb") as file:
            for n in range(i, i + 5):
                file.write(struct.pack(">H", len(question(n))) + question(n))
                file.flush()
                check(file.read(*struct.unpack(">H", file.read(2))), n)

    work(udp, tcp)


APPS = {"dbus": dbus, "sqlite": sqlite, "git": git, "rsync": rsync, "dnsmasq": dnsmasq}
