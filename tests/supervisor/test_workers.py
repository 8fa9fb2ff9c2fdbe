"""Work on a pod in threads, where there can be no thread more."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.supervisors import PATIENCE_S, eventually
from zaptrace.errors import HostError, ZaptraceError
from zaptrace.supervisor.control_socket import Request
from zaptrace.supervisor.verbs import Verbs
from zaptrace.supervisor.workers import Workers


def test_work_that_has_no_thread_fails_and_frees_the_pod(monkeypatch: pytest.MonkeyPatch):
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = threading.active_count()
    workers, said = Workers("web"), list[ZaptraceError]()
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refused)
        workers.run(lambda: None, failed=said.append, exclusive="checkpoint")
    workers.turn()
    (error,) = said
    assert isinstance(error, HostError) and "ulimit -u" in str(error)
    workers.check_free("checkpoint")
    workers.run(lambda: None, then=lambda _: said.clear(), exclusive="checkpoint")
    eventually(lambda: workers.turn() or not said)
    eventually(lambda: threading.active_count() == before)  # it has woken us for the last time
    os.close(workers.wake)


def test_a_checkpoint_waits_until_a_process_has_joined(monkeypatch: pytest.MonkeyPatch):
    """Nobody asked for that to be first, and it takes milliseconds."""
    served: list[str] = []
    joins, joined = threading.Event(), list[object]()
    workers = Workers("web")
    verbs = Verbs(cast("Any", SimpleNamespace(workers=workers, control_socket=None, making=None)))
    monkeypatch.setattr(verbs, "do_checkpoint", lambda request: served.append(request.verb))
    workers.run(lambda: joins.wait(PATIENCE_S) and None, joined.append, exclusive="exec")
    verbs.serve(Request(b"somebody", 1, "checkpoint", {}))
    assert served == []
    joins.set()
    eventually(lambda: workers.turn() or joined)
    assert served == ["checkpoint"]
    os.close(workers.wake)
