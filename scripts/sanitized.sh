# To be sourced with $root set: builds with sanitizers and sets the environment so that everything runs on that build.
#   sanitized address    into build-asan, with ASan, UBSan and the leak check
#   sanitized thread     into build-tsan, with ThreadSanitizer
# The interpreter is the system's own, so the runtime is preloaded into it, and then forgotten: other programs that a
# spec starts (sh, nginx, python3) run as they are.
# shellcheck shell=sh disable=SC2154

sanitized() {
  [ "$(uname -s)" = Linux ] || { echo "the sanitizers work on Linux only, with gcc" >&2; exit 1; }
  case $1 in
    address) LUAWAIT_BUILD=build-asan sanitizers=address,undefined runtime=libasan.so ;;
    thread) LUAWAIT_BUILD=build-tsan sanitizers=thread runtime=libtsan.so ;;
  esac
  CC=${CC:-gcc}
  # The instrumented code draws warnings of its own.
  LUAWAIT_WERROR=OFF
  export CC LUAWAIT_BUILD LUAWAIT_WERROR
  "$root/scripts/build.sh" "$LUAWAIT_BUILD" "-DLUAWAIT_SANITIZE=$sanitizers" -DLUAWAIT_TESTS=ON -DCMAKE_BUILD_TYPE=Debug \
    "-DCMAKE_C_FLAGS_DEBUG=-O1 -g"

  forget=$root/$LUAWAIT_BUILD/libforget_preload.so
  "$CC" -shared -fPIC -o "$forget" "$root/cmake/forget_preload.c"
  LUAWAIT_PRELOAD="$("$CC" -print-file-name="$runtime"):$forget"
  LUA=$root/scripts/preload_lua.sh
  ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1:${ASAN_OPTIONS:-}
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$root/cmake/tsan.supp:${TSAN_OPTIONS:-}
  # Specs may do fewer rounds of the same where everything is slow.
  LUAWAIT_SLOW=1
  export LUA LUAWAIT_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS LUAWAIT_SLOW
  . "$root/scripts/env.sh"
}
