#!/bin/bash
# scripts/try_wheel.sh PYTHON   (the second half of `make wheel`)
#
# Installs the wheel that fits this host into a new environment, as `pip install` would from an
# index, and runs the demo from it. No compiler can be found meanwhile, nor anything of this tree.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$PWD/dist
base=$("$1" -c 'import sys; print(sys._base_executable)')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

"$base" -m venv venv
mkdir bin
ln -s "$(type -P sh)" "$(type -P true)" bin
alone=(env -u PYTHONPATH -u VIRTUAL_ENV -u CC PATH="$scratch/venv/bin:$scratch/bin")
if "${alone[@]}" sh -c 'command -v cc || command -v gcc || command -v clang'; then
    echo "try_wheel.sh: a compiler is still found" >&2
    exit 1
fi
# A dependency that would have to be compiled is a failure as well.
"${alone[@]}" pip install -qq --disable-pip-version-check --only-binary :all: --find-links "$dist" zaptrace
"${alone[@]}" python -c "import zaptrace._native as n; assert n.__file__.startswith('$scratch/venv'), n.__file__"
"${alone[@]}" zaptrace run -- true
"${alone[@]}" zaptrace demo --quiet --stay 0.5

# As a tool, by those who install such. They themselves come from an index.
wheel=$(echo "$dist"/zaptrace-*-manylinux*.whl)
"$base" -m venv tools
tools/bin/pip install -qq --disable-pip-version-check pipx uv
PIPX_HOME=$scratch/pipx PIPX_BIN_DIR=$scratch/pipx/bin tools/bin/pipx -q install --python "$base" "$wheel"
UV_TOOL_DIR=$scratch/uv UV_TOOL_BIN_DIR=$scratch/uv/bin UV_CACHE_DIR=$scratch/uv/cache \
    tools/bin/uv tool install -q --python "$base" "$wheel"
"$scratch/pipx/bin/zaptrace" run -- true
"$scratch/uv/bin/zaptrace" run -- true
echo "the wheel works in a new environment without a compiler"
