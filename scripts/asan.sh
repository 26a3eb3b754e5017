#!/bin/sh
# Builds with ASan and UBSan into build-asan, and runs the specs and the conformance scenarios there, with the leak check.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/sanitized.sh
. scripts/tally.sh

sanitized address
suite "specs under ASan and UBSan" scripts/spec.sh "$@"
suite "conformance under ASan and UBSan" scripts/conformance.sh --verbose
tally_end
