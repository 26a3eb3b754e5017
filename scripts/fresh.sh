#!/bin/sh
# Runs `make demo` and `make test` on a fresh Debian: scripts/fresh.sh [SUITE]
# The system (default: trixie, whose libuv and Lua are newer than those of bookworm) is made for it, with nothing but git,
# make and an older Lua, and has a copy of this checkout without what was built. Needs root, and debootstrap.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
suite=${1:-trixie}
PATH=$PATH:/usr/sbin:/sbin

if ! command -v debootstrap >/dev/null || ! unshare --mount true; then
  echo "fresh: needs debootstrap, and root that may mount"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi

system=$(mktemp -d)
trap 'rm -rf --one-file-system "$system" "$system.log"' EXIT
chmod 755 "$system"

debootstrap --variant=minbase --include=git,make,lua5.1 "$suite" "$system" >"$system.log" 2>&1 || {
  cat "$system.log"
  exit 1
}
cp /etc/hosts "$system/etc/"
mkdir "$system/srv/luawait"
tar -C "$root" --exclude=./.git --exclude='./build*' --exclude=./.rocks --exclude=./.cache -c . |
  tar -C "$system/srv/luawait" --no-same-owner -x

# Its mounts end with it.
# shellcheck disable=SC2016 # the variables of that shell
unshare --mount sh -eu -c '
  mount --rbind /proc "$1/proc"
  mount --rbind /dev "$1/dev"
  chroot "$1" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LUAWAIT_WERROR="${LUAWAIT_WERROR:-OFF}" \
    make --no-print-directory -C /srv/luawait demo test' sh "$system"
