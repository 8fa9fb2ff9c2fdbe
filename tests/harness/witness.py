"""What python-ptrace, which knows nothing of us, sees of a process before and after a restore.

    witness.py PROGRAM IMAGE     prints {"before": {...}, "after": {...}} as JSON

It reads by PTRACE_GETREGS and PTRACE_PEEKTEXT, where we use register sets and process_vm_readv.
"""

from __future__ import annotations

import json
import os
import sys
import time

from ptrace.binding import ptrace_getregs, ptrace_peektext

from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux.native import lib
from zaptrace.linux.procfs import maps
from zaptrace.pod.checkpoint import checkpoint
from zaptrace.pod.pod import Pod, Stdio
from zaptrace.pod.restore import restore

_PAGES_WORTH = range(0, 4096, 512)
_UNLIKE = {"orig_rax"}  # -1 in both, of another width


def places(pod: Pod) -> list[int]:
    """Addresses in every mapping of the oldest process that can be read."""
    found = []
    for m in maps(pod.processes()[0].rpid):
        stub = lib.zt_stub_start() <= m.start < lib.zt_stub_end()
        ours = stub or m.name.startswith("[v")
        if "r" in m.permissions and not ours:
            found += [m.start + at for at in _PAGES_WORTH]
    return found


def look(pod: Pod, addresses: list[int]) -> dict:
    """Registers, and words from these addresses, of the oldest process."""
    rpid = pod.processes()[0].rpid

    def work() -> dict:
        registers = ptrace_getregs(rpid)
        names = [name for name, _ in registers._fields_ if name not in _UNLIKE]
        return {
            "registers": {name: getattr(registers, name) for name in names},
            "words": {f"{at:#x}": ptrace_peektext(rpid, at) for at in addresses},
        }

    return pod.call(work)


def until_it_spins(pod: Pod) -> None:
    """The last register that it loads has what it loads."""
    while True:
        pod.freeze()
        loaded = look(pod, [])["registers"]["r8"]
        pod.thaw()
        if loaded == 0x6666666666666666:
            return
        time.sleep(0.01)


def main(program: str, image_path: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    stdio = Stdio(null, null, null)
    env = dict(os.environ, ZT_GO=f"{image_path}.go")
    env.pop("LD_PRELOAD", None)  # the sanitizers are for us, not for the program
    with Pod.launch([program], name="witnessed", stdio=stdio, env=env) as pod:
        until_it_spins(pod)
        checkpoint(pod, DirectorySink(image_path), then="hold")
        addresses = places(pod)
        before = look(pod, addresses)
    with Image.open(image_path) as image:
        pod = restore(image, stdio=stdio, hold=True)
    with pod:
        after = look(pod, addresses)
    json.dump({"before": before, "after": after}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
