#!/bin/sh
# Several Lua states in several threads, the monitor's threads, those of look-ups, and calls through the C API from other
# threads, under ThreadSanitizer.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/sanitized.sh
. scripts/tally.sh

sanitized thread
host=$LUAWAIT_BUILD/threads
lua_flags=$(pkg-config --cflags --libs lua5.4 2>/dev/null || pkg-config --cflags --libs lua-5.4 ||
  pkg-config --cflags --libs lua54)
# shellcheck disable=SC2086 # words
"$CC" -std=c11 -g -fsanitize=thread -Wl,-E -o "$host" spec/support/threads.c $lua_flags -lm -lpthread

# Its map of the memory has no room for the most random of layouts.
quiet=
if setarch "$(uname -m)" -R true 2>/dev/null; then quiet="setarch $(uname -m) -R"; fi
# shellcheck disable=SC2086 # words
threads() { timeout 240 $quiet "$host" "$@" spec/support/threads.lua; }

check "several states in several threads" threads 4
check "several states, interrupted" threads 3 interrupt
check "one state, interrupted" threads 1 interrupt

futures=$LUAWAIT_BUILD/embed/embed_futures
for case in $("$futures"); do
  # shellcheck disable=SC2086 # words
  check "C API, $case" timeout 240 $quiet "$futures" "$case"
done
tally_end
