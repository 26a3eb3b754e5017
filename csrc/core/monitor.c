#include "core/monitor.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/task.h"

enum { PAUSE_MS = 5, TICKS = 4, MIN_TICK_MS = 5 };

typedef struct lw_Monitor {
  lw_Loop *loop;
  uv_thread_t thread;
  uv_loop_t uv; /* the thread's; all handles below are in it but `sigint` */
  uv_signal_t interrupt;
  uv_timer_t tick;
  uv_async_t quit;
  uv_mutex_t lock; /* held while a hook is being set */
  int running;
  _Atomic(uint32_t) sigints; /* that the thread has seen */

  uv_signal_t sigint; /* in the loop itself */
  int signals;
  struct sigaction before; /* what SIGINT did */
  int first;               /* it was not libuv's handler already, for another loop */

  uint64_t limit; /* the watchdog's, nanoseconds; 0: none */
  uint32_t steps; /* the loop's count when the thread last looked, and since when it stands there */
  _Atomic(uint64_t) since;
  int warned; /* this step: 0 not yet, 1 the hook is set, 2 it has not come to run, and that was said too */
  _Atomic(int) shown;
  lua_Hook hook; /* the user's, which ours stands in for */
  int hook_mask, hook_count;
} lw_Monitor;

/* ---- on the helper thread ---- */

static void set_hook(lw_Monitor *monitor, lua_Hook hook) {
  lw_Loop *loop = monitor->loop;
  lua_State *L;
  uv_mutex_lock(&monitor->lock);
  atomic_store(&loop->pause, 1);
  uv_sleep(PAUSE_MS);
  L = atomic_load(&loop->active);
  if (L != NULL && lua_gethook(L) != hook) {
    monitor->hook = lua_gethook(L);
    monitor->hook_mask = lua_gethookmask(L);
    monitor->hook_count = lua_gethookcount(L);
    lua_sethook(L, hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  }
  atomic_store(&loop->pause, 0);
  uv_mutex_unlock(&monitor->lock);
}

/* In the hook, on the loop's thread: puts the user's back. NULL: the run that it was set for is over, without this
 * coroutine having gone on in it. */
static lw_Monitor *take_hook(lua_State *L) {
  lw_Monitor *monitor = lw_loop_of(L)->monitor;
  if (monitor == NULL) {
    lua_sethook(L, NULL, 0, 0);
    return NULL;
  }
  uv_mutex_lock(&monitor->lock); /* so that what the thread wrote before it set the hook is seen here */
  lua_sethook(L, monitor->hook, monitor->hook_mask, monitor->hook_count);
  uv_mutex_unlock(&monitor->lock);
  return monitor;
}

/* Has the run been interrupted twice? The thread may be late: what it sees now can have been over long ago. */
static int interrupted_twice(lw_Monitor *monitor) {
  lw_Loop *loop = monitor->loop;
  if (atomic_load(&loop->sigint_watches) > 0) return 0;
  return (int)(atomic_load(&monitor->sigints) - atomic_load(&loop->sigints_over)) > 1;
}

/* The hook may come to run late, too: in a coroutine that goes on in another run. */
static void interrupt_hook(lua_State *L, lua_Debug *ar) {
  lw_Monitor *monitor = take_hook(L);
  (void)ar;
  if (monitor != NULL && interrupted_twice(monitor)) lw_error_raise(L, LW_KEYBOARD_INTERRUPT, "interrupted");
}

static void push_who(lua_State *L, lw_Loop *loop) {
  if (loop->current == NULL) {
    lua_pushliteral(L, "a callback");
    return;
  }
  lw_push_anchored(L, loop, loop->current->future.timed.node.slot);
  lw_task_push_name(L, loop, lua_gettop(L), loop->current);
  lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
}

static void watchdog_hook(lua_State *L, lua_Debug *ar) {
  lw_Monitor *monitor = take_hook(L);
  int top = lua_gettop(L);
  (void)ar;
  if (monitor == NULL) return;
  atomic_store(&monitor->shown, 1);
  if (!lua_checkstack(L, 10)) return;
  push_who(L, monitor->loop);
  lua_pushfstring(L, "luawait: %s has held the loop for %f s", lua_tostring(L, -1),
                  (double)(uv_hrtime() - atomic_load(&monitor->since)) / 1e9);
  luaL_traceback(L, L, lua_tostring(L, -1), 0);
  lua_writestringerror("%s\n", lua_tostring(L, -1));
  lua_settop(L, top);
}

/* The hook has not come to run: the step is in a C function, or in a coroutine that the hook was not set on. */
static void say_blocked(lw_Monitor *monitor, uint64_t now) {
  lw_Loop *loop = monitor->loop;
  char line[160], who[24] = "a callback";
  double seconds = (double)(now - atomic_load(&monitor->since)) / 1e9;
  uv_mutex_lock(&monitor->lock);
  atomic_store(&loop->pause, 1);
  uv_sleep(PAUSE_MS);
  if (atomic_load(&loop->active) != NULL && loop->current != NULL)
    snprintf(who, sizeof who, "Task-%u", (unsigned)loop->current->id);
  atomic_store(&loop->pause, 0);
  uv_mutex_unlock(&monitor->lock);
  snprintf(line, sizeof line,
           "luawait: %s holds the loop for %.1f s, in a C function: its Lua stack follows when that returns", who,
           seconds);
  lua_writestringerror("%s\n", line);
}

static void on_tick(uv_timer_t *tick) {
  lw_Monitor *monitor = tick->data;
  lw_Loop *loop = monitor->loop;
  uint32_t steps = atomic_load(&loop->steps);
  uint64_t now = uv_hrtime();
  if (atomic_load(&loop->active) == NULL || steps != monitor->steps) {
    monitor->steps = steps;
    monitor->warned = 0;
    atomic_store(&monitor->shown, 0);
    atomic_store(&monitor->since, now);
  } else if (monitor->warned == 0 && now - atomic_load(&monitor->since) >= monitor->limit) {
    monitor->warned = 1;
    set_hook(monitor, watchdog_hook);
  } else if (monitor->warned == 1 && now - atomic_load(&monitor->since) >= 2 * monitor->limit) {
    monitor->warned = 2;
    if (!atomic_load(&monitor->shown)) say_blocked(monitor, now);
  }
}

static void on_interrupt(uv_signal_t *handle, int signum) {
  lw_Monitor *monitor = handle->data;
  (void)signum;
  atomic_fetch_add(&monitor->sigints, 1);
  if (interrupted_twice(monitor)) set_hook(monitor, interrupt_hook);
}

static void on_quit(uv_async_t *quit) {
  lw_Monitor *monitor = quit->data;
  uv_close((uv_handle_t *)&monitor->interrupt, NULL);
  uv_close((uv_handle_t *)&monitor->tick, NULL);
  uv_close((uv_handle_t *)&monitor->quit, NULL);
}

static void thread_main(void *arg) { uv_run(&((lw_Monitor *)arg)->uv, UV_RUN_DEFAULT); }

/* ---- on the loop's thread ---- */

void lw_wait_for_monitor(lw_Loop *loop) {
  uv_mutex_lock(&loop->monitor->lock);
  uv_mutex_unlock(&loop->monitor->lock);
}

static void on_sigint(uv_signal_t *handle, int signum) {
  lw_Loop *loop = handle->data;
  (void)signum;
  loop->sigints++;
  if (atomic_load(&loop->sigint_watches) > 0) {
    atomic_fetch_add(&loop->sigints_over, 1);
  } else if (loop->main != NULL && lw_interrupts(loop) == 1) {
    lw_cancel(loop->L, loop, &loop->main->future, 0);
  } else {
    loop->stop = LW_STOP_INTERRUPTED;
    uv_stop(loop->uv);
  }
}

static int fail(lua_State *L, lw_Monitor *monitor, int err) {
  free(monitor);
  lw_error_push_os(L, err, "starting the monitor thread", NULL, NULL);
  return lua_error(L);
}

static void init_handles(lw_Monitor *monitor) {
  uv_signal_init(&monitor->uv, &monitor->interrupt);
  uv_timer_init(&monitor->uv, &monitor->tick);
  monitor->interrupt.data = monitor->tick.data = monitor->quit.data = monitor;
  if (monitor->signals) uv_signal_start(&monitor->interrupt, on_interrupt, SIGINT);
  if (monitor->limit > 0) {
    uint64_t tick = monitor->limit / 1000000 / TICKS;
    if (tick < MIN_TICK_MS) tick = MIN_TICK_MS;
    uv_timer_start(&monitor->tick, on_tick, tick, tick);
  }
}

static void watch_sigint(lw_Loop *loop, lw_Monitor *monitor) {
  struct sigaction installed;
  uv_signal_init(loop->uv, &monitor->sigint);
  monitor->sigint.data = loop;
  uv_signal_start(&monitor->sigint, on_sigint, SIGINT);
  sigaction(SIGINT, NULL, &installed);
  monitor->first = installed.sa_handler != monitor->before.sa_handler;
  uv_unref((uv_handle_t *)&monitor->sigint);
}

void lw_monitor_start(lua_State *L, lw_Loop *loop, int signals, double watchdog) {
  lw_Monitor *monitor;
  struct sigaction before;
  int err;
  sigaction(SIGINT, NULL, &before);
  if (before.sa_handler == SIG_IGN) signals = 0;
  if (!signals && watchdog <= 0) return;
  monitor = calloc(1, sizeof *monitor);
  if (monitor == NULL) luaL_error(L, "not enough memory");
  monitor->loop = loop;
  monitor->signals = signals;
  monitor->before = before;
  monitor->limit = watchdog > 0 ? (uint64_t)(watchdog * 1e9) : 0;
  if ((err = uv_loop_init(&monitor->uv)) != 0) fail(L, monitor, err);
  if ((err = uv_mutex_init(&monitor->lock)) != 0 || (err = uv_async_init(&monitor->uv, &monitor->quit, on_quit)) != 0) {
    uv_loop_close(&monitor->uv);
    fail(L, monitor, err);
  }
  if (signals) watch_sigint(loop, monitor);
  init_handles(monitor);
  loop->monitor = monitor;
  err = uv_thread_create(&monitor->thread, thread_main, monitor);
  monitor->running = err == 0;
  if (err == 0) return;
  on_quit(&monitor->quit);
  uv_run(&monitor->uv, UV_RUN_DEFAULT);
  lw_error_push_os(L, err, "starting the monitor thread", NULL, NULL);
  lua_error(L);
}

void lw_monitor_stop(lw_Loop *loop) {
  lw_Monitor *monitor = loop->monitor;
  if (monitor == NULL || !monitor->running) return;
  uv_async_send(&monitor->quit);
  uv_thread_join(&monitor->thread);
  monitor->running = 0;
}

/* libuv has set SIGINT to the default, unless another loop watches it still. */
static void restore_sigint(const lw_Monitor *monitor) {
  struct sigaction now;
  sigaction(SIGINT, NULL, &now);
  if (now.sa_handler == SIG_DFL) sigaction(SIGINT, &monitor->before, NULL);
}

void lw_monitor_free(lw_Loop *loop) {
  lw_Monitor *monitor = loop->monitor;
  if (monitor == NULL) return;
  loop->monitor = NULL;
  if (monitor->signals && loop->open)
    uv_signal_stop(&monitor->sigint); /* the state ends inside a run, and so the process */
  uv_loop_close(&monitor->uv);
  uv_mutex_destroy(&monitor->lock);
  if (monitor->signals && monitor->first) restore_sigint(monitor);
  free(monitor);
}

void lw_open_monitor(lw_Loop *loop) {
  loop->stop_monitor = lw_monitor_stop;
  loop->free_monitor = lw_monitor_free;
}
