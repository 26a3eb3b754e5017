# To be sourced with $root set: exports LUA, LUA_PATH and LUA_CPATH so that this checkout's luawait is what loads,
# here and in every program started from here. LUAWAIT_BUILD names the build directory (default: build).
# shellcheck shell=sh disable=SC2154

LUAWAIT_BUILD=${LUAWAIT_BUILD:-build}
case $LUAWAIT_BUILD in
  /*) ;;
  *) LUAWAIT_BUILD=$root/$LUAWAIT_BUILD ;;
esac

rocks=$root/.rocks
LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;$root/?.lua;$rocks/share/lua/5.4/?.lua;$rocks/share/lua/5.4/?/init.lua;;"
LUA_CPATH="$LUAWAIT_BUILD/?.so;$rocks/lib/lua/5.4/?.so;;"
# These would come before LUA_PATH, or run code of the user's own in each interpreter.
unset LUA_PATH_5_4 LUA_CPATH_5_4 LUA_INIT LUA_INIT_5_4

# nginx is in sbin, which is not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin:$rocks/bin
LUA=$("$root/scripts/find_lua.sh")

export LUAWAIT_BUILD LUA LUA_PATH LUA_CPATH PATH
