#!/bin/bash
# scripts/try_layouts.sh PYTHON [PYTHON_ON_MUSL]   (not in CI: it compiles twice)
#
# Installs the source archive where files lie as elsewhere, and runs the demo from each installation:
#
#   lib64   as Fedora has it: the standard library and extensions in lib64, headers in one directory.
#           Made of this host's own Python; what Fedora's is built with, PYTHONPLATLIBDIR tells it.
#   musl    as Alpine has it: PYTHON_ON_MUSL is a Python whose C library is musl, and whose compiler
#           (sysconfig's CC) is. scripts/musl_python.sh makes one.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 musl=${2:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH VIRTUAL_ENV CC
"$python" setup.py -q egg_info --egg-base "$scratch" sdist --dist-dir "$scratch/dist" 2>"$scratch/log" ||
    { cat "$scratch/log"; exit 1; }

# installed NAME PYTHON: from the source archive, in an environment of its own; then the demo.
installed() {
    local name=$1 venv=$scratch/$1/venv
    "$2" -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check "$scratch"/dist/zaptrace-*.tar.gz
    cd "$scratch/$name"
    "$venv/bin/python" -c "import zaptrace._native as n; assert n.__file__.startswith('$venv'), n.__file__"
    PATH=$(dirname "$2"):$PATH "$venv/bin/zaptrace" demo --quiet --stay 0.5
    cd - >/dev/null
    echo "$name: installed from source, and the demo ran"
}

base=$("$python" -c 'import sys; print(sys._base_executable)')
usr=$scratch/lib64/usr
mkdir -p "$usr/bin" "$usr/lib64" "$usr/lib" "$usr/include"
read -r name stdlib include config < <("$base" -c '
import sys, sysconfig as s
print("python%d.%d" % sys.version_info[:2], s.get_path("stdlib"), s.get_path("include"), s.get_config_h_filename())')
cp "$base" "$usr/bin/python3"
cp -r "$stdlib" "$usr/lib64/$name"
cp -r "$include" "$usr/include/$name"
cp "$config" "$usr/include/$name/pyconfig.h" # where Debian has it behind a directory of its own
mkdir -p "$usr/lib/$name"
PYTHONPLATLIBDIR=lib64 installed lib64 "$usr/bin/python3"

if [ -n "$musl" ]; then
    installed musl "$musl"
fi
