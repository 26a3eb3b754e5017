#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/failure.h"
#include "core/handle.h"
#include "core/task.h"
#include "embed/embed.h"

/* A task whose end is to be told. Told by a callback of the task like those of add_done_callback; by lw_tell_ends, if
 * that could not run any more. */
typedef struct Done {
  lw_Link link; /* in `dones` until it is told */
  lw_Embed *embed;
  luawait_DoneFn fn;
  void *ud;
  int task; /* a reference */
} Done;

/* It is in the list no more. */
static void forget(lua_State *L, Done *done) {
  luaL_unref(L, LUA_REGISTRYINDEX, done->task);
  free(done);
}

static int no_memory_error(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TSTRING && strcmp(lua_tostring(L, index), "not enough memory") == 0;
}

/* Replaces the finished task at 2 by what its end has given; returns the status. */
static int push_end(lua_State *L) {
  lw_Embed *embed = lua_touserdata(L, 1);
  lw_Future *future = lua_touserdata(L, 2);
  int state = future->timed.node.state;
  if (state == LW_DONE) return lw_future_push_results(L, embed->loop, 2, future);
  lw_future_push_failure(L, embed->loop, 2, future);
  lw_failure_push_error(L, 3);
  lua_getfield(L, 3, "traceback");
  return 2;
}

static int end_status(lua_State *L, const lw_Embed *embed, int state, int error) {
  if (state == LW_DONE) return LUAWAIT_OK;
  if (state == LW_CANCELLED) return LUAWAIT_CANCELLED;
  if (lw_is_stop(L, embed, error) || (embed->meter.memory > 0 && no_memory_error(L, error))) return LUAWAIT_STOPPED;
  return LUAWAIT_ERROR;
}

/* Told once, whatever fails: the task stands at the absolute index `task`, on the top, and is replaced. */
static void tell(lua_State *L, Done *done, int task) {
  lw_Embed *embed = done->embed;
  luawait_DoneFn fn = done->fn;
  void *ud = done->ud;
  int state = ((lw_Future *)lua_touserdata(L, task))->timed.node.state;
  int status = lw_protect(L, push_end, embed, 1, LUA_MULTRET);
  if (status == LUAWAIT_OK)
    status = end_status(L, embed, state, task);
  else
    lua_pushnil(L); /* no memory for it: that is its error, without a traceback */
  lw_list_remove(&embed->dones, &done->link);
  forget(L, done);
  fn(L, status, lua_gettop(L) - task + 1, ud);
}

/* The callback of a task: done is upvalue 1. */
static int on_done(lua_State *L) {
  lua_settop(L, 1);
  tell(L, lua_touserdata(L, lua_upvalueindex(1)), 1);
  return 0;
}

static int tell_late(lua_State *L) {
  Done *done = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, done->task);
  lua_remove(L, 1);
  tell(L, done, 1);
  return 0;
}

/* The first of them whose task has ended, or NULL. */
static Done *find_ended(lua_State *L, const lw_Embed *embed) {
  lw_Link *link;
  for (link = embed->dones.first; link != NULL; link = lw_list_next(&embed->dones, link)) {
    Done *done = LW_CONTAINER(link, Done, link);
    lua_rawgeti(L, LUA_REGISTRYINDEX, done->task);
    if (lw_future_done(lua_touserdata(L, -1))) return lua_pop(L, 1), done;
    lua_pop(L, 1);
  }
  return NULL;
}

static void tell_closed(lw_Embed *embed, Done *done) {
  luawait_DoneFn fn = done->fn;
  void *ud = done->ud;
  forget(embed->main, done);
  fn(embed->main, LUAWAIT_CLOSED, 0, ud);
}

void lw_tell_ends(lw_Embed *embed, lua_State *L) {
  Done *done;
  lw_Link *link;
  while (L != NULL && (done = find_ended(L, embed)) != NULL)
    if (lw_protect(L, tell_late, done, 0, 0) != LUAWAIT_OK) lw_tell_error(L, "error in a callback");
  while (L == NULL && (link = lw_list_pop(&embed->dones)) != NULL) tell_closed(embed, LW_CONTAINER(link, Done, link));
}

/* ---- starting ---- */

typedef struct Spawning {
  lw_Embed *embed;
  Done *done; /* or NULL */
  lw_Handle *handle;
} Spawning;

/* The function at 2 and its arguments become a Coroutine that is used already. */
static void push_body(lua_State *L, lw_Loop *loop) {
  int i, n = lua_gettop(L) - 1;
  lua_newuserdatauv(L, 0, n);
  for (i = 1; i <= n; i++) {
    lua_pushvalue(L, 1 + i);
    lua_setiuservalue(L, -2, i);
  }
  lw_push_ref(L, loop, LW_REF_USED_COROUTINE);
  lua_setmetatable(L, -2);
}

/* What may fail comes before the task is made. */
static void prepare_done(lua_State *L, Spawning *s) {
  lua_pushboolean(L, 0);
  s->done->task = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushlightuserdata(L, s->done);
  lua_pushcclosure(L, on_done, 1);
  lua_pushnil(L);
  s->handle = lw_handle_new(L, s->embed->loop, lua_gettop(L) - 1, 1);
}

/* The task on the top has its end told; its handle is below. */
static void watch(lua_State *L, Spawning *s, lw_Task *task) {
  lua_pushvalue(L, -1);
  lua_rawseti(L, LUA_REGISTRYINDEX, s->done->task);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -3, 2);
  s->handle->future = &task->future;
  lw_list_push(&task->future.waiters, &s->handle->timed.node.link);
  lw_task_node(task)->flags |= LW_RETRIEVED;
  lw_list_push(&s->embed->dones, &s->done->link);
}

static int spawn(lua_State *L) {
  Spawning *s = lua_touserdata(L, 1);
  lw_Task *task;
  int body;
  luaL_checkstack(L, 10, NULL);
  push_body(L, s->embed->loop);
  body = lua_gettop(L);
  if (s->done != NULL) prepare_done(L, s);
  task = lw_task_of_kind(L, s->embed->loop, body, LW_IS_COROUTINE);
  if (s->done != NULL) watch(L, s, task);
  return 1;
}

static void drop(lua_State *L, Spawning *s) {
  if (s->handle != NULL) lw_handle_cancel(L, s->embed->loop, s->handle);
  if (s->done->task != 0) luaL_unref(L, LUA_REGISTRYINDEX, s->done->task);
  free(s->done);
}

int lw_spawn(lua_State *L, lw_Embed *embed, int nargs, luawait_DoneFn done, void *ud) {
  Spawning s = {embed, NULL, NULL};
  int status;
  if (nargs < 0 || nargs > LW_MAX_ARGS || lua_gettop(L) <= nargs || !lua_isfunction(L, -(nargs + 1)))
    return LUAWAIT_INVALID;
  if (done != NULL) {
    s.done = malloc(sizeof *s.done);
    if (s.done == NULL) return LUAWAIT_NO_MEMORY;
    *s.done = (Done){.embed = embed, .fn = done, .ud = ud};
  }
  status = lw_protect(L, spawn, &s, nargs + 1, 1);
  if (status != LUAWAIT_OK && s.done != NULL) drop(L, &s);
  return status;
}

int luawait_spawn(lua_State *L, int nargs, luawait_DoneFn done, void *ud) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  return embed != NULL ? lw_spawn(L, embed, nargs, done, ud) : status;
}
