"""What cannot be carried is refused with its name, changes nothing, and the pod runs on."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from harness.flavours import started
from harness.hosts import Host
from harness.world import REAL, FlavourError, environment, python

NAMED = {
    "connection": "TCP",
    "fanotify": "a room that can capture anon_inode:[fanotify]; there is none",
    "landlock": "Landlock sandbox",
    "file_lease": "lease",
    "unreadable_executable": "its executable was removed or replaced, and cannot be read",
    "table_of_a_thread": "has a descriptor table of its own",
    "stub_overwritten": "has other bytes than those that were laid there",
    "stub_mapped_over": "is another's than what was laid there",
    "stub_joined": "reaches into the place of the stub",
    "vdso_changed": "has other bytes than the vDSO that was laid there",
}
"""What a program may hold that cannot be carried, and how the error names it."""


def allowed(what: str) -> bool:
    """Can the program get hold of it here at all?"""
    if what == "landlock":
        create_ruleset, version = 444, 1
        return ctypes.CDLL(None).syscall(create_ruleset, None, 0, version) > 0
    if what != "fanotify":
        return True
    report_fid = 0x200
    fd = ctypes.CDLL(None).fanotify_init(report_fid, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


@pytest.mark.parametrize("what", NAMED)
def test_refused_by_name(what: str, place: Path):
    if not allowed(what):
        pytest.skip(f"{what} is not allowed here: a kernel before 5.13, or a container's filter")
    with started("restore", [python(), REAL / "refused.py", what], place) as it:
        it.wait_for("ready")
        with pytest.raises(FlavourError) as refused:
            it.cycle()
        said = str(refused.value)
        assert "UnsupportedResource" in said
        for word in ("needed", "found", "changed", NAMED[what]):
            assert word in said, said
        assert not list(it.place.glob("image-*")), "a refused checkpoint leaves no image"
        it.go()
        assert "PASS" in it.finish().output


def test_command_line_says_so(place: Path):
    host, go = Host(place, "a"), place / "go"
    try:
        env = {**environment(), "ZT_GO": str(go)}
        pairs = [f"{k}={v}" for k, v in env.items()]
        command = ["env", "-i", *pairs, python(), str(REAL / "refused.py"), "connection"]
        host.run("run", "-d", "--name", "stuck", "--", *command)
        for _ in range(100):
            if "ready" in host.run("logs", "stuck").stdout:
                break
        image = place / "image"
        refused = host.run("checkpoint", "stuck", "--to", str(image), check=False)
        assert refused.returncode != 0
        assert "zaptrace: cannot checkpoint" in refused.stderr
        assert "changed" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not image.exists()
        assert [pod["name"] for pod in host.pods()] == ["stuck"]
        go.touch()
    finally:
        host.close()
