#include "core/failure.h"

#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "core/task.h"

typedef struct Failure {
  int retrieved;
} Failure;

enum { ERROR = 1, TRACEBACK, OWNER, VALUES = OWNER };

static Failure *to_failure(lua_State *L, const lw_Loop *loop, int index) {
  return lw_test(L, index, loop->metatables[LW_REF_FAILURE]);
}

/* failures[failure at `index`] = the value on the top, which is popped */
static void list_failure(lua_State *L, lw_Loop *loop, int index) {
  lw_push_ref(L, loop, LW_REF_FAILURES);
  lua_pushvalue(L, index);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 2);
}

void lw_failure_push(lua_State *L, lw_Loop *loop, int owner, int retrieved) {
  Failure *failure = lua_newuserdatauv(L, sizeof *failure, VALUES);
  failure->retrieved = 1;
  lua_insert(L, -3);
  lua_setiuservalue(L, -3, TRACEBACK);
  lua_setiuservalue(L, -2, ERROR);
  lua_pushvalue(L, owner);
  lua_setiuservalue(L, -2, OWNER);
  lw_push_ref(L, loop, LW_REF_FAILURE);
  lua_setmetatable(L, -2);
  if (retrieved) return;
  lua_pushinteger(L, ++loop->failures);
  list_failure(L, loop, lua_gettop(L) - 1);
  failure->retrieved = 0;
}

void lw_failure_retrieve(lua_State *L, lw_Loop *loop, int index) {
  Failure *failure = lua_touserdata(L, index);
  if (failure->retrieved) return;
  failure->retrieved = 1;
  index = lua_absindex(L, index);
  lua_pushnil(L);
  list_failure(L, loop, index);
}

void lw_failure_push_error(lua_State *L, int index) { lua_getiuservalue(L, index, ERROR); }

static void report(lua_State *L, lw_Loop *loop, int index) {
  int owner, info;
  index = lua_absindex(L, index);
  lw_failure_retrieve(L, loop, index);
  lua_getiuservalue(L, index, OWNER);
  owner = lua_gettop(L);
  lua_createtable(L, 0, 5);
  info = lua_gettop(L);
  if (lw_to_task(L, loop, owner) != NULL) {
    lw_task_push_name(L, loop, owner, lw_to_task(L, loop, owner));
    lua_pushfstring(L, "task '%s' failed, and nobody retrieved its error", lua_tostring(L, -1));
    lua_remove(L, -2);
    lua_pushvalue(L, owner);
    lua_setfield(L, info, "task");
  } else {
    lua_pushliteral(L, "a future failed, and nobody retrieved its error");
  }
  lua_setfield(L, info, "message");
  lua_pushvalue(L, owner);
  lua_setfield(L, info, "future");
  lua_getiuservalue(L, index, ERROR);
  lua_setfield(L, info, "error");
  lua_getiuservalue(L, index, TRACEBACK);
  lua_setfield(L, info, "traceback");
  lw_note_get(L, loop, owner, "created_at");
  lua_setfield(L, info, "created_at");
  lw_report(L, loop);
  lua_settop(L, owner - 1);
}

/* Pushes the oldest unreported one; 0 when there is none. */
static int push_oldest(lua_State *L, lw_Loop *loop) {
  int table, found = 0;
  lua_Integer oldest = 0;
  lw_push_ref(L, loop, LW_REF_FAILURES);
  table = lua_gettop(L);
  lua_pushnil(L); /* stays: the oldest so far */
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    lua_Integer order = lua_tointeger(L, -1);
    if (found && order > oldest) continue;
    found = 1;
    oldest = order;
    lua_pushvalue(L, -2);
    lua_replace(L, table + 1);
  }
  lua_remove(L, table);
  return found;
}

void lw_report_failures(lua_State *L, lw_Loop *loop) {
  while (push_oldest(L, loop)) {
    report(L, loop, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static int failure_gc(lua_State *L) {
  Failure *failure = lua_touserdata(L, 1);
  if (!failure->retrieved) report(L, lw_loop(L), 1);
  return 0;
}

/* failure.error, failure.traceback (a string, or nil where none is known) */
static int failure_index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  lw_self(L);
  if (key != NULL && strcmp(key, "error") == 0)
    lua_getiuservalue(L, 1, ERROR);
  else if (key != NULL && strcmp(key, "traceback") == 0)
    lua_getiuservalue(L, 1, TRACEBACK);
  else
    lua_pushnil(L);
  return 1;
}

static int failure_tostring(lua_State *L) {
  lw_self(L);
  lua_getiuservalue(L, 1, ERROR);
  lw_error_text(L, -1);
  lua_pushfstring(L, "<Failure %s>", lua_tostring(L, -1));
  return 1;
}

/* async.is_failure(v): is it what gather puts into a failed slot? */
static int is_failure(lua_State *L) {
  lw_check_any(L, 1);
  lua_pushboolean(L, to_failure(L, lw_loop(L), 1) != NULL);
  return 1;
}

/* text(err): its tostring, or what can be said when that fails */
static int error_text(lua_State *L) {
  lw_check_any(L, 1);
  lw_error_text(L, 1);
  return 1;
}

void lw_open_failure(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg meta[] = {
      {"__index", failure_index}, {"__tostring", failure_tostring}, {"__gc", failure_gc}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"is_failure", is_failure}, {"text", error_text}, {NULL, NULL}};
  lw_class(L, loop_index, "Failure", NULL, meta);
  lw_set_metatable_ref(L, loop, LW_REF_FAILURE);
  lw_setfuncs(L, loop_index, funcs);
  lua_pushliteral(L, "not enough memory");
  lua_pushnil(L);
  lw_failure_push(L, loop, loop_index, 1);
  lw_set_ref(L, loop, LW_REF_NO_MEMORY);
}
