#!/bin/sh
# Builds with ASan and UBSan into build-asan, and runs the specs and the conformance scenarios there, with the leak check.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

[ "$(uname -s)" = Linux ] || { echo "asan: works on Linux only, with gcc" >&2; exit 1; }
CC=${CC:-gcc}
# The instrumented code draws warnings of its own.
export CC LUAWAIT_BUILD=build-asan LUAWAIT_WERROR=OFF
scripts/build.sh "$LUAWAIT_BUILD" -DLUAWAIT_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O1 -g"

# The interpreter is the system's own, so the runtime is preloaded into it, and then forgotten: other programs that a
# spec starts (sh, nginx, python3) run as they are.
forget=$root/$LUAWAIT_BUILD/libforget_preload.so
"$CC" -shared -fPIC -o "$forget" cmake/forget_preload.c
LUAWAIT_ASAN_PRELOAD="$("$CC" -print-file-name=libasan.so):$forget"
LUA=$root/scripts/asan_lua.sh
ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1:${ASAN_OPTIONS:-}
UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}
# Specs may do fewer rounds of the same where everything is slow.
LUAWAIT_SLOW=1
export LUA LUAWAIT_ASAN_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS LUAWAIT_SLOW

. "$root/scripts/env.sh"
. "$root/scripts/tally.sh"
suite "specs under ASan and UBSan" scripts/spec.sh "$@"
suite "conformance under ASan and UBSan" scripts/conformance.sh --verbose
tally_end
