#!/bin/sh
# Runs Lua 5.4 with this checkout's luawait on its paths: scripts/lua.sh examples/fetch_all.lua --help
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
exec "$LUA" "$@"
