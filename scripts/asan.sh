#!/bin/bash
# scripts/asan.sh COMMAND...
#
# Runs COMMAND so that zaptrace's extension is built, or used, with AddressSanitizer and
# UndefinedBehaviorSanitizer. Python itself is not instrumented, hence the preload; tests/harness/runs.py
# keeps the preload away from the programs in pods.
set -euo pipefail

runtime=$("${CC:-cc}" -print-file-name=libasan.so)
if [ "$runtime" = libasan.so ]; then
    printf 'needed   the sanitizer runtime of %s\ndo       apt-get install gcc\n' "${CC:-cc}" >&2
    exit 1
fi
case " $* " in
    *" setup.py "*) ZAPTRACE_SANITIZE=address,undefined exec "$@" ;;
esac
# Python leaks on purpose at exit; its allocator would hide overflows in small blocks.
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:handle_segv=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export PYTHONMALLOC=malloc PYTHONPATH=$PWD/build/asan ZAPTRACE_TEST_ASAN=1
export LD_PRELOAD=$runtime
exec "$@"
