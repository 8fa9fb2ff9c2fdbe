"""Programs that root starts, and that go on as somebody else: servers' workers, and shells."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from harness.flavours import MOVING, run_flavour, started
from harness.runs import Run
from harness.world import PATIENCE_S, REAL, SEED, python, require, require_root
from zaptrace.linux.procfs import status

pytestmark = pytest.mark.root_too

MOVES = int(os.environ.get("ZAPTRACE_TEST_ROUNDS", "2"))
SOMEBODY = "www-data"
"""Of every Debian; its uid is not root's, and it has a group of its own."""

LOGGED_IN = f"""
id >before; echo mine >file; echo ready
while [ ! -e "$ZT_GO" ]; do sleep 0.05; done
id >after; cmp before after || exit 1
[ "$(id -un)" = {SOMEBODY} ] || exit 2
[ "$(stat -c %U file after | sort -u)" = {SOMEBODY} ] || exit 3
kill -0 $PPID 2>/dev/null && exit 4
cat secret 2>/dev/null && exit 5
echo PASS
"""


def open_to_all(work: Path) -> None:
    """Its directory, and the way there; not the secret in it."""
    (work / "secret").touch(0o600)
    for directory in (work.parent.parent, work.parent):
        directory.chmod(0o755)
    work.chmod(0o777)


@pytest.mark.parametrize("flavour", [f for f in ("restore", "migrate") if f in MOVING])
def test_a_server_whose_workers_are_another_user(flavour: str, place: Path) -> None:
    require_root()
    require("nginx")
    command = [python(), REAL / "apps", "nginx"]
    dice = random.Random(f"{flavour}-{SEED}")
    env = {
        "HOME": str(place),
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ZT_WORKERS": SOMEBODY,
    }
    with started(flavour, command, place, env=env, prepare=open_to_all) as it:
        it.wait_for("ready", 2 * PATIENCE_S)
        before = users_of(it, "nginx")
        assert len(before) == 3 and before.count(0) == 1, before
        for _ in range(MOVES):
            assert it.wait(dice.uniform(0, 0.3)) is None, it.failed("it has ended")
            assert it.cycle()
        assert users_of(it, "nginx") == before
        it.go()
        outcome = it.finish(2 * PATIENCE_S)
        assert "PASS" in outcome.output.split(), it.failed(f"seed {SEED}: it did not pass")


def users_of(it: Run, comm: str) -> list[int]:
    """The user ids of all processes of this name."""
    found = [one["rpid"] for one in it.processes() if one["comm"] == comm]
    return sorted(int(status(rpid)["Uid"].split()[0]) for rpid in found)


@pytest.mark.parametrize(
    ("flavour", "by"),
    [
        (flavour, by)
        for flavour, by in (("restore", "su"), ("shifted", "setpriv"), ("twice", "setpriv"))
        if flavour in MOVING
    ],
)
def test_a_shell_as_somebody_else(flavour: str, by: str, place: Path) -> None:
    require_root()
    ways = {
        "su": ["su", "-s", "/bin/sh", SOMEBODY, "-c", LOGGED_IN],
        "setpriv": [
            *("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--init-groups"),
            *("sh", "-c", LOGGED_IN),
        ],
    }
    name, *rest = ways[by]
    run_flavour(flavour, [require(name), *rest], place, prepare=open_to_all, waits=False)
