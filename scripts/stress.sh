#!/bin/sh
# Random programs over the whole API, under ASan and UBSan: scripts/stress.sh [SECONDS [SEED [COUNT]]] (default: 20).
# Half of the time Lua runs a full collection at every allocation. The seed of the program that failed, or hung, is
# printed; with that seed and a count of 1 it is run again.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/sanitized.sh
. scripts/tally.sh

sanitized address
STRESS_SECONDS=$(((${1:-20} + 1) / 2))
STRESS_SEED=${2:-$(date +%s)}
STRESS_COUNT=${3:-}
STRESS_NOTE=$LUAWAIT_BUILD/stress.seed
export STRESS_SECONDS STRESS_SEED STRESS_COUNT STRESS_NOTE
limit=$((STRESS_SECONDS * 2 + 120))

host=$LUAWAIT_BUILD/torture
lua_flags=$(pkg-config --cflags --libs lua5.4 2>/dev/null || pkg-config --cflags --libs lua-5.4 ||
  pkg-config --cflags --libs lua54)
# shellcheck disable=SC2086 # words
"$CC" -std=c11 -g -fsanitize=address -Wl,-E -o "$host" spec/support/torture.c $lua_flags -lm

program=$LUAWAIT_BUILD/stress.lua
echo 'print(require("spec.stress.stress")() .. " programs")' >"$program"
echo "seed $STRESS_SEED"
programs() {
  timeout "$limit" "$@" "$program" || { echo "in the program of seed $(cat "$STRESS_NOTE")" && false; }
}
check "stress, a full collection at every allocation" programs "$host" collect 1
check "stress, all modes of the collector" programs "$LUA"
tally_end
