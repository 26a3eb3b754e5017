#include <lauxlib.h>

#include "base/error.h"
#include "sync/lock.h"
#include "sync/sync.h"
#include "sync/waiters.h"

/* User value 1 is the lock. */
typedef struct Condition {
  lw_Head head;
  lw_List waiters; /* tasks that wait to be notified */
  lw_Lock *lock;   /* kept alive by the user value */
} Condition;

static const char CONDITION_CLASS[] = "Condition";

enum { LOCK = 1 };

/* The frame of a wait: */
enum { CONDITION = 1, ITS_LOCK, NOTIFIED /* whether it was */ };

/* ---- waiting: for a notification, then for the lock ---- */

/* The task has the lock again. */
static int wait_end(lua_State *L, lw_Task *task, int cancelled) {
  Condition *condition = lua_touserdata(L, CONDITION);
  lw_lock_held(L, ITS_LOCK);
  if (!cancelled) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (lua_toboolean(L, NOTIFIED)) lw_wake_first(condition->head.loop, &condition->waiters);
  return lw_raise_cancelled(L, condition->head.loop, task);
}

/* The task was notified, or interrupted, or both. Its wait goes on until it has the lock: whoever waits relies on
 * holding it afterwards, whatever happened. */
static int relock(lua_State *L, lw_Task *task, int notified, int cancelled) {
  lw_Lock *lock = ((Condition *)lua_touserdata(L, CONDITION))->lock;
  lua_pushboolean(L, notified);
  if (!lock->locked) {
    lock->locked = 1;
    return wait_end(L, task, cancelled);
  }
  lw_list_push(&lock->waiters, &lw_task_node(task)->link);
  return lw_park(L, lock->head.loop, task, cancelled ? LW_WAIT_RELOCK_CANCELLED : LW_WAIT_RELOCK, &lock->waiters);
}

static int wait_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)on, (void)wake;
  return relock(L, task, 1, 0);
}

static int wait_interrupted(lua_State *L, lw_Task *task, void *on, int granted) {
  (void)on;
  return relock(L, task, granted, 1);
}

static void wait_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  (void)task;
  lw_wake_first(loop, on);
}

static void wait_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  lua_pushfstring(L, "condition (%d waiting)", (int)lw_list_count(on));
}

static int relock_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)on, (void)wake;
  return wait_end(L, task, lw_task_node(task)->wait == LW_WAIT_RELOCK_CANCELLED);
}

/* It was cancelled when it had the lock already. */
static int relock_interrupted(lua_State *L, lw_Task *task, void *on, int granted) {
  (void)on, (void)granted;
  return wait_end(L, task, 1);
}

/* The request is kept for the end of the wait. */
static int relock_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L, (void)on;
  lw_task_node(task)->wait = LW_WAIT_RELOCK_CANCELLED;
  loop->interruptions++;
  return 1;
}

static void relock_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  lua_pushliteral(L, "condition, to have its lock again: ");
  lw_lock_describe(L, LW_CONTAINER(on, lw_Lock, waiters));
  lua_concat(L, 2);
}

static void relock_undo(lw_Loop *loop, lw_Task *task, void *on) { lw_leave(NULL, loop, task, on); }

/* ---- Lua-visible ---- */

/* async.Condition(lock?): uses that Lock, or one of its own. After asyncio.Condition. */
static int new_condition(lua_State *L) {
  Condition *condition;
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lw_lock_new(L);
  } else if (lw_to_lock(L, 1) == NULL) {
    return lw_typeerror(L, 1, "Lock");
  }
  condition = lw_new_object(L, CONDITION_CLASS, sizeof *condition, 1);
  condition->lock = lua_touserdata(L, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, LOCK);
  return 1;
}

static Condition *self(lua_State *L) { return lw_self_of(L, CONDITION_CLASS, sizeof(Condition)); }

/* The lock takes the place of the condition, which is the first argument. */
static void become_lock(lua_State *L) {
  self(L);
  lua_getiuservalue(L, 1, LOCK);
  lua_replace(L, 1);
}

/* condition:acquire(): acquires its lock and returns that, for <close>: see lock:acquire(). */
static int condition_acquire(lua_State *L) {
  become_lock(L);
  return lw_lock_acquire(L);
}

/* condition:release(): releases its lock: see lock:release(). */
static int condition_release(lua_State *L) {
  become_lock(L);
  return lw_lock_release(L);
}

/* condition:locked(): is its lock? */
static int condition_locked(lua_State *L) {
  lua_pushboolean(L, self(L)->lock->locked);
  return 1;
}

/* RuntimeError unless the lock is locked. */
static Condition *check_locked(lua_State *L, const char *what) {
  Condition *condition = self(L);
  if (!condition->lock->locked)
    lw_error_raise(L, LW_RUNTIME_ERROR, "cannot %s: the condition's lock is not acquired", what);
  return condition;
}

/* condition:wait(): releases the lock, waits for a notification, takes the lock again, and returns true. Cancelled, it
 * takes the lock all the same before it raises, and a notification that had come goes to the next. RuntimeError if the
 * lock is not acquired. */
static int condition_wait(lua_State *L) {
  Condition *condition = check_locked(L, "wait");
  lw_Loop *loop = condition->head.loop;
  lw_Task *task = lw_waiter(L, loop);
  lua_settop(L, CONDITION);
  lua_getiuservalue(L, CONDITION, LOCK);
  lw_lock_leave(L, ITS_LOCK);
  lw_list_push(&condition->waiters, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_CONDITION, &condition->waiters);
}

static int notify(Condition *condition, lua_Integer n) {
  while (n-- > 0 && lw_wake_first(condition->head.loop, &condition->waiters) != NULL) continue;
  return 0;
}

/* condition:notify(n = 1): wakes the n tasks that have waited longest. RuntimeError if the lock is not acquired. */
static int condition_notify(lua_State *L) {
  Condition *condition = check_locked(L, "notify");
  lua_Integer n = lua_isnoneornil(L, 2) ? 1 : lw_check_integer(L, 2);
  if (n < 0) return lw_argerror(L, 2, "number of tasks expected, not below 0");
  return notify(condition, n);
}

/* condition:notify_all(): wakes all who wait. RuntimeError if the lock is not acquired. */
static int condition_notify_all(lua_State *L) { return notify(check_locked(L, "notify"), LUA_MAXINTEGER); }

/* condition:statistics(): {waiters= (for a notification), lock= (the lock's statistics)} */
static int condition_statistics(lua_State *L) {
  Condition *condition = self(L);
  lua_createtable(L, 0, 2);
  lw_set_count(L, "waiters", &condition->waiters);
  lua_getiuservalue(L, 1, LOCK);
  lw_lock_push_statistics(L, lua_gettop(L));
  lua_setfield(L, -3, "lock");
  lua_pop(L, 1);
  return 1;
}

static int condition_gc(lua_State *L) {
  Condition *condition = lua_touserdata(L, 1);
  lw_end_object(&condition->head);
  lw_orphan(&condition->waiters);
  return 0;
}

static int condition_tostring(lua_State *L) {
  Condition *condition = self(L);
  lua_pushfstring(L, "<Condition %s waiters=%d>", condition->lock->locked ? "locked" : "unlocked",
                  (int)lw_list_count(&condition->waiters));
  return 1;
}

void lw_open_condition(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass wait_class = {wait_resumed, lw_leave, wait_hand_on, wait_describe, NULL, wait_interrupted};
  /* no hand_on: a task that is closed by force releases the lock in its <close> handlers, as always after a wait */
  static const lw_WaitClass relock_class = {relock_resumed,  relock_cancel, NULL,
                                            relock_describe, relock_undo,   relock_interrupted};
  static const luaL_Reg methods[] = {{"acquire", condition_acquire},       {"release", condition_release},
                                     {"locked", condition_locked},         {"wait", condition_wait},
                                     {"notify", condition_notify},         {"notify_all", condition_notify_all},
                                     {"statistics", condition_statistics}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__close", condition_release}, {"__gc", condition_gc}, {"__tostring", condition_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_CONDITION] = &wait_class;
  loop->waits[LW_WAIT_RELOCK] = loop->waits[LW_WAIT_RELOCK_CANCELLED] = &relock_class;
  lw_class(L, loop_index, CONDITION_CLASS, methods, meta);
  lw_add_constructor(L, loop_index, "Condition", new_condition);
  lw_export_methods(L, "condition_methods");
  lua_pop(L, 1);
}
