/* What a state with limits has in the place of functions through which a script could run code without the hook that
 * stops it. Lua calls without hooks: finalizers; the message handler of an error that the hook itself has raised; and
 * the <close> variables of a coroutine that such an error has ended. */
#include <lauxlib.h>
#include <lualib.h>

#include "embed/embed.h"

/* setmetatable, in whose place this stands, is the upvalue. */
static int guarded_setmetatable(lua_State *L) {
  if (lua_type(L, 2) == LUA_TTABLE) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "finalizers (__gc) are not allowed");
    lua_pop(L, 1);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* A message handler: the script's, upvalue 1, is not called while a step is being stopped. */
static int guarded_handler(lua_State *L) {
  lua_settop(L, 1);
  if (lw_loop_of(L)->stopping) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

static int xpcall_end(lua_State *L, int status, lua_KContext context) {
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
  }
  return lua_gettop(L) - (int)context;
}

static int guarded_xpcall(lua_State *L) {
  int nargs = lua_gettop(L) - 2;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, guarded_handler, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* fn, handler, true, fn, arguments */
  return xpcall_end(L, lua_pcallk(L, nargs, LUA_MULTRET, 2, 2, xpcall_end), 2);
}

static int body_end(lua_State *L, int status, lua_KContext context) {
  (void)context;
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) : lua_error(L);
}

/* The body of a coroutine, upvalue 1: its <close> variables run in here. */
static int guarded_body(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  return body_end(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, body_end), 0);
}

/* coroutine.create and coroutine.wrap: the upvalue is the one that was there. */
static int guarded_coroutine(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_pushcclosure(L, guarded_body, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Puts `fn` into the place of a function in the table on the top. */
static void replace(lua_State *L, const char *name, lua_CFunction fn) {
  lua_pushstring(L, name);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TFUNCTION) {
    lua_pushcclosure(L, fn, 1);
    lua_rawset(L, -3);
  } else {
    lua_pop(L, 2);
  }
}

/* Pops a table of coroutine functions, or what else is there. */
static void guard_coroutines(lua_State *L) {
  if (lua_istable(L, -1)) {
    replace(L, "create", guarded_coroutine);
    replace(L, "wrap", guarded_coroutine);
  }
  lua_pop(L, 1);
}

void lw_guard(lua_State *L) {
  lua_pushglobaltable(L);
  replace(L, "setmetatable", guarded_setmetatable);
  replace(L, "xpcall", guarded_xpcall);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "luawait.core") == LUA_TTABLE) {
    lua_getfield(L, -1, "coroutine");
    guard_coroutines(L);
  }
  lua_pop(L, 1);
  lua_getfield(L, -1, LUA_COLIBNAME);
  guard_coroutines(L);
  lua_pop(L, 2);
}
