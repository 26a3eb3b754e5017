#!/bin/sh
# Runs the conformance scenarios on this checkout, on the virtual clock: scripts/conformance.sh [OPTION...] (see
# spec/conformance/run.py)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
exec python3 "$root/spec/conformance/run.py" "$@" -- "$LUA" "$root/spec/support/virtual_run.lua"
