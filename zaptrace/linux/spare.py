"""How much room this host leaves us: memory, processes, descriptors, shared memory."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from .abilities import Ability

_FEW = 16
_LITTLE = 64 << 20
_A_FEW = 16 << 20
"""Of /dev/shm an engine gives 64 MiB to a container, of which something is used, mostly."""
_CGROUP = Path("/sys/fs/cgroup")


def probe() -> list[Ability]:
    """What may run out while a pod runs, or is written or restored."""
    return [_processes(), _descriptors(), _memory(), _shared_memory()]


def space(
    name: str, path: str | os.PathLike[str], costs: str, do: str, enough: int, short: str
) -> Ability:
    """Can files be made at `path`, and how much fits there? `short`: what less than `enough` costs."""
    try:
        there = os.statvfs(path)
    except OSError as error:
        return Ability(name, False, f"{path}: {error.strerror}", costs, do)
    free = there.f_bavail * there.f_frsize
    seen = f"{size(free)} free in {path}"
    if not os.access(path, os.W_OK | os.X_OK):
        return Ability(name, False, f"{path} cannot be written", costs, do)
    return Ability(name, True, seen) if free >= enough else Ability(name, False, seen, short, do)


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _processes() -> Ability:
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    most = [limit] if limit != resource.RLIM_INFINITY else []
    seen = [f"ulimit -u {limit}"] if most else []
    if (bound := _cgroup("pids", "pids.max", "pids.current")) is not None:
        largest, used = bound
        most.append(largest - used)
        seen.append(f"its control group allows {largest} and has {used}")
    costs = "pods of more processes cannot be started or restored"
    ok = min(most, default=_FEW) >= _FEW
    because = "; ".join(seen) or "no limit"
    return Ability("processes", ok, because, *(() if ok else (costs, "raise that limit")))


def _descriptors() -> Ability:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= 1024:
        return Ability("descriptors", True, f"up to {hard}" if hard >= 0 else "no limit")
    costs = "pods with many processes cannot be checkpointed"
    return Ability("descriptors", False, f"ulimit -Hn {hard}", costs, "raise it: ulimit -n 1024")


def _memory() -> Ability:
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    free = int(lines["MemAvailable"].split()[0]) << 10
    seen = f"{size(free)} available"
    if (bound := _cgroup("memory", "memory.max", "memory.current")) is not None:
        largest, used = bound
        if largest - used < free:
            free = largest - used
            seen = f"its control group allows {size(largest)} and has {size(used)}"
    costs = "a restore of anything large is killed for want of memory"
    do = "raise the memory limit"
    return (
        Ability("memory", True, seen)
        if free >= _LITTLE
        else Ability("memory", False, seen, costs, do)
    )


def _shared_memory() -> Ability:
    costs = "pods with POSIX shared memory or semaphores cannot be restored"
    short = "pods with more POSIX shared memory than that cannot be restored"
    do = "mount a larger tmpfs there (docker --shm-size)"
    return space("shared memory", "/dev/shm", costs, do, _A_FEW, short)


def _cached(place: Path) -> int:
    """Contents of files among what a control group uses: there for as long as nothing else needs room."""
    lines = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
    total = "total_" if "total_active_file" in lines else ""  # of v1, with the groups below
    return int(lines[f"{total}active_file"]) + int(lines[f"{total}inactive_file"])


def _cgroup(controller: str, limit: str, use: str) -> tuple[int, int] | None:
    """The tightest limit of our control group (v2) and those above it, and what that one uses."""
    found: list[tuple[int, int]] = []
    try:
        ours = Path("/proc/self/cgroup").read_text()
    except OSError:
        return None
    for line in ours.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = _CGROUP / controller if controllers else _CGROUP
        names = (limit, use)
        if controllers and controller == "memory":  # of v1
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        at = base / path.lstrip("/")
        for place in (at, *at.parents):
            try:
                largest, used = (int((place / name).read_text()) for name in names)
                used -= _cached(place) if controller == "memory" else 0
            except (OSError, ValueError, KeyError):  # not mounted, at the root, or "max"
                pass
            else:
                if largest < 1 << 60:
                    found.append((largest, used))
            if place == base:
                break
    return min(found, key=lambda bound: bound[0] - bound[1], default=None)
