#!/bin/sh
# Static checks of the sources: layers, luacheck, and the format of the C files where clang-format is installed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
"$LUA" scripts/layers.lua
scripts/luacheck.sh
scripts/format.sh --dry-run --Werror
