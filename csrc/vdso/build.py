"""Compile our vDSO and write it as a C byte array.

The compiler's habits of the day (stack protector, control-flow marks, LTO) are turned off: the
result must run with no libc, and before any.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = 4096
LARGEST = 2 * PAGE

FLAGS = (
    *("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-ffreestanding"),
    *("-nostdlib", "-shared", "-s", "-fno-lto", "-fvisibility=hidden", "-fno-common"),
    *("-fno-stack-protector", "-fcf-protection=none", "-fno-builtin"),
    *("-fasynchronous-unwind-tables", "-U_FORTIFY_SOURCE"),
    "-Wl,-soname,linux-vdso.so.1",
    "-Wl,--hash-style=both",
    "-Wl,--eh-frame-hdr",
    "-Wl,--build-id=none",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,noexecstack",
    "-Wl,-z,norelro",
    "-Wl,-Bsymbolic",
    "-Wl,--no-undefined",
)


def compile_vdso(params_address: int) -> bytes:
    """The ELF image, for a parameter block at `params_address`."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "vdso.so"
        command = [
            *compiler,
            *FLAGS,
            f"-DZT_VDSO_PARAMS={params_address:#x}ULL",
            f"-Wl,-T,{HERE / 'vdso.lds'}",
            *("-o", str(image), str(HERE / "vdso.c")),
        ]
        subprocess.run(command, check=True)
        elf = image.read_bytes()
    if len(elf) > LARGEST:
        raise ValueError(f"the vDSO has {len(elf)} bytes; there is room for {LARGEST}")
    return elf


def build(out_dir: str | Path, params_address: int) -> Path:
    """Write zt_vdso_image.h, with zt_vdso_image[], into `out_dir`; returns its path."""
    elf = compile_vdso(params_address)
    rows = [elf[at : at + 16] for at in range(0, len(elf), 16)]
    text = "\n".join(
        [
            "/* Made by csrc/vdso/build.py from vdso.c. Do not edit. */",
            "",
            "#pragma once",
            "",
            "/* Where it looks for its parameters, and the room that it needs. */",
            f"#define ZT_VDSO_IMAGE_PARAMS {params_address:#x}ULL",
            f"#define ZT_VDSO_IMAGE_PAGES {-(-len(elf) // PAGE)}",
            "",
            "static const unsigned char zt_vdso_image[] = {",
            *("\t" + " ".join(f"0x{byte:02x}," for byte in row) for row in rows),
            "};",
            "",
        ]
    )
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    header = out / "zt_vdso_image.h"
    header.write_text(text)
    return header


if __name__ == "__main__":
    build(sys.argv[1], int(sys.argv[2], 0))
