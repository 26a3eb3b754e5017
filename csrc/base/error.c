#include "base/error.h"

#include <lauxlib.h>
#include <string.h>
#include <uv.h>

#include "base/udata.h"

/* The registry holds two tables under the addresses of these constants. */
static const char BUILTIN = 0; /* lw_Error -> class */
static const char PARENTS = 0; /* class -> parent, or false; weak, so that a class of the user's can be collected */

static void push_builtin(lua_State *L, lw_Error cls) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &BUILTIN);
  lua_rawgeti(L, -1, cls);
  lua_remove(L, -2);
}

/* Pops a message and pushes an instance of the class at `cls` that holds it. */
static void new_instance(lua_State *L, int cls) {
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  lua_pushvalue(L, cls);
  lua_setmetatable(L, -2);
}

static void push_formatted(lua_State *L, lw_Error cls, const char *format, va_list args) {
  luaL_checkstack(L, 5, NULL);
  push_builtin(L, cls);
  lua_pushvfstring(L, format, args);
  new_instance(L, lua_gettop(L) - 1);
  lua_remove(L, -2);
}

void lw_error_push(lua_State *L, lw_Error cls, const char *format, ...) {
  va_list args;
  va_start(args, format);
  push_formatted(L, cls, format, args);
  va_end(args);
}

int lw_error_raise(lua_State *L, lw_Error cls, const char *format, ...) {
  va_list args;
  va_start(args, format);
  push_formatted(L, cls, format, args);
  va_end(args);
  return lua_error(L);
}

void lw_error_push_os(lua_State *L, int uverr, const char *syscall, const char *field, const char *detail) {
  char code[32], reason[128];
  uv_err_name_r(uverr, code, sizeof code);
  uv_strerror_r(uverr, reason, sizeof reason);
  if (detail != NULL)
    lw_error_push(L, LW_OS_ERROR, "%s %s: %s (%s)", syscall, detail, reason, code);
  else
    lw_error_push(L, LW_OS_ERROR, "%s: %s (%s)", syscall, reason, code);
  lua_pushstring(L, code);
  lua_setfield(L, -2, "code");
  lua_pushinteger(L, -uverr);
  lua_setfield(L, -2, "errno");
  lua_pushstring(L, syscall);
  lua_setfield(L, -2, "syscall");
  if (field != NULL && detail != NULL) {
    lua_pushstring(L, detail);
    lua_setfield(L, -2, field);
  }
}

/* Pops a class candidate; is it `cls` (a pointer as lua_topointer gives it) or a child of that? */
static int descends(lua_State *L, const void *cls) {
  int found = 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &PARENTS);
  lua_insert(L, -2);
  while (!found && lua_toboolean(L, -1)) {
    found = lua_topointer(L, -1) == cls;
    lua_rawget(L, -2);
  }
  lua_pop(L, 2);
  return found;
}

static int instance_of(lua_State *L, int index, const void *cls) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return 0;
  return descends(L, cls);
}

int lw_error_is(lua_State *L, int index, lw_Error cls) {
  const void *pointer;
  index = lua_absindex(L, index);
  luaL_checkstack(L, 4, NULL);
  push_builtin(L, cls);
  pointer = lua_topointer(L, -1);
  lua_pop(L, 1);
  return instance_of(L, index, pointer);
}

static int text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

void lw_error_text(lua_State *L, int index) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, text);
  lua_pushvalue(L, index);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
  lua_pop(L, 1);
  lua_pushfstring(L, "(a %s whose __tostring fails)", luaL_typename(L, index));
}

static int instance_tostring(lua_State *L) {
  lw_check_type(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "name");
  if (lua_getfield(L, 1, "message") == LUA_TNIL || (lua_isstring(L, -1) && *lua_tostring(L, -1) == '\0')) {
    lua_pop(L, 1);
    return 1;
  }
  luaL_tolstring(L, -2, NULL);
  lua_pushliteral(L, ": ");
  luaL_tolstring(L, -3, NULL);
  lua_concat(L, 3);
  return 1;
}

static int instance_concat(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static int class_tostring(lua_State *L) {
  lua_getfield(L, 1, "name");
  lua_pushfstring(L, "<error class %s>", lua_tostring(L, -1));
  return 1;
}

/* The class is argument 1 for C, but none for whoever calls it. */
static void bad_class_argument(lua_State *L, int arg, const char *expected) {
  lua_getfield(L, 1, "name");
  luaL_error(L, "bad argument #%d to '%s' (%s expected, got %s)", arg, lua_tostring(L, -1), expected,
             luaL_typename(L, arg + 1));
}

/* Class(message?, fields?): an instance; `message` is a string ("" when it is not given), `fields` a table of further
 * fields. */
static int class_call(lua_State *L) {
  int has_fields;
  lua_settop(L, 3);
  if (!lua_isnil(L, 2) && !lua_isstring(L, 2)) bad_class_argument(L, 1, "string");
  has_fields = !lua_isnil(L, 3);
  if (has_fields && !lua_istable(L, 3)) bad_class_argument(L, 2, "table");
  lua_newtable(L);
  for (lua_pushnil(L); has_fields && lua_next(L, 3); lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 4);
  }
  lua_settop(L, 4);
  if (lua_isnil(L, 2))
    lua_pushliteral(L, "");
  else
    lua_pushstring(L, lua_tostring(L, 2));
  lua_setfield(L, 4, "message");
  lua_pushvalue(L, 1);
  lua_setmetatable(L, 4);
  return 1;
}

/* Pops a parent (a class or nil) and pushes a new class. */
static void new_class(lua_State *L, const char *name) {
  int parent = lua_gettop(L), cls = parent + 1;
  lua_newtable(L);
  lua_pushstring(L, name);
  lua_pushvalue(L, -1);
  lua_setfield(L, cls, "name");
  lua_setfield(L, cls, "__name");
  lua_pushvalue(L, cls);
  lua_setfield(L, cls, "__index");
  lua_pushcfunction(L, instance_tostring);
  lua_setfield(L, cls, "__tostring");
  lua_pushcfunction(L, instance_concat);
  lua_setfield(L, cls, "__concat");
  lua_createtable(L, 0, 3);
  lua_pushvalue(L, parent);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, class_call);
  lua_setfield(L, -2, "__call");
  lua_pushcfunction(L, class_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, cls);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &PARENTS);
  lua_pushvalue(L, cls);
  if (lua_isnil(L, parent))
    lua_pushboolean(L, 0);
  else
    lua_pushvalue(L, parent);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_remove(L, parent);
}

static int is_class(lua_State *L, int index) {
  int found;
  if (lua_type(L, index) != LUA_TTABLE) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &PARENTS);
  lua_pushvalue(L, index);
  found = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return found;
}

/* errors.class(name, parent?): a new error class; `parent` (default: errors.Error) is the class it descends from. */
static int errors_class(lua_State *L) {
  const char *name = lw_check_string(L, 1, NULL);
  lua_settop(L, 2);
  if (lua_isnil(L, 2))
    push_builtin(L, LW_ERROR);
  else if (!is_class(L, 2))
    lw_typeerror(L, 2, "error class");
  new_class(L, name);
  return 1;
}

/* errors.is(value, class): is the value an instance of the class or of one of its children? Any value may be asked. */
static int errors_is(lua_State *L) {
  lw_check_any(L, 1);
  if (!is_class(L, 2)) lw_typeerror(L, 2, "error class");
  lua_pushboolean(L, instance_of(L, 1, lua_topointer(L, 2)));
  return 1;
}

static const struct {
  lw_Error cls, parent;
  const char *name;
} builtin[] = {
    {LW_BASE_ERROR, 0, "BaseError"},
    {LW_CANCELLED_ERROR, LW_BASE_ERROR, "CancelledError"},
    {LW_KEYBOARD_INTERRUPT, LW_BASE_ERROR, "KeyboardInterrupt"},
    {LW_ERROR, LW_BASE_ERROR, "Error"},
    {LW_TIMEOUT_ERROR, LW_ERROR, "TimeoutError"},
    {LW_RUNTIME_ERROR, LW_ERROR, "RuntimeError"},
    {LW_VALUE_ERROR, LW_ERROR, "ValueError"},
    {LW_INVALID_STATE_ERROR, LW_ERROR, "InvalidStateError"},
    {LW_DEADLOCK_ERROR, LW_ERROR, "DeadlockError"},
    {LW_QUEUE_EMPTY, LW_ERROR, "QueueEmpty"},
    {LW_QUEUE_FULL, LW_ERROR, "QueueFull"},
    {LW_QUEUE_SHUT_DOWN, LW_ERROR, "QueueShutDown"},
    {LW_BROKEN_BARRIER_ERROR, LW_ERROR, "BrokenBarrierError"},
    {LW_EXCEPTION_GROUP, LW_ERROR, "ExceptionGroup"},
    {LW_OS_ERROR, LW_ERROR, "OSError"},
    {LW_INCOMPLETE_READ_ERROR, LW_ERROR, "IncompleteReadError"},
    {LW_LIMIT_OVERRUN_ERROR, LW_ERROR, "LimitOverrunError"},
    {LW_PROCESS_ERROR, LW_ERROR, "ProcessError"},
};

static void new_weak_table(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

int lw_open_errors(lua_State *L) {
  static const luaL_Reg funcs[] = {{"class", errors_class}, {"is", errors_is}, {NULL, NULL}};
  size_t i;
  new_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &PARENTS);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &BUILTIN);
  luaL_newlib(L, funcs);
  for (i = 0; i < sizeof builtin / sizeof *builtin; i++) {
    lua_rawgeti(L, -2, builtin[i].parent);
    new_class(L, builtin[i].name);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -4, builtin[i].cls);
    lua_setfield(L, -2, builtin[i].name);
  }
  lua_remove(L, -2);
  return 1;
}
