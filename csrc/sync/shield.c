#include <lauxlib.h>

#include "core/coroutine.h"
#include "core/park.h"
#include "sync/sync.h"

/* The frame: 1 the awaitable, 2 its future. */

static int shield_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)wake;
  return lw_future_push_results(L, lw_loop(L), 2, on);
}

static int shield_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L, (void)loop;
  lw_list_remove(&((lw_Future *)on)->waiters, &lw_task_node(task)->link);
  return 0;
}

static void shield_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_describe_await(L, loop, on);
  lua_pushfstring(L, "shield of %s", lua_tostring(L, -1));
  lua_remove(L, -2);
}

/* async.shield(awaitable): waits for it and returns its results. When the waiting task is cancelled, the awaited one (a
 * task of its own, if it is none yet) goes on. After asyncio.shield. */
static int shield(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_Task *task = lw_waiter(L, loop);
  lw_Future *future;
  lua_settop(L, 1);
  lw_check_awaitable(L, loop, 1);
  future = lw_ensure_future(L, loop, 1);
  if (lw_future_done(future)) return lw_future_push_results(L, loop, 2, future);
  lw_list_push(&future->waiters, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_SHIELD, future);
}

/* ensure_future(awaitable): itself if it is a task or a future, else a new task for it. For the combinators written in
 * Lua. */
static int ensure_future(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lw_check_awaitable(L, loop, 1);
  lw_ensure_future(L, loop, 1);
  return 1;
}

void lw_open_shield(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass shield_class = {shield_resumed, shield_cancel, NULL, shield_describe, NULL, NULL};
  static const luaL_Reg funcs[] = {{"shield", shield}, {"ensure_future", ensure_future}, {NULL, NULL}};
  loop->waits[LW_WAIT_SHIELD] = &shield_class;
  lw_setfuncs(L, loop_index, funcs);
}
