/* Tests of luawait.h where malloc and libuv fail: the linker sends luawait's calls of them here (--wrap). */
#include <stdatomic.h>
#include <uv.h>

#include "embed_check.h"

/* The call that fails next; each fails once. */
static const char *failing;
static int hits, released, ended;

static int fails(const char *name) {
  if (failing == NULL || strcmp(failing, name) != 0) return 0;
  failing = NULL;
  hits++;
  return 1;
}

#define WRAP(type, name, failure, parameters, arguments) \
  type __real_##name parameters;                         \
  type __wrap_##name parameters;                         \
  type __wrap_##name parameters { return fails(#name) ? failure : __real_##name arguments; }

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t n, size_t size), (n, size))
WRAP(int, uv_loop_init, UV_EMFILE, (uv_loop_t * loop), (loop))
WRAP(int, uv_mutex_init, UV_ENOMEM, (uv_mutex_t * mutex), (mutex))
WRAP(int, uv_async_init, UV_EMFILE, (uv_loop_t * loop, uv_async_t *async, uv_async_cb cb), (loop, async, cb))
WRAP(int, uv_thread_create, UV_EAGAIN, (uv_thread_t * thread, uv_thread_cb entry, void *arg), (thread, entry, arg))

static void release(void *ud) {
  (void)ud;
  released++;
}

static int no_results(lua_State *L, void *ud) {
  (void)L, (void)ud;
  return 0;
}

static void on_end(lua_State *L, int status, int n, void *ud) {
  (void)L, (void)status, (void)n, (void)ud;
  ended++;
}

static void opening(void) {
  lua_State *L = new_state();
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  int top = lua_gettop(L);
  failing = "malloc";
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_ERROR);
  CHECK_TOP(L, "OSError: uv_loop_init");
  failing = "uv_loop_init";
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_ERROR);
  CHECK_TOP(L, "EMFILE");
  options.watchdog = 10; /* which has a thread, and is started once the loop is open */
  failing = "uv_thread_create";
  CHECK_INT(luawait_open(L, &options), LUAWAIT_ERROR);
  CHECK_TOP(L, "EAGAIN");
  failing = "calloc";
  CHECK_INT(luawait_open(L, &options), LUAWAIT_ERROR);
  CHECK_TOP(L, "not enough memory");
  CHECK_INT(hits, 4);
  CHECK_INT(lua_gettop(L), top);
  CHECK(luawait_uv_loop(L) == NULL);
  CHECK_INT(luawait_open(L, &options), LUAWAIT_OK);
  end_state(L);
}

static void ports(void) {
  lua_State *L = new_open_state();
  luawait_Port *port;
  luawait_Promise *promise;
  int top = lua_gettop(L);
  failing = "calloc";
  CHECK_INT(luawait_port(L, &port), LUAWAIT_NO_MEMORY);
  CHECK(port == NULL);
  failing = "uv_mutex_init";
  CHECK_INT(luawait_port(L, &port), LUAWAIT_NO_MEMORY);
  failing = "uv_async_init";
  CHECK_INT(luawait_port(L, &port), LUAWAIT_ERROR);
  CHECK_TOP(L, "OSError: uv_async_init");
  failing = "uv_async_init";
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_ERROR);
  CHECK(promise == NULL);
  lua_pop(L, 1);
  CHECK_INT(luawait_port(L, &port), LUAWAIT_OK);
  failing = "calloc";
  CHECK_INT(luawait_future(L, &promise), LUAWAIT_NO_MEMORY);
  failing = "malloc";
  CHECK_INT(luawait_post(port, no_results, NULL, release), LUAWAIT_NO_MEMORY);
  CHECK_INT(released, 1);
  CHECK_INT(hits, 6);
  CHECK_INT(lua_gettop(L), top);
  luawait_port_unref(port);
  end_state(L);
}

static void spawning(void) {
  lua_State *L = new_open_state();
  push_lua(L, "return");
  failing = "malloc";
  CHECK_INT(luawait_spawn(L, 0, on_end, NULL), LUAWAIT_NO_MEMORY);
  CHECK_INT(hits, 1);
  CHECK(lua_isfunction(L, -1));
  CHECK_INT(luawait_pending(L), 0);
  CHECK_INT(luawait_spawn(L, 0, on_end, NULL), LUAWAIT_OK);
  end_state(L);
  CHECK_INT(ended, 1);
}

static const Case cases[] = {{"opening", opening}, {"ports", ports}, {"spawning", spawning}};

CASES_MAIN(cases)
