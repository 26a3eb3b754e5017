/* Cancelling: how a request to cancel finds the wait that it interrupts.
 *
 * It is edge-triggered and cooperative. A task that waits for others (await, gather) passes the request on to them, and
 * ends when they do; any other wait is undone and raises CancelledError in its task; a task that does not wait gets it
 * at its next wait. */
#ifndef LUAWAIT_CORE_CANCEL_H
#define LUAWAIT_CORE_CANCEL_H

#include "core/task.h"

/* Cancels a future or task and what it waits for in turn. `index` is where it stands on the stack, with a message (a
 * string or nil) above it, or 0. Returns 0 when it was done already. */
int lw_cancel(lua_State *L, lw_Loop *loop, lw_Future *future, int index);

/* Delivers a request that was made before the task parked. */
void lw_cancel_parked(lua_State *L, lw_Loop *loop, lw_Task *task);

/* Cancels all tasks, each by itself. */
void lw_cancel_all(lua_State *L, lw_Loop *loop);

/* As lw_cancel, for what passes a request on to others (loop->pass_on): what those pass on has its turn after it. */
int lw_cancel_on(lua_State *L, lw_Loop *loop, lw_Future *future, int index);

/* A deadline of a scope has come: as lw_cancel, but what the task has just been woken with wins; then only its next
 * wait is interrupted. */
void lw_task_expire(lw_Loop *loop, lw_Task *task);

/* Takes back one request to cancel; with the last one an interruption that was not delivered yet is dropped. Returns
 * how many are left. */
int lw_task_uncancel(lw_Task *task);

/* Pushes the message with which the task at `index` was cancelled, and forgets it; NULL (and nil) if there is none. */
const char *lw_take_cancel_message(lua_State *L, lw_Loop *loop, int index);

/* Pushes a CancelledError; without a message it takes the one that the running task was cancelled with. */
void lw_push_cancelled(lua_State *L, lw_Loop *loop, const char *message);

#endif
