"""An alternate signal stack has to hold what this processor saves, where the former one saved less."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zaptrace.errors import RestoreError
from zaptrace.linux import cpu
from zaptrace.resources import thread

MADE_WITH, HERE = 2048, 4096


@pytest.fixture(autouse=True)
def a_processor_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "smallest_signal_stack", lambda: HERE)
    monkeypatch.setattr(thread, "_converted", lambda state, build: b"")


def check(size: int, flags: int = 0) -> None:
    stack = thread._STACK.pack(1 << 32, flags, size)
    state: Any = SimpleNamespace(vpid=7, vtid=8, alternate_stack=stack, place=None)
    facts = SimpleNamespace(manifest={"host": {"signal_stack": MADE_WITH}})
    build: Any = SimpleNamespace(image=facts)
    thread._check_host([state], build)


def test_one_that_is_too_small():
    with pytest.raises(
        RestoreError, match="thread 8 of process 7: its alternate signal stack"
    ) as e:
        check(HERE - 1)
    assert e.value.needed and f"{HERE} bytes" in e.value.needed


def test_what_has_room_or_is_none():
    check(HERE)
    check(0, thread._SS_DISABLE)
