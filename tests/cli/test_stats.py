"""zaptrace ps --stats: what a pod stopped for, for people and for programs."""

from __future__ import annotations

import json

from harness.shell import Shell
from harness.supervisors import eventually


def test_they_are_shown(zaptrace: Shell):
    assert (
        zaptrace("run", "--name", "it", "-d", "--", "sh", "-c", "true; sleep 600").returncode == 0
    )
    eventually(lambda: "sleep" in zaptrace("ps", "it").stdout)
    shown = zaptrace("ps", "--stats", "it").stdout
    assert "WHY" in shown and "exec" in shown and "CALL" in shown and "getppid" in shown
    facts = json.loads(zaptrace("ps", "--stats", "it", "--json").stdout)
    assert facts["name"] == "it" and facts["stops"]["exec"] >= 1
    names = [call["name"] for call in facts["calls"]]
    assert "getppid" in names
    refused = zaptrace("ps", "--stats")
    assert refused.returncode == 2 and "--stats wants a POD" in refused.stderr
    gone = zaptrace("ps", "--stats", "nobody")
    assert gone.returncode == 3 and "nobody" in gone.stderr
