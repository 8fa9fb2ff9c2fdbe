"""What can lie where a file of ours is expected."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.mutate import INTS, TooLarge, damaged, mutated

HUGE_FILE = "a huge file"
_HUGE = 1 << 40


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        os.chmod(path, 0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(path: Path, rng: random.Random) -> str:
    """Something else in place of what is there; its name."""
    how = rng.choice(list(_ODD))
    clear(path)
    _ODD[how](path)
    return how


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(_HUGE)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            one.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)


_ODD: dict[str, Callable[[Path], None]] = {
    "a named pipe": os.mkfifo,
    "a directory": os.mkdir,
    "a directory with something in it": lambda path: (path / "a" / "b").mkdir(parents=True),
    "a socket": _socket,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    HUGE_FILE: _sparse,
    "an empty file": Path.touch,
    "one that may not be read": lambda path: path.touch(0),
    "nothing": lambda path: None,
}


def bytes_like(data: bytes, rng: random.Random) -> bytes:
    """Of a text file of ours: damaged, cut, of zeros, as a crash of the machine leaves one."""
    how = rng.random()
    if how < 0.15:
        return bytes(len(data))
    if how < 0.25:
        return rng.randbytes(rng.randrange(200))
    if how < 0.35:
        return rng.choice([b"[", b'{"a":']) * 100_000
    if how < 0.45:
        return data * rng.randrange(200)
    return damaged(data, rng)


def json_like(value: Any, rng: random.Random) -> bytes:
    """The same value but for something; or another text."""
    if rng.random() < 0.3:
        return bytes_like(json.dumps(value).encode(), rng)
    try:
        changed = mutated(value, rng)
        if rng.random() < 0.1 and isinstance(changed, dict) and changed:
            changed[rng.choice(list(changed))] = 10 ** rng.choice([20, 400])
        text = json.dumps(changed, default=lambda one: one.hex())
    except (TooLarge, TypeError):
        text = json.dumps(rng.choice(INTS))
    return text.encode(errors="surrogatepass")


"""Infinity and NaN are among it: Python reads and writes them."""
