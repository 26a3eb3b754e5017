#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/handle.h"
#include "core/monitor.h"
#include "core/runner.h"
#include "core/task.h"
#include "core/timers.h"
#include "embed/embed.h"

enum { THREAD = 1, ROOM = 10 };

const char *luawait_status_text(int status) {
  static const char *const texts[] = {"not enough memory",
                                      "done already",
                                      "the loop is running",
                                      "no open loop",
                                      "invalid argument or moment",
                                      "ok",
                                      "error",
                                      "cancelled",
                                      "stopped by a limit"};
  return status >= LUAWAIT_NO_MEMORY && status <= LUAWAIT_STOPPED ? texts[status - LUAWAIT_NO_MEMORY]
                                                                  : "unknown status";
}

lw_Embed *lw_embed_of(lua_State *L) {
  lw_Loop *loop;
  if (L == NULL || !lua_checkstack(L, ROOM)) return NULL;
  loop = lw_loop_of(L);
  return loop != NULL ? loop->embed : NULL;
}

lw_Embed *lw_open_embed_of(lua_State *L, int *status) {
  lw_Embed *embed = lw_embed_of(L);
  *status = embed == NULL ? LUAWAIT_INVALID : LUAWAIT_CLOSED;
  return embed != NULL && embed->loop->L != NULL && embed->loop->open && !embed->closing ? embed : NULL;
}

/* As that, for what turns the loop: it must be luawait_open's, and nobody may be turning it. */
static lw_Embed *idle_embed_of(lua_State *L, int *status) {
  lw_Embed *embed = lw_open_embed_of(L, status);
  if (embed == NULL) return NULL;
  *status = !embed->opened ? LUAWAIT_INVALID : LUAWAIT_BUSY;
  return embed->opened && !embed->loop->turning && !embed->loop->draining ? embed : NULL;
}

int lw_protect(lua_State *L, lua_CFunction fn, void *arg, int nargs, int nresults) {
  lua_pushcfunction(L, fn);
  lua_insert(L, -(nargs + 1));
  lua_pushlightuserdata(L, arg);
  lua_insert(L, -(nargs + 1));
  return lua_pcall(L, nargs + 1, nresults, 0) == LUA_OK ? LUAWAIT_OK : LUAWAIT_ERROR;
}

/* ---- opening and closing ---- */

static int raise_stop(lua_State *L) {
  lw_Embed *embed = lua_touserdata(L, 1);
  return lw_raise_stop(L, embed->loop, (int)lua_tointeger(L, 2));
}

/* Why the loop was stopped, as an error on the top. */
static int push_stop(lua_State *L, lw_Embed *embed, int stop) {
  lua_pushinteger(L, stop);
  return lw_protect(L, raise_stop, embed, 1, 0);
}

/* While the program itself turns its uv_loop_t: nobody but the exception handler can be told. */
static void halted(lw_Loop *loop) {
  lua_State *L = loop->L;
  push_stop(L, loop->embed, loop->stop);
  lw_tell_error(L, "the loop was to be stopped");
  loop->stop = 0;
}

static void leave(lw_Loop *loop) {
  lw_Embed *embed = loop->embed;
  embed->closing = 1;
  lw_close_port(embed);
  if (embed->opened) lw_close_own_handle(loop, (uv_handle_t *)&embed->timer);
  embed->opened = 0;
  lw_tell_ends(embed, NULL);
  lw_end_limits(embed);
  embed->closing = 0;
}

typedef struct Opening {
  lw_Embed *embed;
  luawait_Options options;
} Opening;

/* The coroutine that turns the loop, so that the program's are free. */
static lua_State *new_thread(lua_State *L, lw_Embed *embed) {
  lua_State *thread = lua_newthread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &embed->L);
  lua_sethook(thread, NULL, 0, 0);
  return thread;
}

static int open_loop(lua_State *L) {
  Opening *opening = lua_touserdata(L, 1);
  lw_Embed *embed = opening->embed;
  lw_Loop *loop = embed->loop;
  if (embed->L == NULL) embed->L = new_thread(L, embed);
  lw_loop_open(L, loop, opening->options.loop);
  loop->debug = opening->options.debug;
  loop->slow_callback = opening->options.slow_callback > 0 ? opening->options.slow_callback : 0.1;
  loop->owner = embed;
  lw_monitor_start(L, loop, 0, opening->options.watchdog);
  return 0;
}

int luawait_open(lua_State *L, const luawait_Options *options) {
  Opening opening = {lw_embed_of(L), LUAWAIT_OPTIONS_INIT};
  lw_Loop *loop;
  if (options != NULL) opening.options = *options;
  if (opening.embed == NULL || opening.options.size != sizeof(luawait_Options) ||
      !(opening.options.slow_callback >= 0) || !(opening.options.watchdog >= 0))
    return LUAWAIT_INVALID;
  loop = opening.embed->loop;
  if (loop->open || loop->L != NULL || opening.embed->closing) return LUAWAIT_BUSY;
  if (lw_protect(L, open_loop, &opening, 0, 0) != LUAWAIT_OK) {
    if (loop->open) lw_close_loop(opening.embed->L, loop, 0);
    return LUAWAIT_ERROR;
  }
  loop->L = opening.embed->L;
  opening.embed->opened = 1;
  uv_timer_init(loop->uv, &opening.embed->timer);
  lw_own_handle(loop, (uv_handle_t *)&opening.embed->timer);
  return LUAWAIT_OK;
}

static void on_timeout(uv_timer_t *timer) { (void)timer; }

static uint64_t milliseconds(double seconds) { return seconds < 1e9 ? lw_ms(lw_ns(seconds)) : UINT32_MAX; }

/* One turn, whose poll waits for at most `timeout` seconds. */
static void turn_once(lw_Embed *embed, double timeout) {
  lw_Loop *loop = embed->loop;
  if (timeout > 0) {
    uv_update_time(loop->uv);
    uv_timer_start(&embed->timer, on_timeout, milliseconds(timeout), 0);
  }
  loop->turning = 1;
  uv_run(loop->uv, timeout == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
  if (timeout != 0 && loop->stop == 0) lw_loop_turn(loop); /* deadlines that ended the poll come last in uv_run */
  loop->turning = 0;
  if (timeout > 0) uv_timer_stop(&embed->timer);
}

static int cancel_all(lua_State *L) {
  lw_Embed *embed = lua_touserdata(L, 1);
  lw_cancel_all(L, embed->loop);
  return 0;
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* Returns a handle that is the last in the ready queue. */
static int mark_end(lua_State *L) {
  lw_Embed *embed = lua_touserdata(L, 1);
  lua_pushcfunction(L, nothing);
  lw_ready(embed->loop, &lw_handle_new(L, embed->loop, lua_gettop(L), 0)->timed.node);
  return 1;
}

/* Everything that is ready has its step, in as many turns as that takes; without memory, in one. */
static void turn_all(lw_Embed *embed) {
  const lw_Handle *end = NULL;
  if (lw_protect(embed->L, mark_end, embed, 0, 1) == LUAWAIT_OK) end = lua_touserdata(embed->L, -1);
  do {
    turn_once(embed, 0);
  } while (end != NULL && end->timed.node.state == LW_WAITING && embed->loop->stop == 0);
  lua_pop(embed->L, 1);
}

/* There is no time to wait for those that are cancelled: they have steps for as long as some of them end by that. */
static void cancel_quickly(lw_Embed *embed) {
  lw_Loop *loop = embed->loop;
  uint32_t before;
  if (loop->unfinished == 0) return;
  if (lw_protect(embed->L, cancel_all, embed, 0, 0) != LUAWAIT_OK) lua_pop(embed->L, 1);
  loop->cancelling_all = 0;
  do {
    before = loop->unfinished;
    turn_all(embed);
  } while (loop->unfinished > 0 && loop->unfinished < before && loop->stop == 0);
}

static int shut_down(lua_State *L, lw_Embed *embed, double timeout) {
  lua_State *own = embed->L;
  int status;
  embed->meter.closing = 1;
  if (timeout == 0) cancel_quickly(embed);
  status = lw_end_all(own, embed->loop, timeout);
  embed->loop->L = own;
  embed->loop->stop = 0;
  lw_tell_ends(embed, own);
  embed->meter.closing = 0;
  if (status == LUA_OK) return LUAWAIT_OK;
  lua_xmove(own, L, 1);
  return LUAWAIT_ERROR;
}

int luawait_shutdown(lua_State *L, double timeout) {
  int status;
  lw_Embed *embed = idle_embed_of(L, &status);
  if (embed == NULL) return status;
  return timeout >= 0 ? shut_down(L, embed, timeout) : LUAWAIT_INVALID;
}

int luawait_close(lua_State *L) {
  int status;
  lw_Embed *embed = idle_embed_of(L, &status);
  if (embed == NULL) return status == LUAWAIT_CLOSED ? LUAWAIT_OK : status;
  if (shut_down(L, embed, 0) != LUAWAIT_OK) lua_pop(L, 1);
  embed->closing = 1;
  embed->meter.closing = 1;
  lw_close_loop(embed->L, embed->loop, 0);
  embed->meter.closing = 0;
  return LUAWAIT_OK;
}

/* ---- turning the loop ---- */

static int stopped(lua_State *L, lw_Embed *embed, int stop) {
  embed->loop->stop = 0;
  return stop != LW_STOP_DONE ? push_stop(L, embed, stop) : LUAWAIT_OK;
}

int luawait_run(lua_State *L) {
  int status, stop = LW_STOP_DONE;
  lw_Embed *embed = idle_embed_of(L, &status);
  if (embed == NULL) return status;
  embed->loop->last_ending = LW_ALL_TASKS;
  if (embed->loop->unfinished > 0) stop = lw_turn(embed->loop);
  embed->loop->last_ending = 0;
  return stopped(L, embed, stop);
}

int luawait_step(lua_State *L, double timeout, double budget) {
  int status, stop;
  lw_Embed *embed = idle_embed_of(L, &status);
  lw_Loop *loop;
  if (embed == NULL) return status;
  if (isnan(timeout) || !(budget >= 0)) return LUAWAIT_INVALID;
  loop = embed->loop;
  loop->stop = 0;
  loop->turn_end = budget > 0 ? lw_now(loop) + (uint64_t)(budget < 1e9 ? budget * 1e9 : 1e18) : 0;
  turn_once(embed, timeout);
  while (loop->stop == 0 && loop->ready.first != NULL && lw_now(loop) < loop->turn_end) turn_once(embed, 0);
  loop->turn_end = 0;
  stop = loop->stop;
  return stopped(L, embed, stop != 0 ? stop : LW_STOP_DONE);
}

/* Milliseconds until the first of our deadlines, as the loop's timer has them. */
static int deadline(const lw_Loop *loop) {
  uint64_t key = loop->timers.entries[0].key, now = lw_now(loop);
  uint64_t ms = key > now ? lw_ms(key - now) : 0;
  return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

int luawait_timeout(lua_State *L) {
  int status, timeout = -1;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  lw_Loop *loop;
  if (embed == NULL) return -1;
  loop = embed->loop;
  if (loop->ready.first != NULL) return 0;
  uv_update_time(loop->uv);
  if (uv_loop_alive(loop->uv)) timeout = uv_backend_timeout(loop->uv);
  if (loop->timers.count > 0 && (timeout < 0 || deadline(loop) < timeout)) timeout = deadline(loop);
  return timeout;
}

int luawait_backend_fd(lua_State *L) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  return embed != NULL ? uv_backend_fd(embed->loop->uv) : -1;
}

struct uv_loop_s *luawait_uv_loop(lua_State *L) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  return embed != NULL ? embed->loop->uv : NULL;
}

/* ---- tasks ---- */

static int push_results(lua_State *L) {
  lw_Embed *embed = lua_touserdata(L, 1);
  return lw_future_push_results(L, embed->loop, 2, lua_touserdata(L, 2));
}

int luawait_call(lua_State *L, int nargs, int nresults) {
  int status, stop;
  lw_Embed *embed = idle_embed_of(L, &status);
  lw_Task *task;
  if (embed == NULL) return status;
  if (nresults < LUA_MULTRET || !lua_checkstack(L, nresults + 4)) return LUAWAIT_INVALID;
  status = lw_spawn(L, embed, nargs, NULL, NULL);
  if (status != LUAWAIT_OK) return status;
  task = lua_touserdata(L, -1);
  lw_task_node(task)->flags |= LW_RETRIEVED; /* its error is returned here */
  embed->loop->main = task;
  stop = lw_turn(embed->loop);
  embed->loop->main = NULL;
  if (stop == LW_STOP_DONE) {
    embed->loop->stop = 0;
    return lw_protect(L, push_results, embed, 1, nresults);
  }
  lua_pop(L, 1);
  return stopped(L, embed, stop);
}

typedef struct Cancelling {
  lw_Embed *embed;
  const char *message;
  int cancelled;
} Cancelling;

static int cancel(lua_State *L) {
  Cancelling *c = lua_touserdata(L, 1);
  lua_pushstring(L, c->message); /* nil without one */
  c->cancelled = lw_cancel(L, c->embed->loop, lua_touserdata(L, 2), 2);
  return 0;
}

int luawait_cancel(lua_State *L, int index, const char *message) {
  int status;
  Cancelling c = {lw_open_embed_of(L, &status), message, 0};
  if (c.embed == NULL) return status;
  if (lw_to_future(L, c.embed->loop, index) == NULL) return LUAWAIT_INVALID;
  lua_pushvalue(L, index);
  status = lw_protect(L, cancel, &c, 1, 0);
  return status == LUAWAIT_OK && !c.cancelled ? LUAWAIT_DONE : status;
}

int luawait_cancel_all(lua_State *L) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  if (embed == NULL) return status;
  status = lw_protect(L, cancel_all, embed, 0, 0);
  embed->loop->cancelling_all = 0; /* set still, if it was cut short */
  return status;
}

int luawait_pending(lua_State *L) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  return embed != NULL ? (int)embed->loop->unfinished : 0;
}

/* ---- the table of functions ---- */

static const luawait_Api api = {
    LUAWAIT_API_VERSION, sizeof(luawait_Api), luawait_status_text,   luawait_open,       luawait_shutdown,
    luawait_close,       luawait_spawn,       luawait_call,          luawait_cancel,     luawait_cancel_all,
    luawait_pending,     luawait_run,         luawait_step,          luawait_timeout,    luawait_backend_fd,
    luawait_uv_loop,     luawait_port,        luawait_port_ref,      luawait_port_unref, luawait_post,
    luawait_future,      luawait_promise_ref, luawait_promise_unref, luawait_complete,   luawait_resolve,
    luawait_reject,      luawait_await,       luawait_on_report,     luawait_limit};

void lw_open_embed(lua_State *L, int loop_index, lw_Loop *loop) {
  lw_Embed *embed = lua_newuserdatauv(L, sizeof *embed, 0);
  (void)loop_index;
  memset(embed, 0, sizeof *embed);
  embed->loop = loop;
  embed->inbox = (lw_Node){.type = LW_POSTED, .state = LW_WAITING};
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  embed->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, embed);
  loop->embed = embed;
  loop->leave = leave;
  loop->halted = halted;
  lw_open_port(loop);
  lua_pushlightuserdata(L, (void *)&api);
  lua_setfield(L, LUA_REGISTRYINDEX, LUAWAIT_API_KEY);
}
