"""Restores an image of the corpus, tells its program to go on, and waits for it to pass.

from_corpus.py PLACE     exits with 0 if it said PASS, and ended with 0
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from zaptrace.image.image import Image
from zaptrace.pod.pod import Stdio
from zaptrace.pod.restore import restore

PATIENCE_S = 100.0


def main(place: Path) -> None:
    null, deadline = os.open(os.devnull, os.O_RDWR), time.monotonic() + PATIENCE_S
    stdio = Stdio(null, null, null, tty=False)
    with Image.open(place / "image") as image, restore(image, stdio=stdio) as pod:
        (place / "go").touch()
        while (status := pod.wait(0.5)) is None:
            assert time.monotonic() < deadline, "it does not end"
    said = (place / "out").read_text()
    assert (status, said) == (0, "ready\nPASS\n"), (status, said)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
