"""Threads: name, masks and pending signals, where they may run, and what each has of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.snapshot import getters, process
from harness.snapshot.look import Look, by_age

STATUS = (
    "SigPnd", "ShdPnd", "SigBlk", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd",
    "CapAmb", "NoNewPrivs", "Cpus_allowed", "Mems_allowed", "Speculation_Store_Bypass",
    "SpeculationIndirectBranch", "x86_Thread_features", "x86_Thread_features_locked",
)  # fmt: skip
"""Lines of /proc/PID/task/TID/status that are the thread's own; the others are its process's."""


def read(look: Look, rpid: int) -> dict[Any, dict[str, Any]]:
    """By vtid, where that is known; else by age, which a move keeps."""
    found: dict[Any, dict[str, Any]] = {}
    for rtid in by_age(rpid):
        asked = getters.of_thread(look, rtid)
        task = Path(f"/proc/{rpid}/task/{rtid}")
        lines = process.status(task / "status")
        key = look.id(rtid) if rtid in look.ids else f"unnumbered {len(found)}"
        found[key] = {
            "name": (task / "comm").read_bytes().decode("utf-8", "backslashreplace"),
            "status": {name: lines[name] for name in STATUS if name in lines},
            "asked": asked,
        }
    return found


def mask_timer_signals(seen: dict[str, Any]) -> None:
    """Timers run on while a pod is frozen: their signals may come between one look and the next."""
    numbers = {int(timer["signal"].split("/")[0]) for timer in seen["timers"] if "signal" in timer}
    numbers |= {14, 26, 27}  # SIGALRM, SIGVTALRM, SIGPROF
    kept = ~sum(1 << (number - 1) for number in numbers if number)
    for status in (seen["status"], *(thread["status"] for thread in seen["threads"].values())):
        for name in ("SigPnd", "ShdPnd"):
            if name in status:
                status[name] = f"{int(status[name], 16) & kept:016x}"
