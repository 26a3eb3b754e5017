/* One task that watches many futures: what gather and wait have in common. */
#ifndef LUAWAIT_SYNC_FAN_H
#define LUAWAIT_SYNC_FAN_H

#include "core/park.h"

typedef struct lw_Fan lw_Fan;

/* A userdata, with a node for each future that it watches (`slot`: its number, from 0), which stands in that one's list
 * until it is done. The futures are in a table, user value 1, which keeps them alive; where the task waits, that table
 * is at FUTURES in the frame. A fan that goes without being released (the frame is gone) is released by __gc. */
struct lw_Fan {
  void (*finished)(lw_Loop *loop, lw_Fan *fan, lw_Node *child, lw_Future *future); /* one is done */
  lw_Task *owner;  /* to be woken; NULL when it was, or does not wait */
  lua_State *L;    /* whose frame waits */
  uint32_t count;  /* children */
  uint32_t left;   /* of these not done */
  uint32_t failed; /* gather: number of the first that failed, from 1 */
  uint8_t mode;
  uint8_t cancelled;     /* gather: the request is passed on to the children */
  uint32_t cancellation; /* ... by this call of lw_cancel */
  lw_Link link;          /* ... for which it stands in loop->passing_on */
  lw_Node children[];
};

enum { LW_FAN = 1, LW_FUTURES }; /* the frame of a function that waits with a fan */

/* Pushes a fan for up to `capacity` children, which will be in the table at the absolute index `futures`. */
lw_Fan *lw_fan_new(lua_State *L, int futures, uint32_t capacity);

/* Watches one more; one that is done already counts as finished at once, but `finished` is not called. */
void lw_fan_add(lw_Fan *fan, lw_Future *future);

/* Wakes the owner, once. */
void lw_fan_wake(lw_Loop *loop, lw_Fan *fan);

/* Takes all nodes out of the lists; the table of futures is at the absolute index `futures`. */
void lw_fan_release(lua_State *L, lw_Fan *fan, int futures);

/* Pushes the table of futures of a fan whose task is parked; 0 if that's frame is gone, since a script has closed its
 * coroutine from outside. */
int lw_fan_push_futures(lua_State *L, const lw_Fan *fan);

/* For wait classes: releases the fan of a parked task. */
void lw_fan_undo(lw_Loop *loop, lw_Task *task, void *on);

/* Waits with the frame made. */
int lw_fan_park(lua_State *L, lw_Loop *loop, lw_Task *task, lw_WaitKind kind);

/* Raises an argument error unless argument 1 is a table; raises one too when an entry is not awaitable, and
 * RuntimeError for a Coroutine that was used: `key_index` is where its key stands, the entry is on the top. */
void lw_check_entry(lua_State *L, lw_Loop *loop, int key_index);

/* Checks the array of awaitables that argument 1 is to be; returns its length. */
uint32_t lw_check_list(lua_State *L, lw_Loop *loop);

/* Pushes the future for entry `i` of the checked array at `list`, a Coroutine that stands there more than once being
 * made one task: `futures` holds those for the entries before. */
lw_Future *lw_push_entry_future(lua_State *L, lw_Loop *loop, int list, int futures, lua_Integer i);

void lw_open_fan(lua_State *L, int loop_index, lw_Loop *loop);

#endif
