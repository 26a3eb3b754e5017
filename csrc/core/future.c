#include "core/future.h"

#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/failure.h"
#include "core/handle.h"
#include "core/park.h"
#include "core/task.h"
#include "core/testing.h"

enum { VALUE = 1, RESULTS = LW_ONE | LW_PACKED };

static int state(const lw_Future *future) { return future->timed.node.state; }

lw_Future *lw_to_future(lua_State *L, const lw_Loop *loop, int index) {
  void *block = lua_touserdata(L, index);
  const void *metatable;
  if (block == NULL || !lua_getmetatable(L, index)) return NULL;
  metatable = lua_topointer(L, -1);
  lua_pop(L, 1);
  return metatable == loop->metatables[LW_REF_TASK] || metatable == loop->metatables[LW_REF_FUTURE] ? block : NULL;
}

typedef struct NamedFuture {
  lw_Future future;
  char name[];
} NamedFuture;

static lw_Future *new_future_of(lua_State *L, lw_Loop *loop, size_t size) {
  lw_Future *future = lua_newuserdatauv(L, size, 1);
  *future = (lw_Future){.timed.node = {.type = LW_FUTURE, .state = LW_WAITING}};
  lw_push_ref(L, loop, LW_REF_FUTURE);
  lua_setmetatable(L, -2);
  return future;
}

lw_Future *lw_future_new(lua_State *L, lw_Loop *loop) { return new_future_of(L, loop, sizeof(lw_Future)); }

lw_Future *lw_future_new_named(lua_State *L, lw_Loop *loop, const char *name) {
  size_t size = strlen(name) + 1;
  lw_Future *future = new_future_of(L, loop, sizeof(NamedFuture) + size);
  memcpy(((NamedFuture *)future)->name, name, size);
  lw_future_node(future)->flags |= LW_NAMED;
  return future;
}

const char *lw_future_name(const lw_Future *future) {
  return future->timed.node.flags & LW_NAMED ? ((const NamedFuture *)future)->name : "a future";
}

/* ---- completing ---- */

void lw_future_set_results(lua_State *L, int index, lw_Future *future, int count) {
  uint8_t shape = 0;
  if (count == 0) {
    lua_pushnil(L);
  } else if (count == 1) {
    shape = LW_ONE;
  } else {
    int i, first = lua_gettop(L) - count + 1;
    luaL_checkstack(L, 2, NULL);
    lua_createtable(L, count, 1);
    lua_insert(L, first);
    for (i = count; i >= 1; i--) lua_rawseti(L, first, i);
    lua_pushinteger(L, count);
    lua_setfield(L, first, "n");
    shape = LW_PACKED;
  }
  lua_setiuservalue(L, index, VALUE);
  future->timed.node.flags = (uint8_t)((future->timed.node.flags & ~RESULTS) | shape);
}

lw_State lw_future_set_error(lua_State *L, lw_Loop *loop, int index, lw_Future *future) {
  lw_State end = LW_FAILED;
  if (lua_isnil(L, -2)) {
    lw_error_push(L, LW_RUNTIME_ERROR, "error object is nil");
    lua_replace(L, -3);
  }
  if (lw_error_is(L, -2, LW_CANCELLED_ERROR)) {
    lua_pop(L, 1);
    end = LW_CANCELLED;
  } else {
    lw_failure_push(L, loop, index, future->timed.node.flags & LW_RETRIEVED);
  }
  lua_setiuservalue(L, index, VALUE);
  return end;
}

void lw_future_finish(lw_Loop *loop, lw_Future *future, lw_State end) {
  lw_Link *link;
  future->timed.node.state = (uint8_t)end;
  while ((link = lw_list_pop(&future->waiters)) != NULL) {
    lw_Node *node = LW_CONTAINER(link, lw_Node, link);
    loop->classes[node->type].notify(loop, node, future);
  }
}

void lw_future_resolve(lua_State *L, lw_Loop *loop, int index, int count) {
  lw_Future *future = lua_touserdata(L, index);
  if (lw_future_done(future)) {
    lua_pop(L, count);
    return;
  }
  lw_future_set_results(L, index, future, count);
  lw_future_finish(loop, future, LW_DONE);
}

void lw_future_reject(lua_State *L, lw_Loop *loop, int index) {
  lw_Future *future = lua_touserdata(L, index);
  if (lw_future_done(future)) {
    lua_pop(L, 1);
    return;
  }
  lua_pushnil(L);
  lw_future_finish(loop, future, lw_future_set_error(L, loop, index, future));
}

/* ---- asking ---- */

/* Pushes the CancelledError of a cancelled future: one and the same for all who ask. */
static void push_cancelled_error(lua_State *L, lw_Loop *loop, int index) {
  if (lua_getiuservalue(L, index, VALUE) == LUA_TTABLE) return;
  lw_push_cancelled(L, loop, lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, index, VALUE);
  lua_remove(L, -2);
}

void lw_future_push_error(lua_State *L, lw_Loop *loop, int index, lw_Future *future) {
  if (state(future) == LW_CANCELLED) {
    push_cancelled_error(L, loop, index);
    return;
  }
  lua_getiuservalue(L, index, VALUE);
  lw_failure_retrieve(L, loop, -1);
  lw_failure_push_error(L, -1);
  lua_remove(L, -2);
}

void lw_future_push_failure(lua_State *L, lw_Loop *loop, int index, lw_Future *future) {
  if (state(future) == LW_CANCELLED) {
    push_cancelled_error(L, loop, index);
    lua_pushnil(L);
    lw_failure_push(L, loop, index, 1);
    return;
  }
  lua_getiuservalue(L, index, VALUE);
  lw_failure_retrieve(L, loop, -1);
}

static int push_packed(lua_State *L) {
  int i, n, table = lua_gettop(L);
  lua_getfield(L, table, "n");
  n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, n, "too many results");
  for (i = 1; i <= n; i++) lua_rawgeti(L, table, i);
  return n;
}

int lw_future_push_results(lua_State *L, lw_Loop *loop, int index, lw_Future *future) {
  int shape = future->timed.node.flags & RESULTS;
  if (state(future) != LW_DONE) {
    lw_future_push_error(L, loop, index, future);
    return lua_error(L);
  }
  if (shape == 0) return 0;
  lua_getiuservalue(L, index, VALUE);
  return shape == LW_ONE ? 1 : push_packed(L);
}

void lw_future_push_first(lua_State *L, int index, lw_Future *future) {
  lua_getiuservalue(L, index, VALUE);
  if (future->timed.node.flags & LW_PACKED) {
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
}

/* ---- Lua-visible: what a Future and a Task have in common ---- */

/* future:done(): has it a result, a failure, or was it cancelled? */
static int future_done(lua_State *L) {
  lua_pushboolean(L, lw_future_done(lw_self(L)));
  return 1;
}

/* future:cancelled(): was it cancelled? */
static int future_cancelled(lua_State *L) {
  lua_pushboolean(L, state(lw_self(L)) == LW_CANCELLED);
  return 1;
}

static lw_Future *finished_self(lua_State *L) {
  lw_Future *future = lw_self(L);
  if (!lw_future_done(future)) lw_error_raise(L, LW_INVALID_STATE_ERROR, "result is not ready");
  return future;
}

/* future:result(): all its results. Raises its error, CancelledError, or InvalidStateError while it is not done. */
static int future_result(lua_State *L) {
  lw_Future *future = finished_self(L);
  return lw_future_push_results(L, lw_loop(L), 1, future);
}

/* future:exception(): its error, or nil if it has a result. Raises CancelledError of a cancelled one, InvalidStateError
 * while it is not done. */
static int future_exception(lua_State *L) {
  lw_Future *future = finished_self(L);
  if (state(future) == LW_DONE) {
    lua_pushnil(L);
    return 1;
  }
  lw_future_push_error(L, lw_loop(L), 1, future);
  return state(future) == LW_CANCELLED ? lua_error(L) : 1;
}

static lw_Future *pending_self(lua_State *L) {
  lw_Future *future = lw_self(L);
  if (lw_future_done(future)) lw_error_raise(L, LW_INVALID_STATE_ERROR, "the future is done already");
  return future;
}

/* future:set_result(...): ends it with these results. InvalidStateError if it is done. */
static int future_set_result(lua_State *L) {
  pending_self(L);
  lw_future_resolve(L, lw_loop(L), 1, lua_gettop(L) - 1);
  return 0;
}

/* future:set_exception(err): ends it with this error, any value but nil. InvalidStateError if it is done. */
static int future_set_exception(lua_State *L) {
  pending_self(L);
  if (lua_isnoneornil(L, 2)) lw_typeerror(L, 2, "error value");
  lua_settop(L, 2);
  lw_future_reject(L, lw_loop(L), 1);
  return 0;
}

/* future:cancel(msg?): cancels it, true; false if it was done. For a task: makes the wait it is in, or its next one,
 * raise CancelledError(msg); one that awaits another task, a future or a gather cancels that. */
static int future_cancel(lua_State *L) {
  lw_Future *future = lw_self(L);
  if (!lua_isnoneornil(L, 2)) lw_check_string(L, 2, NULL);
  lua_settop(L, 2);
  lua_pushboolean(L, lw_cancel(L, lw_loop(L), future, 1));
  return 1;
}

/* future:add_done_callback(fn): the loop calls fn(future) once it is done; at its next turn if it is already. */
static int future_add_done_callback(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_Future *future = lw_self(L);
  lw_Handle *handle;
  if (!lw_callable(L, 2)) lw_typeerror(L, 2, "function");
  lua_settop(L, 2);
  lua_pushvalue(L, 1);
  handle = lw_handle_new(L, loop, 2, 1);
  if (lw_future_done(future)) {
    lw_ready(loop, &handle->timed.node);
  } else {
    handle->future = future;
    lw_list_push(&future->waiters, &handle->timed.node.link);
  }
  return 0;
}

/* The handle in this place of the list, if its function is the value at 2. */
static lw_Handle *handle_of(lua_State *L, lw_Loop *loop, lw_Link *link) {
  lw_Node *node = LW_CONTAINER(link, lw_Node, link);
  int same;
  if (node->type != LW_HANDLE) return NULL;
  lw_push_anchored(L, loop, node->slot);
  lua_getiuservalue(L, -1, 1);
  same = lua_rawequal(L, -1, 2);
  lua_pop(L, 2);
  return same ? LW_CONTAINER(node, lw_Handle, timed.node) : NULL;
}

/* future:remove_done_callback(fn): takes back all callbacks that are this function; returns how many. */
static int future_remove_done_callback(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_Future *future = lw_self(L);
  lw_Link *link = future->waiters.first;
  lua_Integer removed = 0;
  lw_check_any(L, 2);
  while (link != NULL) {
    lw_Link *next = lw_list_next(&future->waiters, link);
    lw_Handle *handle = handle_of(L, loop, link);
    if (handle != NULL) {
      lw_handle_cancel(L, loop, handle);
      removed++;
    }
    link = next;
  }
  lua_pushinteger(L, removed);
  return 1;
}

static int future_gc(lua_State *L) {
  lw_orphan(&((lw_Future *)lua_touserdata(L, 1))->waiters);
  return 0;
}

static int future_tostring(lua_State *L) {
  static const char *const names[] = {"pending", "pending", "pending", "pending", "finished", "failed", "cancelled"};
  lw_Future *future = lw_self(L);
  lua_pushfstring(L, "<Future %s>", names[state(future)]);
  return 1;
}

/* async.Future(): a new pending one */
static int new_future(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_future_new(L, loop);
  if (LW_UNLIKELY(loop->testing != NULL)) lw_leaks_note_future(L);
  return 1;
}

const luaL_Reg lw_future_methods[] = {{"done", future_done},
                                      {"cancelled", future_cancelled},
                                      {"result", future_result},
                                      {"exception", future_exception},
                                      {"cancel", future_cancel},
                                      {"add_done_callback", future_add_done_callback},
                                      {"remove_done_callback", future_remove_done_callback},
                                      {NULL, NULL}};

void lw_open_future(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg setters[] = {
      {"set_result", future_set_result}, {"set_exception", future_set_exception}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", future_gc}, {"__tostring", future_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"Future", new_future}, {NULL, NULL}};
  lw_class(L, loop_index, "Future", lw_future_methods, meta);
  lw_add_methods(L, loop_index, setters);
  lw_set_metatable_ref(L, loop, LW_REF_FUTURE);
  lw_setfuncs(L, loop_index, funcs);
}
