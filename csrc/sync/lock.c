#include <lauxlib.h>

#include "base/error.h"
#include "core/park.h"
#include "sync/sync.h"

/* User value 1 is the holder, a task. A lock that is released while tasks wait stays locked: it goes straight to the
 * one that has waited longest, so that no newcomer can overtake. */
typedef struct Lock {
  lw_List waiters; /* tasks */
  int locked;
} Lock;

static void hand_over(lw_Loop *loop, Lock *lock) {
  lw_Link *link = lw_list_pop(&lock->waiters);
  if (link != NULL)
    lw_wake(loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
  else
    lock->locked = 0;
}

/* The running task has got the lock at 1. */
static int held(lua_State *L, lw_Loop *loop) {
  lw_push_anchored(L, loop, lw_task_node(loop->current)->slot);
  lua_setiuservalue(L, 1, 1);
  lua_settop(L, 1);
  return 1;
}

static int acquire_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)on, (void)wake;
  return held(L, lw_loop(L));
}

static int acquire_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L, (void)loop;
  lw_list_remove(&((Lock *)on)->waiters, &lw_task_node(task)->link);
  return 0;
}

static void acquire_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  (void)task;
  hand_over(loop, on);
}

static void lock_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  lua_pushfstring(L, "lock (%d waiting)", (int)lw_list_count(&((Lock *)on)->waiters));
}

/* async.Lock(): not locked. After asyncio.Lock. */
static int new_lock(lua_State *L) {
  Lock *lock = lua_newuserdatauv(L, sizeof *lock, 1);
  *lock = (Lock){0};
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

/* lock:acquire(): locks it, waits until it can; returns the lock, for <close>. Cancelled, it does not hold it.
 * RuntimeError outside a task. */
static int lock_acquire(lua_State *L) {
  Lock *lock = lw_self(L);
  lw_Loop *loop = lw_loop(L);
  lw_Task *task;
  lua_settop(L, 1);
  if (!lock->locked && loop->current != NULL) {
    lock->locked = 1;
    return held(L, loop);
  }
  task = lw_waiter(L, loop);
  lw_list_push(&lock->waiters, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_LOCK, lock);
}

/* lock:release(): unlocks it, or hands it to the task that has waited longest. RuntimeError if it is not locked. */
static int lock_release(lua_State *L) {
  Lock *lock = lw_self(L);
  if (!lock->locked) return lw_error_raise(L, LW_RUNTIME_ERROR, "the lock is not acquired");
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  hand_over(lw_loop(L), lock);
  return 0;
}

/* lock:locked(): is it? */
static int lock_locked(lua_State *L) {
  lua_pushboolean(L, ((Lock *)lw_self(L))->locked);
  return 1;
}

/* lock:statistics(): {locked=, waiters=, holder= (a task, or nil)} */
static int lock_statistics(lua_State *L) {
  Lock *lock = lw_self(L);
  lua_createtable(L, 0, 3);
  lua_pushboolean(L, lock->locked);
  lua_setfield(L, -2, "locked");
  lua_pushinteger(L, (lua_Integer)lw_list_count(&lock->waiters));
  lua_setfield(L, -2, "waiters");
  lua_getiuservalue(L, 1, 1);
  lua_setfield(L, -2, "holder");
  return 1;
}

static int lock_gc(lua_State *L) {
  lw_orphan(&((Lock *)lua_touserdata(L, 1))->waiters);
  return 0;
}

static int lock_tostring(lua_State *L) {
  Lock *lock = lw_self(L);
  lua_pushfstring(L, "<Lock %s waiters=%d>", lock->locked ? "locked" : "unlocked", (int)lw_list_count(&lock->waiters));
  return 1;
}

void lw_open_lock(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass acquire_class = {acquire_resumed, acquire_cancel, acquire_hand_on, lock_describe, NULL};
  static const luaL_Reg methods[] = {{"acquire", lock_acquire},
                                     {"release", lock_release},
                                     {"locked", lock_locked},
                                     {"statistics", lock_statistics},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__close", lock_release}, {"__gc", lock_gc}, {"__tostring", lock_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_LOCK] = &acquire_class;
  lw_class(L, loop_index, "Lock", methods, meta);
  lw_add_constructor(L, loop_index, "Lock", new_lock);
  lw_export_methods(L, "lock_methods");
  lua_pop(L, 1);
}
