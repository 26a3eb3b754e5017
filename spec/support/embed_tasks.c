/* Tests of luawait.h: opening, tasks, turning the loop, reports, closing. */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <uv.h>

#include "embed_check.h"

/* What a luawait_DoneFn was told. */
typedef struct End {
  int calls, status, n;
  char text[200];
} End;

static void note_end(lua_State *L, int status, int n, void *ud) {
  End *end = ud;
  end->calls++;
  end->status = status;
  end->n = n;
  end->text[0] = '\0';
  if (status == LUAWAIT_CLOSED) return;
  CHECK_INT(lua_gettop(L), n);
  if (n > 0) snprintf(end->text, sizeof end->text, "%s", luaL_tolstring(L, 1, NULL));
}

static void spawn(lua_State *L, const char *source, End *end) {
  push_lua(L, source);
  CHECK_INT(luawait_spawn(L, 0, note_end, end), LUAWAIT_OK);
  lua_pop(L, 1);
}

#define CHECK_END(end, expected_status, expected_n, expected_text)                                      \
  (CHECK_INT((end).calls, 1), CHECK_INT((end).status, expected_status), CHECK_INT((end).n, expected_n), \
   CHECK(strstr((end).text, expected_text) != NULL))

/* ---- opening and closing ---- */

static void open_and_close(void) {
  lua_State *L = new_state();
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  int top = lua_gettop(L), i;
  for (i = 0; i < 3; i++) {
    CHECK_INT(luawait_open(L, i == 0 ? NULL : &options), LUAWAIT_OK);
    CHECK(luawait_uv_loop(L) != NULL);
    CHECK_INT(luawait_open(L, NULL), LUAWAIT_BUSY);
    CHECK_INT(luawait_close(L), LUAWAIT_OK);
    CHECK_INT(luawait_close(L), LUAWAIT_OK);
    CHECK(luawait_uv_loop(L) == NULL);
  }
  CHECK_INT(lua_gettop(L), top);
  do_lua(L, "assert(async.run(function() async.sleep(0) return 7 end) == 7)");
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_OK);
  end_state(L);
}

static void bad_options(void) {
  lua_State *L = new_state();
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  options.size = 3;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_INVALID);
  options.size = sizeof options;
  options.watchdog = -1;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_INVALID);
  options.watchdog = 0;
  options.slow_callback = -1;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_INVALID);
  end_state(L);
}

/* Every function where the module was not opened, and where the loop was not. */
static void nothing_open(lua_State *L, int expected) {
  luawait_Port *port = (luawait_Port *)&port;
  luawait_Promise *promise = (luawait_Promise *)&promise;
  int top;
  push_lua(L, "return");
  top = lua_gettop(L);
  CHECK_INT(luawait_shutdown(L, 0), expected);
  CHECK_INT(luawait_spawn(L, 0, NULL, NULL), expected);
  CHECK_INT(luawait_call(L, 0, 0), expected);
  CHECK_INT(luawait_cancel(L, -1, NULL), expected);
  CHECK_INT(luawait_cancel_all(L), expected);
  CHECK_INT(luawait_pending(L), 0);
  CHECK_INT(luawait_run(L), expected);
  CHECK_INT(luawait_step(L, 0, 0), expected);
  CHECK_INT(luawait_timeout(L), -1);
  CHECK_INT(luawait_backend_fd(L), -1);
  CHECK(luawait_uv_loop(L) == NULL);
  CHECK_INT(luawait_port(L, &port), expected);
  CHECK(port == NULL);
  CHECK_INT(luawait_future(L, &promise), expected);
  CHECK(promise == NULL);
  CHECK_INT(luawait_resolve(L, NULL, 0), expected);
  CHECK_INT(luawait_reject(L, NULL), expected);
  CHECK_INT(luawait_limit(L, NULL), expected);
  CHECK_INT(lua_gettop(L), top);
  lua_pop(L, 1);
}

static void without_the_module(void) {
  lua_State *L = luaL_newstate();
  nothing_open(L, LUAWAIT_INVALID);
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_close(L), LUAWAIT_INVALID);
  CHECK_INT(luawait_on_report(L, NULL, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_spawn(NULL, 0, NULL, NULL), LUAWAIT_INVALID);
  CHECK(luawait_api_get(L) == NULL);
  lua_close(L);
}

static void without_a_loop(void) {
  lua_State *L = new_state();
  nothing_open(L, LUAWAIT_CLOSED);
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  nothing_open(L, LUAWAIT_CLOSED);
  lua_close(L);
}

static void no_package_library(void) {
  lua_State *L = luaL_newstate();
  luaL_requiref(L, "_G", luaopen_base, 1);
  lua_pushcfunction(L, luaopen_luawait);
  CHECK_INT(lua_pcall(L, 0, 1, 0), LUA_ERRRUN);
  CHECK_TOP(L, "open the package library first");
  lua_close(L);
}

/* A state that is closed with its loop open: ends are told, and nothing leaks. */
/* A module that the program has set up itself stays. */
static void module_of_the_program(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  do_lua(L, "package.preload['luawait.signal'] = function() return 'mine' end");
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_pop(L, 1);
  do_lua(L, "assert(require('luawait.signal') == 'mine') assert(require('luawait.fs').walk)");
  lua_close(L);
}

static void close_state_first(void) {
  lua_State *L = new_open_state();
  End end = {0};
  spawn(L, "async.sleep(100)", &end);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  lua_close(L);
  CHECK_END(end, LUAWAIT_CLOSED, 0, "");
}

/* ---- tasks ---- */

static void spawn_and_run(void) {
  lua_State *L = new_open_state();
  End ends[5] = {{0}};
  int top = lua_gettop(L), i;
  spawn(L, "async.sleep(0.01) return 1, 2, 3", &ends[0]);
  spawn(L, "async.sleep(0) error('bad')", &ends[1]);
  spawn(L, "async.sleep(0) error(async.CancelledError('enough'))", &ends[2]);
  spawn(L, "return", &ends[3]);
  push_lua(L, "local a, b = ... async.sleep(0) return a + b");
  lua_pushinteger(L, 40);
  lua_pushinteger(L, 2);
  CHECK_INT(luawait_spawn(L, 2, note_end, &ends[4]), LUAWAIT_OK);
  CHECK(lua_isuserdata(L, -1));
  lua_pop(L, 1);
  CHECK_INT(luawait_pending(L), 5);
  for (i = 0; i < 5; i++) CHECK_INT(ends[i].calls, 0);
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(luawait_pending(L), 0);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_END(ends[0], LUAWAIT_OK, 3, "1");
  CHECK_END(ends[1], LUAWAIT_ERROR, 2, "bad");
  CHECK_END(ends[2], LUAWAIT_CANCELLED, 2, "enough");
  CHECK_END(ends[3], LUAWAIT_OK, 0, "");
  CHECK_END(ends[4], LUAWAIT_OK, 1, "42");
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(lua_gettop(L), top);
  end_state(L);
}

static void spawn_misuse(void) {
  lua_State *L = new_open_state();
  int top = lua_gettop(L);
  CHECK_INT(luawait_spawn(L, 0, NULL, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_spawn(L, -1, NULL, NULL), LUAWAIT_INVALID);
  lua_pushinteger(L, 1);
  CHECK_INT(luawait_spawn(L, 0, NULL, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_spawn(L, 7, NULL, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_INVALID);
  CHECK_INT(luawait_call(L, 0, -2), LUAWAIT_INVALID);
  CHECK_INT(lua_gettop(L), top + 1);
  CHECK_INT(luawait_cancel(L, -1, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_cancel(L, 99, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_step(L, 0, -1), LUAWAIT_INVALID);
  CHECK_INT(luawait_step(L, 0, NAN), LUAWAIT_INVALID);
  CHECK_INT(luawait_step(L, NAN, 0), LUAWAIT_INVALID);
  CHECK_INT(luawait_shutdown(L, -1), LUAWAIT_INVALID);
  push_lua(L, "called = 1");
  CHECK_INT(luawait_call(L, 0, -2), LUAWAIT_INVALID);
  CHECK_INT(luawait_call(L, 0, 10000000), LUAWAIT_INVALID); /* for which there is no room */
  CHECK_INT(lua_gettop(L), top + 2);
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(global_int(L, "called"), 0);
  end_state(L);
}

/* Where no value has room on the stack. */
static void full_stack(void) {
  lua_State *L = new_open_state();
  int top = lua_gettop(L), full, i;
  push_lua(L, "return");
  for (i = 0; i < 2; i++) /* Lua 5.4.7 makes what it keeps for errors room of the stack when it refuses */
    while (lua_checkstack(L, 2)) lua_pushnil(L);
  full = lua_gettop(L);
  lua_pushvalue(L, top + 1);
  CHECK_INT(luawait_spawn(L, 0, NULL, NULL), LUAWAIT_INVALID);
  CHECK_INT(luawait_pending(L), 0);
  CHECK_INT(lua_gettop(L), full + 1);
  lua_settop(L, top + 1);
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_OK);
  end_state(L);
}

static void call_like_pcall(void) {
  lua_State *L = new_open_state();
  int top = lua_gettop(L);
  push_lua(L, "async.sleep(0.005) return ...");
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 2);
  CHECK_INT(luawait_call(L, 2, LUA_MULTRET), LUAWAIT_OK);
  CHECK_INT(lua_gettop(L), top + 2);
  CHECK_TOP(L, "2");
  CHECK_TOP(L, "1");
  push_lua(L, "return 1, 2, 3");
  CHECK_INT(luawait_call(L, 0, 2), LUAWAIT_OK);
  CHECK_INT(lua_gettop(L), top + 2);
  lua_pop(L, 2);
  push_lua(L, "return");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK(lua_isnil(L, -1));
  lua_pop(L, 1);
  push_lua(L, "async.sleep(0) error({})");
  CHECK_INT(luawait_call(L, 0, 5), LUAWAIT_ERROR);
  CHECK(lua_istable(L, -1));
  lua_pop(L, 1);
  push_lua(L, "async.current_task():cancel('myself') async.sleep(0)");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "CancelledError: myself");
  CHECK_INT(lua_gettop(L), top);
  end_state(L);
}

static void deadlock(void) {
  lua_State *L = new_open_state();
  End end = {0};
  int top = lua_gettop(L);
  push_lua(L, "async.Event():wait()");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "DeadlockError");
  spawn(L, "async.await(async.Future())", &end);
  CHECK_INT(luawait_run(L), LUAWAIT_ERROR);
  CHECK_TOP(L, "2 tasks wait");
  CHECK_INT(luawait_pending(L), 2);
  CHECK_INT(luawait_cancel_all(L), LUAWAIT_OK);
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_END(end, LUAWAIT_CANCELLED, 2, "CancelledError");
  CHECK_INT(lua_gettop(L), top);
  end_state(L);
}

static void cancelling(void) {
  lua_State *L = new_open_state();
  End end = {0};
  push_lua(L, "async.sleep(100)");
  CHECK_INT(luawait_spawn(L, 0, note_end, &end), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_cancel(L, -1, "too late"), LUAWAIT_OK);
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(luawait_cancel(L, -1, NULL), LUAWAIT_DONE);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_END(end, LUAWAIT_CANCELLED, 2, "too late");
  end_state(L);
}

static void keyboard_interrupt(void) {
  lua_State *L = new_open_state();
  End end = {0};
  spawn(L, "error(async.KeyboardInterrupt('stop'))", &end);
  CHECK_INT(luawait_run(L), LUAWAIT_ERROR);
  CHECK_TOP(L, "KeyboardInterrupt");
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_END(end, LUAWAIT_ERROR, 2, "KeyboardInterrupt");
  do_lua(L, "async.call_soon(function() error(async.KeyboardInterrupt('again')) end)");
  CHECK_INT(luawait_step(L, 100, 0), LUAWAIT_ERROR); /* which does not wait for so long */
  CHECK_TOP(L, "KeyboardInterrupt");
  do_lua(L, "async.call_later(0.001, function() error(async.KeyboardInterrupt('again')) end)");
  CHECK_INT(luawait_step(L, 100, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "KeyboardInterrupt");
  end_state(L);
}

/* From inside a step nothing may turn the loop. */
static int turn_inside(lua_State *L) {
  CHECK_INT(luawait_run(L), LUAWAIT_BUSY);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_BUSY);
  CHECK_INT(luawait_shutdown(L, 0), LUAWAIT_BUSY);
  CHECK_INT(luawait_close(L), LUAWAIT_BUSY);
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_BUSY);
  push_lua(L, "return 1");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_BUSY);
  return 1;
}

static void turn_in_done(lua_State *L, int status, int n, void *ud) {
  (void)status, (void)n;
  turn_inside(L);
  ++*(int *)ud;
}

static void reentrance(void) {
  lua_State *L = new_open_state();
  int told = 0;
  lua_pushcfunction(L, turn_inside);
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK(lua_isfunction(L, -1));
  push_lua(L, "return");
  CHECK_INT(luawait_spawn(L, 0, turn_in_done, &told), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(told, 1);
  end_state(L);
}

/* Nor where it is the program that turns its own. */
static void reentrance_of_a_host(void) {
  uv_loop_t loop;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = new_state();
  int told = 0;
  uv_loop_init(&loop);
  options.loop = &loop;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
  lua_pushcfunction(L, turn_inside);
  CHECK_INT(luawait_spawn(L, 0, turn_in_done, &told), LUAWAIT_OK);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK_INT(told, 1);
  end_state(L);
  CHECK_INT(uv_loop_close(&loop), 0);
}

/* In a loop of async.run a C function may make tasks, but not turn it. */
static int inside_run(lua_State *L) {
  End *end = lua_touserdata(L, lua_upvalueindex(1));
  CHECK_INT(luawait_run(L), LUAWAIT_INVALID);
  CHECK_INT(luawait_close(L), LUAWAIT_INVALID);
  CHECK(luawait_uv_loop(L) != NULL);
  spawn(L, "return 'from C'", &end[0]);
  spawn(L, "async.sleep(100)", &end[1]);
  return 0;
}

static void under_async_run(void) {
  lua_State *L = new_state();
  End ends[2] = {{0}};
  lua_pushlightuserdata(L, ends);
  lua_pushcclosure(L, inside_run, 1);
  lua_setglobal(L, "inside");
  do_lua(L, "async.run(function() inside() async.sleep(0.01) end)");
  CHECK_END(ends[0], LUAWAIT_OK, 1, "from C");
  CHECK_END(ends[1], LUAWAIT_CANCELLED, 2, "CancelledError");
  lua_close(L);
}

/* ---- turning ---- */

static void stepping(void) {
  lua_State *L = new_open_state();
  End ends[2] = {{0}};
  uint64_t begin;
  CHECK_INT(luawait_timeout(L), -1);
  spawn(L, "long = 1 async.sleep(100) long = 2", &ends[0]);
  CHECK_INT(luawait_timeout(L), 0);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(global_int(L, "long"), 1);
  CHECK(luawait_timeout(L) > 0 && luawait_timeout(L) <= 100001);
  begin = uv_hrtime();
  CHECK_INT(luawait_step(L, 0.02, 0), LUAWAIT_OK);
  CHECK(uv_hrtime() - begin >= 19000000);
  CHECK_INT(global_int(L, "long"), 1);
  spawn(L, "async.sleep(0.02) short = 1", &ends[1]);
  while (ends[1].calls == 0) CHECK_INT(luawait_step(L, -1, 0), LUAWAIT_OK);
  CHECK_INT(global_int(L, "short"), 1);
  CHECK_INT(luawait_pending(L), 1);
  end_state(L);
  CHECK_END(ends[0], LUAWAIT_CANCELLED, 2, "CancelledError");
  CHECK_END(ends[1], LUAWAIT_OK, 0, "");
}

/* A deadline that was set outside of a turn counts. */
static void timeout_of_callbacks(void) {
  lua_State *L = new_open_state();
  do_lua(L, "async.call_later(0.05, function() called = 1 end)");
  CHECK(luawait_timeout(L) >= 0 && luawait_timeout(L) <= 52);
  while (global_int(L, "called") == 0) {
    struct pollfd fd = {luawait_backend_fd(L), POLLIN, 0};
    CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
    if (global_int(L, "called") == 0) CHECK(poll(&fd, 1, luawait_timeout(L)) >= 0);
  }
  CHECK_INT(luawait_timeout(L), -1);
  end_state(L);
}

/* Longer than what libuv and poll(2) can count. */
static void very_long_times(void) {
  lua_State *L = new_open_state();
  do_lua(L, "async.call_later(1e9, error)");
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_timeout(L), INT32_MAX);
  do_lua(L, "async.call_later(0.001, function() called = 1 end)");
  CHECK(luawait_timeout(L) < 10);
  while (global_int(L, "called") == 0) CHECK_INT(luawait_step(L, 1e12, 0), LUAWAIT_OK);
  do_lua(L, "async.create_task(function() for i = 1, 100 do async.sleep(0) called = i end end)");
  CHECK_INT(luawait_step(L, 0, 1e12), LUAWAIT_OK);
  CHECK_INT(global_int(L, "called"), 100);
  end_state(L);
}

/* Steps that take 1 ms each: with a budget of 20 ms at most some twenty of the 200 are made, and at least one. */
static void budget(void) {
  lua_State *L = new_open_state();
  uint64_t begin;
  do_lua(L,
         "count = 0 "
         "local function spin() local stop = async.time() + 0.001 repeat until async.time() >= stop end "
         "for _ = 1, 200 do async.create_task(function() spin() count = count + 1 end) end");
  begin = uv_hrtime();
  CHECK_INT(luawait_step(L, 0, 0.02), LUAWAIT_OK);
  CHECK(uv_hrtime() - begin >= 20000000);
  CHECK(global_int(L, "count") >= 1 && global_int(L, "count") <= 22);
  CHECK_INT(luawait_step(L, 0, 1e-9), LUAWAIT_OK);
  CHECK(global_int(L, "count") <= 24);
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(global_int(L, "count"), 200);
  end_state(L);
}

/* ---- reports ---- */

static void note_report(lua_State *L, const char *text, void *ud) {
  CHECK(lua_istable(L, 1));
  strncat(ud, text, 400);
}

static void reports(void) {
  lua_State *L = new_open_state();
  char log[2000] = "";
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  do_lua(L,
         "async.create_task(function() error('nobody asks') end) "
         "async.call_soon(function() error(async.ValueError('in a callback')) end) "
         "async.call_soon(function() error(setmetatable({}, {__tostring = function() ran = 1 return '' end})) end)");
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_shutdown(L, 1), LUAWAIT_OK);
  CHECK(strstr(log, "nobody asks") != NULL);
  CHECK(strstr(log, "ValueError: in a callback") != NULL);
  CHECK(strstr(log, "(a table)") != NULL);
  CHECK_INT(global_int(L, "ran"), 0);
  log[0] = '\0';
  do_lua(L, "async.call_soon(error, {}) async.call_soon(error, setmetatable({message = 'm'}, {name = 1}))");
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK(strstr(log, "(a table)") != NULL && strstr(strstr(log, "(a table)") + 1, "(a table)") != NULL);
  log[0] = '\0';
  do_lua(L, "async.set_exception_handler(function() mine = 1 end) async.call_soon(error, 'x')");
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(global_int(L, "mine"), 1);
  CHECK(log[0] == '\0');
  CHECK_INT(luawait_on_report(L, NULL, NULL), LUAWAIT_OK);
  end_state(L);
}

static void failing_done(lua_State *L, int status, int n, void *ud) {
  (void)status, (void)n, (void)ud;
  luaL_error(L, "done went wrong");
}

static void error_in_done(void) {
  lua_State *L = new_open_state();
  char log[2000] = "";
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  push_lua(L, "return");
  CHECK_INT(luawait_spawn(L, 0, failing_done, NULL), LUAWAIT_OK);
  push_lua(L, "async.sleep(100)");
  CHECK_INT(luawait_spawn(L, 0, failing_done, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK(strstr(log, "done went wrong") != NULL);
  log[0] = '\0';
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  CHECK(strstr(log, "done went wrong") != NULL);
  lua_close(L);
}

/* ---- shutting down ---- */

static void shutdown_waits(void) {
  lua_State *L = new_open_state();
  End ends[2] = {{0}};
  spawn(L,
        "local _ <close> = setmetatable({}, {__close = function() async.sleep(0.02) cleaned = 1 end}) async.sleep(100)",
        &ends[0]);
  spawn(L, "return 'never run'", &ends[1]);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_shutdown(L, 10), LUAWAIT_OK);
  CHECK_INT(global_int(L, "cleaned"), 1);
  CHECK_END(ends[0], LUAWAIT_CANCELLED, 2, "CancelledError");
  CHECK_END(ends[1], LUAWAIT_OK, 1, "never run");
  push_lua(L, "async.sleep(0) return 'goes on'");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "goes on");
  end_state(L);
}

static void shutdown_forces(void) {
  lua_State *L = new_open_state();
  char log[2000] = "";
  End end = {0};
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  spawn(L, "while true do pcall(async.sleep, 100) end", &end);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK_INT(luawait_shutdown(L, 0.02), LUAWAIT_OK);
  CHECK_INT(luawait_pending(L), 0);
  CHECK_END(end, LUAWAIT_ERROR, 2, "closed by force");
  CHECK(strstr(log, "ignored its cancellation") != NULL);
  CHECK_INT(luawait_shutdown(L, 0.02), LUAWAIT_OK);
  end_state(L);
}

static void count_report(lua_State *L, const char *text, void *ud) {
  (void)L;
  CHECK(strstr(text, "ignored its cancellation") != NULL);
  ++*(int *)ud;
}

/* However many there are, and whoever waits for whom: only what goes on after its cancellation is closed by force. */
static void close_gives_each_a_turn(void) {
  lua_State *L = new_open_state();
  int reports = 0;
  End stubborn = {0};
  CHECK_INT(luawait_on_report(L, count_report, &reports), LUAWAIT_OK);
  spawn(L, "while true do pcall(async.sleep, 0) end", &stubborn);
  do_lua(L,
         "cleaned, started = 0, 0\n"
         "async.create_task(function() async.task_group(function(group)\n"
         "  for _ = 1, 5000 do\n"
         "    group:create_task(function()\n"
         "      local _ <close> = setmetatable({}, {__close = function() cleaned = cleaned + 1 end})\n"
         "      started = started + 1\n"
         "      async.sleep(100)\n"
         "    end)\n"
         "  end\n"
         "end) end)");
  while (luawait_step(L, 0, 1) == LUAWAIT_OK && global_int(L, "started") < 5000) continue;
  CHECK_INT(luawait_shutdown(L, 0), LUAWAIT_OK);
  CHECK_INT(global_int(L, "cleaned"), 5000);
  CHECK_END(stubborn, LUAWAIT_ERROR, 2, "closed by force");
  CHECK_INT(reports, 1);
  end_state(L);
}

/* ---- a loop of the program's ---- */

static void on_own_timer(uv_timer_t *timer) { ++*(int *)timer->data; }

static int interrupt(lua_State *L) {
  (void)L;
  raise(SIGINT);
  return 0;
}

/* SIGINT stays ignored in a program that was started so. */
static void ignored_interrupt(void) {
  lua_State *L = new_state();
  signal(SIGINT, SIG_IGN);
  lua_register(L, "interrupt", interrupt);
  do_lua(L, "async.run(function() interrupt() async.sleep(0.01) ran_on = 1 end, {signals = true})");
  CHECK_INT(global_int(L, "ran_on"), 1);
  CHECK(signal(SIGINT, SIG_DFL) == SIG_IGN);
  lua_close(L);
}

static void host_loop(void) {
  uv_loop_t loop;
  uv_timer_t timer;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = new_state(), *other = new_state();
  int ticks = 0, before;
  uv_loop_init(&loop);
  loop.data = &ticks;
  options.loop = &loop;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
  CHECK_INT(luawait_open(other, &options), LUAWAIT_OK);
  CHECK(luawait_uv_loop(L) == &loop);
  CHECK(!uv_loop_alive(&loop));
  do_lua(L, "n = 0 async.create_task(function() for _ = 1, 5 do async.sleep(0.005) n = n + 1 end end)");
  do_lua(other, "async.create_task(function() async.sleep(100) end)");
  uv_timer_init(&loop, &timer);
  timer.data = &ticks;
  uv_timer_start(&timer, on_own_timer, 1, 5);
  while (luawait_pending(L) > 0) uv_run(&loop, UV_RUN_ONCE);
  CHECK_INT(global_int(L, "n"), 5);
  CHECK(ticks > 0);
  do_lua(L,
         "async.create_task(function() "
         "  local server = require 'luawait.net'.serve('127.0.0.1', 0, function() end) "
         "  serving = 1 server:serve_forever() end)");
  while (global_int(L, "serving") == 0) uv_run(&loop, UV_RUN_ONCE);
  end_state(L);
  CHECK_INT(luawait_pending(other), 1);
  before = ticks;
  while (ticks < before + 2) uv_run(&loop, UV_RUN_ONCE);
  CHECK_INT(luawait_pending(other), 1);
  end_state(other);
  CHECK(uv_loop_alive(&loop)); /* for the timer */
  CHECK(uv_is_active((uv_handle_t *)&timer));
  uv_close((uv_handle_t *)&timer, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(!uv_loop_alive(&loop));
  CHECK(loop.data == &ticks);
  CHECK_INT(uv_loop_close(&loop), 0);
}

/* turn(): turns the program's loop, as a C function that waits for something of its own may do */
static int turn_loop(lua_State *L) {
  int i;
  for (i = 0; i < 3; i++) uv_run(lua_touserdata(L, lua_upvalueindex(1)), UV_RUN_NOWAIT);
  return 0;
}

/* A step that turns the loop is no turn of the others. */
static void host_loop_in_a_step(void) {
  uv_loop_t loop;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = new_state();
  uv_loop_init(&loop);
  options.loop = &loop;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
  lua_pushlightuserdata(L, &loop);
  lua_pushcclosure(L, turn_loop, 1);
  lua_setglobal(L, "turn");
  do_lua(L,
         "log = '' local function note(text) log = log .. text end "
         "async.create_task(function() note('a') turn() note('b') async.sleep(0) note('d') end) "
         "async.create_task(function() note('c') async.sleep(0) note('e') end)");
  while (luawait_pending(L) > 0) uv_run(&loop, UV_RUN_ONCE);
  lua_getglobal(L, "log");
  CHECK_TOP(L, "abcde");
  end_state(L);
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK_INT(uv_loop_close(&loop), 0);
}

/* Nobody returns the KeyboardInterrupt: it is reported, and uv_run is not stopped. */
static void host_loop_interrupt(void) {
  uv_loop_t loop;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = new_state();
  char log[2000] = "";
  uv_loop_init(&loop);
  options.loop = &loop;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  do_lua(L,
         "async.create_task(function() error(async.KeyboardInterrupt()) end) "
         "async.create_task(function() async.sleep(0.01) after = 1 end)");
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK_INT(global_int(L, "after"), 1);
  CHECK(strstr(log, "the loop was to be stopped") != NULL);
  end_state(L);
  CHECK_INT(uv_loop_close(&loop), 0);
}

/* Requests that were cancelled, but cannot be stopped, are waited for, with or without the objects that stood for them;
 * the program's timer goes on. */
static void host_loop_requests(void) {
  static const char *const sources[] = {
      "local net = require 'luawait.net' "
      "for _ = 1, 8 do async.create_task(function() net.resolve('localhost', 80) end) end",
      "local there, fs = pcall(require, 'luawait.fs') if not there then return end "
      "for _ = 1, 8 do async.create_task(function() fs.read_file('/dev/null') end) end"};
  int i, round;
  for (i = 0; i < 2; i++)
    for (round = 0; round < 2; round++) {
      uv_loop_t loop;
      uv_timer_t timer;
      luawait_Options options = LUAWAIT_OPTIONS_INIT;
      lua_State *L = new_state();
      uv_loop_init(&loop);
      uv_timer_init(&loop, &timer);
      uv_timer_start(&timer, on_own_timer, 3600000, 0);
      options.loop = &loop;
      CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
      do_lua(L, sources[i]);
      CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
      if (round == 1) {
        CHECK_INT(luawait_cancel_all(L), LUAWAIT_OK);
        CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
        lua_gc(L, LUA_GCCOLLECT);
      }
      end_state(L);
      CHECK(uv_is_active((uv_handle_t *)&timer));
      uv_close((uv_handle_t *)&timer, NULL);
      uv_run(&loop, UV_RUN_DEFAULT);
      CHECK_INT(uv_loop_close(&loop), 0);
    }
}

static int spin(lua_State *L, void *ud) {
  uint64_t stop = uv_hrtime() + 20000000;
  (void)L, (void)ud;
  while (uv_hrtime() < stop) continue;
  return 0;
}

static void debug_mode(void) {
  lua_State *L = new_state();
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  luawait_Port *port;
  char log[2000] = "";
  options.debug = 1;
  options.slow_callback = 0.005;
  CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  CHECK_INT(luawait_post(port, spin, NULL, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_step(L, 1, 0), LUAWAIT_OK);
  CHECK(strstr(log, "a call from another thread took") != NULL);
  luawait_port_unref(port);
  end_state(L);
}

/* The table of another version is none. */
static void other_versions(void) {
  luawait_Api api;
  lua_State *L = new_state();
  CHECK(luawait_api_get(L) != NULL);
  api = *luawait_api_get(L);
  lua_pushlightuserdata(L, &api);
  lua_setfield(L, LUA_REGISTRYINDEX, LUAWAIT_API_KEY);
  CHECK(luawait_api_get(L) == &api);
  api.size--;
  CHECK(luawait_api_get(L) == NULL);
  api.size += 2;
  CHECK(luawait_api_get(L) == &api);
  api.version++;
  CHECK(luawait_api_get(L) == NULL);
  lua_close(L);
}

static void statuses(void) {
  int status;
  for (status = LUAWAIT_NO_MEMORY; status <= LUAWAIT_STOPPED; status++)
    CHECK(strcmp(luawait_status_text(status), "unknown status") != 0);
  CHECK(strcmp(luawait_status_text(LUAWAIT_OK), "ok") == 0);
  CHECK(strcmp(luawait_status_text(LUAWAIT_CLOSED), "no open loop") == 0);
  CHECK(strcmp(luawait_status_text(LUAWAIT_NO_MEMORY), "not enough memory") == 0);
  CHECK(strcmp(luawait_status_text(LUAWAIT_STOPPED), "stopped by a limit") == 0);
  CHECK(strcmp(luawait_status_text(99), "unknown status") == 0);
  CHECK(strcmp(luawait_status_text(-99), "unknown status") == 0);
}

static const Case cases[] = {{"open_and_close", open_and_close},
                             {"bad_options", bad_options},
                             {"without_the_module", without_the_module},
                             {"without_a_loop", without_a_loop},
                             {"no_package_library", no_package_library},
                             {"module_of_the_program", module_of_the_program},
                             {"close_state_first", close_state_first},
                             {"spawn_and_run", spawn_and_run},
                             {"spawn_misuse", spawn_misuse},
                             {"full_stack", full_stack},
                             {"call_like_pcall", call_like_pcall},
                             {"deadlock", deadlock},
                             {"cancelling", cancelling},
                             {"keyboard_interrupt", keyboard_interrupt},
                             {"reentrance", reentrance},
                             {"reentrance_of_a_host", reentrance_of_a_host},
                             {"under_async_run", under_async_run},
                             {"stepping", stepping},
                             {"timeout_of_callbacks", timeout_of_callbacks},
                             {"very_long_times", very_long_times},
                             {"budget", budget},
                             {"reports", reports},
                             {"error_in_done", error_in_done},
                             {"shutdown_waits", shutdown_waits},
                             {"shutdown_forces", shutdown_forces},
                             {"close_gives_each_a_turn", close_gives_each_a_turn},
                             {"ignored_interrupt", ignored_interrupt},
                             {"host_loop", host_loop},
                             {"host_loop_in_a_step", host_loop_in_a_step},
                             {"host_loop_interrupt", host_loop_interrupt},
                             {"host_loop_requests", host_loop_requests},
                             {"debug_mode", debug_mode},
                             {"other_versions", other_versions},
                             {"statuses", statuses}};

CASES_MAIN(cases)
