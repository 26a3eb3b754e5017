/* The one place where a task yields.
 *
 * A primitive that must wait does four things: it calls lw_waiter (which raises where no wait is possible) before it
 * changes anything; it links the task's node into a list of its own; it calls `return lw_park(...)`; and it has a wait
 * class that says what happens then. Whoever ends the wait takes the node out of the list and calls lw_wake. Nothing is
 * allocated.
 *
 *   static int event_wait(lua_State *L) {
 *     lw_Loop *loop = lw_loop(L);
 *     Event *event = lw_self(L);
 *     lw_Task *task;
 *     if (event->set) return 0;
 *     task = lw_waiter(L, loop);
 *     lw_list_push(&event->waiters, &lw_task_node(task)->link);
 *     return lw_park(L, loop, task, LW_WAIT_EVENT, event);
 *   }
 */
#ifndef LUAWAIT_CORE_PARK_H
#define LUAWAIT_CORE_PARK_H

#include "core/task.h"

/* Each kind of wait; the index of its class in the loop. */
typedef enum lw_WaitKind {
  LW_WAIT_SLEEP,
  LW_WAIT_AWAIT,
  LW_WAIT_SHIELD,
  LW_WAIT_GATHER,
  LW_WAIT_WAIT,
  LW_WAIT_SEMAPHORE,
  LW_WAIT_EVENT,
  LW_WAIT_LOCK,
  LW_WAIT_CONDITION,
  LW_WAIT_RELOCK,           /* a condition's wait takes the lock again, ... */
  LW_WAIT_RELOCK_CANCELLED, /* ... and then raises CancelledError */
  LW_WAIT_BARRIER,
  LW_WAIT_GET,
  LW_WAIT_PUT,
  LW_WAIT_JOIN,
  LW_WAIT_REQUEST,
  LW_WAIT_READ,
  LW_WAIT_WRITE,
  LW_WAIT_RECV,
  LW_WAIT_SEND,
  LW_WAIT_SERVER,
  LW_WAIT_PROCESS,
  LW_WAIT_TESTING,
  LW_WAIT_KINDS
} lw_WaitKind;

/* How a wait ended. A cancellation is not among these: park raises it. */
typedef enum lw_Wake { LW_WOKEN, LW_TIMEOUT } lw_Wake;

typedef struct lw_WaitClass {
  /* The wait is over; runs in the task, in the frame of the function that parked (its arguments and whatever it left on
   * the stack are there). Pushes the results, returns their number, may raise, may park again. */
  int (*resumed)(lua_State *L, lw_Task *task, void *on, lw_Wake wake);
  /* The task is cancelled while it waits. Returns 1 when the request was passed on and the wait goes on (await,
   * gather); else takes the task's node out of the list (its timer is taken care of) and returns 0. May run outside the
   * task. */
  int (*cancel)(lua_State *L, lw_Loop *loop, lw_Task *task, void *on);
  /* The task was woken, but a cancellation came in the same turn: hands on what it had been given. NULL: nothing to do.
   */
  void (*hand_on)(lw_Loop *loop, lw_Task *task, void *on);
  /* Pushes what is waited for, as in "semaphore (0 free, 2 waiting)". */
  void (*describe)(lua_State *L, lw_Loop *loop, void *on);
  /* Where `cancel` can pass the request on: takes the task out of the wait for good. Else NULL, `cancel` does it. */
  void (*undo)(lw_Loop *loop, lw_Task *task, void *on);
  /* For a wait that has to be made good before CancelledError is raised (a condition takes its lock again); runs in the
   * task like `resumed`, in the place of hand_on, and calls lw_raise_cancelled in the end; `granted`: the task was
   * woken too. NULL: raised at once. */
  int (*interrupted)(lua_State *L, lw_Task *task, void *on, int granted);
} lw_WaitClass;

/* Slow path of the next one. */
lw_Task *lw_check_waiter(lua_State *L, lw_Loop *loop);

/* The task that calls, which may then park. Raises RuntimeError outside a task, in a coroutine of the user's own, and
 * where Lua cannot yield. Call it before anything is acquired. */
static inline lw_Task *lw_waiter(lua_State *L, lw_Loop *loop) {
  lw_Task *task = loop->current;
  if (LW_LIKELY(task != NULL && L == task->co && lua_isyieldable(L) && !loop->debug)) return task;
  return lw_check_waiter(L, loop);
}

/* Would that return, and not raise? For what waits where it can, and else does without. */
static inline int lw_can_wait(lua_State *L, const lw_Loop *loop) {
  return loop->current != NULL && (L == loop->current->co || L == loop->bridged) && lua_isyieldable(L);
}

/* Suspends the task until lw_wake, its deadline (lw_timer_start on the task before this) or a cancellation. Call as
 * `return lw_park(...)`. `on` must stay alive as long as the wait does: have it on the stack of the calling function.
 */
int lw_park(lua_State *L, lw_Loop *loop, lw_Task *task, lw_WaitKind kind, void *on);

/* As lw_park, for a wait that is over already: lets the others have their turn. */
int lw_pass(lua_State *L, lw_Loop *loop, lw_Task *task, lw_WaitKind kind, void *on);

/* Ends the wait of a parked task whose node is in no list any more. Never fails. */
void lw_wake(lw_Loop *loop, lw_Task *task);

/* Raises the CancelledError of the running task, whose wait was interrupted. */
int lw_raise_cancelled(lua_State *L, lw_Loop *loop, lw_Task *task);

/* Pushes text on what the parked task waits for. */
void lw_push_waiting_on(lua_State *L, lw_Loop *loop, lw_Task *task);

/* Interrupts a task that is not done: what it is in, or else its next wait, raises CancelledError. `index` as in
 * lw_cancel. */
void lw_interrupt(lua_State *L, lw_Loop *loop, lw_Task *task, int index);

/* Keeps the message at index + 1 (if `index` is not 0 and there is one) for the CancelledError that the task will
 * raise. Never fails: without memory for it the task is cancelled all the same, but without the message, since others
 * may have been cancelled by the same request already. */
void lw_note_message(lua_State *L, lw_Loop *loop, lw_Task *task, int index);

/* For the __gc of what tasks can be parked on. There are waiters only if a script has closed their coroutines from
 * outside: the frames that kept the object alive are gone. They are left waiting for nothing. */
void lw_orphan(lw_List *waiters);

/* Takes a waiting task out of a wait that would pass a cancellation on, so that it can be interrupted itself. */
void lw_break_wait(lua_State *L, lw_Loop *loop, lw_Task *task);

/* Ends the wait of a task for good, without waking it: for lw_task_abandon. */
void lw_undo_wait(lua_State *L, lw_Loop *loop, lw_Task *task);

void lw_open_park(lw_Loop *loop);

#endif
