"""notebook.py MIB: a Jupyter kernel that holds so much, over TCP, and a client that runs a cell each tick,
as a notebook does: it counts, and sums up a part of what is held."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from common import go_on, home, say

PARTS = 20
_PATIENCE_S = 300.0
FIRST = """
import os, zlib
held = [os.urandom({size}) for _ in range({parts})]
kept = [zlib.crc32(part) for part in held]
count = 0
"""
CELL = """
count += 1
print(count, zlib.crc32(held[count % {parts}]) == kept[count % {parts}])
"""


def main() -> None:
    if not find_spec("ipykernel"):
        say("@missing ipykernel")
        sys.exit(9)
    from jupyter_client.manager import start_new_kernel

    home()
    _, client = start_new_kernel(startup_timeout=_PATIENCE_S, kernel_name="python3")
    told = 0

    def run(code: str) -> str:
        said: list[str] = []

        def take(message: dict) -> None:
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])

        reply = client.execute_interactive(code, output_hook=take, timeout=_PATIENCE_S)
        return "".join(said) if reply["content"]["status"] == "ok" else "failed"

    run(FIRST.format(size=(int(sys.argv[1]) << 20) // PARTS, parts=PARTS))

    def ask(_: int) -> bool:
        nonlocal told
        told += 1
        return run(CELL.format(parts=PARTS)) == f"{told} True\n"

    go_on(ask, PARTS)


main()
