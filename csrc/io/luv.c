#include "io/luv.h"

#include <lauxlib.h>

#include "base/error.h"

/* luv is told its loop by a function of its own, and takes another one at any time: ours, while that is open, else one
 * that nobody turns. So what a program does with luv outside a run comes to nothing, but does no harm. The handles that
 * luv has in our loop are closed with it. */
typedef struct lw_Luv {
  lw_Loop *loop;
  lua_State *main;
  uv_loop_t outside;
  int open; /* is `outside`? */
  void (*set_loop)(lua_State *L, uv_loop_t *uv);
} lw_Luv;

static void move_luv(lw_Loop *loop) {
  lw_Luv *luv = loop->luv;
  luv->set_loop(luv->main, loop->uv != NULL && !loop->foreign ? loop->uv : &luv->outside);
}

static void close_handle(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* The state is being closed, luv's handles have been collected. */
static int luv_gc(lua_State *L) {
  lw_Luv *luv = lua_touserdata(L, 1);
  luv->loop->luv = NULL;
  luv->loop->move_luv = NULL;
  if (!luv->open) return 0;
  luv->open = 0;
  uv_walk(&luv->outside, close_handle, NULL);
  while (uv_run(&luv->outside, UV_RUN_DEFAULT) != 0) continue;
  uv_loop_close(&luv->outside);
  return 0;
}

/* Under lua_pcall: 1 the error of a callback. */
static int report(lua_State *L) {
  lw_Loop *loop = lw_loop_of(L);
  if (lw_error_is(L, 1, LW_KEYBOARD_INTERRUPT)) loop->stop = LW_STOP_INTERRUPTED;
  lw_report_error(L, loop, "error in a callback of luv");
  return 0;
}

/* In place of luv_cfpcall, which ends the process after an error: calls the function below `nargs` arguments, and pops
 * these; returns the number of results, or -status. While the loop is being closed nothing is called any more. */
static int call(lua_State *L, int nargs, int nresults, int flags) {
  lw_Loop *loop = lw_loop_of(L);
  lua_State *active = atomic_load_explicit(&loop->active, memory_order_relaxed);
  int status, base = lua_gettop(L) - nargs;
  (void)flags;
  if ((!loop->open && loop->uv != NULL) || !lua_checkstack(L, LUA_MINSTACK)) {
    lua_settop(L, base - 1);
    return -LUA_ERRRUN;
  }
  lua_pushcfunction(L, lw_traceback);
  lua_insert(L, base);
  atomic_store_explicit(&loop->active, L, memory_order_relaxed);
  status = lua_pcall(L, nargs, nresults, base);
  if (status != LUA_OK) {
    lua_pushcfunction(L, report);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1); /* no memory */
  }
  atomic_store_explicit(&loop->active, active, memory_order_relaxed);
  if (LW_UNLIKELY(atomic_load_explicit(&loop->pause, memory_order_acquire))) lw_wait_for_monitor(loop);
  lua_remove(L, base);
  if (status != LUA_OK) return -status;
  return nresults == LUA_MULTRET ? lua_gettop(L) - base + 1 : nresults;
}

/* C functions of luv's as they are found in its library, which are no Lua functions. */
typedef void (*SetLoop)(lua_State *L, uv_loop_t *uv);
typedef void (*SetCallback)(lua_State *L, int (*call)(lua_State *L, int nargs, int nresults, int flags));
typedef const char *(*Version)(void);
typedef void (*Any)(void);

static Any function_at(lua_State *L, int index) { return (Any)lua_tocfunction(L, index); }

/* attach_luv(set_loop, set_callback, version): for a luv that is not open yet: its luv_set_loop and luv_set_callback,
 * and the uv_version_string of its libuv. RuntimeError if that is not ours, or if the loop is a host's. OSError. */
static int attach_luv(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  Version version = (Version)function_at(L, 3);
  lw_Luv *luv;
  int err;
  if (version == NULL || version() != uv_version_string()) /* the very same text: it stands in the library */
    return lw_error_raise(L, LW_RUNTIME_ERROR, "luv has a libuv of its own (%s), not the one of luawait (%s)",
                          version != NULL ? version() : "?", uv_version_string());
  if (loop->foreign)
    return lw_error_raise(L, LW_RUNTIME_ERROR,
                          "luv cannot be put on the loop of a host, whose handles outlive the state");
  luv = lua_newuserdatauv(L, sizeof *luv, 0);
  luv->loop = loop;
  luv->set_loop = (SetLoop)function_at(L, 1);
  luv->open = 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  luv->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, luv);
  err = uv_loop_init(&luv->outside);
  if (err != 0) {
    lw_error_push_os(L, err, "uv_loop_init", NULL, NULL);
    return lua_error(L);
  }
  luv->open = 1;
  loop->luv = luv;
  loop->move_luv = move_luv;
  move_luv(loop);
  ((SetCallback)function_at(L, 2))(luv->main, call);
  return 0;
}

void lw_open_luv(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg meta[] = {{"__gc", luv_gc}, {NULL, NULL}};
  (void)loop;
  lua_pushvalue(L, loop_index);
  lw_class(L, loop_index, "Luv", NULL, meta);
  lua_pushcclosure(L, attach_luv, 2);
  lua_setfield(L, -2, "attach_luv");
}
