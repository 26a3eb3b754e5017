#include <lauxlib.h>
#include <stdint.h>

#include "base/error.h"
#include "sync/sync.h"
#include "sync/waiters.h"

typedef struct Barrier {
  lw_Head head;
  lw_List waiters; /* tasks */
  lua_Integer parties, waiting;
  int broken;
} Barrier;

static const char BARRIER[] = "Barrier";

static Barrier *self(lua_State *L) { return lw_self_of(L, BARRIER, sizeof(Barrier)); }

/* What a woken task finds in `on`: its index, or 0 for a barrier that was broken or reset. */
static void wake_with(Barrier *barrier, uintptr_t first_index) {
  uintptr_t index = first_index;
  lw_Task *task;
  while ((task = lw_wake_first(barrier->head.loop, &barrier->waiters)) != NULL) {
    task->on = (void *)index;
    if (index > 0) index++;
  }
  barrier->waiting = 0;
}

static int wait_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)wake;
  if (on == NULL) return lw_error_raise(L, LW_BROKEN_BARRIER_ERROR, "the barrier was aborted or reset");
  lua_pushinteger(L, (lua_Integer)(uintptr_t)on);
  return 1;
}

static int wait_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  LW_CONTAINER(on, Barrier, waiters)->waiting--;
  return lw_leave(L, loop, task, on);
}

static void wait_describe(lua_State *L, lw_Loop *loop, void *on) {
  Barrier *barrier = LW_CONTAINER(on, Barrier, waiters);
  (void)loop;
  lua_pushfstring(L, "barrier (%I of %I waiting)", (LUAI_UACINT)barrier->waiting, (LUAI_UACINT)barrier->parties);
}

/* async.Barrier(parties): for this many tasks, at least 1. After asyncio.Barrier. */
static int new_barrier(lua_State *L) {
  lua_Integer parties = lw_check_integer(L, 1);
  Barrier *barrier;
  if (parties < 1) return lw_argerror(L, 1, "number of parties expected, not below 1");
  barrier = lw_new_object(L, BARRIER, sizeof *barrier, 0);
  barrier->parties = parties;
  return 1;
}

/* barrier:wait(): waits until as many tasks wait as there are parties; then all go on, each with its index in the order
 * in which they came, from 1, and the barrier is as new. BrokenBarrierError if the barrier is broken, or is aborted or
 * reset meanwhile. Cancelled, it has not waited: the others go on waiting. */
static int barrier_wait(lua_State *L) {
  Barrier *barrier = self(L);
  lw_Loop *loop = barrier->head.loop;
  lw_Task *task;
  if (barrier->broken) return lw_error_raise(L, LW_BROKEN_BARRIER_ERROR, "the barrier is broken");
  if (barrier->waiting + 1 == barrier->parties) {
    wake_with(barrier, 1);
    lua_pushinteger(L, barrier->parties);
    return 1;
  }
  task = lw_waiter(L, loop);
  barrier->waiting++;
  lw_list_push(&barrier->waiters, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_BARRIER, &barrier->waiters);
}

/* barrier:reset(): as new; whoever waits gets BrokenBarrierError */
static int barrier_reset(lua_State *L) {
  Barrier *barrier = self(L);
  barrier->broken = 0;
  wake_with(barrier, 0);
  return 0;
}

/* barrier:abort(): breaks it: whoever waits or comes gets BrokenBarrierError, until it is reset */
static int barrier_abort(lua_State *L) {
  Barrier *barrier = self(L);
  barrier->broken = 1;
  wake_with(barrier, 0);
  return 0;
}

/* barrier:parties(): how many tasks it is for */
static int barrier_parties(lua_State *L) {
  lua_pushinteger(L, ((Barrier *)self(L))->parties);
  return 1;
}

/* barrier:n_waiting(): how many wait */
static int barrier_n_waiting(lua_State *L) {
  lua_pushinteger(L, ((Barrier *)self(L))->waiting);
  return 1;
}

/* barrier:broken(): is it? */
static int barrier_broken(lua_State *L) {
  lua_pushboolean(L, ((Barrier *)self(L))->broken);
  return 1;
}

/* barrier:statistics(): {parties=, waiters=, broken=} */
static int barrier_statistics(lua_State *L) {
  Barrier *barrier = self(L);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, barrier->parties);
  lua_setfield(L, -2, "parties");
  lua_pushinteger(L, barrier->waiting);
  lua_setfield(L, -2, "waiters");
  lua_pushboolean(L, barrier->broken);
  lua_setfield(L, -2, "broken");
  return 1;
}

static int barrier_gc(lua_State *L) {
  Barrier *barrier = lua_touserdata(L, 1);
  lw_end_object(&barrier->head);
  lw_orphan(&barrier->waiters);
  return 0;
}

static int barrier_tostring(lua_State *L) {
  Barrier *barrier = self(L);
  lua_pushfstring(L, "<Barrier%s parties=%I waiters=%I>", barrier->broken ? " broken" : "",
                  (LUAI_UACINT)barrier->parties, (LUAI_UACINT)barrier->waiting);
  return 1;
}

void lw_open_barrier(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass wait_class = {wait_resumed, wait_cancel, NULL, wait_describe, NULL, NULL};
  static const luaL_Reg methods[] = {{"wait", barrier_wait},
                                     {"reset", barrier_reset},
                                     {"abort", barrier_abort},
                                     {"parties", barrier_parties},
                                     {"n_waiting", barrier_n_waiting},
                                     {"broken", barrier_broken},
                                     {"statistics", barrier_statistics},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", barrier_gc}, {"__tostring", barrier_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_BARRIER] = &wait_class;
  lw_class(L, loop_index, BARRIER, methods, meta);
  lw_add_constructor(L, loop_index, "Barrier", new_barrier);
  lua_pop(L, 1);
}
