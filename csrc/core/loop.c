#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

/* The registry holds the loop userdata under the address of this. */
static const char LOOP = 0;

enum {
  TURN_NS = 1000000, /* one go at the ready queue, before I/O gets its chance again */
  CHECK_STEPS = 64   /* steps between two looks at the clock */
};

lw_Loop *lw_loop_of(lua_State *L) {
  lw_Loop *loop;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &LOOP);
  loop = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return loop;
}

lw_Loop *lw_running_loop(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  if (LW_UNLIKELY(loop->L == NULL)) lw_error_raise(L, LW_RUNTIME_ERROR, "no running event loop");
  return loop;
}

uint64_t lw_now(const lw_Loop *loop) { return LW_UNLIKELY(loop->clock != NULL) ? *loop->clock : uv_hrtime(); }

/* ---- what is kept alive ---- */

uint32_t lw_anchor(lua_State *L, lw_Loop *loop, int index) {
  uint32_t slot = loop->free_slot;
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  if (slot != 0) {
    lua_rawgeti(L, -1, slot);
    loop->free_slot = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, slot);
  } else {
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, loop->slots + 1);
    slot = ++loop->slots;
  }
  lua_pop(L, 1);
  return slot;
}

void lw_unanchor(lua_State *L, lw_Loop *loop, uint32_t slot) {
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  lua_pushinteger(L, loop->free_slot);
  lua_rawseti(L, -2, slot);
  loop->free_slot = slot;
  lua_pop(L, 1);
}

void lw_push_anchored(lua_State *L, const lw_Loop *loop, uint32_t slot) {
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  lua_rawgeti(L, -1, slot);
  lua_remove(L, -2);
}

void lw_note_set(lua_State *L, lw_Loop *loop, int index, lw_Note note) {
  index = lua_absindex(L, index);
  lw_push_ref(L, loop, LW_REF_NOTES);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, index);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
  }
  lua_pushvalue(L, -3);
  lua_rawseti(L, -2, note);
  lua_pop(L, 3);
}

int lw_note_get(lua_State *L, lw_Loop *loop, int index, lw_Note note) {
  index = lua_absindex(L, index);
  lw_push_ref(L, loop, LW_REF_NOTES);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) == LUA_TTABLE)
    lua_rawgeti(L, -1, note);
  else
    lua_pushnil(L);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return lua_type(L, -1);
}

/* ---- reports ---- */

static void add_field(lua_State *L, int report, const char *key, int as_text) {
  if (lua_getfield(L, report, key) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (as_text) lw_error_text(L, -1);
  lua_pushfstring(L, "%s\n  %s", lua_tostring(L, report + 1), lua_tostring(L, -1));
  lua_replace(L, report + 1);
  lua_settop(L, report + 1);
}

/* The default exception handler: one paragraph on stderr. */
static int write_report(lua_State *L) {
  lua_settop(L, 1);
  lua_getfield(L, 1, "message");
  lua_pushfstring(L, "luawait: %s", lua_tostring(L, -1));
  lua_replace(L, 2);
  add_field(L, 1, "error", 1);
  add_field(L, 1, "traceback", 0);
  add_field(L, 1, "created_at", 0);
  lua_writestringerror("%s\n", lua_tostring(L, 2));
  return 0;
}

/* Where scripts are guarded against, the default handler is one in C that runs nothing of theirs. */
static void write_by_default(lua_State *L, lw_Loop *loop, int report) {
  if (loop->guarded && loop->refs[LW_REF_DEFAULT_HANDLER] != LUA_REFNIL)
    lw_push_ref(L, loop, LW_REF_DEFAULT_HANDLER);
  else
    lua_pushcfunction(L, write_report);
  lua_pushvalue(L, report);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

/* Pops the error of the exception handler. */
static void report_handler_error(lua_State *L, lw_Loop *loop) {
  int error = lua_gettop(L);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "error in the exception handler");
  lua_setfield(L, -2, "message");
  lua_pushvalue(L, error);
  lua_setfield(L, -2, "error");
  write_by_default(L, loop, error + 1);
  lua_settop(L, error - 1);
}

/* Is the C function that runs a finalizer? In one, and in what it calls, Lua calls no hooks. */
static int in_finalizer(lua_State *L) {
  lua_Debug ar;
  if (!lua_getstack(L, 0, &ar) || !lua_getinfo(L, "n", &ar)) return 0;
  return ar.name != NULL && strcmp(ar.name, "__gc") == 0 && strcmp(ar.namewhat, "metamethod") == 0;
}

void lw_report(lua_State *L, lw_Loop *loop) {
  int report = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  lw_push_ref(L, loop, loop->guarded && in_finalizer(L) ? LW_REF_DEFAULT_HANDLER : LW_REF_HANDLER);
  if (lua_isnil(L, -1)) lw_push_ref(L, loop, LW_REF_DEFAULT_HANDLER);
  if (lua_isnil(L, -1)) {
    write_by_default(L, loop, report);
  } else {
    lua_pushvalue(L, report);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
      report_handler_error(L, loop);
      write_by_default(L, loop, report);
    }
  }
  lua_settop(L, report - 1);
}

int lw_traceback(lua_State *L) {
  lw_Loop *loop = lw_loop_of(L);
  if (lw_error_is(L, 1, LW_CANCELLED_ERROR)) return 1;
  luaL_checkstack(L, 4, NULL);
  lw_push_ref(L, loop, LW_REF_TRACEBACKS);
  lua_pushthread(L);
  luaL_traceback(L, L, NULL, 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  return 1;
}

void lw_take_traceback(lua_State *L, lw_Loop *loop, lua_State *co) {
  lw_push_ref(L, loop, LW_REF_TRACEBACKS);
  lua_pushthread(co);
  if (co != L) lua_xmove(co, L, 1);
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  lua_insert(L, -3);
  lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void lw_report_error(lua_State *L, lw_Loop *loop, const char *message) {
  lua_createtable(L, 0, 3);
  lua_insert(L, -2);
  lua_setfield(L, -2, "error");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  lw_take_traceback(L, loop, L);
  lua_setfield(L, -2, "traceback");
  lw_report(L, loop);
}

/* ---- deadlines ---- */

void lw_timer_stop(lw_Loop *loop, lw_Timed *timed) {
  if (lw_heap_contains(&timed->timer)) lw_heap_remove(&loop->timers, &timed->timer);
}

static void on_timer(uv_timer_t *timer) {
  lw_Loop *loop = timer->data;
  uint64_t now = lw_now(loop);
  loop->armed = 0;
  while (loop->timers.count > 0 && loop->timers.entries[0].key <= now) {
    lw_Timed *timed = LW_CONTAINER(loop->timers.entries[0].node, lw_Timed, timer);
    lw_heap_remove(&loop->timers, &timed->timer);
    loop->classes[timed->node.type].due(loop, timed);
  }
  if (loop->ready.first == NULL) lw_arm(loop); /* nobody minds: the next deadline keeps the loop alive */
}

uint64_t lw_ms(uint64_t ns) { return ns / 1000000 + (ns % 1000000 != 0); }

/* Sets the uv_timer for the earliest deadline in whole milliseconds: so many sleeps share one wake-up. */
void lw_arm(lw_Loop *loop) {
  uint64_t due;
  if (loop->timers.count == 0) {
    if (loop->armed != 0) uv_timer_stop(&loop->timer);
    loop->armed = 0;
    return;
  }
  uv_update_time(loop->uv); /* libuv counts its poll from the cached time, which is stale after a long turn */
  due = lw_ms(loop->timers.entries[0].key);
  if (due == loop->armed) return;
  loop->armed = due;
  uv_timer_start(&loop->timer, on_timer, due > uv_now(loop->uv) ? due - uv_now(loop->uv) : 0, 0);
}

int lw_timer_start(lw_Loop *loop, lw_Timed *timed, uint64_t deadline) {
  int err;
  lw_timer_stop(loop, timed);
  err = lw_heap_push(&loop->timers, deadline, &timed->timer);
  if (LW_UNLIKELY(!loop->draining && loop->open && loop->clock == NULL)) lw_arm(loop); /* a program's, between turns */
  return err;
}

/* ---- the ready queue ---- */

static void on_idle(uv_idle_t *idle) { (void)idle; }

LW_APART void lw_keep_awake(lw_Loop *loop) {
  if (!loop->draining && loop->open) uv_idle_start(&loop->idle, on_idle);
}

void lw_ready(lw_Loop *loop, lw_Node *node) {
  if (LW_UNLIKELY(loop->ready.first == NULL)) lw_keep_awake(loop);
  lw_list_push(&loop->ready, &node->link);
}

static uint32_t steps_in_a_row(const lw_Loop *loop) { return loop->turn_end != 0 ? 1 : CHECK_STEPS; }

int lw_may_go_on(lw_Loop *loop) {
  uint64_t now = lw_now(loop);
  if (loop->testing != NULL || now - loop->turn_start > TURN_NS) return 0;
  if (loop->turn_end != 0 && now > loop->turn_end) return 0;
  loop->turn_steps = steps_in_a_row(loop);
  return 1;
}

static lw_Node *next_step(lw_Loop *loop) {
  const lw_Link *link = loop->ready.first;
  return link != NULL ? lw_next_step(loop, (lw_NodeType)LW_CONTAINER(link, lw_Node, link)->type) : NULL;
}

/* Runs under lua_pcall; what it lets through is a memory error of the loop's own, never one of a user's function. */
static int drain(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  lw_Node *node;
  loop->turn_start = lw_now(loop);
  loop->turn_steps = steps_in_a_row(loop);
  while ((node = next_step(loop)) != NULL) loop->classes[node->type].run(loop, node);
  loop->stepping = NULL;
  return 0;
}

/* Pops the error. Where it cut a step short, that step pays if it can; where it cannot, or not even that was reached
 * (no memory, or a hook of the user's on this state raised), the run does. */
static void turn_failed(lua_State *L, lw_Loop *loop) {
  if (loop->stepping != NULL && loop->classes[loop->stepping->type].abort != NULL) {
    loop->classes[loop->stepping->type].abort(loop, loop->stepping);
    lua_pop(L, 1);
  } else {
    lua_rawseti(L, LUA_REGISTRYINDEX, loop->refs[LW_REF_ERROR]);
    loop->stop = LW_STOP_ERROR;
  }
  loop->stepping = NULL;
}

static void halt(lw_Loop *loop) {
  if (loop->turning)
    uv_stop(loop->uv);
  else
    loop->halted(loop);
}

void lw_loop_turn(lw_Loop *loop) {
  lua_State *L = loop->L;
  if (loop->ready.first != NULL) {
    loop->draining = 1;
    lua_pushcfunction(L, loop->drain);
    lua_pushlightuserdata(L, loop);
    lw_push_ref(L, loop, LW_REF_ANCHORS);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) turn_failed(L, loop);
    loop->draining = 0;
  }
  loop->arm(loop);
  if (loop->stop != 0) halt(loop);
  if (loop->ready.first != NULL)
    uv_idle_start(&loop->idle, on_idle);
  else
    uv_idle_stop(&loop->idle);
}

/* A step that turns the program's uv_loop must not begin others. */
static void on_prepare(uv_prepare_t *prepare) {
  lw_Loop *loop = prepare->data;
  if (!loop->draining) lw_loop_turn(loop);
}

static void on_check(uv_check_t *check) {
  lw_Loop *loop = check->data;
  loop->polls++;
  if (loop->ready.first != NULL && !loop->draining) lw_loop_turn(loop);
}

void lw_loop_poll(lw_Loop *loop) {
  loop->turning = loop->draining = 1;
  uv_idle_start(&loop->idle, on_idle); /* until the next turn: libuv does not poll where nothing is alive */
  uv_run(loop->uv, UV_RUN_NOWAIT);
  loop->turning = loop->draining = 0;
}

/* ---- debug mode ---- */

static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void lw_debug_begin_step(lw_Loop *loop) {
  loop->step_wall = uv_hrtime();
  loop->step_cpu = cpu_ns();
}

/* A slow step by the clock may be one that was not let run: the CPU time tells. */
void lw_debug_end_step(lw_Loop *loop) {
  lua_State *L = loop->L;
  double wall = (double)(uv_hrtime() - loop->step_wall) / 1e9, cpu = (double)(cpu_ns() - loop->step_cpu) / 1e9;
  int report = lua_gettop(L) + 1;
  if (wall < loop->slow_callback) return;
  lua_createtable(L, 0, 2);
  lw_push_anchored(L, loop, loop->stepping->slot);
  lua_pushvalue(L, -1);
  lua_setfield(L, report, lw_test(L, -1, loop->metatables[LW_REF_TASK]) != NULL ? "task" : "handle");
  if (loop->stepping->slot != 0)
    luaL_tolstring(L, -1, NULL);
  else
    lua_pushliteral(L, "a call from another thread");
  lua_pushfstring(L, "%s took %f s (%f s of CPU time) without waiting", lua_tostring(L, -1), wall, cpu);
  lua_setfield(L, report, "message");
  lua_settop(L, report);
  lw_report(L, loop);
}

/* ---- opening and closing ---- */

void lw_fill_stdio(void) {
  int fd;
  for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD, 0) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0) return;
}

static void end_testing(lw_Loop *loop) {
  loop->testing = NULL;
  loop->clock = NULL;
  loop->drain = drain;
  loop->arm = lw_arm;
}

void lw_own_handle(lw_Loop *loop, uv_handle_t *handle) {
  handle->data = loop;
  loop->in_uv++;
}

static void on_closed(uv_handle_t *handle) { ((lw_Loop *)handle->data)->in_uv--; }

void lw_close_own_handle(lw_Loop *loop, uv_handle_t *handle) {
  (void)loop;
  uv_close(handle, on_closed);
}

static uv_loop_t *make_uv_loop(lua_State *L) {
  uv_loop_t *uv = malloc(sizeof *uv);
  int err;
  lw_fill_stdio();
  err = uv != NULL ? uv_loop_init(uv) : UV_ENOMEM;
  if (err != 0) {
    free(uv);
    lw_error_push_os(L, err, "uv_loop_init", NULL, NULL);
    lua_error(L);
  }
  return uv;
}

static void init_handles(lw_Loop *loop) {
  uv_prepare_init(loop->uv, &loop->prepare);
  uv_check_init(loop->uv, &loop->check);
  uv_idle_init(loop->uv, &loop->idle);
  uv_timer_init(loop->uv, &loop->timer);
  uv_timer_init(loop->uv, &loop->shutdown);
  lw_own_handle(loop, (uv_handle_t *)&loop->prepare);
  lw_own_handle(loop, (uv_handle_t *)&loop->check);
  lw_own_handle(loop, (uv_handle_t *)&loop->idle);
  lw_own_handle(loop, (uv_handle_t *)&loop->timer);
  lw_own_handle(loop, (uv_handle_t *)&loop->shutdown);
  uv_unref((uv_handle_t *)&loop->prepare);
  uv_unref((uv_handle_t *)&loop->check);
  uv_unref((uv_handle_t *)&loop->shutdown);
}

static void close_handles(lw_Loop *loop) {
  while (loop->handles.first != NULL) loop->close_handle(loop->handles.first);
  lw_close_own_handle(loop, (uv_handle_t *)&loop->prepare);
  lw_close_own_handle(loop, (uv_handle_t *)&loop->check);
  lw_close_own_handle(loop, (uv_handle_t *)&loop->idle);
  lw_close_own_handle(loop, (uv_handle_t *)&loop->timer);
  lw_close_own_handle(loop, (uv_handle_t *)&loop->shutdown);
}

void lw_loop_open(lua_State *L, lw_Loop *loop, uv_loop_t *uv) {
  loop->foreign = uv != NULL;
  loop->uv = uv != NULL ? uv : make_uv_loop(L);
  init_handles(loop);
  uv_prepare_start(&loop->prepare, on_prepare);
  uv_check_start(&loop->check, on_check);
  loop->armed = 0;
  loop->last_id = 0;
  loop->sigints = 0;
  atomic_store(&loop->sigints_over, 0);
  loop->stop = 0;
  loop->open = 1;
  if (loop->move_luv != NULL) loop->move_luv(loop);
  if (loop->ready.first != NULL) uv_idle_start(&loop->idle, on_idle); /* a callback of a future, from before */
}

static void close_rest(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void close_uv_loop(lw_Loop *loop) {
  uv_walk(loop->uv, close_rest, NULL);
  while (uv_run(loop->uv, UV_RUN_DEFAULT) != 0) continue; /* close callbacks, and requests in flight */
  uv_loop_close(loop->uv);
  free(loop->uv);
}

void lw_loop_close(lw_Loop *loop) {
  if (!loop->open) return;
  loop->open = 0;
  loop->leave(loop);
  close_handles(loop);
  while (loop->foreign && loop->in_uv > 0 && uv_run(loop->uv, UV_RUN_ONCE) != 0) continue;
  if (!loop->foreign) close_uv_loop(loop);
  loop->uv = NULL;
  if (loop->move_luv != NULL) loop->move_luv(loop);
  loop->in_uv = 0;
  lw_heap_free(&loop->timers);
  end_testing(loop);
}

/* The state is being closed: nothing of Lua's may be called or trusted any more but the memory of the userdata. */
static int loop_gc(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  if (loop->stop_monitor != NULL) loop->stop_monitor(loop);
  if (!loop->turning && !loop->draining)
    lw_loop_close(loop);
  else
    loop->leave(loop);
  if (loop->free_monitor != NULL) loop->free_monitor(loop);
  lw_heap_free(&loop->timers);
  return 0;
}

void lw_set_ref(lua_State *L, lw_Loop *loop, lw_Ref ref) {
  int old = loop->refs[ref];
  loop->refs[ref] = luaL_ref(L, LUA_REGISTRYINDEX);
  if (old != 0) luaL_unref(L, LUA_REGISTRYINDEX, old);
}

void lw_set_metatable_ref(lua_State *L, lw_Loop *loop, lw_Ref ref) {
  loop->metatables[ref] = lua_topointer(L, -1);
  lw_set_ref(L, loop, ref);
}

static void new_table_ref(lua_State *L, lw_Loop *loop, lw_Ref ref, int weak) {
  lua_newtable(L);
  if (weak) {
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  lw_set_ref(L, loop, ref);
}

lw_Loop *lw_open_loop(lua_State *L) {
  lw_Loop *loop = lua_newuserdatauv(L, sizeof *loop, 0);
  memset(loop, 0, sizeof *loop);
  end_testing(loop);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, loop_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &LOOP);
  new_table_ref(L, loop, LW_REF_ANCHORS, 0);
  new_table_ref(L, loop, LW_REF_POOL, 0);
  new_table_ref(L, loop, LW_REF_NOTES, 1);
  new_table_ref(L, loop, LW_REF_FAILURES, 1);
  new_table_ref(L, loop, LW_REF_TRACEBACKS, 1);
  new_table_ref(L, loop, LW_REF_NAMES, 1);
  lua_pushboolean(L, 0);
  lw_set_ref(L, loop, LW_REF_ERROR);
  loop->refs[LW_REF_HANDLER] = loop->refs[LW_REF_DEFAULT_HANDLER] = LUA_REFNIL; /* which reads as nil */
  return loop;
}
