"""Images that earlier versions made are restored, here and now: made once by scripts/corpus.py, they lie
in tests/image/corpus, and stay as they are.

Who restores an image has to be its user, with its files at their paths, and CI is another in another
place: what is rewritten in each is whose it is, and where.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from harness.world import PATIENCE_S, TESTS, environment
from zaptrace import plain
from zaptrace.image import manifest as manifests
from zaptrace.image.image import Image
from zaptrace.limits import STATES
from zaptrace.resources import ROOMS
from zaptrace.resources.common.scheduling import sched_getattr

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.tar.xz"))


MADE_IN = "/tmp/zaptrace-corpus"


def images() -> list[tuple[Path, str]]:
    found = []
    for archive in CORPUS:
        with tarfile.open(archive) as tar:
            found += [
                (archive, m.name) for m in tar.getmembers() if m.isdir() and "/" not in m.name
            ]
    return found


def unpacked(archive: Path, name: str, place: Path) -> Path:
    """The directory of one: its image, and beside it what its program had written."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = place / member.name
            if path.is_relative_to(place / name):
                if content := tar.extractfile(member):
                    path.write_bytes(content.read())
                else:
                    path.mkdir()
    return place / name


def made_here(image: Path, place: Path) -> None:
    """As if we had made it in `place`, with our priority."""
    manifest = manifests.unpack((image / "manifest").read_bytes())
    records = [moved(r, place) for r in plain.load_each((image / "state").read_bytes(), STATES)]
    for record in records:
        if record["room"] == "credentials":
            for state in record["states"]:
                state["uids"], state["gids"] = [*os.getresuid()], [*os.getresgid()]
                for thread in state["threads"]:
                    thread["attributes"] = sched_getattr(0)
    content = b"".join(map(plain.dumps, records))
    entry = {"size": len(content), "stored": len(content), "codec": None}
    (image / "state").write_bytes(content)
    manifest["parts"]["state"] = entry | {"blake3": blake3(content).digest()}
    (image / "manifest").write_bytes(manifests.pack(manifest))


def moved(value: Any, place: Path) -> Any:
    """All of it, and paths lead to `place`."""
    if isinstance(value, dict):
        return {key: moved(one, place) for key, one in value.items()}
    if isinstance(value, list):
        return [moved(one, place) for one in value]
    if isinstance(value, bytes) and value.startswith(MADE_IN.encode()):
        return os.fsencode(place) + value[len(MADE_IN) :]
    return value


PORT_IS_FREE_S = 75
"""The ports in them are not chosen here; an end that waits out its minute (TIME_WAIT) frees its own."""


@pytest.mark.parametrize(("archive", "name"), images(), ids=lambda it: str(getattr(it, "stem", it)))
def test_it_is_restored(archive: Path, name: str, place: Path):
    work = unpacked(archive, name, place)
    made_here(work / "image", place)
    deadline = time.monotonic() + PORT_IS_FREE_S
    while True:
        ran = subprocess.run(
            [sys.executable, TESTS / "harness" / "from_corpus.py", work],
            env=environment(PYTHONPATH=str(TESTS.parent)), cwd=work,
            capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False,
        )  # fmt: skip
        taken = "Address already in use" in ran.stderr
        if not taken or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert ran.returncode == 0, ran.stdout + ran.stderr


LACKING = {
    "autogroup", "dnotify", "file_lease", "keys", "landlock", "mqueue", "namespace_file", "packet_socket",
    "raw_socket", "stdio",
}  # fmt: skip
"""Rooms of what is refused, has a name that others may have, differs by host, or came later."""


def test_nearly_every_room_is_in_it(place: Path):
    found: set[str] = set()
    for archive, name in images():
        with Image.open(unpacked(archive, name, place) / "image") as image:
            found |= {room.NAME for room in ROOMS if image.states(room.NAME)}
    assert {room.NAME for room in ROOMS} - found == LACKING
