"""Whose processes are, and what these may do, is the same after a move, or there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.flavours import started
from harness.world import FlavourError, python
from zaptrace.errors import RestoreError
from zaptrace.resources import credentials

pytestmark = pytest.mark.root_too

GIVES_UP = """if True:
    import ctypes, os, sys, time
    libc = ctypes.CDLL(None, use_errno=True)
    drop, net_raw = 24, 13
    if sys.argv[1] == "a capability":
        assert libc.prctl(drop, net_raw, 0, 0, 0) == 0
    elif sys.argv[1] == "groups":
        os.setgroups([12345])
    print("ready", flush=True)
    while not os.path.exists(os.environ["ZT_GO"]):
        time.sleep(0.01)
    print("PASS")
"""


@pytest.mark.parametrize("what", ["a capability", "groups", "nothing"])
def test_a_process_that_gave_up_rights(what: str, place: Path) -> None:
    if os.geteuid() and what != "nothing":
        pytest.skip("an ordinary user's process has none to give up; the pass as root does")
    with started("restore", [python(), "-c", GIVES_UP, what], place) as it:
        it.wait_for("ready")
        if what == "nothing":
            assert it.cycle()
        else:
            with pytest.raises(FlavourError, match="it has given up rights"):
                it.cycle()
        it.go()
        it.wait_for("PASS")


@pytest.mark.parametrize("other", ["uids", "gids"])
def test_an_image_of_another_user_is_refused(other: str) -> None:
    """Also by root, whose own process it would become."""
    ids = {"uids": list(os.getresuid()), "gids": list(os.getresgid())}
    ids[other] = [one + 1 for one in ids[other]]
    state = credentials.State(vpid=2, **ids, limits=[], oom_score_adj=0, threads=[])
    with pytest.raises(RestoreError, match="belongs to another user"):
        credentials._claim(state)
