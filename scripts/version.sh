#!/bin/sh
# Prints the version, which stands in csrc/luawait.h.
set -eu
sed -n 's/^#define LUAWAIT_VERSION "\([0-9.]*\)".*/\1/p' "$(dirname "$0")/../csrc/luawait.h"
