#include "core/failure.h"

#include <lauxlib.h>
#include <stdlib.h>
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
  lw_note_get(L, loop, owner, LW_NOTE_CREATED_AT);
  lua_setfield(L, info, "created_at");
  lw_report(L, loop);
  lua_settop(L, owner - 1);
}

typedef struct Listed {
  lua_Integer order, place;
} Listed;

static int by_order(const void *a, const void *b) {
  lua_Integer x = ((const Listed *)a)->order, y = ((const Listed *)b)->order;
  return x < y ? -1 : x > y;
}

/* Pushes an array of the unreported ones, and the order in which they came as places in it; returns their number. */
static lua_Integer push_unreported(lua_State *L, lw_Loop *loop, Listed **list) {
  lua_Integer n = 0, capacity = 0;
  int table, array;
  lw_push_ref(L, loop, LW_REF_FAILURES);
  table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) capacity++;
  lua_createtable(L, (int)capacity, 0);
  array = lua_gettop(L);
  *list = lua_newuserdatauv(L, (size_t)(capacity + 1) * sizeof **list, 0);
  for (lua_pushnil(L); n < capacity && lua_next(L, table); lua_pop(L, 1)) {
    (*list)[n].order = lua_tointeger(L, -1);
    (*list)[n].place = n + 1;
    lua_pushvalue(L, -2);
    lua_rawseti(L, array, ++n);
  }
  lua_settop(L, array + 1);
  lua_remove(L, table);
  qsort(*list, (size_t)n, sizeof **list, by_order);
  return n;
}

void lw_report_failures(lua_State *L, lw_Loop *loop) {
  Listed *list;
  int top = lua_gettop(L);
  lua_Integer i, n = push_unreported(L, loop, &list);
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, top + 1, list[i].place);
    if (!((Failure *)lua_touserdata(L, -1))->retrieved) report(L, loop, -1);
    lua_settop(L, top + 2);
  }
  lua_settop(L, top);
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
