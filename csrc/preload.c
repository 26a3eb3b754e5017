/* For the static library: `luawait` for programs that have no LUA_PATH to its Lua files. */
#include <lauxlib.h>

#include "embed/lua_files.h"
#include "luawait.h"

/* The loader of one file, which is the upvalue. */
static int load_file(lua_State *L) {
  const lw_LuaFile *file = lua_touserdata(L, lua_upvalueindex(1));
  lua_settop(L, 1);
  if (luaL_loadbufferx(L, (const char *)file->text, file->size, file->name, "t") != LUA_OK) return lua_error(L);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* A module that the program has set up itself stays. */
static void preload(lua_State *L, const char *name, const lw_LuaFile *file) {
  if (lua_getfield(L, -1, name) == LUA_TNIL) {
    if (file != NULL) {
      lua_pushlightuserdata(L, (void *)file);
      lua_pushcclosure(L, load_file, 1);
    } else {
      lua_pushcfunction(L, luaopen_luawait_core);
    }
    lua_setfield(L, -3, name);
  }
  lua_pop(L, 1);
}

int luaopen_luawait(lua_State *L) {
  const lw_LuaFile *file;
  lua_settop(L, 0);
  if (lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE) != LUA_TTABLE)
    return luaL_error(L, "luaopen_luawait: open the package library first (luaL_openlibs)");
  preload(L, "luawait.core", NULL);
  for (file = lw_lua_files; file->module != NULL; file++) preload(L, file->module, file);
  lua_getfield(L, -1, "luawait");
  lua_pushliteral(L, "luawait");
  lua_call(L, 1, 1);
  return 1;
}
