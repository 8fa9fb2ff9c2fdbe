"""Conversations in pytest's own process."""

from __future__ import annotations

import pytest

from harness.conversations import send_without_copying


@pytest.fixture(autouse=True, scope="session")
def sent_without_copying() -> None:
    """What that leaves behind no test has left behind."""
    send_without_copying()
