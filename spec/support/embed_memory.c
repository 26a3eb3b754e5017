/* Tests of luawait.h without memory: the same program in new states, whose allocator fails first at the first request,
 * then at the second, and so on. The functions return errors, and what they were given is released. */
#include <stdatomic.h>
#include <stdint.h>

#include "embed_check.h"

enum { TRIES = 2 }; /* Lua asks twice */

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
  CHECK(status == LUAWAIT_OK ? n == 1 : n == 2);
  ended++;
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

static void program(lua_State *L) {
  luawait_Port *port = NULL;
  luawait_Promise *promise = NULL;
  luawait_Limits limits = {sizeof limits, 1000000, SIZE_MAX / 2};
  int spawned = 0, given = 0, top = lua_gettop(L), i;
  ended = released = 0;
  if (!went_well(L, luawait_open(L, NULL))) return;
  went_well(L, luawait_on_report(L, note_report, NULL));
  went_well(L, luawait_limit(L, &limits));
  for (i = 0; i < 2; i++)
    if (load(L, i == 0 ? "async.sleep(0) return ..." : "async.sleep(0) error('bad')")) {
      lua_pushinteger(L, i);
      spawned += went_well(L, luawait_spawn(L, 1, note_end, NULL));
    }
  lua_settop(L, top);
  if (luawait_port(L, &port) == LUAWAIT_OK) {
    given += luawait_post(port, push_table, NULL, note_release) == LUAWAIT_OK;
    luawait_port_unref(port);
  }
  if (went_well(L, luawait_future(L, &promise))) {
    int made = load(L, "return async.await(...)");
    lua_insert(L, -1 - made);
    if (made) went_well(L, luawait_spawn(L, 1, NULL, NULL));
    given += luawait_complete(promise, push_table, NULL, note_release) == LUAWAIT_OK;
    luawait_promise_unref(promise);
  }
  lua_settop(L, top);
  if (went_well(L, luawait_future(L, &promise))) {
    lua_pushinteger(L, 1);
    lua_pushinteger(L, 2);
    went_well(L, luawait_resolve(L, promise, 2));
    luawait_promise_unref(promise);
  }
  lua_settop(L, top);
  if (load(L, "return async.gather(function() async.sleep(0) return 1 end, function() return {} end)"))
    went_well(L, luawait_call(L, 0, 2));
  lua_settop(L, top);
  went_well(L, luawait_step(L, 0, 0));
  went_well(L, luawait_cancel_all(L));
  went_well(L, luawait_run(L));
  went_well(L, luawait_shutdown(L, 1));
  CHECK_INT(lua_gettop(L), top);
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  CHECK_INT(ended, spawned);
  CHECK_INT(released, given);
}

/* Returns how many requests the program has made. */
static long round_of(long left) {
  Memory memory = {-1, TRIES, 0};
  lua_State *L = lua_newstate(allocate, &memory);
  long made;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_setglobal(L, "async");
  lua_gc(L, LUA_GCSTOP);
  memory.left = left;
  program(L);
  made = left - memory.left;
  if (memory.left == 0 && memory.failing < TRIES) made = -1; /* it has failed */
  memory.left = -1;
  lua_close(L);
  CHECK_INT(memory.bytes, 0);
  return made;
}

static void each_request_fails(void) {
  long requests = round_of(1000000), i;
  CHECK(requests > 50);
  for (i = 0; i < requests && failures == 0; i++) {
    round_of(i);
    if (failures > 0) fprintf(stderr, "request %ld of %ld\n", i, requests);
  }
}

static int open_library(lua_State *L) {
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  return 0;
}

/* Loads the library where the request after `left` others fails; 1: there were not so many. */
static int load_library(long left) {
  Memory memory = {-1, TRIES, 0};
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

static const Case cases[] = {{"each_request_fails", each_request_fails}, {"loading_fails", loading_fails}};

CASES_MAIN(cases)
