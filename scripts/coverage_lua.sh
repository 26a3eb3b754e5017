#!/bin/sh
# Lua 5.4 that notes which lines of luawait's own run. Set as LUA by scripts/coverage.sh.
set -eu
lua=$(env -u LUA "$(dirname "$0")/find_lua.sh")
exec "$lua" -l linecount "$@"
