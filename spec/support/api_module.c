/* A C module that is not linked with luawait: for spec/embed/api_spec.lua. */
#include <lauxlib.h>
#include <luawait.h>
#include <pthread.h>

static const luawait_Api *luawait; /* a constant of the luawait that is loaded */

typedef struct Job {
  pthread_t thread;
  luawait_Promise *promise;
  luawait_Port *port;
  lua_Integer number;
} Job;

static int push_square(lua_State *L, void *ud) {
  Job *job = ud;
  if (job->number < 0) return luaL_error(L, "negative");
  lua_pushinteger(L, job->number * job->number);
  return 1;
}

static int set_posted(lua_State *L, void *ud) {
  (void)ud;
  lua_pushboolean(L, 1);
  lua_setglobal(L, "posted");
  return 0;
}

static void *work(void *arg) {
  Job *job = arg;
  luawait->post(job->port, set_posted, NULL, NULL);
  luawait->complete(job->promise, push_square, job, NULL);
  luawait->port_unref(job->port);
  luawait->promise_unref(job->promise);
  return NULL;
}

static int square_end(lua_State *L, int status, lua_KContext ctx) {
  pthread_join(((Job *)ctx)->thread, NULL);
  return status == LUA_YIELD ? 1 : lua_error(L);
}

/* square(n): computed in a thread */
static int square(lua_State *L) {
  lua_Integer number = luaL_checkinteger(L, 1);
  Job *job = lua_newuserdatauv(L, sizeof *job, 0);
  int status;
  job->number = number;
  if ((status = luawait->port(L, &job->port)) != LUAWAIT_OK)
    return luaL_error(L, "square: %s", luawait->status_text(status));
  status = luawait->future(L, &job->promise);
  if (status == LUAWAIT_ERROR) return lua_error(L);
  if (status != LUAWAIT_OK) return luaL_error(L, "square: %s", luawait->status_text(status));
  pthread_create(&job->thread, NULL, work, job);
  return luawait->await(L, -1, (lua_KContext)job, square_end);
}

static int end_count;

static void count_end(lua_State *L, int status, int n, void *ud) {
  (void)L, (void)status, (void)n, (void)ud;
  end_count++;
}

/* spawn(fn): a task that C starts; ends(): how many of these have ended */
static int spawn(lua_State *L) {
  lua_settop(L, 1);
  return luawait->spawn(L, 0, count_end, NULL) == LUAWAIT_OK ? 1 : luaL_error(L, "spawn failed");
}

static int ends(lua_State *L) {
  lua_pushinteger(L, end_count);
  return 1;
}

__attribute__((visibility("default"))) int luaopen_api_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"square", square}, {"spawn", spawn}, {"ends", ends}, {NULL, NULL}};
  luawait = luawait_api_get(L);
  if (luawait == NULL) return luaL_error(L, "api_module needs luawait: require it first");
  luaL_newlib(L, functions);
  lua_pushinteger(L, luawait->version);
  lua_setfield(L, -2, "version");
  return 1;
}
