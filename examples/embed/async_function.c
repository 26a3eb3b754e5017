/* A C function that waits: hash(text) computes in a thread, while the other tasks of the script go on.
 *
 *   async_function */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Job {
  luawait_Promise *promise;
  uint32_t hash;
  size_t size;
  unsigned char text[]; /* a copy: the thread must not touch what is Lua's */
} Job;

/* On the loop: the results of the future. */
static int push_hash(lua_State *L, void *ud) {
  lua_pushinteger(L, ((Job *)ud)->hash);
  return 1;
}

/* On its own thread: FNV-1a, many times. */
static void *compute(void *ud) {
  Job *job = ud;
  luawait_Promise *promise = job->promise;
  int round;
  job->hash = 2166136261u;
  for (round = 0; round < 5000000; round++)
    for (size_t i = 0; i < job->size; i++) job->hash = (job->hash ^ job->text[i]) * 16777619u;
  luawait_complete(promise, push_hash, job, free);
  luawait_promise_unref(promise);
  return NULL;
}

static int hash_done(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  return status == LUA_YIELD ? 1 : lua_error(L);
}

/* hash(text): an integer */
static int hash(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  Job *job = malloc(sizeof *job + size);
  pthread_t thread;
  if (job == NULL) return luaL_error(L, "not enough memory");
  job->size = size;
  memcpy(job->text, text, size);
  if (luawait_future(L, &job->promise) != LUAWAIT_OK) {
    free(job);
    return luaL_error(L, "hash: no future can be made");
  }
  if (pthread_create(&thread, NULL, compute, job) != 0) {
    luawait_promise_unref(job->promise);
    free(job);
    return luaL_error(L, "hash: no thread can be made");
  }
  pthread_detach(thread);
  return luawait_await(L, -1, 0, hash_done);
}

static const char script[] =
    "local async = require 'luawait'\n"
    "local ticks = 0\n"
    "local ticker = async.create_task(function() while true do async.sleep(0.001) ticks = ticks + 1 end end)\n"
    "local a, b = async.gather(function() return hash('one') end, function() return hash('two') end)\n"
    "ticker:cancel()\n"
    "print(('%08x %08x'):format(a, b))\n"
    "print(ticks > 0 and 'the others went on' or 'nobody else ran')\n";

int main(void) {
  lua_State *L = luaL_newstate();
  int failed;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_register(L, "hash", hash);
  failed = luawait_open(L, NULL) != LUAWAIT_OK || luaL_loadstring(L, script) != LUA_OK ||
           luawait_call(L, 0, 0) != LUAWAIT_OK;
  if (failed) fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  luawait_close(L);
  lua_close(L);
  return failed;
}
