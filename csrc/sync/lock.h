/* A lock, as a condition sees it. */
#ifndef LUAWAIT_SYNC_LOCK_H
#define LUAWAIT_SYNC_LOCK_H

#include "core/park.h"

extern const char lw_lock_class[];

/* A lock that is released while tasks wait stays locked: it goes straight to the one that has waited longest, so that
 * no newcomer can overtake. The user value is the holder: a task that ended without releasing it can still be named. */
typedef struct lw_Lock {
  lw_Head head;
  lw_List waiters; /* tasks */
  int locked;
  lw_Task *holder; /* NULL: nobody, or the task that it was handed to has yet to run */
} lw_Lock;

/* Pushes a new one. */
lw_Lock *lw_lock_new(lua_State *L);

/* Is the value at `index` a lock? NULL if not. */
lw_Lock *lw_to_lock(lua_State *L, int index);

/* The running task has got the lock at the absolute index `index`, or leaves it to the next. */
void lw_lock_held(lua_State *L, int index);
void lw_lock_leave(lua_State *L, int index);

/* async.Lock's methods acquire and release, for the lock at 1; acquire may wait, so: `return lw_lock_acquire(...)`. */
int lw_lock_acquire(lua_State *L);
int lw_lock_release(lua_State *L);

/* Pushes what a task that wants the lock waits for. */
void lw_lock_describe(lua_State *L, const lw_Lock *lock);

/* Pushes the statistics of the lock at the absolute index `index`. */
void lw_lock_push_statistics(lua_State *L, int index);

#endif
