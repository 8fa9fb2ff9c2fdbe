"""Puts entries into the store of a pod, and looks for them in the pod that comes out of its image.

stored.py PROGRAM PLACE     exits with 0 if each restored pod, the second one too, has all of it
"""

from __future__ import annotations

import os
import sys

from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux.native import ffi, lib
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore
from zaptrace.resources import eventfd
from zaptrace.view.build import Build

ENTRIES = {
    ("eventfd", b"\0\xff not text"): bytes(range(256)) * 4096,
    ("eventfd", b""): b"",
    ("pipe", b"\0\xff not text"): b"another room's",
    **{("eventfd", number.to_bytes(4, "little")): b"%d" % number for number in range(2000)},
}


def put(pod: Pod) -> None:
    for (room, key), value in ENTRIES.items():
        assert (
            lib.zt_store_put(
                lib.zt_pod_store(pod.handle), room.encode(), key, len(key), value, len(value)
            )
            == 0
        )


def check(pod: Pod) -> None:
    """The tracer has it, and capture sees it; in the order in which it was put."""
    frozen = pod.frozen_view()
    shown = [(room, key) for room in ("eventfd", "pipe") for key in frozen.store(room)]
    assert [item for item in shown if item[0] == "eventfd"] == [
        item for item in ENTRIES if item[0] == "eventfd"
    ]
    for (room, key), value in ENTRIES.items():
        assert frozen.store(room)[key] == value
        entry = lib.zt_store_get(lib.zt_pod_store(pod.handle), room.encode(), key, len(key))
        assert bytes(ffi.buffer(entry.value, entry.value_size)) == value
    assert frozen.store("signalfd") == {}
    frozen.close()


def main(program: str, place: str) -> None:
    asked: list[dict[bytes, bytes]] = []
    real = eventfd.restore

    def watching(states: list[eventfd.State], build: Build) -> None:
        asked.append(build.store("eventfd"))
        real(states, build)

    eventfd.restore = watching
    null = os.open(os.devnull, os.O_RDWR)
    stdio = Stdio(null, null, null)
    pod = Pod.launch([program], name="stored", env={"ZT_GO": f"{place}/go"}, stdio=stdio)
    pod.call(put, pod)
    for number in ("1", "2"):
        checkpoint(pod, DirectorySink(f"{place}/image-{number}"), then="stop")
        pod.close()
        with Image.open(f"{place}/image-{number}") as image:
            pod = restore(image, stdio=stdio, hold=True)
        pod.call(check, pod)
    pod.close()
    wanted = {key: value for (room, key), value in ENTRIES.items() if room == "eventfd"}
    assert len(asked) >= 2, "twice, and at each rehearsal"
    assert all(seen == wanted for seen in asked), "a room has its entries before it works"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
