/* Tests of luawait.h without memory: the same program in new states, whose allocator fails first at the first request,
 * then at the second, and so on. The functions return errors, and what they were given is released. */
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

#include "embed_check.h"

/* How many requests fail from then on: Lua asks twice; so one request fails, what is done about that too, or all. */
static const int tries[] = {2, 4, INT_MAX};

typedef struct Memory {
  long left; /* requests until one fails; below 0: none does */
  int failing;
  size_t bytes;
} Memory;

static void *allocate(void *ud, void *block, size_t old_size, size_t size) {
  Memory *memory = ud;
  void *result;
  if (block == NULL) old_size = 0;
  if (size == 0) {
    memory->bytes -= old_size;
    free(block);
    return NULL;
  }
  if (size > old_size && memory->left >= 0) {
    if (memory->left > 0)
      memory->left--;
    else if (memory->failing-- > 0)
      return NULL;
  }
  result = realloc(block, size);
  if (result != NULL) memory->bytes += size - old_size;
  return result;
}

static int ended, released, reported;

static void note_end(lua_State *L, int status, int n, void *ud) {
  (void)L, (void)ud;
  CHECK_INT(n, status == LUAWAIT_OK ? 1 : status == LUAWAIT_CLOSED ? 0 : 2);
  ended++;
}

static void raising_end(lua_State *L, int status, int n, void *ud) {
  note_end(L, status, n, ud);
  if (status != LUAWAIT_CLOSED) luaL_error(L, "raised");
}

static void note_release(void *ud) {
  (void)ud;
  released++;
}

static void note_report(lua_State *L, const char *text, void *ud) {
  (void)L, (void)text, (void)ud;
  reported++;
}

static int push_table(lua_State *L, void *ud) {
  (void)ud;
  lua_newtable(L);
  lua_pushliteral(L, "x");
  return 2;
}

static int raise_error(lua_State *L, void *ud) {
  (void)ud;
  return luaL_error(L, "raised");
}

/* Pops what a function that failed has left. */
static int went_well(lua_State *L, int status) {
  CHECK(status == LUAWAIT_OK || status == LUAWAIT_ERROR);
  if (status == LUAWAIT_ERROR) lua_pop(L, 1);
  return status == LUAWAIT_OK;
}

static int load(lua_State *L, const char *source) {
  if (luaL_loadstring(L, source) == LUA_OK) return 1;
  lua_pop(L, 1);
  return 0;
}

static int spawned, given;

static void start(lua_State *L, const char *source, luawait_DoneFn done) {
  if (!load(L, source)) return;
  lua_pushinteger(L, 1);
  if (went_well(L, luawait_spawn(L, 1, done, NULL))) {
    spawned += done != NULL;
    lua_pop(L, 1);
  }
}

/* A future that a task waits for, which is completed by a call. */
static void complete(lua_State *L, luawait_CallFn fn) {
  luawait_Promise *promise;
  int top = lua_gettop(L), made;
  if (!went_well(L, luawait_future(L, &promise))) return;
  made = load(L, "return async.await(...)");
  lua_insert(L, -1 - made);
  if (made) went_well(L, luawait_spawn(L, 1, NULL, NULL));
  given += luawait_complete(promise, fn, NULL, note_release) == LUAWAIT_OK;
  luawait_promise_unref(promise);
  lua_settop(L, top);
}

static void cancel(lua_State *L) {
  int top = lua_gettop(L);
  if (load(L, "async.sleep(100)") && went_well(L, luawait_spawn(L, 0, NULL, NULL)))
    went_well(L, luawait_cancel(L, -1, "enough"));
  lua_settop(L, top);
}

static void resolve(lua_State *L) {
  luawait_Promise *promise;
  int top = lua_gettop(L);
  if (!went_well(L, luawait_future(L, &promise))) return;
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 2);
  went_well(L, luawait_resolve(L, promise, 2));
  luawait_promise_unref(promise);
  lua_settop(L, top);
}

static void post(lua_State *L) {
  luawait_Port *port;
  if (luawait_port(L, &port) != LUAWAIT_OK) return;
  given += luawait_post(port, push_table, NULL, note_release) == LUAWAIT_OK;
  given += luawait_post(port, raise_error, NULL, note_release) == LUAWAIT_OK;
  luawait_port_unref(port);
}

static void program(lua_State *L, const luawait_Options *options) {
  luawait_Limits limits = {sizeof limits, 1000000, SIZE_MAX / 2};
  int top = lua_gettop(L), i;
  ended = released = spawned = given = 0;
  if (!went_well(L, luawait_open(L, options))) return;
  went_well(L, luawait_limit(L, &limits));
  went_well(L, luawait_on_report(L, note_report, NULL));
  start(L, "async.sleep(0) return ...", note_end);
  start(L, "async.sleep(0) error('bad')", note_end);
  start(L, "error(async.KeyboardInterrupt())", NULL);
  post(L);
  complete(L, push_table);
  complete(L, raise_error);
  resolve(L);
  if (options->loop != NULL)
    for (i = 0; i < 20; i++) uv_run(options->loop, UV_RUN_NOWAIT);
  if (load(L, "return async.gather(function() async.sleep(0) return 1 end, function() return {} end)"))
    went_well(L, luawait_call(L, 0, 2));
  lua_settop(L, top);
  went_well(L, luawait_step(L, 0, 0));
  went_well(L, luawait_cancel_all(L));
  went_well(L, luawait_run(L));
  start(L, "async.sleep(100)", raising_end);
  cancel(L);
  went_well(L, luawait_step(L, 0, 0));
  went_well(L, luawait_shutdown(L, 0.01));
  CHECK_INT(lua_gettop(L), top);
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  CHECK_INT(ended, spawned);
  CHECK_INT(released, given);
}

/* Returns how many requests the program has made, of which `left` succeed, and then `failing` fail. */
static long round_of(const luawait_Options *options, long left, int failing) {
  Memory memory = {-1, failing, 0};
  lua_State *L = lua_newstate(allocate, &memory);
  long made;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_setglobal(L, "async");
  lua_gc(L, LUA_GCSTOP);
  memory.left = left;
  program(L, options);
  made = left - memory.left;
  memory.left = -1;
  lua_close(L);
  CHECK_INT(memory.bytes, 0);
  return made;
}

static void each_request(const luawait_Options *options) {
  long requests = round_of(options, 1000000, 0), i;
  size_t t;
  CHECK(requests > 50);
  for (t = 0; t < sizeof tries / sizeof *tries; t++)
    for (i = 0; i < requests && failures == 0; i++) {
      round_of(options, i, tries[t]);
      if (failures > 0) fprintf(stderr, "request %ld of %ld and %d more\n", i, requests, tries[t]);
    }
}

static void each_request_fails(void) {
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  each_request(&options);
}

/* Each step is reported. */
static void in_debug_mode(void) {
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  options.debug = 1;
  options.slow_callback = 1e-9;
  each_request(&options);
}

static void on_a_loop_of_the_programs(void) {
  uv_loop_t loop;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  uv_loop_init(&loop);
  options.loop = &loop;
  each_request(&options);
  CHECK_INT(uv_loop_close(&loop), 0);
}

static int open_library(lua_State *L) {
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  return 0;
}

/* Loads the library where the request after `left` others fails; 1: there were not so many. */
static int load_library(long left) {
  Memory memory = {-1, tries[0], 0};
  lua_State *L = lua_newstate(allocate, &memory);
  int status;
  luaL_openlibs(L);
  lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, open_library);
  memory.left = left;
  status = lua_pcall(L, 0, 0, 0);
  memory.left = -1;
  if (status != LUA_OK) CHECK_TOP(L, "not enough memory");
  lua_close(L);
  CHECK_INT(memory.bytes, 0);
  return status == LUA_OK;
}

static void loading_fails(void) {
  long left, rounds = 0;
  for (left = 0; failures == 0 && !load_library(left); left += 5) rounds++;
  CHECK(rounds > 50);
}

static const Case cases[] = {{"each_request_fails", each_request_fails},
                             {"in_debug_mode", in_debug_mode},
                             {"on_a_loop_of_the_programs", on_a_loop_of_the_programs},
                             {"loading_fails", loading_fails}};

CASES_MAIN(cases)
