"""What the State of a System V object may be."""

from __future__ import annotations

import pytest

from zaptrace.errors import BadImage
from zaptrace.linux import ipc
from zaptrace.resources import sysv_ipc
from zaptrace.resources.room import Whole
from zaptrace.shapes import Seen


@pytest.mark.parametrize(("semaphore", "by"), [(1, 2), (0, 0)], ids=["not there", "by nothing"])
def test_what_is_undone_is_something_to_a_semaphore(semaphore: int, by: int) -> None:
    """One by 0 made a restore wait for its own row."""
    of = ipc.Object(ipc.SEM, 7, 0, 2, False, False, 0o600, 0, 0, 1, [0] * 4)

    def verify(*undos: ipc.Undo) -> None:
        sysv_ipc.verify([sysv_ipc.State(of, "", [], [1], [0], list(undos), [])], Whole({}, Seen()))

    verify(ipc.Undo(2, 0, -1))
    with pytest.raises(BadImage, match="undoes"):
        verify(ipc.Undo(2, semaphore, by))
