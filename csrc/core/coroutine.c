#include "core/coroutine.h"

#include <lauxlib.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/park.h"

/* A Coroutine is a userdata without a block: user value 1 is the function, the others are the arguments. Whether it was
 * used is told by its metatable, so that only an unused one has a finalizer (which complains) and none costs more
 * memory. */
enum { FUNCTION = 1 };

lw_Kind lw_kind(lua_State *L, const lw_Loop *loop, int index) {
  const void *metatable;
  if (lua_isfunction(L, index)) return LW_IS_FUNCTION;
  if (!lua_getmetatable(L, index)) return LW_IS_NOTHING;
  metatable = lua_topointer(L, -1);
  lua_pop(L, 1);
  if (metatable == loop->metatables[LW_REF_COROUTINE]) return LW_IS_COROUTINE;
  if (metatable == loop->metatables[LW_REF_TASK] || metatable == loop->metatables[LW_REF_FUTURE]) return LW_IS_FUTURE;
  if (metatable == loop->metatables[LW_REF_USED_COROUTINE]) return LW_IS_USED;
  if (luaL_getmetafield(L, index, "__await") == LUA_TNIL) return LW_IS_NOTHING;
  lua_pop(L, 1);
  return LW_IS_OBJECT;
}

/* ---- async functions ---- */

enum { FN = 2, METATABLE, NAMED }; /* upvalues of an async function */

/* The name by which an async function is called the first time becomes its function's. */
static void find_name(lua_State *L, lw_Loop *loop) {
  lua_Debug ar;
  lua_pushboolean(L, 1);
  lua_replace(L, lua_upvalueindex(NAMED));
  if (!lua_getstack(L, 0, &ar) || !lua_getinfo(L, "n", &ar) || ar.name == NULL || *ar.name == '?') return;
  lw_push_ref(L, loop, LW_REF_NAMES);
  lua_pushvalue(L, lua_upvalueindex(FN));
  lua_pushstring(L, ar.name);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static int call_async(lua_State *L) {
  int i, nargs = lua_gettop(L);
  if (LW_UNLIKELY(nargs > LW_MAX_ARGS)) return luaL_error(L, "too many arguments");
  if (LW_UNLIKELY(!lua_toboolean(L, lua_upvalueindex(NAMED)))) find_name(L, lw_loop(L));
  lua_newuserdatauv(L, 0, FUNCTION + nargs);
  lua_pushvalue(L, lua_upvalueindex(FN));
  lua_setiuservalue(L, -2, FUNCTION);
  for (i = 1; i <= nargs; i++) {
    lua_pushvalue(L, i);
    lua_setiuservalue(L, -2, FUNCTION + i);
  }
  lua_pushvalue(L, lua_upvalueindex(METATABLE));
  lua_setmetatable(L, -2);
  lw_loop(L)->coroutines++;
  return 1;
}

/* Puts in the place of an async function on the top what it runs. */
static void make_plain(lua_State *L) {
  while (LW_UNLIKELY(lua_tocfunction(L, -1) == call_async)) {
    lua_getupvalue(L, -1, FN);
    lua_remove(L, -2);
  }
}

/* plain(fn): fn, or what it runs if it is an async function: for those that call a function and wait for it. */
static int plain(lua_State *L) {
  lua_settop(L, 1);
  make_plain(L);
  return 1;
}

/* async(fn): an async function. Calling it does not run fn: it returns a Coroutine, which async.await, gather,
 * create_task and the like run once. Where they are given the async function itself, they run fn. */
static int new_async(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  if (!lw_callable(L, 1)) lw_typeerror(L, 1, "function");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lw_push_ref(L, loop, LW_REF_COROUTINE);
  lua_pushboolean(L, 0);
  lua_pushcclosure(L, call_async, NAMED);
  return 1;
}

/* ---- Coroutines ---- */

/* Pushes the name that the function at `index` goes by, or nil. */
static const char *push_name(lua_State *L, lw_Loop *loop, int index) {
  index = lua_absindex(L, index);
  lw_push_ref(L, loop, LW_REF_NAMES);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

void lw_push_known_name(lua_State *L, lw_Loop *loop, int index) {
  int top = lua_gettop(L);
  lua_pushvalue(L, index);
  make_plain(L);
  lw_push_function_name(L, top + 1, push_name(L, loop, top + 1));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* Pushes the short name of the Coroutine at `index`, for messages. */
static const char *push_short_name(lua_State *L, lw_Loop *loop, int index) {
  lua_getiuservalue(L, index, FUNCTION);
  if (push_name(L, loop, -1) == NULL) lw_push_function_name(L, -2, NULL);
  return lua_tostring(L, -1);
}

static int raise_used(lua_State *L, lw_Loop *loop, int index) {
  return lw_error_raise(L, LW_RUNTIME_ERROR, "coroutine '%s' was already awaited", push_short_name(L, loop, index));
}

void lw_check_unused(lua_State *L, lw_Loop *loop, int index) {
  if (lw_kind(L, loop, index) == LW_IS_USED) raise_used(L, loop, index);
}

void lw_use_coroutine(lua_State *L, lw_Loop *loop, int index) {
  loop->coroutines--;
  lw_push_ref(L, loop, LW_REF_USED_COROUTINE);
  lua_setmetatable(L, index);
}

int lw_push_body(lua_State *L, int index) {
  int n = 0;
  if (lua_isfunction(L, index)) {
    lua_pushvalue(L, index);
    make_plain(L);
    return 0;
  }
  lua_getiuservalue(L, index, FUNCTION);
  make_plain(L);
  while (lua_getiuservalue(L, index, FUNCTION + n + 1) != LUA_TNONE)
    if (++n >= LUA_MINSTACK / 4) luaL_checkstack(L, 4, "too many arguments");
  lua_pop(L, 1);
  return n;
}

void lw_push_task_body(lua_State *L, lw_Loop *loop, int index, lw_Kind kind) {
  if (LW_LIKELY(kind == LW_IS_FUNCTION || kind == LW_IS_COROUTINE)) {
    lua_pushvalue(L, index);
    return;
  }
  lua_newuserdatauv(L, 0, 2);
  lw_push_ref(L, loop, LW_REF_AWAIT);
  lua_setiuservalue(L, -2, FUNCTION);
  lua_pushvalue(L, index);
  lua_setiuservalue(L, -2, FUNCTION + 1);
  lw_push_ref(L, loop, LW_REF_USED_COROUTINE);
  lua_setmetatable(L, -2);
}

/* ---- what can be awaited ---- */

const char *lw_not_awaitable(lua_State *L, lw_Loop *loop, int index) {
  if (LW_LIKELY(lw_kind(L, loop, index) != LW_IS_NOTHING)) return NULL;
  if (lua_isnoneornil(L, index))
    return lua_pushfstring(L,
                           "awaitable expected, got %s: the function that was called has waited already and returned "
                           "nothing; call it without await, or pass the function itself",
                           luaL_typename(L, index));
  return lua_pushfstring(L,
                         "awaitable expected, got %s: pass a task, a future, a function or what an async function "
                         "returns (a plain function that waits returns its results itself)",
                         lw_type_name(L, index));
}

void lw_check_awaitable(lua_State *L, lw_Loop *loop, int arg) {
  const char *complaint = lw_not_awaitable(L, loop, arg);
  if (complaint != NULL) lw_argerror(L, arg, complaint);
}

/* ---- await ---- */

static int await_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)wake;
  return lw_future_push_results(L, lw_loop(L), 1, on);
}

/* The request was made before the task parked: the message it left with the task goes down with it. */
static int await_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  int top = lua_gettop(L), passed;
  lua_pushvalue(L, 1);
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  lw_take_cancel_message(L, loop, top + 2);
  lua_remove(L, top + 2);
  passed = lw_cancel(L, loop, on, top + 1);
  lua_settop(L, top);
  return passed;
}

static void await_undo(lw_Loop *loop, lw_Task *task, void *on) {
  (void)loop;
  lw_list_remove(&((lw_Future *)on)->waiters, &lw_task_node(task)->link);
}

void lw_describe_await(lua_State *L, lw_Loop *loop, void *on) {
  lw_Future *future = on;
  if (future->timed.node.type == LW_TASK) {
    lw_push_anchored(L, loop, future->timed.node.slot);
    lw_task_push_description(L, loop, -1, on);
    lua_remove(L, -2);
  } else {
    lua_pushstring(L, lw_future_name(future));
  }
}

/* Waits for the future at 1 and returns its results; await in init.lua comes here. */
static int await_future(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_Future *future = lua_touserdata(L, 1);
  lw_Task *task;
  if (lw_future_done(future)) return lw_future_push_results(L, loop, 1, future);
  task = lw_waiter(L, loop);
  if (&task->future == future) return lw_error_raise(L, LW_RUNTIME_ERROR, "a task cannot await itself");
  lw_list_push(&future->waiters, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_AWAIT, future);
}

/* begin(x): the function to call, and its arguments, for awaiting x. That call is made by Lua code (async.await), as a
 * tail call, so that awaits can nest as deep as Lua calls can: a call made here would cost C stack. */
static int await_begin(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  luaL_checkstack(L, 4, NULL);
  if (LW_UNLIKELY(loop->current == NULL))
    return lw_error_raise(L, LW_RUNTIME_ERROR, "await outside a task: run it with async.run or async.create_task");
  switch (lw_kind(L, loop, 1)) {
    case LW_IS_FUTURE:
      lua_pushvalue(L, lua_upvalueindex(2));
      lua_insert(L, 1);
      return 2;
    case LW_IS_COROUTINE:
      lw_use_coroutine(L, loop, 1);
      return 1 + lw_push_body(L, 1);
    case LW_IS_FUNCTION:
      return 1 + lw_push_body(L, 1);
    case LW_IS_OBJECT:
      luaL_getmetafield(L, 1, "__await");
      lua_insert(L, 1);
      return 2;
    case LW_IS_USED:
      return raise_used(L, loop, 1);
    default:
      lw_not_awaitable(L, loop, 1);
      luaL_where(L, 2);
      lua_pushfstring(L, "%sbad argument #1 to 'await' (%s)", lua_tostring(L, -1), lua_tostring(L, -2));
      return lua_error(L);
  }
}

static int coroutine_tostring(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lua_getiuservalue(L, 1, FUNCTION);
  lw_push_known_name(L, loop, -1);
  lua_pushfstring(L, "<Coroutine%s %s>", lw_kind(L, loop, 1) == LW_IS_COROUTINE ? "" : " (used)", lua_tostring(L, -1));
  return 1;
}

static int coroutine_gc(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  const char *name;
  loop->coroutines--;
  name = push_short_name(L, loop, 1);
  lua_createtable(L, 0, 1);
  lua_pushfstring(L, "coroutine '%s' was never awaited", name);
  lua_setfield(L, -2, "message");
  lw_report(L, loop);
  return 0;
}

/* not_awaitable(x): why it cannot be awaited, or nil. This, the next four and plain are for the functions written in
 * Lua. */
static int not_awaitable(lua_State *L) {
  if (lw_not_awaitable(L, lw_loop(L), 1) == NULL) lua_pushnil(L);
  return 1;
}

/* is_callable(x): is it a function, or an object with __call? */
static int is_callable(lua_State *L) {
  lua_pushboolean(L, lw_callable(L, 1));
  return 1;
}

/* is_future(x): is it a Task or a Future? */
static int is_future(lua_State *L) {
  lua_pushboolean(L, lw_to_future(L, lw_loop(L), 1) != NULL);
  return 1;
}

/* from_callback(fn): for async.from_callback, a Future described as waiting for a callback of fn. RuntimeError where no
 * wait is possible. */
static int from_callback(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_waiter(L, loop);
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  if (!lua_iscfunction(L, 1) || !lw_push_global_name(L)) lw_push_known_name(L, loop, 1);
  lua_pushfstring(L, "a callback of %s", lua_tostring(L, -1));
  lw_future_new_named(L, loop, lua_tostring(L, -1));
  return 1;
}

/* discard(x): a Coroutine will not be run, and that is meant so. RuntimeError if it was used. */
static int discard(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_check_unused(L, loop, 1);
  if (lw_kind(L, loop, 1) == LW_IS_COROUTINE) lw_use_coroutine(L, loop, 1);
  return 0;
}

static int define_await(lua_State *L) {
  lua_settop(L, 1);
  lw_set_ref(L, lw_loop(L), LW_REF_AWAIT);
  return 0;
}

void lw_open_coroutine(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass await_class = {await_resumed, await_cancel, NULL, lw_describe_await, await_undo, NULL};
  static const luaL_Reg unused[] = {{"__tostring", coroutine_tostring}, {"__gc", coroutine_gc}, {NULL, NULL}};
  static const luaL_Reg used[] = {{"__tostring", coroutine_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"async", new_async},
                                   {"define_await", define_await},
                                   {"not_awaitable", not_awaitable},
                                   {"is_callable", is_callable},
                                   {"is_future", is_future},
                                   {"discard", discard},
                                   {"plain", plain},
                                   {"from_callback", from_callback},
                                   {NULL, NULL}};
  loop->waits[LW_WAIT_AWAIT] = &await_class;
  lw_class(L, loop_index, "Coroutine", NULL, unused);
  lw_set_metatable_ref(L, loop, LW_REF_COROUTINE);
  lw_class(L, loop_index, "Coroutine", NULL, used);
  lw_set_metatable_ref(L, loop, LW_REF_USED_COROUTINE);
  lw_setfuncs(L, loop_index, funcs);
  lua_pushvalue(L, loop_index);
  lua_pushvalue(L, loop_index);
  lua_pushcclosure(L, await_future, 1);
  lua_pushcclosure(L, await_begin, 2);
  lua_setfield(L, -2, "begin");
}
