/* One task that watches many futures: what gather and wait have in common. */
#ifndef LUAWAIT_SYNC_FAN_H
#define LUAWAIT_SYNC_FAN_H

#include "core/park.h"

typedef struct lw_Fan lw_Fan;

/* A watched future; its node stands in the future's list until that is done. */
typedef struct lw_Child {
  lw_Node node; /* slot: its number in the fan, from 0 */
  lw_Future *future;
} lw_Child;

/* A userdata; user value 1 is the table of the futures, which keeps them alive. It lies in the frame of the function that
 * parks, or is let go with that frame: then __gc takes the nodes out of the lists. */
struct lw_Fan {
  void (*finished)(lw_Loop *loop, lw_Fan *fan, lw_Child *child); /* a child is done; its node is in no list any more */
  lw_Task *owner;  /* to be woken; NULL when it was, or does not wait */
  uint32_t count;  /* children */
  uint32_t left;   /* of these not done */
  uint32_t failed; /* gather: number of the first that failed, from 1 */
  uint8_t mode;
  uint8_t cancelled; /* gather: the request was passed on to the children */
  lw_Child children[];
};

/* Pushes a fan for up to `capacity` children, which will be in the table at the absolute index `futures`. */
lw_Fan *lw_fan_new(lua_State *L, int futures, uint32_t capacity);

/* Watches one more; one that is done already counts as finished at once, but `finished` is not called. */
void lw_fan_add(lw_Fan *fan, lw_Future *future);

/* Wakes the owner, once. */
void lw_fan_wake(lw_Loop *loop, lw_Fan *fan);

/* Takes all nodes out of the lists. */
void lw_fan_release(lw_Fan *fan);

/* Raises an argument error unless argument 1 is a table; raises one too when an entry is not awaitable, and RuntimeError for
 * a Coroutine that was used: `key_index` is where its key stands, the entry is on the top. */
void lw_check_entry(lua_State *L, lw_Loop *loop, int key_index);

/* Checks the array of awaitables that argument 1 is to be; returns its length. */
uint32_t lw_check_list(lua_State *L, lw_Loop *loop);

/* Pushes the future for entry `i` of the checked array at `list`, a Coroutine that stands there more than once being made one
 * task: `futures` holds those for the entries before. */
lw_Future *lw_push_entry_future(lua_State *L, lw_Loop *loop, int list, int futures, lua_Integer i);

void lw_open_fan(lua_State *L, int loop_index, lw_Loop *loop);

#endif
