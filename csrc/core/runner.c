#include "core/runner.h"

#include <lauxlib.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/failure.h"
#include "core/handle.h"
#include "core/monitor.h"
#include "core/park.h"
#include "core/timers.h"

enum {
  MAX_ROUNDS = 100, /* of ending tasks whose cleanup makes new ones */
  MAX_LISTED = 100  /* tasks in the message of a DeadlockError */
};

/* The options of a run; the userdata of a Runner. */
typedef struct Runner {
  int debug, signals;
  double slow_callback, watchdog, shutdown_timeout;
  int closed;
} Runner;

/* ---- options ---- */

static int flag_option(lua_State *L, int arg, const char *key, int otherwise) {
  int value = lw_option(L, arg, key, LUA_TBOOLEAN) == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static double seconds_option(lua_State *L, int arg, const char *key, double otherwise) {
  double value = lw_option(L, arg, key, LUA_TNUMBER) == LUA_TNIL ? otherwise : lua_tonumber(L, -1);
  lua_pop(L, 1);
  if (!(value >= 0))
    lw_argerror(L, arg, lua_pushfstring(L, "option '%s': number of seconds expected, not below 0", key));
  return value;
}

static Runner check_options(lua_State *L, int arg) {
  static const char *const known[] = {"debug", "signals", "slow_callback", "watchdog", "shutdown_timeout", NULL};
  Runner runner = {0};
  lw_check_options(L, arg, known);
  runner.debug = flag_option(L, arg, "debug", 0);
  runner.signals = flag_option(L, arg, "signals", 1);
  runner.slow_callback = seconds_option(L, arg, "slow_callback", 0.1);
  runner.watchdog = seconds_option(L, arg, "watchdog", 0);
  runner.shutdown_timeout = seconds_option(L, arg, "shutdown_timeout", 10);
  return runner;
}

/* ---- turning the loop ---- */

int lw_turn(lw_Loop *loop) {
  int alive;
  loop->stop = 0;
  do {
    loop->turning = 1;
    alive = uv_run(loop->uv, UV_RUN_DEFAULT); /* may end because the program calls uv_stop */
    loop->turning = 0;
  } while (loop->stop == 0 && (alive || loop->ready.first != NULL));
  return loop->stop;
}

/* Pushes the line about the unfinished task on the top in place of it. */
static void describe_wait(lua_State *L, lw_Loop *loop) {
  lw_Task *task = lw_to_task(L, loop, -1);
  lw_task_push_description(L, loop, -1, task);
  if (lw_task_node(task)->state == LW_WAITING) {
    lw_push_waiting_on(L, loop, task);
    lua_pushfstring(L, "\n  %s waits for: %s", lua_tostring(L, -2), lua_tostring(L, -1));
    lua_remove(L, -2);
  } else {
    lua_pushfstring(L, "\n  %s is ready to run", lua_tostring(L, -1));
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void lw_push_waits(lua_State *L, lw_Loop *loop) {
  lua_Integer i, n;
  int tasks;
  luaL_Buffer buffer;
  lw_push_all_tasks(L, loop);
  tasks = lua_gettop(L);
  n = (lua_Integer)lua_rawlen(L, tasks);
  luaL_buffinit(L, &buffer);
  for (i = 1; i <= n && i <= MAX_LISTED; i++) {
    lua_rawgeti(L, tasks, i);
    describe_wait(L, loop);
    luaL_addvalue(&buffer);
  }
  if (n > MAX_LISTED) {
    lua_pushfstring(L, "\n  and %d more", (int)(n - MAX_LISTED));
    luaL_addvalue(&buffer);
  }
  luaL_pushresult(&buffer);
  lua_remove(L, tasks);
}

/* Pushes a DeadlockError that lists the parked tasks. */
static void push_deadlock(lua_State *L, lw_Loop *loop) {
  int n = (int)loop->unfinished;
  lw_push_waits(L, loop);
  lua_pushfstring(L,
                  n == 1 ? "%d task waits, and nothing can wake it:" : "%d tasks wait, and nothing can wake them:", n);
  lw_error_push(L, LW_DEADLOCK_ERROR, "%s%s", lua_tostring(L, -1), lua_tostring(L, -2));
  lua_replace(L, -3);
  lua_pop(L, 1);
}

int lw_raise_stop(lua_State *L, lw_Loop *loop, int stop) {
  if (stop == LW_STOP_ERROR)
    lw_push_ref(L, loop, LW_REF_ERROR);
  else if (stop == LW_STOP_INTERRUPTED)
    lw_error_push(L, LW_KEYBOARD_INTERRUPT, "interrupted");
  else
    push_deadlock(L, loop);
  return lua_error(L);
}

static int raise_interrupted(lua_State *L) { return lw_error_raise(L, LW_KEYBOARD_INTERRUPT, "interrupted"); }

/* Runs the awaitable at 2 as the main task, under lua_pcall; leaves the finished task. */
static int run_main(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  lw_Task *task;
  int stop;
  loop->L = L;
  atomic_store(&loop->sigints_over, loop->sigints);
  task = lw_task_new(L, loop, 2);
  lw_task_node(task)->flags |= LW_RETRIEVED; /* its error is raised by run */
  loop->main = task;
  stop = lw_turn(loop);
  loop->main = NULL;
  lw_loop_poll(loop); /* the last step may have been one behind the poll: its SIGINTs are not for the next run */
  if (stop != LW_STOP_DONE) return lw_raise_stop(L, loop, stop);
  if (lw_task_node(task)->state == LW_CANCELLED && lw_interrupts(loop) > 0 && lw_task_uncancel(task) == 0)
    return raise_interrupted(L);
  return 1;
}

/* ---- shutting down ---- */

static void on_shutdown_timeout(uv_timer_t *timer) {
  lw_Loop *loop = timer->data;
  loop->stop = LW_STOP_TIMEOUT;
  uv_stop(loop->uv);
}

/* The task at `index` goes by force, and that is reported. */
static void abandon(lua_State *L, lw_Loop *loop, int index) {
  lw_Task *task = lua_touserdata(L, index);
  int report;
  lua_createtable(L, 0, 3);
  report = lua_gettop(L);
  lw_task_push_name(L, loop, index, task);
  lua_pushfstring(L, "task '%s' ignored its cancellation and was closed by force", lua_tostring(L, -1));
  lua_setfield(L, report, "message");
  lua_pushvalue(L, index);
  lua_setfield(L, report, "task");
  if (task->co != NULL) {
    luaL_traceback(L, task->co, NULL, 0);
    lua_setfield(L, report, "traceback");
  }
  lw_task_node(task)->flags |= LW_RETRIEVED;
  lw_error_push(L, LW_RUNTIME_ERROR, "closed by force");
  lw_task_abandon(L, loop, task);
  lua_settop(L, report);
  if (loop->quiet)
    lua_pop(L, 1);
  else
    lw_report(L, loop);
}

static void abandon_all(lua_State *L, lw_Loop *loop) {
  lua_Integer i, n;
  int tasks;
  lw_push_all_tasks(L, loop);
  tasks = lua_gettop(L);
  n = (lua_Integer)lua_rawlen(L, tasks);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, tasks, i);
    if (!lw_future_done(lua_touserdata(L, -1))) abandon(L, loop, lua_gettop(L));
    lua_settop(L, tasks);
  }
  lua_pop(L, 1);
}

static void start_shutdown_timer(lw_Loop *loop, double timeout) {
  uv_timer_t *timer = &loop->shutdown;
  uv_update_time(loop->uv);
  uv_timer_start(timer, on_shutdown_timeout, timeout < 1e9 ? (uint64_t)(timeout * 1e3) : UINT32_MAX, 0);
}

/* Cancels every task and waits for them, at most `timeout` seconds; then they go by force. Those that they make
 * meanwhile may run as long as they do, and are then ended in the same way. */
static void end_tasks(lua_State *L, lw_Loop *loop, double timeout) {
  int round, stop = LW_STOP_DONE;
  uint32_t before;
  if (loop->unfinished > 0 && timeout > 0) start_shutdown_timer(loop, timeout);
  for (round = 0; loop->unfinished > 0 && timeout > 0 && stop == LW_STOP_DONE && round < MAX_ROUNDS; round++) {
    before = loop->unfinished;
    loop->last_ending = loop->last_id;
    loop->ending = loop->unfinished;
    lw_cancel_all(L, loop);
    stop = lw_turn(loop);
    if (stop == 0 && loop->unfinished < before)
      stop = LW_STOP_DONE; /* the rest waits for ever, but may give in the next time */
  }
  loop->last_ending = 0;
  uv_timer_stop(&loop->shutdown);
  for (round = 0; loop->unfinished > 0 && round < MAX_ROUNDS; round++) abandon_all(L, loop);
}

/* The loop stops with the last task. What was due then has its turn now: the task's callbacks, too. By libuv, which
 * then has the uv_loop on the stack, as ever where the state may be closed from inside. */
static void run_due(lw_Loop *loop) {
  if (loop->ready.first == NULL) return;
  loop->stop = 0;
  loop->turning = 1;
  uv_run(loop->uv, UV_RUN_NOWAIT);
  loop->turning = 0;
}

/* Under lua_pcall: 1 the loop, 2 the shutdown timeout. */
static int shut_down(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  double timeout = lua_tonumber(L, 2);
  int round = 0;
  loop->L = L;
  do { /* a callback, or the exception handler, may begin something new */
    end_tasks(L, loop, timeout);
    if (timeout > 0) run_due(loop);
    lw_cancel_handles(L, loop);
    if (!loop->quiet) lw_report_failures(L, loop);
  } while (loop->unfinished > 0 && ++round < MAX_ROUNDS);
  return 0;
}

/* Whatever the above has left, for want of memory or because it was made too late, is let go: without allocating
 * anything. The slots begin anew. */
static void sweep(lua_State *L, lw_Loop *loop) {
  uint32_t slot;
  int anchors;
  lw_cancel_handles(L, loop);
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  anchors = lua_gettop(L);
  for (slot = 1; slot <= loop->slots; slot++) {
    lw_Task *task;
    lua_rawgeti(L, anchors, slot);
    task = lw_to_task(L, loop, -1);
    if (task != NULL) lw_task_drop(L, loop, task);
    lua_settop(L, anchors);
    lua_pushnil(L);
    lua_rawseti(L, anchors, slot);
  }
  lua_pop(L, 1);
  while (lw_list_pop(&loop->ready) != NULL) continue;
  loop->slots = loop->free_slot = loop->unfinished = 0;
  loop->cancelling_all = 0; /* set still, if cancelling all was cut short */
}

int lw_end_all(lua_State *L, lw_Loop *loop, double timeout) {
  lua_pushcfunction(L, shut_down);
  lua_pushlightuserdata(L, loop);
  lua_pushnumber(L, timeout);
  return lua_pcall(L, 2, 0, 0);
}

void lw_close_loop(lua_State *L, lw_Loop *loop, double timeout) {
  if (!loop->open) return;
  if (lw_end_all(L, loop, lw_interrupts(loop) > 1 ? 0 : timeout) != LUA_OK) lua_pop(L, 1);
  loop->L = L;
  lw_monitor_stop(loop);
  lw_loop_close(loop);
  lw_monitor_free(loop);
  sweep(L, loop);
  loop->L = NULL;
  loop->owner = NULL;
  loop->quiet = 0;
  lua_pushnil(L);
  lw_set_ref(L, loop, LW_REF_HANDLER);
}

/* Under lua_pcall: 1 the loop, 2 the Runner's block. */
static int open_loop(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  Runner *runner = lua_touserdata(L, 2);
  lw_loop_open(L, loop, NULL);
  loop->debug = runner->debug;
  loop->slow_callback = runner->slow_callback;
  loop->owner = runner;
  lw_monitor_start(L, loop, runner->signals, runner->watchdog);
  return 0;
}

/* Runs the awaitable at `arg`; pushes the finished main task, or the error. */
static int run_protected(lua_State *L, lw_Loop *loop, Runner *runner, int arg) {
  int status;
  lua_pushcfunction(L, open_loop);
  lua_pushlightuserdata(L, loop);
  lua_pushlightuserdata(L, runner);
  status = loop->open ? LUA_OK : lua_pcall(L, 2, 0, 0);
  if (status != LUA_OK) return status;
  lua_pushcfunction(L, run_main);
  lua_pushlightuserdata(L, loop);
  lua_pushvalue(L, arg);
  status = lua_pcall(L, 2, 1, 0);
  loop->main = NULL;
  loop->L = NULL;
  return status;
}

/* The results of the finished main task on the top, or its error raised. */
static int results(lua_State *L, lw_Loop *loop, int status) {
  if (status != LUA_OK) return lua_error(L);
  return lw_future_push_results(L, loop, lua_gettop(L), lua_touserdata(L, -1));
}

/* Closes the loop. Did SIGINT come meanwhile? There was no task left that it could have cancelled. */
static int close_and_look(lua_State *L, lw_Loop *loop, const Runner *runner) {
  int before = lw_interrupts(loop);
  lw_close_loop(L, loop, runner->shutdown_timeout);
  return lw_interrupts(loop) > before;
}

static void check_idle(lua_State *L, lw_Loop *loop, const Runner *runner, const char *what) {
  if (loop->L != NULL) lw_error_raise(L, LW_RUNTIME_ERROR, "%s cannot be called from a running event loop", what);
  if (loop->open && loop->owner != runner)
    lw_error_raise(L, LW_RUNTIME_ERROR, "%s while another Runner is open: a Lua state has one event loop", what);
}

/* async.run(awaitable, opts?): runs it as the main task of a fresh loop; returns its results or raises its error. On
 * the way out it cancels all tasks that are left and waits for them, closes what the loop opened, and reports failures
 * that nobody has retrieved. opts.debug, opts.slow_callback = 0.1, opts.watchdog (off), opts.signals = true,
 * opts.shutdown_timeout = 10 (times in seconds). RuntimeError inside a running loop; DeadlockError when nothing can
 * wake the tasks any more; KeyboardInterrupt on SIGINT, also when that comes on the way out, unless the main task
 * failed. After asyncio.run. */
static int async_run(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  Runner runner = check_options(L, 2);
  const lw_Future *main;
  int status;
  check_idle(L, loop, NULL, "async.run()");
  lw_check_awaitable(L, loop, 1);
  status = run_protected(L, loop, &runner, 1);
  main = lua_touserdata(L, -1);
  if (close_and_look(L, loop, &runner) && status == LUA_OK && main->timed.node.state == LW_DONE)
    return raise_interrupted(L);
  return results(L, loop, status);
}

/* ---- Runner ---- */

/* async.Runner(opts?): as run, in steps. After asyncio.Runner. */
static int new_runner(lua_State *L) {
  Runner options = check_options(L, 1);
  Runner *runner = lua_newuserdatauv(L, sizeof *runner, 0);
  *runner = options;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

/* runner:run(awaitable): runs it on the runner's loop, which stays open; other tasks go on in the next run. */
static int runner_run(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  Runner *runner = lw_self(L);
  if (runner->closed) return lw_error_raise(L, LW_RUNTIME_ERROR, "the Runner is closed");
  check_idle(L, loop, runner, "Runner.run()");
  lw_check_awaitable(L, loop, 2);
  return results(L, loop, run_protected(L, loop, runner, 2));
}

/* runner:close(): ends the tasks that are left, as run does on its way out; KeyboardInterrupt if SIGINT comes
 * meanwhile. Twice is fine. */
static int runner_close(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  Runner *runner = lw_self(L);
  int interrupted = 0;
  if (loop->owner == runner) {
    check_idle(L, loop, runner, "Runner.close()");
    interrupted = close_and_look(L, loop, runner);
  }
  runner->closed = 1;
  return interrupted ? raise_interrupted(L) : 0;
}

static int runner_gc(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  Runner *runner = lua_touserdata(L, 1);
  if (loop->owner == runner && loop->L == NULL) {
    loop->quiet = !loop->debug;
    lw_close_loop(L, loop, 0);
  }
  return 0;
}

static int runner_tostring(lua_State *L) {
  Runner *runner = lw_self(L);
  lua_pushfstring(L, "<Runner %s>", runner->closed ? "closed" : lw_loop(L)->owner == runner ? "open" : "unused");
  return 1;
}

/* async.set_exception_handler(fn): fn(info) is called with what nobody else can be told: {message=, error=, traceback=,
 * task=, future=}. nil restores the default, which writes to stderr. One set while a loop is open goes with that loop;
 * one set outside is for all loops that have none of their own. */
static int set_exception_handler(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_check_any(L, 1);
  if (!lua_isnil(L, 1) && !lw_callable(L, 1)) lw_typeerror(L, 1, "function");
  lua_settop(L, 1);
  lw_set_ref(L, loop, loop->open ? LW_REF_HANDLER : LW_REF_DEFAULT_HANDLER);
  return 0;
}

void lw_open_runner(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {{"run", runner_run}, {"close", runner_close}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__close", runner_close}, {"__gc", runner_gc}, {"__tostring", runner_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"run", async_run}, {"set_exception_handler", set_exception_handler}, {NULL, NULL}};
  (void)loop;
  lw_class(L, loop_index, "Runner", methods, meta);
  lw_add_constructor(L, loop_index, "Runner", new_runner);
  lua_pop(L, 1);
  lw_setfuncs(L, loop_index, funcs);
}
