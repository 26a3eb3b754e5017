#!/bin/sh
# The rock, each time into a fresh tree and without a network, and what was installed is used: made from a copy of the
# sources, installed from a binary rock, installed from a source rock; and what is said where libuv is missing.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# luarocks runs on whatever Lua it was installed for, so it must not see the paths of this one; nor must what was
# installed.
unset LUA_PATH LUA_CPATH LUAWAIT_BUILD MAKEFLAGS MFLAGS MAKELEVEL

rocks() {
  luarocks --lua-version 5.4 "$@" >"$work/log" 2>&1
}

must() {
  "$@" && return
  cat "$work/log" >&2
  echo "failed: $*" >&2
  exit 1
}

# Uses what stands in the tree $1, as a module and as the command; $2 says what it is.
use() {
  (
    cd "$1"
    LUA_PATH="$1/share/lua/5.4/?.lua;$1/share/lua/5.4/?/init.lua" LUA_CPATH="$1/lib/lua/5.4/?.so" "$LUA" -e '
      local async = require "luawait"
      local hello = async(function(name) async.sleep(0.001) return "hello from " .. name end)
      print(async.run(hello(arg[1])))' - "$2" </dev/null
    "$1/bin/luawait" -e 'print(async.sleep(0.001, async._VERSION), (package.searchpath("luawait", package.path)))'
  ) >"$work/log" 2>&1
  cat "$work/log"
  grep -qx "hello from $2" "$work/log" && grep -q "$1/share/lua/5.4/luawait/init.lua" "$work/log"
}

mkdir "$work/source"
cd "$root"
cp -R CMakeLists.txt bin cmake csrc lua rockspec README.md LICENSE "$work/source/"
cd "$work/source"
must rocks make --tree "$work/made" rockspec/luawait-scm-1.rockspec
must use "$work/made" "the rock made from a checkout"

cd "$work"
must rocks pack --tree "$work/made" luawait
must rocks install --tree "$work/binary" "$work"/luawait-scm-1.*.rock
must use "$work/binary" "the binary rock"

must "$root/scripts/rock.sh" "$work/release" >"$work/log" 2>&1
rm "$work/release"/*.tar.gz "$work/release"/*.rockspec # all it needs is in it
must rocks install --tree "$work/packed" "$work"/release/*.src.rock
must use "$work/packed" "the source rock"

cd "$work/source"
rm -rf build.luarocks
if PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH='' rocks make --tree "$work/none" rockspec/luawait-scm-1.rockspec; then
  echo "failed: built without libuv" >&2
  exit 1
fi
must grep -A3 'libuv 1.43 or later, with its headers, was not found' "$work/log"
must grep -q 'apt-get install pkg-config libuv1-dev' "$work/log"
must grep -q 'LIBUV_DIR=/prefix' "$work/log"
