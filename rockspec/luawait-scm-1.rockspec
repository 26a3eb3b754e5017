rockspec_format = "3.0"
package = "luawait"
version = "scm-1"
source = {
  -- Built from a checkout: luarocks --lua-version 5.4 make rockspec/luawait-scm-1.rockspec
  url = "git+file://.",
}
description = {
  summary = "asyncio for Lua 5.4, on libuv",
  detailed = [[
Tasks, futures, cancellation, timeouts, task groups, synchronization and network I/O with the semantics of Python's
asyncio. Any function may wait; there is no colouring of functions.]],
  license = "MIT",
}
dependencies = {
  "lua >= 5.4, < 5.5",
}
external_dependencies = {
  -- Nothing is looked for here: cmake/FindLibuv.cmake says what is to be installed where it is missing, and finds it
  -- below LIBUV_DIR.
  LIBUV = {},
}
build = {
  type = "cmake", -- installs the command as well
  variables = {
    CMAKE_INSTALL_PREFIX = "$(PREFIX)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUAWAIT_LPATH = "$(LUADIR)",
    LUAWAIT_CPATH = "$(LIBDIR)",
    LUAWAIT_STATIC = "OFF",
    LIBUV_LIBDIR = "$(LIBUV_LIBDIR)",
  },
}
