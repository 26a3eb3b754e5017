#include "core/cancel.h"

#include <lauxlib.h>

#include "base/error.h"
#include "core/park.h"

enum { VALUE = 1 }; /* the user value of a future */

/* What this one awaits, if cancelling it means to cancel that. */
static lw_Future *awaited(const lw_Future *future) {
  const lw_Node *node = &future->timed.node;
  if (node->type != LW_TASK || node->state != LW_WAITING || node->wait != LW_WAIT_AWAIT) return NULL;
  return ((const lw_Task *)future)->on;
}

/* Does it wait for others, to whom it passes a cancellation on? */
static int passes_on(lw_Task *task) {
  const lw_Node *node = lw_task_node(task);
  return node->state == LW_WAITING && (node->wait == LW_WAIT_AWAIT || node->wait == LW_WAIT_GATHER);
}

/* Pushes the future that this task awaits, from the frame of its await; returns 0 if that is in a bridged coroutine. */
static int push_awaited(lua_State *L, const lw_Task *waiter) {
  if (lua_touserdata(waiter->co, 1) != waiter->on) return 0;
  lua_pushvalue(waiter->co, 1);
  lua_xmove(waiter->co, L, 1);
  return 1;
}

/* The message stays with the future, for all who ask (see push_cancelled_error); where that cannot be had, with
 * `waiter`, by which the request has come (NULL: the future stands at `index`). */
static void keep_message(lua_State *L, lw_Loop *loop, lw_Task *waiter, int index) {
  if (waiter == NULL) {
    lua_pushvalue(L, index);
  } else if (!push_awaited(L, waiter)) {
    lw_note_message(L, loop, waiter, index);
    return;
  }
  lua_pushvalue(L, index + 1);
  lua_setiuservalue(L, -2, VALUE);
  lua_pop(L, 1);
}

static void cancel_plain(lua_State *L, lw_Loop *loop, lw_Future *future, lw_Task *waiter, int index) {
  if (index != 0) keep_message(L, loop, waiter, index);
  loop->interruptions++;
  lw_future_finish(loop, future, LW_CANCELLED);
}

static void count_request(lw_Task *task) {
  if (task->cancelling < UINT16_MAX) task->cancelling++;
}

/* While all tasks are cancelled, each needs one visit only, whoever's request comes to it first; else a long chain
 * would be walked from each of its tasks. A task that waits for others has no deadline, so the mark stands in its
 * timer. */
typedef enum Visit { FIRST, AGAIN, DONE_BEFORE } Visit;

static Visit visit(const lw_Loop *loop, lw_Task *task) {
  uint32_t *mark = &task->future.timed.timer.order, before = *mark;
  if (!passes_on(task)) return FIRST;
  *mark = loop->cancellation;
  return before == 0 ? FIRST : before == loop->cancellation ? AGAIN : DONE_BEFORE;
}

/* Follows a chain of awaits in a loop, since it may be long; a ring of tasks that await each other is broken where it
 * closes (Brent's algorithm finds that without memory). */
int lw_cancel_on(lua_State *L, lw_Loop *loop, lw_Future *future, int index) {
  lw_Future *mark = future;
  lw_Task *waiter = NULL;
  unsigned length = 0, power = 1;
  if (lw_future_done(future)) return 0;
  for (;;) {
    lw_Future *next = awaited(future);
    if (future->timed.node.type != LW_TASK) {
      cancel_plain(L, loop, future, waiter, index);
      return 1;
    }
    if (loop->cancelling_all) {
      Visit seen = visit(loop, (lw_Task *)future);
      if (seen == DONE_BEFORE) loop->interruptions++;
      if (seen != FIRST) return 1;
    }
    count_request((lw_Task *)future);
    if (next == NULL || next == mark) {
      if (next == mark) lw_break_wait(L, loop, (lw_Task *)future);
      lw_interrupt(L, loop, (lw_Task *)future, index);
      return 1;
    }
    if (++length == power) {
      mark = next;
      length = 0;
      power *= 2;
    }
    waiter = (lw_Task *)future;
    future = next;
  }
}

/* Where each passes the request on to the next, in a ring, it comes to nobody: then this one is interrupted itself. */
static void break_ring(lua_State *L, lw_Loop *loop, lw_Task *task, int index) {
  if (lw_task_node(task)->state == LW_WAITING) lw_break_wait(L, loop, task);
  lw_interrupt(L, loop, task, index);
}

static uint32_t begin_request(lw_Loop *loop) {
  while (lw_list_pop(&loop->passing_on) != NULL) continue; /* of a request that a memory error cut short */
  if (++loop->cancellation == 0) loop->cancellation = 1;
  return loop->interruptions;
}

/* `before`: what begin_request returned. */
static void end_request(lua_State *L, lw_Loop *loop, lw_Task *task, uint32_t before, int index) {
  lw_Link *link;
  while ((link = lw_list_pop(&loop->passing_on)) != NULL) loop->pass_on(L, loop, link);
  if (loop->interruptions == before) break_ring(L, loop, task, index);
}

int lw_cancel(lua_State *L, lw_Loop *loop, lw_Future *future, int index) {
  uint32_t before = begin_request(loop);
  if (!lw_cancel_on(L, loop, future, index)) return 0;
  end_request(L, loop, (lw_Task *)future, before, index);
  return 1;
}

void lw_cancel_parked(lua_State *L, lw_Loop *loop, lw_Task *task) {
  uint32_t before = begin_request(loop);
  lw_interrupt(L, loop, task, 0);
  end_request(L, loop, task, before, 0);
}

void lw_cancel_all(lua_State *L, lw_Loop *loop) {
  lua_Integer i, n;
  int tasks;
  lw_push_all_tasks(L, loop);
  tasks = lua_gettop(L);
  n = (lua_Integer)lua_rawlen(L, tasks);
  for (i = 1; i <= n; i++) {
    lw_Task *task;
    lua_rawgeti(L, tasks, i);
    task = lua_touserdata(L, -1);
    if (passes_on(task)) task->future.timed.timer.order = 0;
    lua_pop(L, 1);
  }
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, tasks, i);
    loop->cancelling_all = 1;
    lw_cancel(L, loop, lua_touserdata(L, -1), 0);
    loop->cancelling_all = 0;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void lw_task_expire(lw_Loop *loop, lw_Task *task) {
  lw_Node *node = lw_task_node(task);
  if (node->state == LW_READY && (node->flags & LW_GRANTED)) {
    node->flags |= LW_CANCEL_NEXT;
    count_request(task);
  } else {
    lw_cancel(loop->L, loop, &task->future, 0);
  }
}

int lw_task_uncancel(lw_Task *task) {
  lw_Node *node = lw_task_node(task);
  if (task->cancelling > 0) task->cancelling--;
  if (task->cancelling > 0) return task->cancelling;
  node->flags &= (uint8_t) ~(LW_CANCEL_NEXT | LW_SWALLOWED);
  /* a wait that was interrupted has been undone: it must raise all the same */
  if (node->state != LW_READY || (node->flags & (LW_GRANTED | LW_TIMED_OUT))) node->flags &= (uint8_t)~LW_CANCEL_NOW;
  return 0;
}

const char *lw_take_cancel_message(lua_State *L, lw_Loop *loop, int index) {
  if (lw_note_get(L, loop, index, LW_NOTE_CANCEL_MESSAGE) != LUA_TSTRING) return NULL;
  lua_pushnil(L);
  lw_note_set(L, loop, index, LW_NOTE_CANCEL_MESSAGE);
  return lua_tostring(L, -1);
}

void lw_push_cancelled(lua_State *L, lw_Loop *loop, const char *message) {
  lw_Task *task = loop->current;
  int index = lua_gettop(L) + 1;
  luaL_checkstack(L, 8, NULL);
  if (task != NULL)
    lw_push_anchored(L, loop, lw_task_node(task)->slot);
  else
    lua_pushnil(L);
  if (message == NULL && task != NULL) message = lw_take_cancel_message(L, loop, index);
  lw_error_push(L, LW_CANCELLED_ERROR, "%s", message != NULL ? message : "");
  if (loop->debug && task != NULL) {
    lw_note_get(L, loop, index, LW_NOTE_CANCELLED_AT);
    lua_setfield(L, -2, "cancelled_at");
  }
  lua_replace(L, index);
  lua_settop(L, index);
}
