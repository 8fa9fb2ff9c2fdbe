"""Open files that others keep for us, when there are more than one process may have."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from zaptrace.errors import HostError
from zaptrace.ids import FileId
from zaptrace.view import files


def test_they_come_back(place: Path) -> None:
    keeper = files._Keeper()
    mine = os.open(place, os.O_RDONLY)
    keeper.keep([(FileId(7), mine)])
    (back,) = keeper.give([FileId(7)])
    assert os.path.sameopenfile(mine, back)
    os.close(mine)
    os.close(back)
    keeper.close()


def test_a_keeper_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATIENCE_S", 0.1)
    keeper = files._Keeper()
    os.kill(keeper._child.pid, signal.SIGSTOP)
    with pytest.raises(HostError, match="gone") as caught:
        keeper.keep([(FileId(7), 0)])
    assert caught.value.found == "it does not answer since 0 s"
    keeper.close()


def test_a_keeper_that_died_is_named() -> None:
    keeper = files._Keeper()
    keeper._child.kill()
    keeper._child.wait()
    with pytest.raises(HostError, match="gone"):
        keeper.keep([(FileId(7), 0)])
    keeper.close()
