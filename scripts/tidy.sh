#!/bin/sh
# clang-tidy on the C files, with the checks of .clang-tidy: scripts/tidy.sh [FILE...] (default: all of csrc)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
# shellcheck disable=SC2046 # names without spaces
[ $# -gt 0 ] || set -- $(find csrc -name '*.c' | sort)
build=build-tidy
log=$(mktemp)
trap 'rm -f "$log"' EXIT
CC=clang cmake -S . -B "$build" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >"$log" 2>&1 || { cat "$log"; exit 1; }
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Findings go to stdout; what it counts, system headers included, to stderr.
printf '%s\n' "$@" | xargs -P "$jobs" -n 4 clang-tidy --quiet -p "$build" \
  --extra-arg=-include --extra-arg="$root/cmake/tidy.h" 2>"$log" || { tail -n 20 "$log"; exit 1; }
echo "$# files, clean"
