"""Builds zaptrace._native: the C tracer, compiled with cffi.

api.h is the cdef. The tables (gen_tables.py) and our vDSO (vdso/build.py) are made first, into a
directory of the build: build/generated, or one that goes away again where this tree is not ours to
write to. ZAPTRACE_SANITIZE=address,undefined builds it with those sanitizers.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent


def _place() -> Path:
    build = HERE.parent / "build"
    if os.access(build if build.exists() else build.parent, os.W_OK):
        return build / "generated"
    place = tempfile.mkdtemp(prefix="zaptrace-generated-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)


GENERATED = _place()

sys.path[:0] = [str(HERE), str(HERE / "vdso")]
import gen_tables  # noqa: E402
import host_for_build  # noqa: E402


def _vdso_builder():
    import importlib.util

    spec = importlib.util.spec_from_file_location("zt_vdso_build", HERE / "vdso" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cdef() -> str:
    """api.h without what only a C compiler wants."""
    return re.sub(r"^#(pragma|include).*$", "", (HERE / "api.h").read_text(), flags=re.M)


def _params_address() -> int:
    arch = (HERE / "arch" / "arch.h").read_text()
    return int(re.search(r"#define ZT_VDSO_PARAMS (0x[0-9a-f]+)ULL", arch)[1], 16)


def _sources() -> list[str]:
    files = [f for f in HERE.rglob("*.c") if "vdso" not in f.parts[-2:-1]]
    return [os.path.relpath(f, HERE.parent) for f in sorted(files)]


host_for_build.check()
gen_tables.generate(GENERATED)
_vdso_builder().build(GENERATED, _params_address())

_sanitize = os.environ.get("ZAPTRACE_SANITIZE")
_extra = [f"-fsanitize={_sanitize}", "-fno-omit-frame-pointer", "-g"] if _sanitize else []

ffibuilder = cffi.FFI()
ffibuilder.cdef(_cdef())
ffibuilder.set_source(
    "zaptrace._native",
    '#include "csrc/api.h"',
    sources=_sources(),
    include_dirs=[str(HERE.parent), str(GENERATED)],
    depends=[os.path.relpath(f, HERE.parent) for f in HERE.rglob("*.h")],
    define_macros=[("_GNU_SOURCE", None)],
    extra_compile_args=[
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-parameter",
        *_extra,
    ],
    extra_link_args=_extra,
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(HERE.parent), verbose=True)
