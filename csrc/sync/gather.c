#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/coroutine.h"
#include "sync/fan.h"
#include "sync/sync.h"

/* The frame of a gather that waits: */
enum {
  FAN = LW_FAN,
  FUTURES = LW_FUTURES, /* array of the children; in the end it holds their results */
  KEYS                  /* of a keyed gather: array of the keys; false for an array; nil for arguments */
};

enum { RETURN_EXCEPTIONS = 1 }; /* the fan's mode */

static void gather_finished(lw_Loop *loop, lw_Fan *fan, lw_Node *child, lw_Future *future) {
  int failed = future->timed.node.state != LW_DONE;
  if (failed && fan->failed == 0 && fan->mode != RETURN_EXCEPTIONS) {
    fan->failed = child->slot + 1;
    lw_fan_wake(loop, fan);
  } else if (fan->left == 0) {
    lw_fan_wake(loop, fan);
  }
}

/* ---- results ---- */

/* Pushes child `i` (from 1), and what it puts into its slot. */
static void push_slot(lua_State *L, lw_Loop *loop, lua_Integer i) {
  lw_Future *future;
  lua_rawgeti(L, FUTURES, i);
  future = lua_touserdata(L, -1);
  if (future->timed.node.state == LW_DONE)
    lw_future_push_first(L, lua_gettop(L), future);
  else
    lw_future_push_failure(L, loop, lua_gettop(L), future);
}

static int push_keyed(lua_State *L, lw_Loop *loop, lua_Integer n) {
  lua_Integer i;
  lua_createtable(L, 0, (int)n);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, KEYS, i);
    push_slot(L, loop, i);
    lua_remove(L, -2);
    lua_rawset(L, -3);
  }
  return 1;
}

static int push_array(lua_State *L, lw_Loop *loop, lua_Integer n) {
  lua_Integer i;
  for (i = 1; i <= n; i++) {
    push_slot(L, loop, i);
    lua_rawseti(L, FUTURES, i);
    lua_settop(L, FUTURES);
  }
  lua_settop(L, FUTURES);
  lua_pushinteger(L, n);
  lua_setfield(L, FUTURES, "n");
  return 1;
}

static int push_values(lua_State *L, lw_Loop *loop, lua_Integer n) {
  lua_Integer i;
  luaL_checkstack(L, (int)n + 4, "too many results");
  for (i = 1; i <= n; i++) {
    push_slot(L, loop, i);
    lua_remove(L, -2);
  }
  return (int)n;
}

/* As in asyncio, no child of a gather that raises is reported for its own failure, not even for one to come. */
static void retrieve_all(lua_State *L, lw_Loop *loop, lw_Fan *fan) {
  uint32_t i;
  int top = lua_gettop(L);
  for (i = 1; i <= fan->count; i++) {
    lw_Future *future;
    lua_rawgeti(L, FUTURES, i);
    future = lua_touserdata(L, -1);
    lw_future_node(future)->flags |= LW_RETRIEVED;
    if (lw_future_node(future)->state == LW_FAILED) lw_future_push_failure(L, loop, top + 1, future);
    lua_settop(L, top);
  }
}

static int raise_first(lua_State *L, lw_Loop *loop, lw_Fan *fan) {
  lw_fan_release(L, fan, FUTURES);
  if (fan->cancelled) { /* the children have the message: it must not be that of a later request */
    lw_push_anchored(L, loop, lw_task_node(loop->current)->slot);
    lw_take_cancel_message(L, loop, lua_gettop(L));
  }
  retrieve_all(L, loop, fan);
  lua_rawgeti(L, FUTURES, fan->failed);
  lw_future_push_error(L, loop, lua_gettop(L), lua_touserdata(L, -1));
  return lua_error(L);
}

static int gather_end(lua_State *L, lw_Loop *loop, lw_Fan *fan) {
  if (fan->failed != 0) return raise_first(L, loop, fan);
  if (fan->cancelled) { /* and each child finished all the same */
    retrieve_all(L, loop, fan);
    lw_push_cancelled(L, loop, NULL);
    return lua_error(L);
  }
  if (lua_istable(L, KEYS)) return push_keyed(L, loop, fan->count);
  return lua_isnil(L, KEYS) ? push_values(L, loop, fan->count) : push_array(L, loop, fan->count);
}

/* ---- waiting ---- */

static int gather_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)wake;
  return gather_end(L, lw_loop(L), on);
}

/* Cancels the children; the gather ends with them. Not here: gathers in gathers would go deep into the C stack. */
static int gather_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  lw_Fan *fan = on;
  (void)L, (void)task;
  fan->cancelled = 1;
  if (fan->cancellation != loop->cancellation && !lw_linked(&fan->link)) lw_list_push(&loop->passing_on, &fan->link);
  fan->cancellation = loop->cancellation; /* once is enough, and a ring of gathers has no end */
  return 1;
}

/* The frame of the gather is gone: its coroutine was closed from outside. */
static void interrupt_owner(lua_State *L, lw_Loop *loop, lw_Task *owner) {
  if (owner == NULL) return;
  lw_break_wait(L, loop, owner);
  lw_interrupt(L, loop, owner, 0);
}

static void gather_pass_on(lua_State *L, lw_Loop *loop, lw_Link *link) {
  lw_Fan *fan = LW_CONTAINER(link, lw_Fan, link);
  lw_Task *owner = fan->owner; /* NULL: the request has reached one of the children by another way, and so woken it */
  uint32_t i;
  int top = lua_gettop(L);
  luaL_checkstack(L, 14, NULL);
  if (!lw_fan_push_futures(L, fan)) {
    interrupt_owner(L, loop, owner);
    return;
  }
  if (owner != NULL) {
    lw_push_anchored(L, loop, lw_task_node(owner)->slot);
    lw_note_get(L, loop, top + 2, LW_NOTE_CANCEL_MESSAGE);
  } else {
    lua_settop(L, top + 3); /* no message */
  }
  for (i = 1; i <= fan->count; i++) {
    lw_Future *child;
    lua_rawgeti(L, top + 1, i);
    child = lua_touserdata(L, -1);
    lua_pushvalue(L, top + 3);
    lw_cancel_on(L, loop, child, top + 4);
    lua_settop(L, top + 3);
  }
  lua_settop(L, top);
}

/* A cancellation has met the failure that woke the task, and wins: what is left is cancelled all the same. */
static void gather_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  lua_State *L = loop->L;
  lw_Fan *fan = on;
  uint32_t i;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 14) || !lw_fan_push_futures(L, fan)) return;
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  lw_note_get(L, loop, top + 2, LW_NOTE_CANCEL_MESSAGE);
  for (i = 1; i <= fan->count; i++) {
    lua_rawgeti(L, top + 1, i);
    lua_pushvalue(L, top + 3);
    lw_cancel(L, loop, lua_touserdata(L, top + 4), top + 4);
    lua_settop(L, top + 3);
  }
  lua_settop(L, top);
}

static void gather_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Fan *fan = on;
  (void)loop;
  lua_pushfstring(L, "gather (%d of %d done)", (int)(fan->count - fan->left), (int)fan->count);
}

/* ---- what comes in ---- */

/* Is argument 1 a table that is no awaitable itself? */
static int is_table_form(lua_State *L) {
  if (lua_type(L, 1) != LUA_TTABLE) return 0;
  if (luaL_getmetafield(L, 1, "__await") == LUA_TNIL) return 1;
  lua_pop(L, 1);
  return 0;
}

/* Is the table at 1, with the array part [1..n], more than an array (with n, as table.pack makes it)? */
static int is_keyed(lua_State *L, lua_Integer n) {
  int keyed = 0;
  if (n > 0)
    lua_pushinteger(L, n);
  else
    lua_pushnil(L);
  /* in an array, nothing but n comes after its last entry; where an entry lies in the hash part, all keys are looked at
   */
  if (!lua_next(L, 1)) return 0;
  lua_pop(L, 2);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    int number = lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n;
    int size =
        lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "n") == 0 && lua_type(L, -1) == LUA_TNUMBER;
    keyed = keyed || !(number || size);
  }
  return keyed;
}

/* Replaces the table at 1 by an array of its values, and pushes the array of its keys. */
static void split_keys(lua_State *L) {
  lua_Integer n = 0;
  int values, keys;
  lua_newtable(L);
  lua_newtable(L);
  keys = lua_gettop(L);
  values = keys - 1;
  for (lua_pushnil(L); lua_next(L, 1);) {
    n++;
    lua_rawseti(L, values, n);
    lua_pushvalue(L, -1);
    lua_rawseti(L, keys, n);
  }
  lua_pushvalue(L, values);
  lua_replace(L, 1);
  lua_remove(L, values);
}

/* Makes the arguments an array at 1. */
static void pack_arguments(lua_State *L, lw_Loop *loop) {
  int i, n = lua_gettop(L);
  for (i = 1; i <= n; i++) {
    lw_check_unused(L, loop, i);
    lw_check_awaitable(L, loop, i);
  }
  lua_createtable(L, n, 0);
  lua_insert(L, 1);
  for (i = n; i >= 1; i--) lua_rawseti(L, 1, i);
}

/* Turns the arguments into: 1 the array of awaitables, 2 the KEYS. Returns the number of awaitables. */
static uint32_t take_arguments(lua_State *L, lw_Loop *loop, int *mode) {
  static const char *const known[] = {"return_exceptions", NULL};
  lua_Integer n;
  if (!is_table_form(L)) {
    n = lua_gettop(L);
    pack_arguments(L, loop);
    lua_pushnil(L);
    return (uint32_t)n;
  }
  lua_settop(L, 2);
  lw_check_options(L, 2, known);
  if (lw_option(L, 2, "return_exceptions", LUA_TBOOLEAN) == LUA_TBOOLEAN && lua_toboolean(L, -1))
    *mode = RETURN_EXCEPTIONS;
  lua_settop(L, 1);
  if (is_keyed(L, (lua_Integer)lua_rawlen(L, 1))) {
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) lw_check_entry(L, loop, 2);
    split_keys(L);
    return (uint32_t)lua_rawlen(L, 1);
  }
  n = lw_check_list(L, loop);
  lua_pushboolean(L, 0);
  return (uint32_t)n;
}

/* Makes the frame: 1 the array, 2 the keys become FAN, FUTURES, KEYS. */
static lw_Fan *make_frame(lua_State *L, lw_Loop *loop, uint32_t n) {
  lw_Fan *fan;
  uint32_t i;
  lua_createtable(L, (int)n, 1);
  fan = lw_fan_new(L, 3, n);
  fan->finished = gather_finished;
  for (i = 1; i <= n; i++) {
    lw_Future *future = lw_push_entry_future(L, loop, 1, 3, i);
    lua_rawseti(L, 3, i);
    lw_fan_add(fan, future);
    if (lw_future_done(future) && future->timed.node.state != LW_DONE && fan->failed == 0) fan->failed = i;
  }
  lua_replace(L, FAN); /* array, keys, futures, fan -> fan, keys, futures */
  lua_insert(L, FUTURES);
  return fan;
}

/* async.gather(...): waits for all of its arguments (awaitables; what is no task or future becomes a task) and returns
 * their first results in order. async.gather(t, opts?): the same for a table, array or keyed; returns a new table with
 * the same keys, and n for an array. The first failure is raised at once, the others go on; with opts.return_exceptions
 * nothing is raised and each failed slot holds a Failure. Cancelling the gather cancels all children. After
 * asyncio.gather. */
static int gather(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_Task *task = lw_waiter(L, loop);
  int mode = 0;
  uint32_t n = take_arguments(L, loop, &mode);
  lw_Fan *fan = make_frame(L, loop, n);
  fan->mode = (uint8_t)mode;
  if (mode == RETURN_EXCEPTIONS) fan->failed = 0;
  if (fan->left == 0 || fan->failed != 0) return gather_end(L, loop, fan);
  return lw_fan_park(L, loop, task, LW_WAIT_GATHER);
}

void lw_open_gather(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass gather_class = {gather_resumed,  gather_cancel, gather_hand_on,
                                            gather_describe, lw_fan_undo,   NULL};
  static const luaL_Reg funcs[] = {{"gather", gather}, {NULL, NULL}};
  loop->waits[LW_WAIT_GATHER] = &gather_class;
  loop->pass_on = gather_pass_on;
  lw_setfuncs(L, loop_index, funcs);
}
