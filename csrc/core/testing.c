#include "core/testing.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/park.h"
#include "core/runner.h"
#include "core/timers.h"

/* The registry holds the lw_Testing, and the task that had its turn last, under the addresses of these. */
static const char TESTING = 0, STEPPING = 0;

#define NS 1e9
#define LATEST 9.2e18 /* nanoseconds that the virtual clock can show; 292 years */

/* The one of a Lua state, made with the module; loop->testing points to it while a test runs. */
typedef struct lw_Testing {
  uint64_t now;          /* of the virtual clock, nanoseconds */
  uint64_t poll_began;   /* system time; 0: the virtual clock does not go on with the poll */
  int autojump;          /* else only testing_move moves it */
  uint64_t patience;     /* nanoseconds that I/O which is pending may keep quiet, before the clock jumps all the same */
  uint32_t busy_at;      /* loop->polls when something ran last, */
  uint64_t busy_since;   /* and the system time */
  lw_List blocked;       /* tasks that wait until all the others do */
  int seeded;            /* shuffle */
  uint64_t random;       /* state of the generator */
  lw_Link **links;       /* room to shuffle in */
  size_t capacity;       /* of links */
  lua_Integer waits;     /* begun by tasks so far; below 0: not counted any more */
  lua_Integer cancel_at; /* the one whose task is cancelled, 0: none */
  uv_timer_t limit;      /* real time that the test may take */
} lw_Testing;

/* ---- chance ---- */

/* A number from 0 to n - 1; 0 for none. After Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
 * (2014). */
static size_t choose(lw_Testing *testing, size_t n) {
  uint64_t z = testing->random += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return n > 1 ? (size_t)((z ^ (z >> 31)) % n) : 0;
}

static int is_task(const lw_Link *link) { return LW_CONTAINER(link, lw_Node, link)->type == LW_TASK; }

static int make_room(lw_Testing *testing, size_t n) {
  lw_Link **links = n > testing->capacity ? realloc(testing->links, n * sizeof *links) : testing->links;
  if (links == NULL) return 0;
  testing->links = links;
  if (n > testing->capacity) testing->capacity = n;
  return 1;
}

/* The tasks among the ready change places with each other; callbacks, which run in the order of the calls, keep
 * theirs. Without memory all stays as it is. */
static void shuffle(lw_Testing *testing, lw_List *ready, size_t count) {
  lw_Link **all, **tasks, *link;
  size_t i, left, n = 0;
  if (count < 2 || !make_room(testing, 2 * count)) return;
  all = testing->links;
  tasks = all + count;
  for (i = 0; (link = lw_list_pop(ready)) != NULL; i++) {
    all[i] = link;
    if (is_task(link)) tasks[n++] = link;
  }
  for (i = 0, left = n; i < count; i++) {
    link = all[i];
    if (is_task(link)) {
      size_t k = choose(testing, left);
      link = tasks[k];
      tasks[k] = tasks[--left];
    }
    lw_list_push(ready, link);
  }
}

/* Deadlines that equal the earliest stand at the root of the heap, without any other between them. Each that is met is
 * taken for the chosen one with the chance of one in those met so far. */
static void choose_earliest(lw_Testing *testing, const lw_Heap *heap, uint32_t i, size_t *met, lw_HeapNode **chosen) {
  uint32_t child;
  if (i >= heap->count || heap->entries[i].key != heap->entries[0].key) return;
  if (choose(testing, ++*met) == 0) *chosen = heap->entries[i].node;
  for (child = LW_HEAP_ARITY * i + 1; child <= LW_HEAP_ARITY * (i + 1); child++)
    choose_earliest(testing, heap, child, met, chosen);
}

static lw_HeapNode *earliest(lw_Testing *testing, const lw_Heap *heap) {
  lw_HeapNode *chosen = heap->entries[0].node;
  size_t met = 0;
  if (testing->seeded) choose_earliest(testing, heap, 0, &met, &chosen);
  return chosen;
}

/* ---- steps ---- */

/* A task that is not done after its step has begun a wait. */
static void count_wait(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_Testing *testing = loop->testing;
  lw_Node *node = lw_task_node(task);
  if (testing->waits < 0 || node->state >= LW_DONE || node->wait == LW_WAIT_TESTING) return;
  if (++testing->waits == testing->cancel_at) lw_cancel(L, loop, &task->future, 0);
}

/* No task runs on from this one. It stays alive until count_wait has looked at it, but not on the stack, which is the
 * step's. */
static void step(lua_State *L, lw_Loop *loop, lw_Node *node) {
  int task = node->type == LW_TASK;
  loop->stepping = node;
  loop->turn_steps = 0;
  if (task) {
    lua_rawgeti(L, LW_ANCHORS, node->slot);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &STEPPING);
  }
  loop->classes[node->type].run(loop, node);
  if (task) count_wait(L, loop, lw_node_task(node));
  lua_settop(L, LW_ANCHORS);
}

/* The clock goes on by the time that a poll took. */
static void end_poll(lw_Testing *testing) {
  if (testing->poll_began != 0) testing->now += uv_hrtime() - testing->poll_began;
  testing->poll_began = 0;
}

/* One batch: what becomes ready meanwhile has its turn after the next poll, so that the system's clock has no say in
 * the order. */
static int testing_drain(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  lw_Testing *testing = loop->testing;
  size_t left = lw_list_count(&loop->ready);
  lw_Link *link;
  end_poll(testing);
  testing->busy_at = loop->polls;
  testing->busy_since = uv_hrtime();
  if (testing->seeded) shuffle(testing, &loop->ready, left);
  while (loop->stop == 0 && left-- > 0 && (link = lw_list_pop(&loop->ready)) != NULL)
    step(L, loop, LW_CONTAINER(link, lw_Node, link));
  loop->stepping = NULL;
  return 0;
}

/* ---- time ---- */

static void fire_due(lw_Loop *loop) {
  while (loop->timers.count > 0 && loop->timers.entries[0].key <= *loop->clock) {
    lw_Timed *timed = LW_CONTAINER(earliest(loop->testing, &loop->timers), lw_Timed, timer);
    lw_heap_remove(&loop->timers, &timed->timer);
    loop->classes[timed->node.type].due(loop, timed);
  }
}

/* Its firing may have been the last thing alive in libuv, which counts after the timers since 1.45. */
static void on_wake(uv_timer_t *timer) { lw_keep_awake(timer->data); }

/* The poll ends after that many nanoseconds, at the latest. */
static void end_poll_after(lw_Loop *loop, uint64_t delay) {
  uv_update_time(loop->uv);
  uv_timer_start(&loop->timer, on_wake, lw_ms(delay), 0);
}

/* Does anything but the loop's own handles keep libuv going? */
static int io_pending(lw_Loop *loop) {
  uv_timer_stop(&loop->timer);
  uv_idle_stop(&loop->idle);
  loop->armed = 0;
  return uv_loop_alive(loop->uv);
}

static void wake_blocked(lw_Loop *loop, lw_Testing *testing) {
  lw_Link *link;
  while ((link = lw_list_pop(&testing->blocked)) != NULL)
    lw_wake(loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
}

/* Nothing is ready: jumps to the first deadline, or has the poll end for it, or goes on with the poll. */
static void pass_time(lw_Loop *loop, lw_Testing *testing, int polled, int io) {
  uint64_t quiet = polled ? uv_hrtime() - testing->busy_since : 0, patience = testing->patience, delay;
  if (loop->timers.count == 0) {
    if (io) testing->poll_began = uv_hrtime();
    return;
  }
  delay = loop->timers.entries[0].key - testing->now;
  if (polled && (!io || quiet >= patience)) {
    testing->now += delay;
    fire_due(loop);
    if (loop->ready.first == NULL) end_poll_after(loop, 0); /* nobody minds: on to the next deadline */
  } else if (!io) {
    end_poll_after(loop, 0);
  } else {
    testing->poll_began = uv_hrtime();
    if (patience - quiet < delay) delay = patience - quiet;
    end_poll_after(loop, delay);
  }
}

/* In place of lw_arm. */
static void testing_arm(lw_Loop *loop) {
  lw_Testing *testing = loop->testing;
  int polled = loop->polls != testing->busy_at; /* since something ran, and nothing came of it */
  int io = io_pending(loop);
  end_poll(testing);
  if (loop->clock != NULL) fire_due(loop);
  if (loop->ready.first != NULL) return;
  if (testing->blocked.first != NULL && polled)
    wake_blocked(loop, testing);
  else if (testing->blocked.first != NULL)
    end_poll_after(loop, 0);
  else if (loop->clock == NULL)
    lw_arm(loop);
  else if (testing->autojump)
    pass_time(loop, testing, polled, io);
}

/* ---- waiting until all the others wait ---- */

static int blocked_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)L, (void)task, (void)on, (void)wake;
  return 0;
}

static int blocked_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  lw_Testing *testing = on;
  (void)L, (void)loop;
  lw_list_remove(&testing->blocked, &lw_task_node(task)->link);
  return 0;
}

static void blocked_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop, (void)on;
  lua_pushliteral(L, "all the other tasks to wait");
}

static lw_Testing *running_test(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  if (loop->testing == NULL || loop->L == NULL)
    lw_error_raise(L, LW_RUNTIME_ERROR, "no test is running: use this inside testing.run");
  return loop->testing;
}

/* blocked(): waits until every task waits and a poll has brought nothing. A cancelled wait leaves nothing behind. After
 * trio.testing.wait_all_tasks_blocked. */
static int testing_blocked(lua_State *L) {
  lw_Testing *testing = running_test(L);
  lw_Loop *loop = lw_loop(L);
  lw_Task *task = lw_waiter(L, loop);
  lw_list_push(&testing->blocked, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_TESTING, testing);
}

/* ---- the real time that a test may take ---- */

/* Under lua_pcall, with the loop: the error of a test that took too long. */
static int limit_error(lua_State *L) {
  lw_Loop *loop = lua_touserdata(L, 1);
  lw_push_waits(L, loop);
  lw_error_push(L, LW_TIMEOUT_ERROR, "the test takes too long%s", lua_tostring(L, -1));
  return 1;
}

static void on_limit(uv_timer_t *timer) {
  lw_Loop *loop = timer->data;
  lua_State *L = loop->L;
  if (loop->stop != 0) { /* this part of the run has ended by itself, in the iteration whose timers are last */
    uv_timer_start(timer, on_limit, 1, 0);
    return;
  }
  uv_stop(loop->uv);
  loop->stop = LW_STOP_TIMEOUT;
  if (loop->main == NULL) return; /* it is the ending of the other tasks that does not end */
  lua_pushcfunction(L, limit_error);
  lua_pushlightuserdata(L, loop);
  lua_pcall(L, 1, 1, 0);
  lua_rawseti(L, LUA_REGISTRYINDEX, loop->refs[LW_REF_ERROR]);
  loop->stop = LW_STOP_ERROR;
}

/* ---- Lua-visible ---- */

static uint64_t to_ns(double seconds) { return seconds * NS < LATEST ? lw_ns(seconds) : UINT64_MAX; }

/* begin(virtual, autojump, patience, seed, cancel_at, limit): the running loop, in which nothing has been done yet, is
 * that of a test from its next turn on. The four after `autojump` may be nil; times in seconds. */
static int testing_begin(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lw_Testing *testing = lua_touserdata(L, lua_upvalueindex(2));
  if (loop->testing != NULL || loop->timers.count > 0)
    return lw_error_raise(L, LW_RUNTIME_ERROR, "a test must begin first thing in its loop");
  *testing = (lw_Testing){.links = testing->links, .capacity = testing->capacity, .busy_at = loop->polls};
  testing->autojump = lua_toboolean(L, 2);
  testing->patience = lua_isnil(L, 3) ? UINT64_MAX : to_ns(lua_tonumber(L, 3));
  testing->seeded = !lua_isnil(L, 4);
  testing->random = (uint64_t)lua_tointeger(L, 4);
  testing->cancel_at = lua_tointeger(L, 5);
  uv_timer_init(loop->uv, &testing->limit);
  testing->limit.data = loop;
  if (!lua_isnil(L, 6)) uv_timer_start(&testing->limit, on_limit, lw_ms(to_ns(lua_tonumber(L, 6))), 0);
  uv_unref((uv_handle_t *)&testing->limit);
  loop->testing = testing;
  loop->clock = lua_toboolean(L, 1) ? &testing->now : NULL;
  loop->drain = testing_drain;
  loop->arm = testing_arm;
  return 0;
}

/* finish(): the test is over. Returns how many waits the tasks have begun; they are not counted any more. Nobody
 * advances the clock now: that the tasks which are left can clean up, it jumps. */
static int testing_finish(lua_State *L) {
  lw_Testing *testing = running_test(L);
  lua_pushinteger(L, testing->waits);
  testing->waits = -1;
  testing->autojump = 1;
  return 1;
}

/* io_pending(): does anything but the loop itself keep it going? */
static int testing_io_pending(lua_State *L) {
  running_test(L);
  lua_pushboolean(L, io_pending(lw_loop(L)));
  return 1;
}

static lw_Testing *virtual_time(lua_State *L) {
  lw_Testing *testing = running_test(L);
  if (lw_loop(L)->clock == NULL) lw_error_raise(L, LW_RUNTIME_ERROR, "this test runs on the system's clock");
  return testing;
}

/* after(seconds): the time that the virtual clock will show then, in nanoseconds; nil: it does not go so far */
static int testing_after(lua_State *L) {
  lw_Testing *testing = virtual_time(L);
  double seconds = lua_tonumber(L, 1);
  if ((double)testing->now + seconds * NS < LATEST)
    lua_pushinteger(L, (lua_Integer)(testing->now + lw_ns(seconds)));
  else
    lua_pushnil(L);
  return 1;
}

/* move(when, past): the virtual clock goes on to this time (in nanoseconds), but no farther than to the next deadline,
 * unless `past` is true; true when it has got there. What is due will run when the caller waits. */
static int testing_move(lua_State *L) {
  lw_Testing *testing = virtual_time(L);
  const lw_Heap *timers = &lw_loop(L)->timers;
  uint64_t target = (uint64_t)lua_tointeger(L, 1), when = target;
  if (!lua_toboolean(L, 2) && timers->count > 0 && timers->entries[0].key < when) when = timers->entries[0].key;
  if (when > testing->now) testing->now = when;
  lua_pushboolean(L, when == target);
  return 1;
}

static int testing_gc(lua_State *L) {
  lw_Testing *testing = lua_touserdata(L, 1);
  free(testing->links);
  testing->links = NULL;
  return 0;
}

void lw_open_testing(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass blocked_class = {blocked_resumed, blocked_cancel, NULL, blocked_describe, NULL, NULL};
  static const luaL_Reg funcs[] = {
      {"blocked", testing_blocked}, {"finish", testing_finish}, {"io_pending", testing_io_pending},
      {"after", testing_after},     {"move", testing_move},     {NULL, NULL}};
  lw_Testing *testing;
  loop->waits[LW_WAIT_TESTING] = &blocked_class;
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
  lua_pushvalue(L, loop_index);
  testing = lua_newuserdatauv(L, sizeof *testing, 0);
  *testing = (lw_Testing){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, testing_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &TESTING);
  lua_pushcclosure(L, testing_begin, 2);
  lua_setfield(L, -2, "begin");
  lw_open_leaks(L, loop_index);
  lw_open_faults(L, loop_index, loop);
  lua_setfield(L, -2, "testing");
}
