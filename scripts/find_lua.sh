#!/bin/sh
# Prints the path of a Lua 5.4 interpreter, whatever the default `lua` of this machine is.
# LUA in the environment overrides the search; it must be Lua 5.4 too.
set -eu

PATH=$PATH:/opt/homebrew/opt/lua@5.4/bin:/usr/local/opt/lua@5.4/bin

is_lua54() {
  [ "$("$1" -e 'io.write(_VERSION)' 2>/dev/null)" = "Lua 5.4" ]
}

if [ -n "${LUA:-}" ]; then
  is_lua54 "$LUA" || { echo "find_lua: LUA=$LUA is not a Lua 5.4 interpreter" >&2; exit 1; }
  command -v "$LUA"
  exit 0
fi

for name in lua5.4 lua54 lua-5.4 lua; do
  if path=$(command -v "$name") && is_lua54 "$path"; then
    echo "$path"
    exit 0
  fi
done
echo "find_lua: no Lua 5.4 interpreter found (make setup installs one, or set LUA)" >&2
exit 1
