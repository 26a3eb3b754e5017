# The target `luawait_static`, libluawait.a: all that the module has, and the Lua files, for programs that hold a Lua
# state themselves. It needs the program's Lua and libuv.
set(LUAWAIT_LUA_FILES "${CMAKE_BINARY_DIR}/lua_files.c")
file(GLOB_RECURSE lua_files CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/lua/*.lua")
add_custom_command(
  OUTPUT "${LUAWAIT_LUA_FILES}"
  COMMAND "${CMAKE_COMMAND}" "-DLUA_DIR=${CMAKE_CURRENT_SOURCE_DIR}/lua" "-DOUTPUT=${LUAWAIT_LUA_FILES}"
    -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/lua_files.cmake"
  DEPENDS ${lua_files} "${CMAKE_CURRENT_SOURCE_DIR}/cmake/lua_files.cmake"
  VERBATIM)

add_library(luawait_static STATIC ${LUAWAIT_SOURCES} csrc/preload.c "${LUAWAIT_LUA_FILES}")
luawait_module(luawait_static)
set_target_properties(luawait_static PROPERTIES
  OUTPUT_NAME luawait
  PREFIX lib
  SUFFIX .a
  POSITION_INDEPENDENT_CODE ON)
target_include_directories(luawait_static INTERFACE "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/csrc>")
