#!/bin/sh
# Makes the rock of this version: scripts/rock.sh DIRECTORY [URL]. Writes into DIRECTORY the sources (luawait-VERSION.tar.gz),
# a rockspec for them, and a source rock that has both in it. URL is where the sources will be found (default: there).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { echo "usage: scripts/rock.sh DIRECTORY [URL]" >&2; exit 2; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)

version=$("$root/scripts/version.sh")
name=luawait-$version
url=${2:-file://$directory/$name.tar.gz}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/$name"
cd "$root"
cp -R CMakeLists.txt bin cmake csrc lua rockspec docs README.md CHANGELOG.md LICENSE "$work/$name/"
tar -C "$work" -czf "$directory/$name.tar.gz" "$name"
sed -e "s/scm-1/$version-1/" -e "s|git+file://\.|$url|" -e '/-- Built from a checkout/d' \
  rockspec/luawait-scm-1.rockspec >"$directory/$name-1.rockspec"

cd "$directory"
unset LUA_PATH LUA_CPATH
luarocks --lua-version 5.4 pack "$name-1.rockspec"
