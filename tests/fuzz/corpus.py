"""Images of real pods, small: their bulk contents are zeros, compressed."""

from __future__ import annotations

import shutil
from pathlib import Path

import zstandard
from blake3 import blake3

from harness.flavours import started
from harness.world import PROGRAMS, compiled
from zaptrace.image import manifest as manifests

KINDS = (
    "fork_tree", "threads", "pipe_contents", "epoll", "unix_in_flight", "unix_backlog", "udp_queue",
    "unix_unaccepted",
    "pty_type_ahead", "memfd", "shared_anonymous", "posix_timer", "timerfd", "posix_lock", "zombies",
    "file_deleted", "pidfd_gone", "cow_relatives", "inet_options", "signals_pending", "stopped_child",
    "sysv_messages", "sysv_semaphores",
    "sysv_shared_memory", "aio_ring", "mqueue_messages", "netlink_sockets",
    "tcp_established", "inotify_queue", "namespace_files",
)  # fmt: skip
"""Programs of tests/programs; together they have a State of nearly every room."""


def make(program: str, place: Path, target: Path) -> None:
    """The image of a program that waits, in the directory `target`."""
    with started("pod", [compiled(PROGRAMS / f"{program}.c")], place) as it:
        it.wait_for("ready")
        it.ask("checkpoint", then="stop", compare=False, rehearsal=False)  # type: ignore[attr-defined]
        hollow(it.place / "image-1", target)


def hollow(image: Path, target: Path) -> None:
    manifest = manifests.unpack((image / "manifest").read_bytes())
    target.mkdir()
    parts = {}
    for name, entry in manifest["parts"].items():
        if name == "state":
            shutil.copy(image / name, target / name)
            parts[name] = entry
            continue
        zeros = zstandard.ZstdCompressor().compress(bytes(entry["size"]))
        (target / name).write_bytes(zeros)
        parts[name] = {
            "size": entry["size"],
            "stored": len(zeros),
            "codec": "zstd",
            "blake3": blake3(zeros).digest(),
        }
    (target / "manifest").write_bytes(manifests.pack({**manifest, "parts": parts}))
