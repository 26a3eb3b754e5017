#include "core/handle.h"

#include <lauxlib.h>
#include <math.h>

#include "base/error.h"
#include "core/timers.h"

static lw_Handle *node_handle(lw_Node *node) { return LW_CONTAINER(node, lw_Handle, timed.node); }

lw_Handle *lw_handle_new(lua_State *L, lw_Loop *loop, int fn, int nargs) {
  lw_Handle *handle;
  int i, index;
  if (nargs > LW_MAX_ARGS) luaL_error(L, "too many arguments");
  handle = lua_newuserdatauv(L, sizeof *handle, 1 + nargs);
  index = lua_gettop(L);
  *handle = (lw_Handle){.timed.node = {.type = LW_HANDLE, .state = LW_WAITING}, .when = NAN};
  for (i = 0; i <= nargs; i++) {
    lua_pushvalue(L, fn + i);
    lua_setiuservalue(L, index, 1 + i);
  }
  lw_push_ref(L, loop, LW_REF_HANDLE);
  lua_setmetatable(L, index);
  handle->timed.node.slot = lw_anchor(L, loop, index);
  return handle;
}

/* The handle at the top will not be run (again): what it would call need not be kept. */
static void drop_values(lua_State *L) {
  int i = 1;
  do {
    lua_pushnil(L);
  } while (lua_setiuservalue(L, -2, i++));
}

/* Out of every queue; the loop keeps it alive no longer, and it keeps its function and arguments alive no longer. */
static void release(lua_State *L, lw_Loop *loop, lw_Handle *handle, lw_State state) {
  lw_Node *node = &handle->timed.node;
  lw_timer_stop(loop, &handle->timed);
  if (lw_linked(&node->link)) lw_list_remove(handle->future ? &handle->future->waiters : &loop->ready, &node->link);
  handle->future = NULL;
  node->state = (uint8_t)state;
  lw_push_anchored(L, loop, node->slot);
  drop_values(L);
  lua_pop(L, 1);
  lw_unanchor(L, loop, node->slot);
}

void lw_handle_cancel(lua_State *L, lw_Loop *loop, lw_Handle *handle) {
  if (handle->timed.node.state == LW_WAITING) release(L, loop, handle, LW_CANCELLED);
}

/* Pushes function and arguments of the handle at `index`; returns the number of arguments. */
static int push_call(lua_State *L, int index) {
  int n = 1;
  lua_getiuservalue(L, index, 1);
  while (lua_getiuservalue(L, index, n + 1) != LUA_TNONE) {
    luaL_checkstack(L, 4, "too many arguments");
    n++;
  }
  lua_pop(L, 1);
  return n - 1;
}

static void handle_run(lw_Loop *loop, lw_Node *node) {
  lua_State *L = loop->L;
  int nargs, top = lua_gettop(L);
  lua_pushcfunction(L, lw_traceback);
  lw_push_anchored(L, loop, node->slot);
  nargs = push_call(L, top + 2);
  node->state = LW_RUNNING;
  lw_begin_step(loop, L);
  if (lua_pcall(L, nargs, 0, top + 1) != LUA_OK) {
    if (lw_error_is(L, -1, LW_KEYBOARD_INTERRUPT)) loop->stop = LW_STOP_INTERRUPTED;
    lw_report_error(L, loop, "error in a callback");
  }
  lw_end_step(loop);
  release(L, loop, node_handle(node), LW_DONE);
  lua_settop(L, top);
}

static void handle_abort(lw_Loop *loop, lw_Node *node) { release(loop->L, loop, node_handle(node), LW_DONE); }

static void handle_due(lw_Loop *loop, lw_Timed *timed) { lw_ready(loop, &timed->node); }

static void handle_notify(lw_Loop *loop, lw_Node *node, lw_Future *finished) {
  (void)finished;
  node_handle(node)->future = NULL;
  lw_ready(loop, node);
}

void lw_cancel_handles(lua_State *L, lw_Loop *loop) {
  uint32_t slot;
  for (slot = 1; slot <= loop->slots; slot++) {
    lw_Handle *handle;
    lw_push_anchored(L, loop, slot);
    handle = lw_test(L, -1, loop->metatables[LW_REF_HANDLE]);
    if (handle != NULL) release(L, loop, handle, LW_CANCELLED);
    lua_pop(L, 1);
  }
}

/* ---- Lua-visible ---- */

static void check_function(lua_State *L, int arg) {
  if (!lw_callable(L, arg)) lw_typeerror(L, arg, "function");
}

/* async.call_soon(fn, ...): the loop calls fn(...) at its next turn, outside any task, in the order of the calls.
 * Returns a Handle. After asyncio's loop.call_soon. */
static int call_soon(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lw_Handle *handle;
  check_function(L, 1);
  handle = lw_handle_new(L, loop, 1, lua_gettop(L) - 1);
  lw_ready(loop, &handle->timed.node);
  return 1;
}

/* Pushes a handle for the function at 2, due at `when` seconds. */
static int call_when(lua_State *L, lw_Loop *loop, double when) {
  lw_Handle *handle = lw_handle_new(L, loop, 2, lua_gettop(L) - 2);
  handle->when = when;
  if (lw_start_deadline(loop, &handle->timed, when) == 0) return 1;
  release(L, loop, handle, LW_CANCELLED);
  return luaL_error(L, "not enough memory");
}

/* async.call_later(delay, fn, ...): as call_soon, `delay` seconds from now. */
static int call_later(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  double delay = lw_check_seconds(L, 1);
  check_function(L, 2);
  return call_when(L, loop, lw_seconds(loop) + delay);
}

/* async.call_at(when, fn, ...): as call_soon, when the loop's clock (async.time) shows `when` seconds. */
static int call_at(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  double when = lw_check_seconds(L, 1);
  check_function(L, 2);
  return call_when(L, loop, when);
}

/* handle:cancel(): the function will not be called. Nothing happens when it was, or was cancelled before. */
static int handle_cancel(lua_State *L) {
  lw_handle_cancel(L, lw_loop(L), lw_self(L));
  return 0;
}

/* handle:cancelled(): boolean */
static int handle_cancelled(lua_State *L) {
  lw_Handle *handle = lw_self(L);
  lua_pushboolean(L, handle->timed.node.state == LW_CANCELLED);
  return 1;
}

/* handle:when(): the loop time it is due at, in seconds; nil for call_soon */
static int handle_when(lua_State *L) {
  lw_Handle *handle = lw_self(L);
  if (isnan(handle->when))
    lua_pushnil(L);
  else
    lua_pushnumber(L, handle->when);
  return 1;
}

static int handle_tostring(lua_State *L) {
  lw_Handle *handle = lw_self(L);
  int state = handle->timed.node.state;
  if (state != LW_WAITING && state != LW_RUNNING) {
    lua_pushfstring(L, "<Handle %s>", state == LW_CANCELLED ? "cancelled" : "done");
    return 1;
  }
  lua_getiuservalue(L, 1, 1);
  lw_push_function_name(L, -1, NULL);
  lua_pushfstring(L, "<Handle %s fn=%s>", state == LW_RUNNING ? "running" : "pending", lua_tostring(L, -1));
  return 1;
}

void lw_open_handle(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {
      {"cancel", handle_cancel}, {"cancelled", handle_cancelled}, {"when", handle_when}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", handle_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {
      {"call_soon", call_soon}, {"call_later", call_later}, {"call_at", call_at}, {NULL, NULL}};
  loop->classes[LW_HANDLE] = (lw_NodeClass){handle_run, handle_abort, handle_due, handle_notify};
  lw_class(L, loop_index, "Handle", methods, meta);
  lw_set_metatable_ref(L, loop, LW_REF_HANDLE);
  lw_setfuncs(L, loop_index, funcs);
}
