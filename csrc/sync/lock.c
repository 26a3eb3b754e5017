#include "sync/lock.h"

#include <lauxlib.h>

#include "base/error.h"
#include "sync/sync.h"
#include "sync/waiters.h"

const char lw_lock_class[] = "Lock";
static const char METATABLE = 0; /* of a lock, in the registry under the address of this */

enum { HOLDER = 1 };

lw_Lock *lw_lock_new(lua_State *L) {
  lw_Lock *lock = lw_new_object(L, lw_lock_class, sizeof *lock, HOLDER);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &METATABLE);
  lua_setmetatable(L, -2);
  return lock;
}

lw_Lock *lw_to_lock(lua_State *L, int index) {
  const void *metatable;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &METATABLE);
  metatable = lua_topointer(L, -1);
  lua_pop(L, 1);
  return lw_test(L, index, metatable);
}

static void hand_over(lw_Lock *lock) {
  lock->holder = NULL;
  if (lw_wake_first(lock->head.loop, &lock->waiters) == NULL) lock->locked = 0;
}

void lw_lock_held(lua_State *L, int index) {
  lw_Lock *lock = lua_touserdata(L, index);
  lock->holder = lock->head.loop->current;
  lw_push_anchored(L, lock->head.loop, lw_task_node(lock->holder)->slot);
  lua_setiuservalue(L, index, HOLDER);
}

void lw_lock_leave(lua_State *L, int index) {
  lw_Lock *lock = lua_touserdata(L, index);
  hand_over(lock);
  if (lock->locked) return; /* the next one will take the place */
  lua_pushnil(L);
  lua_setiuservalue(L, index, HOLDER);
}

static int acquire_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)on, (void)wake;
  lw_lock_held(L, 1);
  return 1; /* the lock, all that acquire has left on the stack */
}

static void acquire_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  (void)loop, (void)task;
  hand_over(LW_CONTAINER(on, lw_Lock, waiters));
}

void lw_lock_describe(lua_State *L, const lw_Lock *lock) {
  int waiting = (int)lw_list_count(&lock->waiters), top = lua_gettop(L);
  lw_Task *holder = lock->holder;
  if (holder == NULL) {
    lua_pushfstring(L, "lock (%d waiting)", waiting);
  } else if (lw_future_done(&holder->future)) {
    lua_pushfstring(L, "lock held by Task-%d, which has ended (%d waiting)", (int)holder->id, waiting);
  } else {
    lw_push_anchored(L, lock->head.loop, lw_task_node(holder)->slot);
    lw_task_push_description(L, lock->head.loop, -1, holder);
    lua_pushfstring(L, "lock held by %s (%d waiting)", lua_tostring(L, -1), waiting);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
  }
}

static void acquire_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  lw_lock_describe(L, LW_CONTAINER(on, lw_Lock, waiters));
}

/* async.Lock(): not locked. After asyncio.Lock. */
static int new_lock(lua_State *L) {
  lw_lock_new(L);
  return 1;
}

int lw_lock_acquire(lua_State *L) {
  lw_Lock *lock = lua_touserdata(L, 1);
  if (LW_UNLIKELY(lua_gettop(L) > 1)) lua_settop(L, 1);
  if (lock->locked || lock->head.loop->current == NULL)
    return lw_wait_in(L, lock->head.loop, &lock->waiters, LW_WAIT_LOCK);
  lock->locked = 1;
  lw_lock_held(L, 1);
  return 1;
}

int lw_lock_release(lua_State *L) {
  if (!((lw_Lock *)lua_touserdata(L, 1))->locked)
    return lw_error_raise(L, LW_RUNTIME_ERROR, "the lock is not acquired");
  lw_lock_leave(L, 1);
  return 0;
}

static lw_Lock *self(lua_State *L) { return lw_self_of(L, lw_lock_class, sizeof(lw_Lock)); }

/* lock:acquire(): locks it, waits until it can; returns the lock, for <close>. Cancelled, it does not hold it.
 * RuntimeError outside a task. */
static int lock_acquire(lua_State *L) {
  self(L);
  return lw_lock_acquire(L);
}

/* lock:release(): unlocks it, or hands it to the task that has waited longest. RuntimeError if it is not locked. */
static int lock_release(lua_State *L) {
  self(L);
  return lw_lock_release(L);
}

/* lock:locked(): is it? */
static int lock_locked(lua_State *L) {
  lua_pushboolean(L, self(L)->locked);
  return 1;
}

void lw_lock_push_statistics(lua_State *L, int index) {
  const lw_Lock *lock = lua_touserdata(L, index);
  lua_createtable(L, 0, 3);
  lua_pushboolean(L, lock->locked);
  lua_setfield(L, -2, "locked");
  lw_set_count(L, "waiters", &lock->waiters);
  if (lock->holder == NULL) return;
  lua_getiuservalue(L, index, HOLDER);
  lua_setfield(L, -2, "holder");
}

/* lock:statistics(): {locked=, waiters=, holder= (a task, or nil)} */
static int lock_statistics(lua_State *L) {
  self(L);
  lw_lock_push_statistics(L, 1);
  return 1;
}

static int lock_gc(lua_State *L) {
  lw_Lock *lock = lua_touserdata(L, 1);
  lw_end_object(&lock->head);
  lw_orphan(&lock->waiters);
  return 0;
}

static int lock_tostring(lua_State *L) {
  lw_Lock *lock = self(L);
  lua_pushfstring(L, "<Lock %s waiters=%d>", lock->locked ? "locked" : "unlocked", (int)lw_list_count(&lock->waiters));
  return 1;
}

void lw_open_lock(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass acquire_class = {acquire_resumed, lw_leave, acquire_hand_on, acquire_describe, NULL, NULL};
  static const luaL_Reg methods[] = {{"acquire", lock_acquire},
                                     {"release", lock_release},
                                     {"locked", lock_locked},
                                     {"statistics", lock_statistics},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__close", lock_release}, {"__gc", lock_gc}, {"__tostring", lock_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_LOCK] = &acquire_class;
  lw_class(L, loop_index, lw_lock_class, methods, meta);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &METATABLE);
  lw_add_constructor(L, loop_index, "Lock", new_lock);
  lw_export_methods(L, "lock_methods");
  lua_pop(L, 1);
}
