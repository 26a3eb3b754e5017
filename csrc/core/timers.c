#include "core/timers.h"

#include <lauxlib.h>
#include <math.h>

#include "core/park.h"

#define NS 1e9
#define NEVER 9.2e18 /* nanoseconds: past this a deadline is none */

double lw_check_seconds(lua_State *L, int arg) {
  double seconds = lw_check_number(L, arg);
  if (isnan(seconds)) lw_argerror(L, arg, "number of seconds expected, got NaN");
  return seconds;
}

double lw_seconds(const lw_Loop *loop) { return (double)lw_now(loop) / NS; }

uint64_t lw_ns(double seconds) {
  uint64_t ns = seconds > 0 ? (uint64_t)(seconds * NS) : 0; /* the product may be off by a little, either way */
  return (double)ns / NS < seconds ? ns + 1 : ns;
}

double lw_seconds_after(const lw_Loop *loop, double delay) {
  return delay > 0 && delay * NS < NEVER ? (double)(lw_now(loop) + lw_ns(delay)) / NS : lw_seconds(loop) + delay;
}

int lw_start_deadline(lw_Loop *loop, lw_Timed *timed, double when) {
  if (when * NS >= NEVER) {
    lw_timer_stop(loop, timed);
    return 0;
  }
  return lw_timer_start(loop, timed, lw_ns(when));
}

int lw_start_delay(lw_Loop *loop, lw_Timed *timed, double delay) {
  if (delay * NS >= NEVER) {
    lw_timer_stop(loop, timed);
    return 0;
  }
  return lw_timer_start(loop, timed, lw_now(loop) + lw_ns(delay));
}

/* The results are the arguments after the delay. */
static int sleep_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)on, (void)wake;
  return (task->top < UINT16_MAX ? task->top : lua_gettop(L)) - 1;
}

static int sleep_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L, (void)loop, (void)task, (void)on;
  return 0;
}

static void sleep_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Task *task = on;
  if (lw_heap_contains(&task->future.timed.timer)) {
    double left = (double)lw_heap_key(&loop->timers, &task->future.timed.timer) / NS - lw_seconds(loop);
    lua_pushfstring(L, "sleep (%f s left)", left > 0 ? left : 0.0);
  } else {
    lua_pushliteral(L, "sleep (without end)");
  }
}

/* async.sleep(delay, ...): suspends the task for `delay` seconds and returns the other arguments. Never ends early.
 * `delay <= 0` lets the others have their turn once; math.huge sleeps until cancelled. A cancelled sleep leaves nothing
 * behind. After asyncio.sleep. */
static int loop_sleep(lua_State *L) {
  double delay = lw_check_seconds(L, 1);
  lw_Loop *loop = lw_loop(L);
  lw_Task *task = lw_waiter(L, loop);
  if (delay <= 0) return lw_pass(L, loop, task, LW_WAIT_SLEEP, task);
  if (lw_start_delay(loop, &task->future.timed, delay) != 0) return luaL_error(L, "not enough memory");
  return lw_park(L, loop, task, LW_WAIT_SLEEP, task);
}

/* async.time(): the loop's monotonic clock in seconds */
static int loop_time(lua_State *L) {
  lua_pushnumber(L, lw_seconds(lw_loop(L)));
  return 1;
}

/* after(seconds): what time() will tell then. For functions written in Lua. */
static int loop_after(lua_State *L) {
  lua_pushnumber(L, lw_seconds_after(lw_loop(L), lw_check_seconds(L, 1)));
  return 1;
}

void lw_open_timers(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass sleep_class = {sleep_resumed, sleep_cancel, NULL, sleep_describe, NULL, NULL};
  static const luaL_Reg funcs[] = {{"sleep", loop_sleep}, {"time", loop_time}, {"after", loop_after}, {NULL, NULL}};
  loop->waits[LW_WAIT_SLEEP] = &sleep_class;
  lw_setfuncs(L, loop_index, funcs);
}
