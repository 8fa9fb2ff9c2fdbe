"""PostgreSQL after pgbench, with a session that counts in a table."""

from __future__ import annotations

import glob
import os
import subprocess
import time

from common import go_on, home, need

NAME = """#include <pwd.h>
struct passwd *getpwuid(uid_t u) {
static struct passwd p = {.pw_name = "me", .pw_dir = "/", .pw_shell = "/bin/sh"};
p.pw_uid = u; return &p; }
"""
"""For initdb, which wants a user to have a name."""


def main() -> None:
    for directory in glob.glob("/usr/lib/postgresql/*/bin"):
        os.environ["PATH"] += f":{directory}"
    need("initdb", "pgbench", "psql")
    place = home()
    prefix: list[str] = []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    if os.getuid() == 0:
        prefix = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        subprocess.run(["chown", "postgres", place], check=True)
    elif subprocess.run(["id", "-un"], capture_output=True, check=False).returncode:
        need("cc")
        with open("me.c", "w") as file:
            file.write(NAME)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", "me.so", "me.c"], check=True)
        os.environ["LD_PRELOAD"] = f"{place}/me.so"
    of = [*prefix, "env", f"PGHOST={place}", "PGUSER=postgres", "PGDATABASE=postgres"]
    subprocess.run([*of, "initdb", "-U", "postgres", "-A", "trust", "-N", "db"], **quiet)
    options = ["-D", "db", "-k", place, "-c", "listen_addresses="]
    silence = subprocess.DEVNULL
    server = subprocess.Popen([*of, "postgres", *options], stdout=silence, stderr=silence)
    while subprocess.run([*of, "pg_isready", "-q"], check=False).returncode and not server.poll():
        time.sleep(0.05)
    subprocess.run([*of, "pgbench", "-i", "-q"], **quiet)
    subprocess.run([*of, "pgbench", "-c", "4", "-t", "200"], **quiet)
    session = subprocess.Popen(
        [*of, "psql", "-qAt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert session.stdin and session.stdout
    session.stdin.write("create table kept (n int); insert into kept values (0);\n")
    told = 0

    def ask(_: int) -> bool:
        nonlocal told
        told += 1
        session.stdin.write("update kept set n = n + 1 returning n;\n")
        return session.stdout.readline() == f"{told}\n"

    go_on(ask, 20)


main()
