#!/bin/sh
# Under valgrind, where a leak or a bad access is a failure: conformance scenarios, and programs that use the C API,
# which `make valgrind` has built. With arguments only scenarios: scripts/valgrind.sh PREFIX...
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
. "$root/scripts/tally.sh"
cd "$root"
valgrind="valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=99"
valgrind="$valgrind --keep-debuginfo=yes"

scenarios() {
  filters=
  for prefix in "$@"; do
    filters="$filters --filter $prefix"
  done
  # shellcheck disable=SC2086 # words
  suite "conformance under valgrind" \
    python3 spec/conformance/run.py --verbose --limit 120 $filters "$valgrind $LUA spec/support/virtual_run.lua"
}

# Each case of the programs for the C API, and examples.
programs() {
  embed=${LUAWAIT_BUILD:-build}/embed
  # shellcheck disable=SC2086 # words
  for program in embed_tasks embed_futures embed_limits embed_faults; do
    for case in $("$embed/$program"); do
      check "$program $case" timeout 120 $valgrind "$embed/$program" "$case"
    done
  done
  # shellcheck disable=SC2086
  for program in "embed_memory each_request_fails" async_function host_loop poll_loop plugins "game_loop 10"; do
    check "$program" timeout 120 $valgrind "$embed/"$program
  done
}

if [ $# -gt 0 ]; then
  scenarios "$@"
else
  scenarios gather_ group_ run_ timeout_basic task_cancel sem_ seed_three
  programs
fi
tally_end
