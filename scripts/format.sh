#!/bin/sh
# Formats the C files by .clang-format, in place; options (such as --dry-run --Werror) go to clang-format.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if ! command -v clang-format >/dev/null 2>&1; then
  echo "format: clang-format is not installed; nothing done" >&2
  exit 0
fi
find csrc bench examples -name '*.[ch]' -exec clang-format -i "$@" {} +
