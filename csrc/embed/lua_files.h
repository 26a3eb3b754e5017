/* The files of lua/luawait as CMake has put them into C: see cmake/lua_files.cmake. */
#ifndef LUAWAIT_EMBED_LUA_FILES_H
#define LUAWAIT_EMBED_LUA_FILES_H

#include <stddef.h>

typedef struct lw_LuaFile {
  const char *module; /* "luawait.net.server"; NULL ends the array */
  const char *name;   /* for messages */
  const unsigned char *text;
  size_t size;
} lw_LuaFile;

extern const lw_LuaFile lw_lua_files[];

#endif
