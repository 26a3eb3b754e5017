#!/bin/sh
# Prints the version.
set -eu
sed -n 's/^project(luawait VERSION \([0-9.]*\).*/\1/p' "$(dirname "$0")/../CMakeLists.txt"
