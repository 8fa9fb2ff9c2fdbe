"""What the tests of `import zaptrace` share: a runtime directory of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.supervisors import end_all
from zaptrace.supervisor import runtime


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for images; pods of this test are found by nobody else."""
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        root = runtime.root(f"{path}/run")
        monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(root))
        yield Path(path)
        end_all(root)
