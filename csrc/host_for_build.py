"""What a build takes of its host, looked at before anything is compiled, and named where it is missing."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig

_HEADERS = {
    "stdio.h": ("the C library's headers", "libc6-dev", "glibc-devel", "musl-dev"),
    "linux/seccomp.h": (
        "the kernel's headers",
        "linux-libc-dev",
        "kernel-headers",
        "linux-headers",
    ),
    "Python.h": (
        f"the headers of {sys.executable}",
        *("python3-dev", "python3-devel", "python3-dev"),
    ),
}
"""Header: what it is one of, and the package that has it, of apt, dnf and apk."""


def compiler() -> list[str]:
    """The C compiler as words of a command line."""
    return shlex.split(os.environ.get("CC") or "cc")


def check() -> None:
    """SystemExit, with what to do, where zaptrace cannot be built."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        _refuse("Linux on x86-64", f"{system} on {machine}", "use such a host")
    cc = compiler()
    if shutil.which(cc[0]) is None:
        _refuse(
            "a C compiler, for an installation from source",
            f"no {cc[0]} in PATH",
            f"{_install('gcc', 'gcc', 'gcc')}; or install a wheel, which needs none",
        )
    for header, (what, *packages) in _HEADERS.items():
        paths = [f"-I{sysconfig.get_path(kind)}" for kind in ("include", "platinclude")]
        tried = subprocess.run(
            [*cc, *paths, "-x", "c", "-fsyntax-only", "-"],
            input=f"#include <{header}>\n", text=True, capture_output=True, check=False,
        )  # fmt: skip
        if tried.returncode:
            found = (tried.stderr.strip() or "it fails").splitlines()[0]
            _refuse(what, found, f"{_install(*packages)}; or install a wheel, which needs none")


def _install(apt: str, dnf: str, apk: str) -> str:
    return f"apt-get install {apt}   (dnf: {dnf}, apk: {apk})"


def _refuse(needed: str, found: str, do: str) -> None:
    raise SystemExit(
        f"zaptrace cannot be built here\n  needed   {needed}\n  found    {found}\n  do       {do}"
    )
