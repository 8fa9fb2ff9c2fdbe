"""What cannot be carried is refused with its name, changes nothing, and the pod runs on."""

from __future__ import annotations

from pathlib import Path

import pytest
from ground import REAL, FlavourError, environment, python
from harness import life
from hosts import Host


def test_established_connection(place: Path):
    with life("restore", [python(), REAL / "connected.py"], place) as it:
        it.wait_for("ready")
        with pytest.raises(FlavourError) as refused:
            it.cycle()
        said = str(refused.value)
        assert "UnsupportedResource" in said
        for word in ("needed", "found", "do ", "changed", "TCP"):
            assert word in said, said
        assert not list(it.place.glob("image-*")), "a refused checkpoint leaves no image"
        it.go()
        assert "PASS" in it.finish().output


def test_command_line_says_so(place: Path):
    host, go = Host(place, "a"), place / "go"
    try:
        env = {**environment(), "ZT_GO": str(go)}
        pairs = [f"{k}={v}" for k, v in env.items()]
        command = ["env", "-i", *pairs, python(), str(REAL / "connected.py")]
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
