"""Nonsense at the control socket of a pod, which any program of its user can reach; see hostile.py.

Some seconds of it here; ZAPTRACE_FUZZ_MINUTES=60 makes it as many minutes. A failure says its seed.
"""

from __future__ import annotations

import math
import os
import random
import time
from pathlib import Path

import pytest
from fuzz.hostile import Victim

from harness.world import SEED, told
from zaptrace.errors import PodError
from zaptrace.supervisor import runtime

SECONDS = float(os.environ.get("ZAPTRACE_FUZZ_MINUTES", "0")) * 60 or 6
FEWEST = 20


@pytest.fixture
def base(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (place / "tmp").mkdir()
    (place / "pod").mkdir()
    monkeypatch.setenv("TMPDIR", str(place / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(place / "run"))
    return runtime.root()


@pytest.mark.timeout(2 * SECONDS + 200)
@pytest.mark.parametrize("tty", [False, True], ids=["log", "tty"])
def test_nonsense_at_the_control_socket(base: Path, place: Path, tty: bool) -> None:
    victim = Victim(base, place / "pod", tty=tty)
    seed = SEED
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until or victim.told["messages"] < FEWEST:
            seed += 1
            victim.talk(random.Random(seed))
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        victim.close()
    told.append(f"nonsense at the control socket: {dict(victim.told)}")
    assert victim.told["answers"]


def test_values_that_no_verb_takes(base: Path, place: Path) -> None:
    """They were our own fault, in a thread; who asked for a stop waited for the end of the pod."""
    wrong: list[tuple[str, dict[str, object]]] = [
        *(("stop", {"grace": grace}) for grace in (1e300, math.inf, math.nan, -1.0, 1 << 62)),
        *(("checkpoint", {"to": to}) for to in ("", "a\0b", "x" * 4096)),
        ("checkpoint", {"to": "image", "codec": "posix"}),
        ("checkpoint", {"to": "image", "then": "state"}),
        ("checkpoint", {"to": "image", "outside": "/"}),
        ("migrate", {"to": "tcp://127.0.0.1:1", "options": {"codec": "posix"}}),
        ("migrate", {"to": "tcp://127.0.0.1:1", "options": {"config": "\0"}}),
        ("migrate", {"to": "tcp://127.0.0.1:1", "options": {"config": 7}}),
        ("migrate", {"to": "tcp://127.0.0.1:1", "options": {"name": []}}),
        ("migrate", {"to": "tcp://127.0.0.1:1", "options": {"key": {}}}),
    ]
    victim = Victim(base, place / "pod", tty=False)
    try:
        with victim.connect() as client:
            for verb, arguments in wrong:
                with pytest.raises(PodError, match=f"bad arguments for '{verb}'"):
                    client.call(verb, timeout=20, **arguments)
            assert client.call("status")["state"] == "running"
    finally:
        victim.close()
