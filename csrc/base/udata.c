#include "base/udata.h"

#include <string.h>

void lw_setfuncs(lua_State *L, int loop, const luaL_Reg *funcs) {
  lua_pushvalue(L, loop);
  luaL_setfuncs(L, funcs, 1);
}

static void set_methods(lua_State *L, int loop, int metatable, const luaL_Reg *funcs) {
  lua_pushvalue(L, loop);
  lua_pushvalue(L, metatable);
  luaL_setfuncs(L, funcs, 2);
}

void lw_class(lua_State *L, int loop, const char *name, const luaL_Reg *methods, const luaL_Reg *meta) {
  int metatable;
  lua_newtable(L);
  metatable = lua_gettop(L);
  lua_pushstring(L, name);
  lua_setfield(L, metatable, "__name");
  lua_pushboolean(L, 0); /* getmetatable() tells nothing, and setmetatable() is refused */
  lua_setfield(L, metatable, "__metatable");
  if (methods != NULL) {
    lua_newtable(L);
    set_methods(L, loop, metatable, methods);
    lua_setfield(L, metatable, "__index");
  }
  if (meta != NULL) set_methods(L, loop, metatable, meta);
}

void lw_add_methods(lua_State *L, int loop, const luaL_Reg *methods) {
  int metatable = lua_gettop(L);
  lua_getfield(L, metatable, "__index");
  set_methods(L, loop, metatable, methods);
  lua_pop(L, 1);
}

void lw_add_constructor(lua_State *L, int loop, const char *name, lua_CFunction fn) {
  lua_pushvalue(L, loop);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, fn, 2);
  lua_setfield(L, -3, name);
}

void lw_export_methods(lua_State *L, const char *key) {
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, key);
}

void *lw_test(lua_State *L, int arg, const void *metatable) {
  void *block = lua_touserdata(L, arg);
  int same;
  if (block == NULL || !lua_getmetatable(L, arg)) return NULL;
  same = lua_topointer(L, -1) == metatable;
  lua_pop(L, 1);
  return same ? block : NULL;
}

static void refuse_self(lua_State *L) {
  lua_getfield(L, lua_upvalueindex(2), "__name");
  lua_insert(L, 1); /* where it is no argument to be complained about */
  lw_argerror(L, 1,
              lua_pushfstring(L, "%s expected, got %s", lua_tostring(L, 1),
                              lua_gettop(L) > 1 ? lw_type_name(L, 2) : "no value"));
}

void *lw_self(lua_State *L) {
  void *block = lua_touserdata(L, 1);
  int same = 0;
  if (LW_LIKELY(block != NULL && lua_getmetatable(L, 1))) {
    same = lua_rawequal(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
  }
  if (LW_UNLIKELY(!same)) refuse_self(L);
  return block;
}

void *lw_new_object(lua_State *L, const char *class, size_t size, int uservalues) {
  lw_Head *head = lua_newuserdatauv(L, size, uservalues);
  memset(head, 0, size);
  *head = (lw_Head){class, lua_touserdata(L, lua_upvalueindex(1))};
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return head;
}

int lw_push_global_name(lua_State *L) {
  int function = lua_gettop(L), found = 0;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  for (lua_pushnil(L); !found && lua_next(L, function + 1);) {
    if (lua_type(L, -2) == LUA_TSTRING && lua_istable(L, -1)) {
      for (lua_pushnil(L); !found && lua_next(L, function + 3);) {
        found = lua_rawequal(L, -1, function) && lua_type(L, -2) == LUA_TSTRING;
        if (!found) lua_pop(L, 1);
      }
      if (found) {
        const char *module = lua_tostring(L, function + 2), *name = lua_tostring(L, -2);
        if (strcmp(module, LUA_GNAME) == 0)
          lua_pushstring(L, name);
        else
          lua_pushfstring(L, "%s.%s", module, name);
        lua_replace(L, function);
        lua_settop(L, function);
        return 1;
      }
    }
    lua_pop(L, 1);
  }
  lua_settop(L, function - 1);
  return 0;
}

/* ---- wrong arguments ---- */

/* The name of the running C function: as it was called, or as it is called in its module. */
static const char *own_name(lua_State *L, lua_Debug *ar) {
  const char *name, *dot;
  lua_getinfo(L, "nf", ar);
  if (ar->name != NULL) return ar->name;
  if (!lw_push_global_name(L)) return "?";
  name = lua_tostring(L, -1);
  dot = strrchr(name, '.');
  return dot != NULL ? dot + 1 : name;
}

int lw_argerror(lua_State *L, int arg, const char *complaint) {
  lua_Debug ar;
  const char *name;
  if (!lua_getstack(L, 0, &ar)) return luaL_error(L, "bad argument #%d (%s)", arg, complaint);
  name = own_name(L, &ar);
  if (strcmp(ar.namewhat, "method") == 0 && --arg == 0)
    return luaL_error(L, "calling '%s' on bad self (%s)", name, complaint);
  return luaL_error(L, "bad argument #%d to '%s' (%s)", arg, name, complaint);
}

const char *lw_type_name(lua_State *L, int arg) {
  if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING) return lua_tostring(L, -1);
  return lua_type(L, arg) == LUA_TLIGHTUSERDATA ? "light userdata" : luaL_typename(L, arg);
}

int lw_typeerror(lua_State *L, int arg, const char *expected) {
  const char *got = lw_type_name(L, arg);
  return lw_argerror(L, arg, lua_pushfstring(L, "%s expected, got %s", expected, got));
}

void lw_check_any(lua_State *L, int arg) {
  if (lua_type(L, arg) == LUA_TNONE) lw_argerror(L, arg, "value expected");
}

void lw_check_type(lua_State *L, int arg, int type) {
  if (lua_type(L, arg) != type) lw_typeerror(L, arg, lua_typename(L, type));
}

lua_Number lw_check_number(lua_State *L, int arg) {
  int is_number;
  lua_Number number = lua_tonumberx(L, arg, &is_number);
  if (LW_UNLIKELY(!is_number)) lw_typeerror(L, arg, lua_typename(L, LUA_TNUMBER));
  return number;
}

lua_Integer lw_check_integer(lua_State *L, int arg) {
  int is_integer;
  lua_Integer integer = lua_tointegerx(L, arg, &is_integer);
  if (LW_LIKELY(is_integer)) return integer;
  lw_check_number(L, arg);
  return lw_argerror(L, arg, "number has no integer representation");
}

const char *lw_check_string(lua_State *L, int arg, size_t *length) {
  const char *string = lua_tolstring(L, arg, length);
  if (LW_UNLIKELY(string == NULL)) lw_typeerror(L, arg, lua_typename(L, LUA_TSTRING));
  return string;
}

const char *lw_check_text(lua_State *L, int arg, size_t *length) {
  size_t n;
  const char *text = lw_check_string(L, arg, &n);
  if (strlen(text) != n) lw_argerror(L, arg, "string without zeros expected");
  if (length != NULL) *length = n;
  return text;
}

/* ---- options ---- */

/* The key on the top is no option of the function. */
static void refuse_option(lua_State *L, int arg) {
  const char *format = lua_type(L, -1) == LUA_TSTRING ? "unknown option '%s'" : "unknown option [%s]";
  lw_argerror(L, arg, lua_pushfstring(L, format, luaL_tolstring(L, -1, NULL)));
}

void lw_check_options(lua_State *L, int arg, const char *const known[]) {
  if (lua_isnoneornil(L, arg)) return;
  lw_check_type(L, arg, LUA_TTABLE);
  luaL_checkstack(L, 4, NULL);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    int i = 0;
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) refuse_option(L, arg);
    while (known[i] != NULL && strcmp(known[i], lua_tostring(L, -1)) != 0) i++;
    if (known[i] == NULL) refuse_option(L, arg);
  }
}

int lw_option(lua_State *L, int arg, const char *key, int type) {
  int got;
  if (lua_isnoneornil(L, arg)) {
    lua_pushnil(L);
    return LUA_TNIL;
  }
  lw_check_type(L, arg, LUA_TTABLE);
  got = lua_getfield(L, arg, key);
  if (got != LUA_TNIL && got != type)
    lw_argerror(
        L, arg,
        lua_pushfstring(L, "option '%s': %s expected, got %s", key, lua_typename(L, type), luaL_typename(L, -1)));
  return got;
}

void lw_push_function_name(lua_State *L, int index, const char *name) {
  lua_Debug ar;
  const char *sep = name != NULL ? "@" : "";
  if (name == NULL) name = "";
  if (!lua_isfunction(L, index)) {
    lua_pushfstring(L, "%s%s%s", name, sep, luaL_typename(L, index));
    return;
  }
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &ar);
  if (*ar.what == 'C')
    lua_pushfstring(L, "%s%s[C]", name, sep);
  else
    lua_pushfstring(L, "%s%s%s:%d", name, sep, ar.short_src, ar.linedefined);
}

int lw_callable(lua_State *L, int arg) {
  int yes;
  if (lua_isfunction(L, arg)) return 1;
  yes = luaL_getmetafield(L, arg, "__call") != LUA_TNIL;
  if (yes) lua_pop(L, 1);
  return yes;
}
