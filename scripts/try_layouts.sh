#!/bin/bash
# scripts/try_layouts.sh PYTHON   (not in CI: it compiles once more)
#
# Installs the source archive where files lie as Fedora has them, the standard library and extensions in
# lib64 and all headers in one directory, and runs the demo from there. The Python is this host's own,
# laid so; PYTHONPLATLIBDIR tells it what Fedora's is built with.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH VIRTUAL_ENV CC
"$python" setup.py -q egg_info --egg-base "$scratch" sdist --dist-dir "$scratch/dist" 2>"$scratch/log" ||
    { cat "$scratch/log"; exit 1; }

base=$("$python" -c 'import sys; print(sys._base_executable)')
usr=$scratch/usr
mkdir -p "$usr/bin" "$usr/lib64" "$usr/lib" "$usr/include"
read -r name stdlib include config < <("$base" -c '
import sys, sysconfig as s
print("python%d.%d" % sys.version_info[:2], s.get_path("stdlib"), s.get_path("include"), s.get_config_h_filename())')
cp "$base" "$usr/bin/python3"
cp -r "$stdlib" "$usr/lib64/$name"
cp -r "$include" "$usr/include/$name"
cp "$config" "$usr/include/$name/pyconfig.h" # where Debian has it behind a directory of its own
mkdir -p "$usr/lib/$name"
export PYTHONPLATLIBDIR=lib64

venv=$scratch/venv
"$usr/bin/python3" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check "$scratch"/dist/zaptrace-*.tar.gz
cd "$scratch"
"$venv/bin/python" -c "import zaptrace._native as n; assert n.__file__.startswith('$venv'), n.__file__"
PATH=$usr/bin:$PATH "$venv/bin/zaptrace" demo --quiet --stay 0.5
echo "installed from source in lib64, and the demo ran"
