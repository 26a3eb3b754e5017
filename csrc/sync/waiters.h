/* The tasks that wait for a primitive, oldest first: what all the primitives have in common.
 *
 * The list stands in the primitive's block, and it is what its tasks are parked on. A wait class for one of these has
 * lw_leave as its `cancel`; the primitive's __gc calls lw_orphan for each of its lists. */
#ifndef LUAWAIT_SYNC_WAITERS_H
#define LUAWAIT_SYNC_WAITERS_H

#include "core/park.h"

/* Parks the running task at the end of the list: `return lw_wait_in(...)`. Raises RuntimeError where nothing can wait;
 * nothing has changed then. */
static inline int lw_wait_in(lua_State *L, lw_Loop *loop, lw_List *list, lw_WaitKind kind) {
  lw_Task *task = lw_waiter(L, loop);
  lw_list_push(list, &lw_task_node(task)->link);
  return lw_park(L, loop, task, kind, list);
}

/* Wakes the one that has waited longest and returns it; NULL if nobody waits. */
static inline lw_Task *lw_wake_first(lw_Loop *loop, lw_List *list) {
  lw_Link *link = lw_list_pop(list);
  lw_Task *task = link == NULL ? NULL : lw_node_task(LW_CONTAINER(link, lw_Node, link));
  if (task != NULL) lw_wake(loop, task);
  return task;
}

static inline void lw_wake_all(lw_Loop *loop, lw_List *list) {
  while (lw_wake_first(loop, list) != NULL) continue;
}

/* A cancelled task leaves the list. */
static inline int lw_leave(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L, (void)loop;
  lw_list_remove(on, &lw_task_node(task)->link);
  return 0;
}

/* The fields `waiters` and the like of statistics(): into the table on the top. */
static inline void lw_set_count(lua_State *L, const char *field, const lw_List *list) {
  lua_pushinteger(L, (lua_Integer)lw_list_count(list));
  lua_setfield(L, -2, field);
}

#endif
