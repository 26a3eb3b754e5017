#!/bin/sh
# Lua 5.4 with the sanitizers' runtime loaded before a module that was built with them. Set as LUA by
# scripts/sanitized.sh.
set -eu
lua=$(env -u LUA "$(dirname "$0")/find_lua.sh")
LD_PRELOAD=$LUAWAIT_PRELOAD exec "$lua" "$@"
