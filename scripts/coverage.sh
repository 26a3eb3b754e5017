#!/bin/sh
# Runs the specs and the conformance scenarios on a build that counts, and prints which lines of C and of Lua they reach:
# scripts/coverage.sh [SPEC...]. A test that fails here is named, but it is not what is judged.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
LUAWAIT_BUILD=build-coverage
CC=gcc LUAWAIT_WERROR=OFF
export LUAWAIT_BUILD CC LUAWAIT_WERROR
build=$root/$LUAWAIT_BUILD
rm -rf "$build" # what a file counted that has changed or gone since would be added up with the rest
# Atomic: the threads of the pool count the same lines, and gcovr takes no number below 0.
scripts/build.sh "$LUAWAIT_BUILD" -DLUAWAIT_LTO=OFF -DLUAWAIT_TESTS=ON -DCMAKE_BUILD_TYPE=Debug \
  "-DCMAKE_C_FLAGS=--coverage -fprofile-update=atomic" >/dev/null

lua=$(scripts/find_lua.sh)
headers=$(pkg-config --cflags lua5.4 2>/dev/null || pkg-config --cflags lua-5.4 || pkg-config --cflags lua54)
# shellcheck disable=SC2086 # words
"$CC" -std=gnu11 -O1 -shared -fPIC $headers -o "$build/linecount.so" spec/support/linecount.c

LUAWAIT_LINES=$build/lines LUA=$root/scripts/coverage_lua.sh
export LUAWAIT_LINES LUA
LUA_CPATH="$build/?.so;;"
export LUA_CPATH
. scripts/env.sh

run() {
  "$@" >"$build/log" 2>&1 </dev/null || grep -A 1 -E '^(FAIL|Failure ->|Error ->)' "$build/log" || tail -n 20 "$build/log"
  tail -n 1 "$build/log"
}

run scripts/spec.sh "$@"
run scripts/conformance.sh

echo
# The one file whose functions stand in it twice, for builds with faults and without, is more than gcovr can add up.
for metric in "" --branches; do
  # shellcheck disable=SC2086 # a word or none
  (cd "$build" && gcovr --root "$root" --filter "$root/csrc/" --exclude "$root/csrc/core/call_faults.c" \
    --exclude-unreachable-branches $metric .)
done
cat "$build"/lines.* >"$build/lines"
luac=luac
for name in luac5.4 luac-5.4 luac54; do
  ! command -v "$name" >/dev/null 2>&1 || luac=$name
done
echo
"$lua" scripts/coverage.lua "$luac" "$build/lines"
