#!/bin/sh
# Everything that `make test` checks, with the counts of all of it in the last line.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
. "$root/scripts/tally.sh"
cd "$root"

suite "specs" scripts/spec.sh
suite "conformance" scripts/conformance.sh --verbose
check "layers" "$LUA" scripts/layers.lua
check "luacheck" scripts/luacheck.sh
check "luarocks install" scripts/luarocks.sh
tally_end
