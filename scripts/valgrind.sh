#!/bin/sh
# Runs conformance scenarios under valgrind; a leak or a bad access fails one: scripts/valgrind.sh [PREFIX...]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
[ $# -gt 0 ] || set -- gather_ group_ run_ timeout_basic task_cancel sem_ seed_three
filters=
for prefix in "$@"; do
  filters="$filters --filter $prefix"
done
options="--quiet --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=99 --keep-debuginfo=yes"
# shellcheck disable=SC2086 # words
exec python3 spec/conformance/run.py --verbose --limit 120 $filters "valgrind $options $LUA spec/support/virtual_run.lua"
