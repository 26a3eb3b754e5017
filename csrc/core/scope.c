#include "core/scope.h"

#include <lauxlib.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/park.h"
#include "core/timers.h"

/* After asyncio's timeouts.py. */
typedef enum ScopeState {
  ENTERED,
  EXPIRING, /* the task was cancelled, and is on its way out */
  EXPIRED,
  EXITED /* left in time */
} ScopeState;

/* User value 1 is the task. While ENTERED the scope may stand in the heap or the ready queue; whoever drops it without
 * leaving it (__gc) takes it out. */
typedef struct Scope {
  lw_Timed timed;
  lw_Task *task;
  double when; /* deadline in seconds of the loop's clock */
  int has_when;
  ScopeState state;
  uint16_t cancelling; /* requests to cancel the task when the scope was entered */
} Scope;

static void expire(lw_Loop *loop, Scope *scope) {
  if (lw_future_done(&scope->task->future)) return;
  scope->state = EXPIRING;
  lw_task_expire(loop, scope->task);
}

static void scope_run(lw_Loop *loop, lw_Node *node) { expire(loop, LW_CONTAINER(node, Scope, timed.node)); }

static void scope_due(lw_Loop *loop, lw_Timed *timed) { expire(loop, LW_CONTAINER(timed, Scope, timed)); }

static void stop(lw_Loop *loop, Scope *scope) {
  lw_timer_stop(loop, &scope->timed);
  if (lw_linked(&scope->timed.node.link)) lw_list_remove(&loop->ready, &scope->timed.node.link);
}

static void schedule(lua_State *L, lw_Loop *loop, Scope *scope) {
  stop(loop, scope);
  if (!scope->has_when) return;
  if (scope->when <= lw_seconds(loop))
    lw_ready(loop, &scope->timed.node);
  else if (lw_start_deadline(loop, &scope->timed, scope->when) != 0)
    luaL_error(L, "not enough memory");
}

static int new_scope(lua_State *L, lw_Loop *loop, int has_when, double when) {
  Scope *scope;
  lw_Task *task = loop->current;
  if (task == NULL) return lw_error_raise(L, LW_RUNTIME_ERROR, "timeout outside a task");
  scope = lua_newuserdatauv(L, sizeof *scope, 1);
  *scope = (Scope){.timed.node.type = LW_SCOPE, .task = task, .when = when, .has_when = has_when, .state = ENTERED};
  scope->cancelling = task->cancelling;
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  schedule(L, loop, scope);
  return 1;
}

/* timeout_scope(delay): a scope that is entered now, with a deadline `delay` seconds from now; nil: none */
static int timeout_scope(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  int given = !lua_isnil(L, 1);
  return new_scope(L, loop, given, given ? lw_seconds_after(loop, lw_check_seconds(L, 1)) : 0);
}

/* timeout_scope_at(when): the same with a deadline in seconds of the loop's clock */
static int timeout_scope_at(lua_State *L) {
  int given = !lua_isnil(L, 1);
  return new_scope(L, lw_loop(L), given, given ? lw_check_seconds(L, 1) : 0);
}

/* scope:reschedule(when): moves the deadline to `when` (loop time in seconds; nil: none). RuntimeError if it has
 * expired or was left. */
static int scope_reschedule(lua_State *L) {
  Scope *scope = lw_self(L);
  int given = !lua_isnoneornil(L, 2);
  double when = given ? lw_check_seconds(L, 2) : 0;
  if (scope->state == ENTERED && lw_future_done(&scope->task->future)) scope->state = EXITED;
  if (scope->state != ENTERED)
    return lw_error_raise(L, LW_RUNTIME_ERROR, "cannot reschedule a timeout that has %s",
                          scope->state == EXITED ? "been left" : "expired");
  scope->has_when = given;
  scope->when = when;
  schedule(L, lw_loop(L), scope);
  return 0;
}

/* scope:when(): its deadline in seconds of the loop's clock, or nil */
static int scope_when(lua_State *L) {
  Scope *scope = lw_self(L);
  if (scope->has_when)
    lua_pushnumber(L, scope->when);
  else
    lua_pushnil(L);
  return 1;
}

/* scope:expired(): did the deadline come while the scope was entered? */
static int scope_expired(lua_State *L) {
  Scope *scope = lw_self(L);
  lua_pushboolean(L, scope->state == EXPIRING || scope->state == EXPIRED);
  return 1;
}

/* Leaving: the CancelledError of the deadline becomes TimeoutError, unless somebody else wants the task cancelled too.
 */
static int scope_close(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  Scope *scope = lw_self(L);
  int ours;
  stop(loop, scope);
  if (scope->state == ENTERED) scope->state = EXITED;
  if (scope->task != loop->current && !lw_future_done(&scope->task->future) && lua_isnoneornil(L, 2) &&
      loop->current != NULL)
    return lw_error_raise(L, LW_RUNTIME_ERROR, "a timeout was left in another task than the one that entered it");
  if (scope->state != EXPIRING) return 0;
  scope->state = EXPIRED;
  ours = lw_task_uncancel(scope->task) <= scope->cancelling;
  if (ours && lw_error_is(L, 2, LW_CANCELLED_ERROR)) return lw_error_raise(L, LW_TIMEOUT_ERROR, "timed out");
  return 0;
}

static int scope_gc(lua_State *L) {
  stop(lw_loop(L), lua_touserdata(L, 1));
  return 0;
}

static int scope_tostring(lua_State *L) {
  static const char *const names[] = {"active", "expiring", "expired", "left"};
  Scope *scope = lw_self(L);
  lua_pushfstring(L, "<Timeout %s>", names[scope->state]);
  return 1;
}

void lw_open_scope(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {
      {"reschedule", scope_reschedule}, {"when", scope_when}, {"expired", scope_expired}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__close", scope_close}, {"__gc", scope_gc}, {"__tostring", scope_tostring}, {NULL, NULL}};
  loop->classes[LW_SCOPE] = (lw_NodeClass){scope_run, NULL, scope_due, NULL};
  lw_class(L, loop_index, "Timeout", methods, meta);
  lw_add_constructor(L, loop_index, "timeout_scope", timeout_scope);
  lw_add_constructor(L, loop_index, "timeout_scope_at", timeout_scope_at);
  lua_pop(L, 1);
}
