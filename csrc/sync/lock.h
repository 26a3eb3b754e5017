/* A lock, as a condition sees it. */
#ifndef LUAWAIT_SYNC_LOCK_H
#define LUAWAIT_SYNC_LOCK_H

#include "core/park.h"

/* User value 1 is the holder, a task. A lock that is released while tasks wait stays locked: it goes straight to the
 * one that has waited longest, so that no newcomer can overtake. */
typedef struct lw_Lock {
  lw_List waiters; /* tasks */
  lw_Task *holder; /* kept alive by the user value; NULL: nobody, or the task that it was handed to has yet to run */
  int locked;
} lw_Lock;

/* Pushes a new one. */
lw_Lock *lw_lock_new(lua_State *L);

/* Is the value at `index` a lock? NULL if not. */
lw_Lock *lw_to_lock(lua_State *L, int index);

/* The running task has got the lock at the absolute index `index`, or, holding it, leaves it to the next. */
void lw_lock_held(lua_State *L, lw_Loop *loop, int index);
void lw_lock_let_go(lua_State *L, lw_Loop *loop, int index);

/* async.Lock's methods acquire and release for the lock at 1; acquire may wait, so: `return lw_lock_acquire(...)`. */
int lw_lock_acquire(lua_State *L, lw_Loop *loop);
int lw_lock_release(lua_State *L, lw_Loop *loop);

/* Gives the lock to the next: for a task that was handed it and is not to have it. */
void lw_lock_hand_over(lw_Loop *loop, lw_Lock *lock);

/* Pushes what a task that wants the lock waits for. */
void lw_lock_describe(lua_State *L, lw_Loop *loop, const lw_Lock *lock);

/* Pushes the statistics of the lock at `index`. */
void lw_lock_push_statistics(lua_State *L, int index);

#endif
