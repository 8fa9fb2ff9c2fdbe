"""How many notes of a room a pod has, once its program is ready: tidied.py PROGRAM PLACE ROOM."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from harness.world import PATIENCE_S
from zaptrace.pod.pod import Pod
from zaptrace.pod.stdio import Stdio


def main(program: str, place: str, room: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    said = Path(place) / "said"
    out = os.open(said, os.O_WRONLY | os.O_CREAT, 0o600)
    pod = Pod.launch(
        [program],
        name="tidied",
        cwd=place,
        env={"ZT_GO": f"{place}/go"},
        stdio=Stdio(null, out, null),
    )
    deadline = time.monotonic() + PATIENCE_S
    while "ready" not in said.read_text():
        assert time.monotonic() < deadline
        assert pod.wait(0.01) is None, said.read_text()
    pod.freeze()
    print(pod.call(lambda: len(pod.frozen_view().store(room))))
    pod.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
