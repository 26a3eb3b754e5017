#include "core/park.h"

#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "core/cancel.h"

/* ---- where no wait is possible ---- */

/* What stands in the way, and what to use instead. */
static const struct {
  const char *name, *instead;
} replacements[] = {
    {"table.sort", "luawait.std's sort"}, {"string.gsub", "luawait.std's gsub"},
    {"require", "luawait.std's require"}, {"tostring", "luawait.std's tostring"},
    {"print", "luawait.std's print"},     {"__tostring", "luawait.std's tostring"},
    {"load", "luawait.std's load"},       {"__gc", "a function that the loop runs (async.create_task)"},
};

static const char *instead_of(const char *name) {
  size_t i;
  for (i = 0; i < sizeof replacements / sizeof *replacements; i++)
    if (strcmp(replacements[i].name, name) == 0) return replacements[i].instead;
  return NULL;
}

/* Pushes the name of what is between here and the task that Lua cannot yield across. */
static void push_blocker(lua_State *L) {
  lua_Debug ar;
  int level;
  for (level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Snf", &ar);
    if (ar.namewhat != NULL && strcmp(ar.namewhat, "metamethod") == 0 && strcmp(ar.name, "close") != 0) {
      lua_pop(L, 1);
      lua_pushfstring(L, "%s%s", strncmp(ar.name, "__", 2) == 0 ? "" : "__",
                      ar.name); /* Lua says "index", but "__gc" */
      if (instead_of(lua_tostring(L, -1)) != NULL) return;
      lua_pop(L, 1);
    } else if (*ar.what != 'C') {
      lua_pop(L, 1);
    } else if (lw_push_global_name(L)) {
      const char *name = lua_tostring(L, -1);
      if (strcmp(name, "pcall") != 0 && strcmp(name, "xpcall") != 0 && strcmp(name, "error") != 0) return;
      lua_pop(L, 1);
    } else if (ar.name != NULL) {
      lua_pushstring(L, ar.name);
      return;
    }
  }
  lua_pushliteral(L, "?");
}

static int cannot_wait(lua_State *L, lw_Loop *loop) {
  lw_Task *task = loop->current;
  const char *name, *instead;
  lua_Debug ar = {0};
  if (task == NULL) {
    if (lua_getstack(L, 0, &ar)) lua_getinfo(L, "n", &ar);
    return lw_error_raise(L, LW_RUNTIME_ERROR, "%s outside a task: run it with async.run or async.create_task",
                          ar.name != NULL ? ar.name : "await");
  }
  if (L != task->co && L != loop->bridged)
    return lw_error_raise(L, LW_RUNTIME_ERROR,
                          "await inside a coroutine of your own: make it with luawait.std's coroutine "
                          "(std.coroutine) instead of Lua's");
  push_blocker(L);
  name = lua_tostring(L, -1);
  instead = instead_of(name);
  return lw_error_raise(L, LW_RUNTIME_ERROR, "cannot wait inside %s, from which Lua cannot yield: %s%s", name,
                        instead != NULL ? "use " : "await before or after the call", instead != NULL ? instead : "");
}

/* Is what lies right below the function that this one of C's has called a CancelledError? */
static int holds_cancelled(lua_State *L, const lua_Debug *ar) {
  int i, found = 0;
  for (i = 1; lua_getlocal(L, ar, i) != NULL; i++) {
    found = lw_error_is(L, -1, LW_CANCELLED_ERROR);
    lua_pop(L, 1);
  }
  return found;
}

/* Is a <close> handler running because of a cancellation? An error leaves the stack up to the function of C's that
 * catches it (pcall, or the task's body): from there Lua calls the handlers, with the error right below them. */
static int is_cleaning_up(lua_State *L) {
  lua_Debug ar;
  int level, found = 0;
  for (level = 1; !found && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "S", &ar);
    found = *ar.what == 'C' && holds_cancelled(L, &ar);
  }
  return found;
}

/* Debug mode: the task caught a CancelledError and goes on waiting. */
static void report_swallowed(lua_State *L, lw_Loop *loop, lw_Task *task) {
  if (is_cleaning_up(L)) return;
  lw_task_node(task)->flags &= (uint8_t)~LW_SWALLOWED;
  lua_createtable(L, 0, 3);
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  lw_task_push_name(L, loop, lua_gettop(L), task);
  lua_pushfstring(L, "task '%s' swallowed a cancellation and waits again", lua_tostring(L, -1));
  lua_setfield(L, -4, "message");
  lua_pop(L, 1);
  lua_setfield(L, -2, "task");
  luaL_traceback(L, L, NULL, 1);
  lua_setfield(L, -2, "traceback");
  lw_report(L, loop);
}

lw_Task *lw_check_waiter(lua_State *L, lw_Loop *loop) {
  lw_Task *task = loop->current;
  if (task == NULL || (L != task->co && L != loop->bridged) || !lua_isyieldable(L)) cannot_wait(L, loop);
  if (loop->stopping) lw_error_raise(L, LW_RUNTIME_ERROR, "the task is being stopped: it has exceeded a limit");
  if (loop->debug && (lw_task_node(task)->flags & LW_SWALLOWED)) {
    if (task->cancelling > 0) report_swallowed(L, loop, task);
  }
  return task;
}

/* ---- waiting ---- */

/* Only the loop may resume a coroutine that waits. A script that got hold of it is told so, what it has passed is
 * dropped, and the wait goes on. */
LW_APART static int stranger(lua_State *L, const lw_Task *task, lua_KContext context, lua_KFunction k) {
  if (task != NULL && task->top < UINT16_MAX) lua_settop(L, task->top);
  lua_pushliteral(L, "RuntimeError: this coroutine is a task's, only the event loop may resume it");
  return lua_yieldk(L, 1, context, k);
}

int lw_raise_cancelled(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_task_node(task)->flags |= LW_SWALLOWED;
  lw_push_cancelled(L, loop, NULL);
  return lua_error(L);
}

LW_APART static int interrupted(lua_State *L, lw_Loop *loop, lw_Task *task, int granted) {
  lw_Node *node = lw_task_node(task);
  const lw_WaitClass *class = loop->waits[node->wait];
  node->flags &= (uint8_t)~LW_CANCEL_NEXT;
  if (class->interrupted != NULL) return class->interrupted(L, task, task->on, granted);
  if (granted && class->hand_on != NULL) class->hand_on(loop, task, task->on);
  return lw_raise_cancelled(L, loop, task);
}

/* The wait of the running task, in whose frame this is, has ended. */
static inline int end_of_wait(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_Node *node = lw_task_node(task);
  const lw_WaitClass *class = loop->waits[node->wait];
  uint8_t flags = node->flags;
  node->flags = (uint8_t)(flags & ~(LW_CANCEL_NOW | LW_GRANTED | LW_TIMED_OUT));
  if (LW_UNLIKELY(flags & LW_CANCEL_NOW)) return interrupted(L, loop, task, flags & LW_GRANTED);
  return class->resumed(L, task, task->on, flags & LW_TIMED_OUT ? LW_TIMEOUT : LW_WOKEN);
}

/* Continue the function that parked: in the task's own coroutine (the context is the loop), ... */
static int park_end(lua_State *L, int status, lua_KContext context) {
  lw_Loop *loop = (lw_Loop *)context;
  lw_Task *task = loop->current;
  (void)status;
  if (LW_UNLIKELY(task == NULL || task->co != L)) return stranger(L, lw_task_of(L, loop, L), context, park_end);
  return end_of_wait(L, loop, task);
}

/* ... or in one of the user's that is bridged to it (the context is the task). */
static int bridged_park_end(lua_State *L, int status, lua_KContext context) {
  lw_Loop *loop = lw_loop(L);
  lw_Task *task = (lw_Task *)context;
  (void)status;
  if (LW_UNLIKELY(task != loop->current || L != loop->bridged)) return stranger(L, task, context, bridged_park_end);
  return end_of_wait(L, loop, task);
}

static inline int yield(lua_State *L, lw_Loop *loop, lw_Task *task) {
  int top = lua_gettop(L);
  task->top = top < UINT16_MAX ? (uint16_t)top : UINT16_MAX;
  if (LW_LIKELY(L == task->co)) return lua_yieldk(L, 0, (lua_KContext)loop, park_end);
  loop->passing = 1;
  return lua_yieldk(L, 0, (lua_KContext)task, bridged_park_end);
}

int lw_park(lua_State *L, lw_Loop *loop, lw_Task *task, lw_WaitKind kind, void *on) {
  lw_Node *node = lw_task_node(task);
  node->state = LW_WAITING;
  node->wait = (uint8_t)kind;
  task->on = on;
  if (LW_UNLIKELY(node->flags & (LW_CANCEL_NOW | LW_CANCEL_NEXT))) {
    node->flags &= (uint8_t) ~(LW_CANCEL_NOW | LW_CANCEL_NEXT);
    lw_cancel_parked(L, loop, task);
  }
  return yield(L, loop, task);
}

int lw_pass(lua_State *L, lw_Loop *loop, lw_Task *task, lw_WaitKind kind, void *on) {
  lw_Node *node = lw_task_node(task);
  node->state = LW_READY;
  node->wait = (uint8_t)kind;
  node->flags |= LW_TIMED_OUT;
  task->on = on;
  if (LW_UNLIKELY(node->flags & LW_CANCEL_NEXT)) node->flags |= LW_CANCEL_NOW;
  lw_ready(loop, node);
  return yield(L, loop, task);
}

static void end_wait(lw_Loop *loop, lw_Task *task, int flag) {
  lw_Node *node = lw_task_node(task);
  node->state = LW_READY;
  node->flags |= (uint8_t)flag;
  lw_ready(loop, node);
}

void lw_wake(lw_Loop *loop, lw_Task *task) {
  assert(lw_task_node(task)->state == LW_WAITING);
  lw_timer_stop(loop, &task->future.timed);
  end_wait(loop, task, LW_GRANTED);
}

/* Under lua_pcall: 1 the loop, 2 the task, 3 the message. */
static int note_message(lua_State *L) {
  lw_note_set(L, lua_touserdata(L, 1), 2, LW_NOTE_CANCEL_MESSAGE);
  return 0;
}

void lw_note_message(lua_State *L, lw_Loop *loop, lw_Task *task, int index) {
  if (index == 0 || lua_isnoneornil(L, index + 1)) return;
  lua_pushcfunction(L, note_message);
  lua_pushlightuserdata(L, loop);
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  lua_pushvalue(L, index + 1);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) lua_pop(L, 1);
}

/* Debug mode: where the cancellation came from. */
static void note_origin(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  luaL_traceback(L, L, NULL, 1);
  lw_note_set(L, loop, -2, LW_NOTE_CANCELLED_AT);
  lua_pop(L, 1);
}

void lw_interrupt(lua_State *L, lw_Loop *loop, lw_Task *task, int index) {
  lw_Node *node = lw_task_node(task);
  const lw_WaitClass *class = loop->waits[node->wait];
  lw_note_message(L, loop, task, index); /* what may raise comes first */
  if (LW_UNLIKELY(loop->debug && index != 0)) note_origin(L, loop, task);
  if (node->state == LW_WAITING && task->on != NULL && class->cancel(L, loop, task, task->on)) return;
  loop->interruptions++;
  if (node->state == LW_WAITING) {
    lw_timer_stop(loop, &task->future.timed);
    end_wait(loop, task, LW_CANCEL_NOW);
  } else {
    node->flags |= LW_CANCEL_NOW;
  }
}

void lw_undo_wait(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_Node *node = lw_task_node(task);
  const lw_WaitClass *class = loop->waits[node->wait];
  lw_timer_stop(loop, &task->future.timed);
  if (node->state == LW_READY || node->state == LW_CREATED) {
    if (lw_linked(&node->link)) lw_list_remove(&loop->ready, &node->link);
    if (task->co != NULL && (node->flags & LW_GRANTED) && class->hand_on != NULL) class->hand_on(loop, task, task->on);
  } else if (node->state == LW_WAITING && task->on != NULL) {
    if (class->undo != NULL)
      class->undo(loop, task, task->on);
    else
      class->cancel(L, loop, task, task->on);
  }
  node->state = LW_RUNNING; /* in no list: a second time there is nothing to undo */
}

void lw_break_wait(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_undo_wait(L, loop, task);
  end_wait(loop, task, 0);
}

void lw_orphan(lw_List *waiters) {
  lw_Link *link;
  while ((link = lw_list_pop(waiters)) != NULL) {
    lw_Node *node = LW_CONTAINER(link, lw_Node, link);
    if (node->type == LW_TASK) lw_node_task(node)->on = NULL;
  }
}

/* The wait's own deadline: sleep, wait with a timeout. */
static void task_due(lw_Loop *loop, lw_Timed *timed) {
  lw_Task *task = lw_node_task(&timed->node);
  const lw_WaitClass *class = loop->waits[timed->node.wait];
  if (task->on != NULL) class->cancel(loop->L, loop, task, task->on);
  end_wait(loop, task, LW_TIMED_OUT);
}

static void task_notify(lw_Loop *loop, lw_Node *node, lw_Future *finished) {
  (void)finished;
  lw_wake(loop, lw_node_task(node));
}

void lw_push_waiting_on(lua_State *L, lw_Loop *loop, lw_Task *task) {
  if (task->on != NULL)
    loop->waits[lw_task_node(task)->wait]->describe(L, loop, task->on);
  else
    lua_pushliteral(L, "something that is gone: its coroutine was closed from outside");
}

void lw_open_park(lw_Loop *loop) {
  loop->classes[LW_TASK].due = task_due;
  loop->classes[LW_TASK].notify = task_notify;
}
