"""What a result depends on: this host, and what was asked for."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .tools import ROOT

COMMIT = "ZAPTRACE_BENCH_COMMIT"


def load() -> float:
    return os.getloadavg()[0]


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _virtual() -> bool:
    return bool(re.search(r"^flags.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(), re.M))


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def commit() -> str:
    """Of the tree that is measured, whoever it belongs to; a copy without a history was told."""
    if COMMIT in os.environ:
        return os.environ[COMMIT]
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "describe", "--always", "--dirty"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout.strip()


def facts() -> dict[str, Any]:
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["python", "-m", "bench", *sys.argv[1:]],
        "commit": commit(),
        "host": {
            "kernel": platform.release(),
            "distribution": _distribution(),
            "processor": _processor(),
            "cpus": len(os.sched_getaffinity(0)),
            "memory_gib": _memory_gib(),
            "virtual": _virtual(),
            "uid": os.geteuid(),
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "python": platform.python_version(),
        },
    }
