"""Databases and caches, each with sessions that stay open."""

import base64
import http.client
import json
import os
import subprocess

from talk import PATIENCE_S, Session, connected, done, free_port, start, until, work

CLIENTS = 3


def memcached():
    port = free_port()
    start("memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4", "-u", "nobody")

    def client(n):
        sock = connected(port)
        file = sock.makefile("rb")

        def ask(i):
            key, value = b"key:%d:%d" % (n, i % 100), b"%d.%d " % (n, i) * (1 + i * 97 % 5000)
            sock.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
            assert file.readline() == b"STORED\r\n"
            sock.sendall(b"get %s\r\n" % key)
            assert file.readline() == b"VALUE %s 0 %d\r\n" % (key, len(value))
            assert file.read(len(value) + 7) == value + b"\r\nEND\r\n"

        return ask

    work(*map(client, range(CLIENTS)))


def transactions(session, table, between):
    """A worker whose session has a table, and one that ends with it: both have all rows there ever were."""
    session.ask(f"create table {table} (i int primary key, v text);")
    session.ask("create temporary table own (i int);")

    def ask(i):
        got = session.ask(
            f"begin; insert into {table} values ({i}, repeat('{i} ', 2000)); "
            f"insert into own values ({i}); commit; "
            f"select count(*), max(i) from {table}; select count(*) from own;"
        )
        assert got == f"{i + 1}{between}{i}\n{i + 1}", got[:500]

    return ask


def postgres():
    """Shared memory and semaphores of many processes; sessions by both kinds of sockets, and a bench."""
    here = os.getcwd()
    known = {**os.environ, "LD_PRELOAD": os.environ.get("ZT_SOMEBODY", "")}
    done("initdb", "-D", "data", "-U", "me", "-A", "trust", "-N", "--no-locale", env=known)
    port = free_port()
    settings = ("fsync=off", "max_connections=20", "shared_buffers=16MB", "autovacuum_naptime=1",
                "huge_pages=off")  # fmt: skip
    options = [word for setting in settings for word in ("-c", setting)]
    start("postgres", "-D", "data", "-p", port, "-h", "127.0.0.1", "-k", here, *options)
    where = ["-U", "me", "-p", port, "-h"]
    until(lambda: done("pg_isready", *where, "127.0.0.1"))
    done("pgbench", "-iq", *where, here, "postgres")

    def psql(host):
        words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *where, host, "postgres"]
        return Session(*words, end=r"\echo END")

    def bench(_):
        said = done("pgbench", "-nc2", "-j2", "-t100", *where, "127.0.0.1", "postgres")
        assert "actually processed: 200/200" in said, said
        assert "failed transactions: 0" in said, said

    hosts = ["127.0.0.1", "127.0.0.1", here]
    sessions = [transactions(psql(host), f"t{n}", "|") for n, host in enumerate(hosts)]
    *_, runs = work(*sessions, bench)
    history = "from pgbench_history"
    got = psql(here).ask(
        f"select count(*) {history};"
        f"select sum(abalance) = (select sum(delta) {history}) from pgbench_accounts;"
    )
    assert got == f"{200 * runs}\nt", got


def mariadb():
    """InnoDB reads and writes by a ring of native AIO."""
    here = os.getcwd()
    done("mariadb-install-db", "--no-defaults", f"--datadir={here}/data", "--skip-test-db",
         "--auth-root-authentication-method=normal")  # fmt: skip
    port = free_port()
    start("mariadbd", "--no-defaults", f"--datadir={here}/data", f"--port={port}",
          "--bind-address=127.0.0.1", f"--socket={here}/sock", "--innodb-buffer-pool-size=32M",
          "--innodb-flush-log-at-trx-commit=2")  # fmt: skip
    over_tcp = ["-h", "127.0.0.1", "-P", port, "--protocol=tcp"]
    until(lambda: done("mariadb-admin", "--no-defaults", "-u", "root", *over_tcp, "ping"))
    done("mariadb", "--no-defaults", "-u", "root", *over_tcp, "-e", "create database d")

    def client(n):
        where = over_tcp if n else ["-S", f"{here}/sock"]
        words = ["mariadb", "--no-defaults", "-u", "root", *where, "-nN", "--batch", "d"]
        return transactions(Session(*words, end="select 'END';"), f"t{n}", "\t")

    work(*map(client, range(CLIENTS)))


def etcd():
    """Writers over its HTTP door, and a watcher over gRPC who hears of each write once, in order."""
    port, peers = free_port(), free_port()
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    start("etcd", "--data-dir", "data", "--unsafe-no-fsync", "--initial-cluster", f"default={peer}",
          "--listen-client-urls", url, "--advertise-client-urls", url,
          "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer)  # fmt: skip
    ctl = {"env": {**os.environ, "ETCDCTL_API": "3"}}
    until(lambda: done("etcdctl", "--endpoints", url, "endpoint", "health", **ctl) is not None)
    words = ["etcdctl", "--endpoints", url, "watch", "key:0", "--rev", 1]  # from the first on
    watcher = start(*words, stdout=subprocess.PIPE, **ctl)

    def client(n):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.connect()
        here = connection.sock.getsockname()

        def say(path, **what):
            coded = {k: base64.b64encode(v.encode()).decode() for k, v in what.items()}
            connection.request("POST", f"/v3/kv/{path}", json.dumps(coded))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            assert connection.sock.getsockname() == here
            return json.loads(body)

        def ask(i):
            say("put", key=f"key:{n}", value=f"value {i}")
            (got,) = say("range", key=f"key:{n}")["kvs"]
            assert base64.b64decode(got["value"]).decode() == f"value {i}", got
            assert got["version"] == str(i + 1), got
            if n == 0:
                lines = [watcher.stdout.readline().decode() for _ in range(3)]
                assert lines == ["PUT\n", "key:0\n", f"value {i}\n"], lines

        return ask

    work(*map(client, range(CLIENTS)))


APPS = {"memcached": memcached, "postgres": postgres, "mariadb": mariadb, "etcd": etcd}
