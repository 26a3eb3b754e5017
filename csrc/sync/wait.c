#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "core/timers.h"
#include "sync/fan.h"
#include "sync/sync.h"

enum { FAN = LW_FAN, FUTURES = LW_FUTURES };

typedef enum Mode { ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION } Mode;

static const char *const modes[] = {"ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", NULL};

/* Does this one being done end the wait? */
static int decides(const lw_Fan *fan, const lw_Future *future) {
  return fan->mode == FIRST_COMPLETED || (fan->mode == FIRST_EXCEPTION && future->timed.node.state == LW_FAILED);
}

static void wait_finished(lw_Loop *loop, lw_Fan *fan, lw_Node *child, lw_Future *future) {
  (void)child;
  if (fan->left == 0 || decides(fan, future)) lw_fan_wake(loop, fan);
}

static int wait_end(lua_State *L, lw_Fan *fan) {
  lua_Integer done = 0, pending = 0;
  uint32_t i;
  lua_settop(L, FUTURES);
  lw_fan_release(L, fan, FUTURES);
  lua_newtable(L);
  lua_newtable(L);
  for (i = 0; i < fan->count; i++) {
    lua_rawgeti(L, FUTURES, i + 1);
    if (lw_future_done(lua_touserdata(L, -1)))
      lua_rawseti(L, FUTURES + 1, ++done);
    else
      lua_rawseti(L, FUTURES + 2, ++pending);
  }
  return 2;
}

static int wait_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)wake;
  return wait_end(L, on);
}

static int wait_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L;
  lw_fan_undo(loop, task, on);
  return 0;
}

static void wait_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Fan *fan = on;
  (void)loop;
  lua_pushfstring(L, "wait (%d of %d done)", (int)(fan->count - fan->left), (int)fan->count);
}

static Mode check_mode(lua_State *L) {
  int i = 0;
  if (lw_option(L, 2, "return_when", LUA_TSTRING) == LUA_TNIL) return ALL_COMPLETED;
  while (modes[i] != NULL && strcmp(modes[i], lua_tostring(L, -1)) != 0) i++;
  if (modes[i] == NULL)
    lw_argerror(L, 2,
                lua_pushfstring(L,
                                "option 'return_when': ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION "
                                "expected, got '%s'",
                                lua_tostring(L, -1)));
  return (Mode)i;
}

/* Turns argument 1 into the frame; returns 1 when there is nothing to wait for. */
static int make_frame(lua_State *L, lw_Loop *loop, uint32_t n, Mode mode) {
  lw_Fan *fan;
  uint32_t i;
  int decided = 0;
  lua_settop(L, 1);
  lua_createtable(L, (int)n, 0);
  fan = lw_fan_new(L, FUTURES, n);
  fan->finished = wait_finished;
  fan->mode = (uint8_t)mode;
  for (i = 1; i <= n; i++) {
    lw_Future *future = lw_push_entry_future(L, loop, 1, FUTURES, i);
    lua_rawseti(L, FUTURES, i);
    lw_fan_add(fan, future);
    decided = decided || (lw_future_done(future) && decides(fan, future));
  }
  lua_replace(L, FAN);
  return decided || fan->left == 0;
}

/* async.wait(list, opts?): waits for the awaitables of an array (what is no task or future becomes a task), until all
 * are done, or as opts.return_when says, or for opts.timeout seconds. Returns two arrays, done and pending, in the
 * order of the list. Nothing is raised for the failed ones, nothing is cancelled. After asyncio.wait. */
static int wait(lua_State *L) {
  static const char *const known[] = {"timeout", "return_when", NULL};
  lw_Loop *loop = lw_loop(L);
  lw_Task *task = lw_waiter(L, loop);
  double timeout = -1;
  int limited;
  uint32_t n;
  Mode mode;
  lw_check_type(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lw_check_options(L, 2, known);
  mode = check_mode(L);
  limited = lw_option(L, 2, "timeout", LUA_TNUMBER) != LUA_TNIL;
  if (limited) {
    timeout = lua_tonumber(L, -1);
    if (!(timeout == timeout)) lw_argerror(L, 2, "option 'timeout': number of seconds expected, got NaN");
  }
  n = lw_check_list(L, loop);
  if (n == 0) return lw_error_raise(L, LW_VALUE_ERROR, "wait of an empty list");
  if (make_frame(L, loop, n, mode)) return wait_end(L, lua_touserdata(L, FAN));
  if (limited && timeout <= 0) return lw_pass(L, loop, task, LW_WAIT_WAIT, lua_touserdata(L, FAN));
  if (limited && lw_start_delay(loop, &task->future.timed, timeout) != 0) return luaL_error(L, "not enough memory");
  return lw_fan_park(L, loop, task, LW_WAIT_WAIT);
}

void lw_open_wait(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass wait_class = {wait_resumed, wait_cancel, NULL, wait_describe, NULL, NULL};
  static const luaL_Reg funcs[] = {{"wait", wait}, {NULL, NULL}};
  int i;
  loop->waits[LW_WAIT_WAIT] = &wait_class;
  lw_setfuncs(L, loop_index, funcs);
  for (i = 0; modes[i] != NULL; i++) {
    lua_pushstring(L, modes[i]);
    lua_setfield(L, -2, modes[i]);
  }
}
