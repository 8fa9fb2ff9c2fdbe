"""Servers, brokers, databases and terminals with their clients, all in one pod: nobody misses anything.

Each is moved at random moments while its clients ask, and they check what they get. In CI those that
are light; by hand (ZAPTRACE_TEST_ROUNDS=20, the moves of each) all of them, in every way of moving.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.flavours import MOVING, started
from harness.world import PATIENCE_S, REAL, SEED, compiled, python, require

BY_HAND = "ZAPTRACE_TEST_ROUNDS" in os.environ
MOVES = int(os.environ.get("ZAPTRACE_TEST_ROUNDS", "2"))
LONGEST_PAUSE_S = 0.5
_PATIENCE_S = 5 * PATIENCE_S

APPS = REAL / "apps"


def postgres() -> dict[str, str]:
    """Not in the PATH, as several versions may be there."""
    where = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    program = require(str(where[-1]) if where else "pgbench", "postgresql")
    if os.geteuid() == 0:
        pytest.skip("postgres does not run as root")
    preloaded = compiled(APPS / "somebody.c", "-shared", "-fPIC")
    return {"ZT_PATH": os.path.dirname(program), "ZT_SOMEBODY": str(preloaded)}


def mpi() -> dict[str, str]:
    require("mpirun", "openmpi-bin")
    require("mpicc", "libopenmpi-dev")
    return {"ZT_RING": str(compiled(APPS / "ring.c", cc="mpicc"))}


def programs(*named: tuple[str, str]) -> Callable[[], dict[str, str]]:
    """What is needed, each with the package that has it."""

    def there() -> dict[str, str]:
        for program, package in named:
            require(program, package)
        return {}

    return there


def modules(*named: str) -> Callable[[], dict[str, str]]:
    """For an application that runs in the Python of the tests."""

    def there() -> dict[str, str]:
        for name in named:
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"{name} is not installed: pip install {name}")
        return {"ZT_PYTHON": sys.executable}

    return there


NEEDED: dict[str, Callable[[], dict[str, str]]] = {
    "nginx": programs(("nginx", "nginx")),
    "apache": programs(("apache2", "apache2-bin")),
    "haproxy": programs(("haproxy", "haproxy")),
    "memcached": programs(("memcached", "memcached")),
    "postgres": postgres,
    "mariadb": programs(("mariadbd", "mariadb-server"), ("mariadb", "mariadb-client")),
    "etcd": programs(("etcd", "etcd-server"), ("etcdctl", "etcd-client")),
    "mosquitto": programs(("mosquitto", "mosquitto"), ("mosquitto_sub", "mosquitto-clients")),
    "sshd": programs(("sshd", "openssh-server"), ("ssh", "openssh-client")),
    "rabbitmq": modules("pika"),
    "jupyter": modules("jupyter_client", "ipykernel"),
    "dask": modules("distributed"),
    "mpi": mpi,
    "mpi-tcp": mpi,
    "xvnc": programs(
        ("Xvnc", "tigervnc-standalone-server"),
        ("xtigervncviewer", "tigervnc-viewer"),
        ("xterm", "xterm"),
    ),
    "dbus": programs(("dbus-daemon", "dbus"), ("gdbus", "libglib2.0-bin")),
    "sqlite": programs(("sqlite3", "sqlite3")),
    "git": programs(("git", "git")),
    "rsync": programs(("rsync", "rsync")),
    "dnsmasq": programs(("dnsmasq", "dnsmasq-base")),
    "python": programs(("python3", "python3")),
    "tmux": programs(("tmux", "tmux")),
    "screen": programs(("screen", "screen")),
    "script": programs(("script", "bsdutils")),
    "vim": programs(("vim", "vim")),
    "less": programs(("less", "less")),
    "top": programs(("top", "procps")),
    "htop": programs(("htop", "htop")),
}

IN_CI = [
    ("nginx", "restore"),
    ("nginx", "migrate"),
    ("haproxy", "shifted"),
    ("memcached", "twice"),
    ("postgres", "migrate"),
    ("mosquitto", "shifted"),
    ("python", "twice"),
    ("tmux", "shifted"),
    ("tmux", "migrate"),
    ("script", "restore"),
    ("vim", "twice"),
    ("less", "migrate"),
]
"""Each a few seconds; the others take large packages."""

TRIED = [(app, flavour) for app in NEEDED for flavour in MOVING] if BY_HAND else IN_CI


@pytest.mark.timeout(_PATIENCE_S + 30 * MOVES if BY_HAND else 180)
@pytest.mark.parametrize(("app", "flavour"), [tried for tried in TRIED if tried[1] in MOVING])
def test_nobody_notices(app: str, flavour: str, place: Path) -> None:
    env = NEEDED[app]()
    command = [env.pop("ZT_PYTHON", python()), APPS, app]
    dice = random.Random(f"{app}-{flavour}-{SEED}")
    path = [os.environ["PATH"], "/usr/sbin", "/sbin", env.pop("ZT_PATH", "")]
    env |= {"HOME": os.fspath(place), "PATH": ":".join(filter(None, path))}
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # beside what is tested
    with started(flavour, command, place, env=env) as it:
        it.wait_for("ready", _PATIENCE_S)
        for _ in range(MOVES):
            assert it.wait(dice.uniform(0, LONGEST_PAUSE_S)) is None, it.failed("it has ended")
            assert it.cycle()
        it.go()
        outcome = it.finish(_PATIENCE_S)
        if outcome.exit != 0 or "PASS" not in outcome.output.split():
            raise it.failed(f"seed {SEED}: it did not pass (exit {outcome.exit})")
