#!/bin/sh
# Prints a python3 that can build zaptrace: 3.11 or newer, with venv and Python.h, and a C compiler
# beside it. Where there is none, says what is missing and how to get it, and fails.
set -u

probe='
import sys, sysconfig, os
missing = []
if sys.version_info < (3, 11): missing.append("old")
try:
    import venv, ensurepip
except ImportError:
    missing.append("venv")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    missing.append("headers")
print(" ".join(missing) or "ok")
'

best= best_missing=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 \
        /usr/local/bin/python3}; do
    path=$(command -v "$candidate") || continue
    missing=$("$path" -I -c "$probe" 2>/dev/null) || continue
    case $missing in
        ok) best=$path best_missing=; break ;;
        old*) ;;
        *) [ -n "$best" ] || { best=$path best_missing=$missing; } ;;
    esac
done

failed=
lacks() {
    [ -n "$failed" ] || echo "zaptrace cannot be built here yet:" >&2
    failed=1
    printf '  needed   %s\n  do       %s\n' "$1" "$2" >&2
}

if [ -z "$best" ]; then
    lacks "python3, 3.11 or newer" "apt-get install python3   (or dnf, apk, pacman; or set PYTHON=)"
fi
case " $best_missing " in *" venv "*)
    lacks "the venv module of $best" "apt-get install python3-venv" ;; esac
case " $best_missing " in *" headers "*)
    lacks "Python.h of $best" "apt-get install python3-dev   (dnf: python3-devel, apk: python3-dev)" ;; esac
if ! command -v "${CC:-cc}" >/dev/null 2>&1; then
    lacks "a C compiler (${CC:-cc})" "apt-get install gcc libc6-dev   (dnf: gcc, apk: build-base)"
elif ! printf '#include <stdio.h>\nint main(void) { return 0; }\n' |
        "${CC:-cc}" -x c -fsyntax-only - 2>/dev/null; then
    lacks "the C library's headers" "apt-get install libc6-dev   (dnf: glibc-devel, apk: musl-dev)"
fi
[ -z "$failed" ] || exit 1
echo "$best"
