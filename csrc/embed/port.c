#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/future.h"
#include "embed/embed.h"

typedef struct lw_Call {
  lw_Link link;
  luawait_CallFn fn;
  void *ud;
  luawait_FreeFn release;
  luawait_Promise *promise; /* that it completes, or NULL: it is posted */
} lw_Call;

/* What threads put into the queue the loop takes out in its turn, one call in each, so that tasks have theirs in
 * between. */
struct luawait_Port {
  _Atomic(int) refs; /* the loop has one, until libuv has closed `async` */
  uv_mutex_t lock;
  int open;      /* with the lock held: the loop takes calls */
  lw_List queue; /* with the lock held: lw_Call */
  uv_async_t async;
  lw_Loop *loop;
  unsigned promises; /* that are to come: `async` keeps the loop running meanwhile */
};

struct luawait_Promise {
  _Atomic(int) refs;
  _Atomic(int) used; /* somebody has completed it */
  luawait_Port *port;
  lw_Call call;
  uint32_t slot; /* of the future, which the loop keeps alive, while that is open; 0: done */
};

/* ---- references ---- */

luawait_Port *luawait_port_ref(luawait_Port *port) {
  if (port != NULL) atomic_fetch_add(&port->refs, 1);
  return port;
}

void luawait_port_unref(luawait_Port *port) {
  if (port == NULL || atomic_fetch_sub(&port->refs, 1) != 1) return;
  uv_mutex_destroy(&port->lock);
  free(port);
}

luawait_Promise *luawait_promise_ref(luawait_Promise *promise) {
  if (promise != NULL) atomic_fetch_add(&promise->refs, 1);
  return promise;
}

static void free_promise(luawait_Promise *promise) {
  luawait_port_unref(promise->port);
  free(promise);
}

/* ---- the queue ---- */

/* Any thread: LUAWAIT_OK, or LUAWAIT_CLOSED. */
static int enqueue(luawait_Port *port, lw_Call *call) {
  int open;
  uv_mutex_lock(&port->lock);
  open = port->open;
  if (open) {
    lw_list_push(&port->queue, &call->link);
    uv_async_send(&port->async);
  }
  uv_mutex_unlock(&port->lock);
  return open ? LUAWAIT_OK : LUAWAIT_CLOSED;
}

static lw_Call *receive(luawait_Port *port, int *more) {
  lw_Link *link;
  uv_mutex_lock(&port->lock);
  link = lw_list_pop(&port->queue);
  *more = port->queue.first != NULL;
  uv_mutex_unlock(&port->lock);
  return link != NULL ? LW_CONTAINER(link, lw_Call, link) : NULL;
}

static void release(luawait_FreeFn fn, void *ud) {
  if (fn != NULL) fn(ud);
}

/* It was called, or never will be. */
static void end_call(lw_Call *call) {
  luawait_Promise *promise = call->promise;
  release(call->release, call->ud);
  if (promise != NULL)
    luawait_promise_unref(promise);
  else
    free(call);
}

static int raise_dropped(lua_State *L, void *ud) {
  (void)ud;
  return lw_error_raise(L, LW_RUNTIME_ERROR, "the future was never completed: its promise was dropped");
}

void luawait_promise_unref(luawait_Promise *promise) {
  if (promise == NULL || atomic_fetch_sub(&promise->refs, 1) != 1) return;
  if (!atomic_exchange(&promise->used, 1)) {
    atomic_store(&promise->refs, 1); /* the queue's */
    promise->call.fn = raise_dropped;
    if (enqueue(promise->port, &promise->call) == LUAWAIT_OK) return;
  }
  free_promise(promise);
}

int luawait_post(luawait_Port *port, luawait_CallFn fn, void *ud, luawait_FreeFn release_fn) {
  lw_Call *call = NULL;
  int status = LUAWAIT_INVALID;
  if (port != NULL && fn != NULL) {
    call = malloc(sizeof *call);
    status = LUAWAIT_NO_MEMORY;
  }
  if (call != NULL) {
    *call = (lw_Call){.fn = fn, .ud = ud, .release = release_fn};
    status = enqueue(port, call);
  }
  if (status == LUAWAIT_OK) return status;
  free(call);
  release(release_fn, ud);
  return status;
}

int luawait_complete(luawait_Promise *promise, luawait_CallFn fn, void *ud, luawait_FreeFn release_fn) {
  int status = promise == NULL ? LUAWAIT_INVALID : LUAWAIT_OK;
  if (promise != NULL && atomic_exchange(&promise->used, 1)) status = LUAWAIT_DONE;
  if (status == LUAWAIT_OK) {
    promise->call = (lw_Call){.fn = fn, .ud = ud, .release = release_fn, .promise = promise};
    luawait_promise_ref(promise);
    status = enqueue(promise->port, &promise->call);
    if (status == LUAWAIT_OK) return status;
    luawait_promise_unref(promise);
  }
  release(release_fn, ud);
  return status;
}

/* ---- on the loop ---- */

static void wake(lw_Loop *loop) {
  lw_Node *node = &loop->embed->inbox;
  if (!lw_linked(&node->link)) lw_ready(loop, node);
}

static void on_async(uv_async_t *async) { wake(async->data); }

/* Calls the function of a call on an empty stack; its results. */
static int invoke(lua_State *L) {
  lw_Call *call = lua_touserdata(L, 1);
  lua_settop(L, 0);
  return call->fn(L, call->ud);
}

/* 1 the call, 2 its future: completes it. */
static int fulfil(lua_State *L) {
  lw_Call *call = lua_touserdata(L, 1);
  lw_Loop *loop = call->promise->port->loop;
  if (call->fn != NULL) {
    lua_pushcfunction(L, invoke);
    lua_pushlightuserdata(L, call);
    lua_call(L, 1, LUA_MULTRET);
  }
  lw_future_resolve(L, loop, 2, lua_gettop(L) - 2);
  return 0;
}

/* 1 the loop, 2 the future, 3 the error */
static int reject(lua_State *L) {
  lw_future_reject(L, lua_touserdata(L, 1), 2);
  return 0;
}

/* Pops an error, with which the future at the absolute index `future` fails; with another if there is no memory. */
static void fail_future(lua_State *L, lw_Loop *loop, int future) {
  lua_pushvalue(L, future);
  lua_insert(L, -2);
  if (lw_protect(L, reject, loop, 2, 0) == LUAWAIT_OK) return;
  lua_pop(L, 1);
  lw_push_ref(L, loop, LW_REF_NO_MEMORY);
  lua_setiuservalue(L, future, 1);
  lw_future_finish(loop, lua_touserdata(L, future), LW_FAILED);
}

/* No completion is to come any more. The future need not be kept. */
static void settle_promise(lua_State *L, lw_Loop *loop, luawait_Promise *promise) {
  lw_unanchor(L, loop, promise->slot);
  promise->slot = 0;
  if (--promise->port->promises == 0) uv_unref((uv_handle_t *)&promise->port->async);
}

static void run_completion(lua_State *L, lw_Loop *loop, lw_Call *call) {
  int future;
  lw_push_anchored(L, loop, call->promise->slot);
  future = lua_gettop(L);
  lw_begin_step(loop, L);
  if (!lw_future_done(lua_touserdata(L, future))) {
    lua_pushvalue(L, future);
    if (lw_protect(L, fulfil, call, 1, 0) != LUAWAIT_OK) fail_future(L, loop, future);
  }
  settle_promise(L, loop, call->promise);
  lw_end_step(loop); /* may be cut short: in debug mode it reports, which takes memory */
}

static void run_posted(lua_State *L, lw_Loop *loop, lw_Call *call) {
  int handler = lua_gettop(L) + 1, status;
  lua_pushcfunction(L, lw_traceback);
  lua_pushcfunction(L, invoke);
  lua_pushlightuserdata(L, call);
  lw_begin_step(loop, L);
  status = lua_pcall(L, 1, 0, handler);
  lw_end_step(loop);
  if (status == LUA_OK) return;
  if (lw_error_is(L, -1, LW_KEYBOARD_INTERRUPT)) loop->stop = LW_STOP_INTERRUPTED;
  lw_report_error(L, loop, "error in a posted call");
}

/* One call in each turn of the node. */
static void inbox_run(lw_Loop *loop, lw_Node *node) {
  lw_Embed *embed = loop->embed;
  lua_State *L = loop->L;
  int more = 0, top = lua_gettop(L);
  embed->call = receive(embed->port, &more);
  if (more) lw_ready(loop, node);
  if (embed->call == NULL) return;
  if (embed->call->promise != NULL)
    run_completion(L, loop, embed->call);
  else
    run_posted(L, loop, embed->call);
  lua_settop(L, top);
  end_call(embed->call);
  embed->call = NULL;
}

/* A memory error outside of what is called above. */
static void inbox_abort(lw_Loop *loop, lw_Node *node) {
  lw_Call *call = loop->embed->call;
  (void)node;
  loop->embed->call = NULL;
  if (call != NULL) end_call(call);
}

void lw_open_port(lw_Loop *loop) { loop->classes[LW_POSTED] = (lw_NodeClass){inbox_run, inbox_abort, NULL, NULL}; }

/* ---- opening and closing ---- */

static luawait_Port *new_port(lw_Loop *loop, int *err) {
  luawait_Port *port = calloc(1, sizeof *port);
  *err = port != NULL ? uv_mutex_init(&port->lock) : UV_ENOMEM;
  if (*err == 0) {
    *err = uv_async_init(loop->uv, &port->async, on_async);
    if (*err != 0) uv_mutex_destroy(&port->lock);
  }
  if (*err != 0) {
    free(port);
    return NULL;
  }
  port->refs = 1;
  port->open = 1;
  port->loop = loop;
  lw_own_handle(loop, (uv_handle_t *)&port->async);
  uv_unref((uv_handle_t *)&port->async);
  return port;
}

static int push_os_error(lua_State *L) {
  lw_error_push_os(L, (int)lua_tointeger(L, 2), "uv_async_init", NULL, NULL);
  return lua_error(L);
}

/* The port of the open loop, made where there is none. */
static int find_port(lua_State *L, lw_Embed *embed) {
  int err = 0;
  if (embed->port == NULL) embed->port = new_port(embed->loop, &err);
  if (err == UV_ENOMEM) return LUAWAIT_NO_MEMORY;
  if (err == 0) return LUAWAIT_OK;
  lua_pushinteger(L, err);
  return lw_protect(L, push_os_error, embed, 1, 0);
}

int luawait_port(lua_State *L, luawait_Port **port) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  if (port != NULL) *port = NULL;
  if (embed == NULL || port == NULL) return embed == NULL ? status : LUAWAIT_INVALID;
  status = find_port(L, embed);
  if (status == LUAWAIT_OK) *port = luawait_port_ref(embed->port);
  return status;
}

static void on_closed(uv_handle_t *handle) {
  luawait_Port *port = LW_CONTAINER(handle, luawait_Port, async);
  port->loop->in_uv--;
  port->loop = NULL;
  luawait_port_unref(port);
}

void lw_close_port(lw_Embed *embed) {
  luawait_Port *port = embed->port;
  lw_List left;
  lw_Link *link;
  embed->port = NULL;
  if (port == NULL) return;
  uv_mutex_lock(&port->lock);
  port->open = 0;
  left = port->queue;
  port->queue.first = NULL;
  uv_mutex_unlock(&port->lock);
  if (lw_linked(&embed->inbox.link)) lw_list_remove(&embed->loop->ready, &embed->inbox.link);
  uv_close((uv_handle_t *)&port->async, on_closed);
  while ((link = lw_list_pop(&left)) != NULL) end_call(LW_CONTAINER(link, lw_Call, link));
}

/* ---- futures ---- */

static int new_future(lua_State *L) {
  luawait_Promise *promise = lua_touserdata(L, 1);
  lw_Loop *loop = promise->port->loop;
  lw_future_new(L, loop);
  promise->slot = lw_anchor(L, loop, 2);
  return 1;
}

static luawait_Promise *new_promise(luawait_Port *port) {
  luawait_Promise *promise = calloc(1, sizeof *promise);
  if (promise == NULL) return NULL;
  promise->refs = 1;
  promise->port = luawait_port_ref(port);
  promise->call.promise = promise;
  return promise;
}

int luawait_future(lua_State *L, luawait_Promise **promise) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  luawait_Promise *made;
  if (promise != NULL) *promise = NULL;
  if (embed == NULL || promise == NULL) return embed == NULL ? status : LUAWAIT_INVALID;
  status = find_port(L, embed);
  if (status != LUAWAIT_OK) return status;
  made = new_promise(embed->port);
  if (made == NULL) return LUAWAIT_NO_MEMORY;
  status = lw_protect(L, new_future, made, 0, 1);
  if (status != LUAWAIT_OK) {
    free_promise(made);
    return status;
  }
  if (embed->port->promises++ == 0) uv_ref((uv_handle_t *)&embed->port->async);
  *promise = made;
  return LUAWAIT_OK;
}

/* Takes the right to complete it, for the loop's thread: pushes the future below the `count` values on the top. */
static int take(lua_State *L, lw_Embed *embed, luawait_Promise *promise, int count) {
  if (promise->port != embed->port) return LUAWAIT_CLOSED;
  if (atomic_exchange(&promise->used, 1)) return LUAWAIT_DONE;
  lw_push_anchored(L, embed->loop, promise->slot);
  if (!lw_future_done(lua_touserdata(L, -1))) {
    lua_insert(L, -(count + 1));
    return LUAWAIT_OK;
  }
  lua_pop(L, 1);
  settle_promise(L, embed->loop, promise);
  return LUAWAIT_DONE;
}

static int resolve(lua_State *L) {
  lw_future_resolve(L, lua_touserdata(L, 1), 2, lua_gettop(L) - 2);
  return 0;
}

static int complete_now(lua_State *L, luawait_Promise *promise, int count, lua_CFunction fn) {
  int status;
  lw_Embed *embed = lw_open_embed_of(L, &status);
  if (embed == NULL) return status;
  if (promise == NULL || count < 0 || count > lua_gettop(L)) return LUAWAIT_INVALID;
  if (fn == reject && lua_isnil(L, -1)) return LUAWAIT_INVALID;
  status = take(L, embed, promise, count);
  if (status != LUAWAIT_OK) return status;
  status = lw_protect(L, fn, embed->loop, count + 1, 0);
  if (status == LUAWAIT_OK)
    settle_promise(L, embed->loop, promise);
  else
    atomic_store(&promise->used, 0);
  return status;
}

int luawait_resolve(lua_State *L, luawait_Promise *promise, int nresults) {
  return complete_now(L, promise, nresults, resolve);
}

int luawait_reject(lua_State *L, luawait_Promise *promise) { return complete_now(L, promise, 1, reject); }

static int return_results(lua_State *L, int status, lua_KContext below) {
  (void)status;
  return lua_gettop(L) - (int)below;
}

int luawait_await(lua_State *L, int index, lua_KContext ctx, lua_KFunction k) {
  const lw_Embed *embed = lw_embed_of(L);
  int status;
  if (embed == NULL) return luaL_error(L, "luawait is not open in this state");
  index = lua_absindex(L, index);
  lw_push_ref(L, embed->loop, LW_REF_AWAIT);
  lua_pushvalue(L, index);
  if (k == NULL) {
    int below = lua_gettop(L) - 2;
    lua_callk(L, 1, LUA_MULTRET, below, return_results);
    return return_results(L, LUA_OK, below);
  }
  status = lua_pcallk(L, 1, LUA_MULTRET, 0, ctx, k);
  return k(L, status == LUA_OK ? LUA_YIELD : status, ctx);
}
