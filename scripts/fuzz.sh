#!/bin/sh
# Fuzzes what parses bytes, under ASan and UBSan: scripts/fuzz.sh [SECONDS [TARGET...]] (default: 24, shared by all the
# targets of spec/fuzz). An input that fails is kept in build-fuzz/found; to run it again:
#   scripts/fuzz.sh FILE TARGET
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/env.sh
. scripts/tally.sh

what=${1:-24}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- stream http url address
build=$root/build-fuzz

CC=clang LUAWAIT_WERROR=ON scripts/build.sh "$build" -DLUAWAIT_SANITIZE=fuzzer-no-link,address,undefined \
  -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O1 -g" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
cmake --build "$build" --target fuzz >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
rm -f "$build.log"

export FUZZ_ROOT="$root" FUZZ_TARGET
# What Lua code leaves to its collector looks like a leak after each input; a real one shows when the state is closed.
options="-detect_leaks=0 -close_fd_mask=1 -max_len=4096 -timeout=20 -artifact_prefix=$build/found/ -print_final_stats=1"

fuzz() {
  FUZZ_TARGET=$1
  if [ -e "$what" ]; then
    "$build/fuzz" "$what"
    return
  fi
  mkdir -p "$build/corpus/$1" "$build/found"
  # shellcheck disable=SC2086 # words
  "$build/fuzz" $options "-max_total_time=$2" "$build/corpus/$1" "spec/fuzz/corpus/$1" 2>"$build/$1.log" || {
    tail -60 "$build/$1.log"
    return 1
  }
  grep -E "stat::number_of_executed_units|^Done" "$build/$1.log"
}

for target in "$@"; do
  check "fuzz $target" fuzz "$target" "$([ -e "$what" ] || echo $((what / $#)))"
done
tally_end
