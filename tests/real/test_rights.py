"""Whose processes are, and what these may do, is the same after a move, or there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.flavours import started
from harness.world import python, require_root
from zaptrace.errors import RestoreError
from zaptrace.resources import credentials
from zaptrace.resources.common.privilege import beginning
from zaptrace.resources.common.rights import Rights

pytestmark = pytest.mark.root_too

GIVES_UP = """if True:
    import ctypes, os, sys, time
    libc = ctypes.CDLL(None, use_errno=True)
    drop, net_raw = 24, 13
    if sys.argv[1] == "a capability":
        assert libc.prctl(drop, net_raw, 0, 0, 0) == 0
    elif sys.argv[1] == "groups":
        os.setgroups([12345])
    def rights():
        lines = open("/proc/self/status").read().splitlines()
        return [line for line in lines if line.startswith(("Uid", "Gid", "Groups", "Cap"))]
    before = rights()
    print("ready", flush=True)
    while not os.path.exists(os.environ["ZT_GO"]):
        time.sleep(0.01)
    assert rights() == before, f"{before} are {rights()}"
    print("PASS")
"""


@pytest.mark.parametrize("what", ["a capability", "groups", "nothing"])
def test_a_process_that_gave_up_rights(what: str, place: Path) -> None:
    if what != "nothing":
        require_root()
    with started("restore", [python(), "-c", GIVES_UP, what], place) as it:
        it.wait_for("ready")
        assert it.cycle()
        it.go()
        assert "PASS" in it.finish().output


@pytest.mark.parametrize("other", ["uids", "gids"])
def test_an_image_of_another_user_is_refused(other: str) -> None:
    """Also by root, whose own process it would become."""
    ids = {"uids": list(os.getresuid()), "gids": list(os.getresgid())}
    ids[other] = [one + 1 for one in ids[other]]
    state = credentials.State(vpid=2, **ids, limits=[], oom_score_adj=0, threads=[])
    with pytest.raises(RestoreError, match="belongs to another user"):
        credentials._claim(state)


def test_more_than_this_user_may_is_refused() -> None:
    """An ordinary user restores nothing of a pod that root ran, and root no more than it may here."""
    one_more = beginning().permitted | 1 << 63
    sets = {"inheritable": 0, "permitted": one_more, "effective": 0, "bounding": 0, "ambient": 0}
    rights = Rights(uids=[0] * 4, gids=[0] * 4, groups=[], securebits=0, death_signal=0, **sets)
    state = credentials.State(2, [0] * 3, [0] * 3, [], 0, [], [rights])
    needed = "capabilities 0x8" if os.geteuid() == 0 else "root, with CAP_SETUID"
    with pytest.raises(RestoreError, match="ids and capabilities of their own") as failed:
        credentials._claim(state)
    assert needed in (failed.value.needed or "")
