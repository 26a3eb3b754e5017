# The target PkgConfig::LIBUV, found with pkg-config; LIBUV_LIBDIR, which luarocks knows from LIBUV_DIR, is looked into
# first.
if(LIBUV_LIBDIR)
  set(ENV{PKG_CONFIG_PATH} "${LIBUV_LIBDIR}/pkgconfig:$ENV{PKG_CONFIG_PATH}")
endif()
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(LIBUV QUIET IMPORTED_TARGET libuv>=1.43)
endif()
if(NOT LIBUV_FOUND)
  message(FATAL_ERROR "libuv 1.43 or later, with its headers, was not found by pkg-config. To install both:
  Debian, Ubuntu   apt-get install pkg-config libuv1-dev
  Fedora           dnf install pkgconf-pkg-config libuv-devel
  Alpine           apk add pkgconf libuv-dev
  Arch             pacman -S pkgconf libuv
  macOS            brew install pkgconf libuv
If libuv is elsewhere, say where its libuv.pc is: PKG_CONFIG_PATH=/prefix/lib/pkgconfig in the environment,
or LIBUV_DIR=/prefix behind the command of luarocks.")
endif()
message(STATUS "libuv: ${LIBUV_VERSION}")
