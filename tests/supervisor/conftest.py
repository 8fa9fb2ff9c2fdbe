"""A runtime directory for supervisors of fake pods."""

from __future__ import annotations

import os

import pytest

from harness.supervisors import end_all
from harness.world import TESTS
from zaptrace.supervisor import runtime, starter


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """A runtime directory of the test's own, empty of pods when it ends."""
    import tempfile

    # Not tmp_path: the control socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", path)
        monkeypatch.setattr(starter, "PROGRAM", "harness.fake_pod")
        monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        root = runtime.root()
        yield root
        end_all(root)
