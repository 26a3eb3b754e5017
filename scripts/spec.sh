#!/bin/sh
# Runs specs with busted under Lua 5.4: scripts/spec.sh [FILE OR BUSTED OPTION...]
# Without arguments all of spec/, each file in a process of its own, at a time two more than there are processors.
# The runner is loaded as a module, because the installed `busted` may belong to another Lua.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
# What `python3` runs in the end: a version manager's stand-in takes several times as long to start.
LUAWAIT_PYTHON=${LUAWAIT_PYTHON:-$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null || echo python3)}
export LUAWAIT_PYTHON
if [ $# -gt 0 ]; then
  exec "$LUA" scripts/busted.lua --output "$root/scripts/busted_report.lua" "$@"
fi

. "$root/scripts/tally.sh"
logs=$(mktemp -d)
trap 'rm -rf "$logs" "$tally_log" "$tally_log.status"' EXIT

export logs
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Those that take longest begin first.
{
  ls spec/core/memory_spec.lua spec/examples/fetch_all_spec.lua spec/io/faults_spec.lua spec/io/interplay_spec.lua \
    spec/packaging/install_spec.lua
  find spec -name '*_spec.lua' | sort
} | awk '!seen[$0]++' >"$logs/files"
# shellcheck disable=SC2016 # the variables of that shell
xargs -P "$((jobs + 2))" -n 1 sh -c '
  status=0
  scripts/spec.sh "$1" >"$logs/$(echo "$1" | tr / -)" 2>&1 </dev/null || status=$?
  echo "$status $1"' sh <"$logs/files" | {
  missing=$(($(wc -l <"$logs/files")))
  while read -r status file; do
    suite "$file" sh -c 'cat "$1"; exit "$2"' sh "$logs/$(echo "$file" | tr / -)" "$status"
    missing=$((missing - 1))
  done
  [ "$missing" -eq 0 ] || check "$missing files of specs that did not run to their end" false
  tally_end
}
