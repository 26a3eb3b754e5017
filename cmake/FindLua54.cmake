# Sets LUA54_INCLUDE_DIR, where lua.h of Lua 5.4 is: LUA_INCDIR if given, else what pkg-config knows under one of the
# names that the systems use (FindLibuv has found that). The interpreter brings the library: a module never links it.
set(LUA54_CANDIDATES "${LUA_INCDIR}")
if(NOT LUA_INCDIR)
  pkg_search_module(LUA54 QUIET lua5.4 lua-5.4 lua54)
  if(NOT LUA54_FOUND)
    pkg_check_modules(LUA54 QUIET lua>=5.4 lua<5.5)
  endif()
  # The flags leave out a directory that the compiler searches by itself.
  set(LUA54_CANDIDATES ${LUA54_INCLUDE_DIRS} "${LUA54_INCLUDEDIR}" "${LUA54_lua_INCLUDEDIR}")
endif()

set(LUA54_INCLUDE_DIR "")
foreach(candidate IN LISTS LUA54_CANDIDATES)
  if(NOT LUA54_INCLUDE_DIR AND EXISTS "${candidate}/lua.h")
    file(STRINGS "${candidate}/lua.h" version REGEX "^#define[ \t]+LUA_VERSION_NUM[ \t]+504")
    if(version)
      set(LUA54_INCLUDE_DIR "${candidate}")
    endif()
  endif()
endforeach()

if(NOT LUA54_INCLUDE_DIR)
  message(FATAL_ERROR
    "The headers of Lua 5.4 were not found (looked in: ${LUA54_CANDIDATES}): "
    "install them (Debian, Ubuntu: liblua5.4-dev; Fedora: lua-devel; Alpine: lua5.4-dev; macOS: lua@5.4), or set "
    "LUA_INCDIR")
endif()
message(STATUS "Lua 5.4 headers: ${LUA54_INCLUDE_DIR}")
