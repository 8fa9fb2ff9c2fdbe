"""What the engine asks of its rooms and sinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from zaptrace.cancel import Cancel
from zaptrace.image import sink
from zaptrace.pod import checkpoint
from zaptrace.supervisor.engine import Engine


@pytest.mark.parametrize(
    ("then", "codec", "later"),
    [("resume", "zstd", True), ("stop", "zstd", False), ("resume", "lz4", False)],
)
def test_a_pod_that_goes_on_does_not_wait_for_zstd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, codec: str, later: bool
) -> None:
    """Whether its image is packed is no matter of how long it stands still."""
    asked: list[bool] = []

    class Sink(sink.DirectorySink):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)
            asked.append(self._later)
            self.abort()

    monkeypatch.setattr(sink, "DirectorySink", Sink)
    monkeypatch.setattr("zaptrace.supervisor.suitability.size_of", lambda pod: 0)
    done = checkpoint.Report(0.0, 0, 1, 1)
    monkeypatch.setattr(checkpoint, "checkpoint", lambda pod, sink, **_: done)
    Engine().checkpoint(
        None, str(tmp_path / "i"), then, codec, True, "refuse", lambda _: None, Cancel("x")
    )  # fmt: skip
    assert asked == [later]
