#!/bin/sh
# Installs the rockspec into a fresh tree, from a copy of the sources and without a network, and runs what was installed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
cd "$root"
cp -R CMakeLists.txt bin cmake csrc lua rockspec LICENSE "$work/source/"
cd "$work/source"

# luarocks runs on whatever Lua it was installed for, so it must not see the paths of this one.
unset LUA_PATH LUA_CPATH MAKEFLAGS MFLAGS MAKELEVEL
if ! luarocks --lua-version 5.4 make --tree "$work/tree" rockspec/luawait-scm-1.rockspec >"$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi

cd "$work/tree"
LUA_PATH="$work/tree/share/lua/5.4/?.lua;$work/tree/share/lua/5.4/?/init.lua"
LUA_CPATH="$work/tree/lib/lua/5.4/?.so"
export LUA_PATH LUA_CPATH
"$LUA" -e '
  local async = require "luawait"
  local hello = async(function(name) async.sleep(0.001) return "hello from " .. name end)
  print(async.run(hello("the installed rock")))
  print(package.searchpath("luawait.core", package.cpath))' >"$work/out"
cat "$work/out"
grep -qx 'hello from the installed rock' "$work/out"

unset LUA_PATH LUA_CPATH LUAWAIT_BUILD
"$work/tree/bin/luawait" -e 'print(async.sleep(0.001, "hello from the command"), package.searchpath("luawait", package.path))' \
  >"$work/out"
cat "$work/out"
grep -q 'hello from the command' "$work/out"
