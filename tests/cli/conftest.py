"""What the command line's tests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from harness.shell import Shell
from harness.supervisors import end_all
from zaptrace.supervisor import runtime


@pytest.fixture
def zaptrace() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="zt", dir="/tmp") as path:
        root = runtime.root(path)
        yield Shell(root, "zaptrace")
        end_all(root)
