#!/bin/sh
# Configures and builds into a directory (default: build): scripts/build.sh [DIR [CMAKE OPTION...]]
# What the directory was configured with before stays so, where nothing else is asked for.
# Environment: CC, LUAWAIT_WERROR=ON (warnings are errors), LUAWAIT_TARGET (default: all that is installed).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

directory=${1:-${LUAWAIT_BUILD:-build}}
[ $# -eq 0 ] || shift

PKG_CONFIG_PATH=${PKG_CONFIG_PATH:-}:/opt/homebrew/opt/lua@5.4/lib/pkgconfig:/usr/local/opt/lua@5.4/lib/pkgconfig
export PKG_CONFIG_PATH
# This build has its own jobs; it takes none from a make that called it.
unset MAKEFLAGS MFLAGS MAKELEVEL
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -S . -B "$directory" ${LUAWAIT_WERROR:+"-DLUAWAIT_WERROR=$LUAWAIT_WERROR"} "$@" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
grep -A2 '^CMake Warning' "$log" >&2 || true
cmake --build "$directory" --parallel "$jobs" ${LUAWAIT_TARGET:+--target "$LUAWAIT_TARGET"}
