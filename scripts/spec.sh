#!/bin/sh
# Runs specs with busted under Lua 5.4: scripts/spec.sh [FILE OR BUSTED OPTION...] (default: all of spec/).
# The runner is loaded as a module, because the installed `busted` may belong to another Lua.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
[ $# -gt 0 ] || set -- spec
exec "$LUA" scripts/busted.lua --output "$root/scripts/busted_report.lua" "$@"
