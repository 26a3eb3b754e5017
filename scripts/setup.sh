#!/bin/sh
# Installs what is missing, and only that: scripts/setup.sh [demo|test|ci|coverage|bench] (default: test).
# Uses the system's package manager (apt-get, dnf, apk or brew), with sudo where that is needed and there is one.
# Does nothing, quickly, when all is there.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

rocks=$root/.rocks
PATH=$PATH:/usr/sbin:/sbin:$rocks/bin
PKG_CONFIG_PATH=${PKG_CONFIG_PATH:-}:/opt/homebrew/opt/lua@5.4/lib/pkgconfig:/usr/local/opt/lua@5.4/lib/pkgconfig
export PATH PKG_CONFIG_PATH
# The user's own Lua start-up code and paths have no say in what is missing.
unset LUA_INIT LUA_INIT_5_4 LUA_PATH_5_4 LUA_CPATH_5_4

group=${1:-test}
demo="compiler cmake pkg-config lua lua-headers libuv"
test="busted luacheck luarocks zip unzip nginx python3 curl socat ps tar c++"
# What a part of it needs, which is left out without it: that it cannot be had here is no failure.
extra="libedit luv"
case $group in
  demo) wanted=$demo ;;
  test) wanted="$demo $test $extra" ;;
  ci) wanted="$demo $test $extra clang clang-tidy libfuzzer valgrind libasan libtsan debootstrap" ;;
  coverage) wanted="$demo $test $extra gcovr" ;;
  bench) wanted="$demo python3" ;;
  *) echo "usage: scripts/setup.sh [demo|test|ci|coverage|bench]" >&2; exit 2 ;;
esac

find_lua() {
  "$root/scripts/find_lua.sh" 2>/dev/null
}

has_command() {
  command -v "$1" >/dev/null 2>&1
}

compiles() {
  printf '#include <stdlib.h>\n' | "${CC:-cc}" -x c -fsyntax-only - 2>/dev/null
}

has_lua_headers() {
  pkg-config --exists lua5.4 || pkg-config --exists lua-5.4 || pkg-config --exists lua54 ||
    pkg-config --exists 'lua >= 5.4' 'lua < 5.5'
}

has_busted() {
  lua=$(find_lua) &&
    LUA_PATH="$rocks/share/lua/5.4/?.lua;$rocks/share/lua/5.4/?/init.lua;;" LUA_CPATH="$rocks/lib/lua/5.4/?.so;;" \
      "$lua" -e 'require "busted.core"' >/dev/null 2>&1
}

# A sanitizer's runtime: libasan, libtsan.
has_runtime() {
  [ "$(uname -s)" != Linux ] || [ -e "$("${CC:-cc}" -print-file-name="$1.so" 2>/dev/null)" ]
}

has_libfuzzer() {
  program=$(mktemp)
  printf 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n > 0; }' |
    clang -fsanitize=fuzzer,address -x c -o "$program" - 2>/dev/null && status=0 || status=1
  rm -f "$program"
  return "$status"
}

has() {
  case $1 in
    compiler) compiles ;;
    lua) find_lua >/dev/null ;;
    lua-headers) has_command pkg-config && has_lua_headers ;;
    libuv) has_command pkg-config && pkg-config --atleast-version=1.43 libuv ;;
    busted) has_busted ;;
    luv) find_lua >/dev/null && "$(find_lua)" -e 'require "luv"' 2>/dev/null ;;
    libedit) [ "$(uname -s)" = Darwin ] || { has_command pkg-config && pkg-config --exists libedit; } ;;
    libasan | libtsan) has_runtime "$1" ;;
    libfuzzer) has_libfuzzer ;;
    *) has_command "$1" ;;
  esac
}

missing() {
  for thing in $wanted; do
    has "$thing" || printf '%s ' "$thing"
  done
}

# It has the version of clang in its name, which the metapackage `clang` tells; older systems have it in clang itself.
apt_libfuzzer() {
  version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
  for name in "libclang-rt-$version-dev" "libclang-common-$version-dev"; do
    if apt-cache show "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
}

# What a thing is called there; nothing where the system has no such package.
apt_packages() {
  case $1 in
    compiler) echo gcc libc6-dev ;;
    c++) echo g++ ;;
    lua) echo lua5.4 ;;
    lua-headers) echo liblua5.4-dev ;;
    libuv) echo libuv1-dev ;;
    libedit) echo libedit-dev ;;
    luv) echo lua-luv ;;
    busted) echo lua-busted ;;
    luacheck) echo lua-check ;;
    ps) echo procps ;;
    libasan | libtsan) echo gcc ;;
    libfuzzer) apt_libfuzzer ;;
    *) echo "$1" ;;
  esac
}

dnf_packages() {
  case $1 in
    compiler) echo gcc glibc-devel ;;
    c++) echo gcc-c++ ;;
    pkg-config) echo pkgconf-pkg-config ;;
    lua-headers) echo lua-devel ;;
    libuv) echo libuv-devel ;;
    libedit) echo libedit-devel ;;
    luv) ;;
    busted) echo luarocks ;;
    libasan) echo libasan libubsan ;;
    libtsan) echo libtsan ;;
    ps) echo procps-ng ;;
    clang-tidy) echo clang-tools-extra ;;
    libfuzzer) echo compiler-rt ;;
    *) echo "$1" ;;
  esac
}

apk_packages() {
  case $1 in
    compiler) echo gcc musl-dev ;;
    c++) echo g++ ;;
    pkg-config) echo pkgconf ;;
    lua) echo lua5.4 ;;
    lua-headers) echo lua5.4-dev ;;
    libuv) echo libuv-dev ;;
    libedit) echo libedit-dev ;;
    luv) ;;
    busted | luacheck | luarocks) echo luarocks5.4 luarocks ;;
    libasan | libtsan) ;;
    ps) echo procps ;;
    clang-tidy) echo clang-extra-tools ;;
    libfuzzer) echo compiler-rt ;;
    *) echo "$1" ;;
  esac
}

brew_packages() {
  case $1 in
    compiler | c++) echo "setup: no C compiler: run xcode-select --install" >&2 ;;
    pkg-config) echo pkgconf ;;
    lua | lua-headers) echo lua@5.4 ;;
    busted) echo luarocks ;;
    clang | clang-tidy | libfuzzer) echo llvm ;;
    python3) echo python ;;
    libasan | libtsan | valgrind | luv | debootstrap) ;;
    *) echo "$1" ;;
  esac
}

packages() {
  for thing in $things; do
    "$1_packages" "$thing"
  done | tr ' ' '\n' | sort -u | tr '\n' ' '
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# A web server that apt-get installs is started at once, on port 80, unless policy-rc.d forbids it.
without_services() {
  policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod +x "$policy"
  trap 'as_root rm -f "$policy"' EXIT
  "$@"
  as_root rm -f "$policy"
  trap - EXIT
}

apt_update() {
  as_root apt-get update -q || echo "setup: apt-get update failed; trying with the lists that are there" >&2
}

apt_install() {
  set -- as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  case " $things " in
    *" nginx "*) without_services "$@" ;;
    *) "$@" ;;
  esac
}

find_manager() {
  for manager in apt-get dnf apk brew; do
    if has_command "$manager"; then
      echo "$manager"
      return
    fi
  done
  echo "setup: no package manager that this script knows (apt-get, dnf, apk, brew)." >&2
  echo "setup: install these by hand, then run again: $things" >&2
  return 1
}

install_packages() {
  manager=$(find_manager)
  if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ] && ! has_command sudo; then
    names=$(packages "${manager%-get}")
    echo "setup: not root, and no sudo here; install these packages as root, then run again: $names" >&2
    exit 1
  fi
  [ "$manager" != apt-get ] || apt_update # some names are known by its lists only
  names=$(packages "${manager%-get}")
  # shellcheck disable=SC2086 # names holds words
  case $manager in
    apt-get) apt_install $names ;;
    dnf) as_root dnf install -y $names ;;
    apk) as_root apk add $names ;;
    brew) brew install $names ;;
  esac
}

# busted and luacheck where the system has no package of them for Lua 5.4.
install_rock() {
  has_command luarocks || return 0
  echo "setup: installing the rock $1 into $rocks"
  luarocks --lua-version 5.4 --tree "$rocks" install "$1" || true
}

things=$(missing)
[ -n "$things" ] || exit 0
echo "setup: missing: $things"
install_packages
for rock in busted luacheck; do
  case " $(missing) " in
    *" $rock "*) install_rock "$rock" ;;
  esac
done

things=$(missing)
for thing in $extra; do
  case " $things" in
    *" $thing "*) echo "setup: without $thing: what needs it is left out" ;;
  esac
  things=$(echo "$things" | sed "s/\(^\| \)$thing /\1/")
done
if [ -n "$things" ]; then
  echo "setup: still missing: $things(luawait needs Lua 5.4 and libuv 1.43 or later)" >&2
  exit 1
fi
