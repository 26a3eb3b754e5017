#include <lauxlib.h>

#include "base/error.h"
#include "sync/sync.h"
#include "sync/waiters.h"

/* A permit that is released goes straight to the task that has waited longest, so that `value` is above 0 only while
 * nobody waits, and no newcomer can overtake. */
typedef struct Semaphore {
  lw_Head head;
  lw_List waiters; /* tasks */
  lua_Integer value;
  lua_Integer bound; /* of a BoundedSemaphore, else -1 */
} Semaphore;

static const char SEMAPHORE[] = "Semaphore";

static void give(lw_Loop *loop, Semaphore *semaphore) {
  if (lw_wake_first(loop, &semaphore->waiters) == NULL) semaphore->value++;
}

static int acquire_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)L, (void)task, (void)on, (void)wake;
  return 1; /* the semaphore, all that acquire has left on the stack */
}

static void acquire_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  (void)task;
  give(loop, LW_CONTAINER(on, Semaphore, waiters));
}

static void semaphore_describe(lua_State *L, lw_Loop *loop, void *on) {
  Semaphore *semaphore = LW_CONTAINER(on, Semaphore, waiters);
  (void)loop;
  lua_pushfstring(L, "semaphore (%d free, %d waiting)", (int)semaphore->value, (int)lw_list_count(&semaphore->waiters));
}

static int new_with(lua_State *L, int bounded) {
  lua_Integer value = lua_isnoneornil(L, 1) ? 1 : lw_check_integer(L, 1);
  Semaphore *semaphore;
  if (!(value >= 0)) lw_argerror(L, 1, "number of permits expected, not below 0");
  semaphore = lw_new_object(L, SEMAPHORE, sizeof *semaphore, 0);
  semaphore->value = value;
  semaphore->bound = bounded ? value : -1;
  return 1;
}

/* async.Semaphore(n = 1): n permits. After asyncio.Semaphore. */
static int new_semaphore(lua_State *L) { return new_with(L, 0); }

/* async.BoundedSemaphore(n = 1): the same, but a release that would make it more than n permits is a ValueError. */
static int new_bounded(lua_State *L) { return new_with(L, 1); }

/* semaphore:acquire(): takes a permit, waits for one if there is none; returns the semaphore, for <close>. Cancelled,
 * it has taken none. */
static int semaphore_acquire(lua_State *L) {
  Semaphore *semaphore = lw_self_of(L, SEMAPHORE, sizeof *semaphore);
  if (LW_UNLIKELY(lua_gettop(L) > 1)) lua_settop(L, 1);
  if (semaphore->value == 0) return lw_wait_in(L, semaphore->head.loop, &semaphore->waiters, LW_WAIT_SEMAPHORE);
  semaphore->value--;
  return 1;
}

/* semaphore:release(): gives a permit back, to the task that has waited longest. ValueError of a bounded one if none
 * was taken. */
static int semaphore_release(lua_State *L) {
  Semaphore *semaphore = lw_self_of(L, SEMAPHORE, sizeof *semaphore);
  if (semaphore->value >= (semaphore->bound >= 0 ? semaphore->bound : LUA_MAXINTEGER))
    return lw_error_raise(L, LW_VALUE_ERROR, "semaphore released too many times");
  give(semaphore->head.loop, semaphore);
  return 0;
}

/* semaphore:locked(): would acquire have to wait? */
static int semaphore_locked(lua_State *L) {
  lua_pushboolean(L, ((Semaphore *)lw_self(L))->value == 0);
  return 1;
}

/* semaphore:value(): the number of free permits */
static int semaphore_value(lua_State *L) {
  lua_pushinteger(L, ((Semaphore *)lw_self(L))->value);
  return 1;
}

/* semaphore:statistics(): {value=, waiters=, bound= (of a bounded one)} */
static int semaphore_statistics(lua_State *L) {
  Semaphore *semaphore = lw_self(L);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, semaphore->value);
  lua_setfield(L, -2, "value");
  lw_set_count(L, "waiters", &semaphore->waiters);
  if (semaphore->bound >= 0) {
    lua_pushinteger(L, semaphore->bound);
    lua_setfield(L, -2, "bound");
  }
  return 1;
}

static int semaphore_gc(lua_State *L) {
  Semaphore *semaphore = lua_touserdata(L, 1);
  lw_end_object(&semaphore->head);
  lw_orphan(&semaphore->waiters);
  return 0;
}

static int semaphore_tostring(lua_State *L) {
  Semaphore *semaphore = lw_self(L);
  lua_pushfstring(L, "<Semaphore value=%I waiters=%d>", (LUAI_UACINT)semaphore->value,
                  (int)lw_list_count(&semaphore->waiters));
  return 1;
}

void lw_open_semaphore(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass acquire_class = {acquire_resumed,    lw_leave, acquire_hand_on,
                                             semaphore_describe, NULL,     NULL};
  static const luaL_Reg methods[] = {{"acquire", semaphore_acquire},       {"release", semaphore_release},
                                     {"locked", semaphore_locked},         {"value", semaphore_value},
                                     {"statistics", semaphore_statistics}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__close", semaphore_release}, {"__gc", semaphore_gc}, {"__tostring", semaphore_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_SEMAPHORE] = &acquire_class;
  lw_class(L, loop_index, SEMAPHORE, methods, meta);
  lw_add_constructor(L, loop_index, "Semaphore", new_semaphore);
  lw_add_constructor(L, loop_index, "BoundedSemaphore", new_bounded);
  lw_export_methods(L, "semaphore_methods");
  lua_pop(L, 1);
}
