/* Tests of luawait.h: calls from other threads, futures, C functions that wait, many states in many threads. */
#include <stdatomic.h>
#include <uv.h>

#include "embed_check.h"

static _Atomic(int) released; /* luawait_FreeFn was called so often */

static void count_release(void *ud) {
  (void)ud;
  atomic_fetch_add(&released, 1);
}

static int push_number(lua_State *L, void *ud) {
  CHECK_INT(lua_gettop(L), 0);
  lua_pushinteger(L, (lua_Integer)(size_t)ud);
  return 1;
}

static int add_to_log(lua_State *L, void *ud) {
  CHECK_INT(lua_gettop(L), 0);
  lua_getglobal(L, "log");
  lua_pushinteger(L, (lua_Integer)(size_t)ud);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  return 0;
}

static int fail_call(lua_State *L, void *ud) {
  (void)ud;
  return luaL_error(L, "the call failed");
}

static int interrupt(lua_State *L, void *ud) {
  (void)ud;
  push_lua(L, "error(async.KeyboardInterrupt('stop'))");
  lua_call(L, 0, 0);
  return 0;
}

static void note_report(lua_State *L, const char *text, void *ud) {
  (void)L;
  strncat(ud, text, 400);
}

/* ---- posting ---- */

static void post_in_order(void) {
  lua_State *L = new_open_state();
  luawait_Port *port, *same;
  size_t i;
  do_lua(L, "log = {}");
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  CHECK_INT(luawait_port(L, &same), LUAWAIT_OK);
  CHECK(port == same);
  luawait_port_unref(same);
  for (i = 1; i <= 1000; i++) CHECK_INT(luawait_post(port, add_to_log, (void *)i, count_release), LUAWAIT_OK);
  CHECK_INT(released, 0);
  CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_OK);
  while (released < 1000) CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  do_lua(L, "assert(#log == 1000) for i = 1, 1000 do assert(log[i] == i) end");
  end_state(L);
  CHECK_INT(luawait_post(port, add_to_log, NULL, count_release), LUAWAIT_CLOSED);
  CHECK_INT(released, 1001);
  luawait_port_unref(port);
}

static int post_again(lua_State *L, void *ud) {
  CHECK_INT(luawait_post(ud, add_to_log, (void *)3, NULL), LUAWAIT_OK);
  return add_to_log(L, (void *)1);
}

static void post_in_a_call(void) {
  lua_State *L = new_open_state();
  luawait_Port *port;
  do_lua(L, "log = {}");
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  CHECK_INT(luawait_post(port, post_again, port, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_post(port, add_to_log, (void *)2, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  do_lua(L, "assert(table.concat(log, ' ') == '1 2 3')");
  luawait_port_unref(port);
  end_state(L);
}

static void post_misuse(void) {
  lua_State *L = new_open_state();
  luawait_Port *port;
  CHECK_INT(luawait_port(L, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_post(NULL, add_to_log, NULL, count_release), LUAWAIT_INVALID);
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  CHECK_INT(luawait_post(port, NULL, NULL, count_release), LUAWAIT_INVALID);
  CHECK_INT(luawait_post(NULL, add_to_log, NULL, NULL), LUAWAIT_INVALID);
  CHECK_INT(released, 2);
  CHECK(luawait_port_ref(NULL) == NULL);
  luawait_port_unref(NULL);
  luawait_promise_unref(NULL);
  CHECK(luawait_promise_ref(NULL) == NULL);
  luawait_port_unref(port);
  end_state(L);
}

static void post_that_fails(void) {
  lua_State *L = new_open_state();
  luawait_Port *port;
  char log[1000] = "";
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  CHECK_INT(luawait_post(port, fail_call, NULL, count_release), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_OK);
  CHECK_INT(released, 1);
  CHECK(strstr(log, "the call failed") != NULL);
  CHECK_INT(luawait_post(port, interrupt, NULL, count_release), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "KeyboardInterrupt");
  CHECK_INT(released, 2);
  luawait_port_unref(port);
  end_state(L);
}

/* What was posted, and not called yet, when the loop is closed: dropped, and released once. */
static void close_with_calls(void) {
  lua_State *L = new_open_state();
  luawait_Port *port;
  luawait_Promise *promise;
  int i;
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  for (i = 0; i < 5; i++) CHECK_INT(luawait_post(port, fail_call, NULL, count_release), LUAWAIT_OK);
  CHECK_INT(luawait_complete(promise, fail_call, NULL, count_release), LUAWAIT_OK);
  end_state(L);
  CHECK_INT(released, 6);
  luawait_promise_unref(promise);
  luawait_port_unref(port);
}

/* ---- futures ---- */

static void complete_a_future(void) {
  lua_State *L = new_open_state();
  luawait_Promise *promise;
  CHECK_INT(luawait_future(L, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  lua_setglobal(L, "future");
  CHECK_INT(luawait_complete(promise, push_number, (void *)7, count_release), LUAWAIT_OK);
  CHECK_INT(luawait_complete(promise, push_number, (void *)8, count_release), LUAWAIT_DONE);
  CHECK_INT(released, 1);
  push_lua(L, "return async.await(future)");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "7");
  CHECK_INT(released, 2);
  CHECK_INT(luawait_resolve(L, promise, 0), LUAWAIT_DONE);
  luawait_promise_unref(promise);
  CHECK_INT(luawait_complete(NULL, push_number, NULL, count_release), LUAWAIT_INVALID);
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  lua_setglobal(L, "future");
  CHECK_INT(luawait_complete(promise, fail_call, NULL, count_release), LUAWAIT_OK);
  luawait_promise_unref(promise);
  push_lua(L, "return async.await(future)");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_ERROR);
  CHECK_TOP(L, "the call failed");
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  lua_setglobal(L, "future");
  CHECK_INT(luawait_complete(promise, NULL, NULL, NULL), LUAWAIT_OK);
  luawait_promise_unref(promise);
  push_lua(L, "return async.await(future)");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK(lua_isnil(L, -1));
  end_state(L);
}

static void resolve_and_reject(void) {
  lua_State *L = new_open_state();
  luawait_Promise *promise;
  int top;
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  lua_setglobal(L, "future");
  top = lua_gettop(L);
  CHECK_INT(luawait_resolve(L, promise, 99), LUAWAIT_INVALID);
  CHECK_INT(luawait_resolve(L, promise, -1), LUAWAIT_INVALID);
  CHECK_INT(luawait_resolve(L, NULL, 0), LUAWAIT_INVALID);
  lua_pushnil(L);
  CHECK_INT(luawait_reject(L, promise), LUAWAIT_INVALID);
  lua_pop(L, 1);
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 2);
  CHECK_INT(luawait_resolve(L, promise, 2), LUAWAIT_OK);
  CHECK_INT(lua_gettop(L), top);
  CHECK_INT(luawait_resolve(L, promise, 0), LUAWAIT_DONE);
  luawait_promise_unref(promise);
  push_lua(L, "local a, b = async.await(future) return a + b");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "3");
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  lua_setglobal(L, "future");
  lua_pushliteral(L, "no");
  CHECK_INT(luawait_reject(L, promise), LUAWAIT_OK);
  CHECK_INT(lua_gettop(L), top);
  luawait_promise_unref(promise);
  push_lua(L, "async.await(future)");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "no");
  end_state(L);
}

static void drop_a_promise(void) {
  lua_State *L = new_open_state();
  luawait_Promise *promise;
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  lua_setglobal(L, "future");
  CHECK(luawait_promise_ref(promise) == promise);
  luawait_promise_unref(promise);
  luawait_promise_unref(promise);
  push_lua(L, "async.await(future)");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "RuntimeError: the future was never completed");
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK); /* one that outlives the state */
  end_state(L);
  luawait_promise_unref(promise);
}

static void complete_a_cancelled_one(void) {
  lua_State *L = new_open_state();
  luawait_Promise *promise[2];
  CHECK_INT(luawait_future(L, &promise[0]), LUAWAIT_OK);
  CHECK_INT(luawait_cancel(L, -1, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_complete(promise[0], fail_call, NULL, count_release), LUAWAIT_OK);
  CHECK_INT(luawait_future(L, &promise[1]), LUAWAIT_OK);
  CHECK_INT(luawait_cancel(L, -1, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_resolve(L, promise[1], 0), LUAWAIT_DONE);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(released, 1);
  luawait_promise_unref(promise[0]);
  luawait_promise_unref(promise[1]);
  CHECK_INT(luawait_timeout(L), -1);
  end_state(L);
}

/* Cancels the future that it completes, and fails if that is wanted. */
static int cancel_it(lua_State *L, void *fails) {
  lua_getglobal(L, "future");
  CHECK_INT(luawait_cancel(L, -1, NULL), LUAWAIT_OK);
  if (fails) return luaL_error(L, "too late");
  return 1;
}

static void complete_what_cancels_itself(void) {
  lua_State *L = new_open_state();
  luawait_Promise *promise;
  size_t fails;
  for (fails = 0; fails <= 1; fails++) {
    CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
    lua_setglobal(L, "future");
    CHECK_INT(luawait_complete(promise, cancel_it, (void *)fails, count_release), LUAWAIT_OK);
    luawait_promise_unref(promise);
    push_lua(L, "async.wait({future}) return future:cancelled()");
    CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
    CHECK_TOP(L, "true");
  }
  CHECK_INT(released, 2);
  end_state(L);
}

static void complete_after_close(void) {
  lua_State *L = new_open_state();
  luawait_Promise *promise;
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_OK);
  luawait_promise_ref(promise);
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  CHECK_INT(luawait_resolve(L, promise, 0), LUAWAIT_CLOSED);
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_resolve(L, promise, 0), LUAWAIT_CLOSED); /* another loop */
  end_state(L);
  CHECK_INT(luawait_complete(promise, push_number, NULL, count_release), LUAWAIT_CLOSED);
  CHECK_INT(released, 1);
  luawait_promise_unref(promise);
  luawait_promise_unref(promise);
}

/* ---- C functions that wait ---- */

typedef struct Job {
  uv_thread_t thread;
  luawait_Promise *promise;
  size_t number;
} Job;

static void work(void *arg) {
  Job *job = arg;
  uv_sleep(5);
  luawait_complete(job->promise, push_number, (void *)(job->number * 2), count_release);
  luawait_promise_unref(job->promise);
}

static int twice_end(lua_State *L, int status, lua_KContext ctx) {
  Job *job = (Job *)ctx;
  uv_thread_join(&job->thread);
  if (status != LUA_YIELD) return lua_error(L);
  lua_pushliteral(L, "twice");
  return 2;
}

/* twice(n): the double of n, from another thread, and "twice" */
static int twice(lua_State *L) {
  Job *job = lua_newuserdatauv(L, sizeof *job, 0);
  job->number = (size_t)luaL_checkinteger(L, 1);
  if (luawait_future(L, &job->promise) != LUAWAIT_OK) return luaL_error(L, "no future");
  uv_thread_create(&job->thread, work, job);
  return luawait_await(L, -1, (lua_KContext)job, twice_end);
}

static luawait_Promise *held;

/* hold(): waits for `held` */
static int hold(lua_State *L) {
  if (luawait_future(L, &held) != LUAWAIT_OK) return luaL_error(L, "no future");
  return luawait_await(L, -1, 0, NULL);
}

static void c_function_is_cancelled(void) {
  lua_State *L = new_open_state();
  lua_register(L, "hold", hold);
  push_lua(L, "async.timeout(0.001, hold)");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "TimeoutError");
  CHECK_INT(luawait_complete(held, fail_call, NULL, count_release), LUAWAIT_OK);
  luawait_promise_unref(held);
  while (released == 0) CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_OK);
  end_state(L);
}

static void c_function_waits(void) {
  lua_State *L = new_open_state();
  lua_register(L, "twice", twice);
  push_lua(L,
           "local a, b, c = async.gather(function() return twice(1) end, function() return select(2, twice(2)) end, "
           "  function() local co = require 'luawait.std'.coroutine.wrap(function() return (twice(20)) end) return "
           "co() end) "
           "return a, b, c");
  CHECK_INT(luawait_call(L, 0, 3), LUAWAIT_OK);
  CHECK_TOP(L, "40");
  CHECK_TOP(L, "twice");
  CHECK_TOP(L, "2");
  end_state(L);
}

/* await(x), and what it needs, without a continuation */
static int plain_await(lua_State *L) {
  lua_pushliteral(L, "below");
  return luawait_await(L, 1, 0, NULL);
}

static int status_end(lua_State *L, int status, lua_KContext ctx) {
  CHECK_INT(ctx, 5);
  lua_pushinteger(L, status);
  return 2;
}

static int await_status(lua_State *L) { return luawait_await(L, 1, 5, status_end); }

static void await_anything(void) {
  lua_State *L = new_open_state();
  lua_register(L, "await", plain_await);
  lua_register(L, "await_status", await_status);
  push_lua(L,
           "local a, b, c = await(async.create_task(function() async.sleep(0) return 1, 2, 3 end)) "
           "assert(a == 1 and b == 2 and c == 3) "
           "assert(await(function() return 4 end) == 4) "
           "local ok, err = pcall(await, async.create_task(function() error('bad', 0) end)) assert(err == 'bad') "
           "local v, status = await_status(function() return 'v' end) assert(v == 'v' and status == 1) "
           "local done = async.Future() done:set_result('d') v, status = await_status(done) "
           "assert(v == 'd' and status == 1) "
           "local e, bad = await_status(async.create_task(function() async.sleep(0) error('e', 0) end)) "
           "assert(e == 'e' and bad == 2) "
           "local me = async.current_task() "
           "async.call_soon(function() me:cancel() end) "
           "local c, cancelled = await_status(async.Future()) "
           "assert(c.name == 'CancelledError' and cancelled == 2)");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_OK);
  lua_pushcfunction(L, plain_await);
  lua_pushinteger(L, 1);
  CHECK_INT(lua_pcall(L, 1, 0, 0), LUA_ERRRUN);
  CHECK_TOP(L, "await outside a task");
  end_state(L);
}

static void await_without_the_module(void) {
  lua_State *L = luaL_newstate();
  lua_pushcfunction(L, plain_await);
  CHECK_INT(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
  CHECK_TOP(L, "luawait is not open in this state");
  lua_close(L);
}

/* ---- threads ---- */

enum { THREADS = 8, CALLS = 2000 };

typedef struct Poster {
  uv_thread_t thread;
  luawait_Port *port;
  luawait_Promise *promise;
} Poster;

static int count_call(lua_State *L, void *ud) {
  lua_pushinteger(L, global_int(L, "calls") + (lua_Integer)(size_t)ud);
  lua_setglobal(L, "calls");
  return 0;
}

static void post_many(void *arg) {
  Poster *poster = arg;
  int i;
  for (i = 0; i < CALLS; i++) luawait_post(poster->port, count_call, (void *)1, count_release);
  luawait_complete(poster->promise, push_number, (void *)1, NULL);
  luawait_promise_unref(poster->promise);
  luawait_port_unref(poster->port);
}

static void post_from_threads(void) {
  lua_State *L = new_open_state();
  Poster posters[THREADS];
  int i;
  do_lua(L, "futures = {} calls = 0");
  for (i = 0; i < THREADS; i++) {
    CHECK_INT(luawait_port(L, &posters[i].port), LUAWAIT_OK);
    lua_getglobal(L, "futures");
    CHECK_INT(luawait_future(L, &posters[i].promise), LUAWAIT_OK);
    lua_rawseti(L, -2, i + 1);
    lua_pop(L, 1);
  }
  for (i = 0; i < THREADS; i++) uv_thread_create(&posters[i].thread, post_many, &posters[i]);
  push_lua(L, "async.gather(table.unpack(futures)) return calls");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_INT(lua_tointeger(L, -1), THREADS * CALLS); /* each thread completed its future last */
  CHECK_INT(released, THREADS * CALLS);
  for (i = 0; i < THREADS; i++) uv_thread_join(&posters[i].thread);
  end_state(L);
}

/* The loop is closed while threads post and complete. */
static void close_under_threads(void) {
  int round, i;
  for (round = 0; round < 20; round++) {
    lua_State *L = new_open_state();
    Poster posters[THREADS];
    atomic_store(&released, 0);
    for (i = 0; i < THREADS; i++) {
      CHECK_INT(luawait_port(L, &posters[i].port), LUAWAIT_OK);
      CHECK_INT(luawait_future(L, &posters[i].promise), LUAWAIT_OK);
    }
    for (i = 0; i < THREADS; i++) uv_thread_create(&posters[i].thread, post_many, &posters[i]);
    CHECK_INT(luawait_step(L, 0.001, 0), LUAWAIT_OK);
    end_state(L);
    for (i = 0; i < THREADS; i++) uv_thread_join(&posters[i].thread);
    CHECK_INT(released, THREADS * CALLS);
  }
}

/* A thread with a state of its own: some tasks, and calls to the next thread's state. */
static luawait_Port *ports[THREADS];
static uv_barrier_t all_open, all_done;

static void run_state(void *arg) {
  size_t self = (size_t)arg;
  lua_State *L = new_open_state();
  int i;
  do_lua(L, "calls = 0");
  CHECK_INT(luawait_port(L, &ports[self]), LUAWAIT_OK);
  uv_barrier_wait(&all_open);
  for (i = 0; i < 100; i++) {
    int status = luawait_post(ports[(self + 1) % THREADS], count_call, (void *)1, NULL);
    CHECK_INT(status, LUAWAIT_OK);
    push_lua(L, "async.sleep(0) return async.gather(function() async.sleep(0) return 1 end, function() return 2 end)");
    CHECK_INT(luawait_call(L, 0, 2), LUAWAIT_OK);
    lua_pop(L, 2);
  }
  while (global_int(L, "calls") < 100) CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_OK);
  uv_barrier_wait(&all_done);
  if (self % 2 == 0) end_state(L);
  push_lua(self % 2 == 0 ? (L = new_open_state()) : L, "async.sleep(0.001) return 3");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "3");
  end_state(L);
}

static void many_states(void) {
  uv_thread_t threads[THREADS];
  size_t i;
  uv_barrier_init(&all_open, THREADS);
  uv_barrier_init(&all_done, THREADS);
  for (i = 0; i < THREADS; i++) uv_thread_create(&threads[i], run_state, (void *)i);
  for (i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  for (i = 0; i < THREADS; i++) {
    CHECK_INT(luawait_post(ports[i], count_call, NULL, NULL), LUAWAIT_CLOSED);
    luawait_port_unref(ports[i]);
  }
}

/* A task that waits for a thread is no deadlock, in async.run as well. */
static void under_async_run(void) {
  lua_State *L = new_state();
  lua_register(L, "twice", twice);
  do_lua(L, "for i = 1, 2 do assert(async.run(function() return twice(i) end) == 2 * i) end");
  lua_close(L);
}

static const Case cases[] = {{"post_in_order", post_in_order},
                             {"post_in_a_call", post_in_a_call},
                             {"post_misuse", post_misuse},
                             {"post_that_fails", post_that_fails},
                             {"close_with_calls", close_with_calls},
                             {"complete_a_future", complete_a_future},
                             {"resolve_and_reject", resolve_and_reject},
                             {"drop_a_promise", drop_a_promise},
                             {"complete_a_cancelled_one", complete_a_cancelled_one},
                             {"complete_what_cancels_itself", complete_what_cancels_itself},
                             {"complete_after_close", complete_after_close},
                             {"c_function_waits", c_function_waits},
                             {"c_function_is_cancelled", c_function_is_cancelled},
                             {"await_anything", await_anything},
                             {"await_without_the_module", await_without_the_module},
                             {"post_from_threads", post_from_threads},
                             {"close_under_threads", close_under_threads},
                             {"many_states", many_states},
                             {"under_async_run", under_async_run}};

CASES_MAIN(cases)
