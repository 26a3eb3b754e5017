#include "core/bridge.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/error.h"
#include "core/task.h"

/* ---- pcall and xpcall that let a cancellation pass ---- */

/* In a task that the second SIGINT interrupts, what interrupts it passes too. Outside it is the error of a run. */
static int must_pass(lua_State *L, int index) {
  return lw_error_is(L, index, LW_CANCELLED_ERROR) ||
         (lw_loop(L)->current != NULL && lw_error_is(L, index, LW_KEYBOARD_INTERRUPT));
}

/* `context` is how many values at the bottom of the stack are not results. */
static int protected_end(lua_State *L, int status, lua_KContext context) {
  if (LW_UNLIKELY(status != LUA_OK && status != LUA_YIELD)) {
    if (must_pass(L, -1)) return lua_error(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
  }
  return lua_gettop(L) - (int)context;
}

/* async.pcall(fn, ...): as pcall, but a CancelledError passes. */
static int async_pcall(lua_State *L) {
  lw_check_any(L, 1);
  lua_pushboolean(L, 1); /* the first result, if there is no error */
  lua_insert(L, 1);
  return protected_end(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, protected_end), 0);
}

static int try_end(lua_State *L, int status, lua_KContext context) {
  (void)context;
  lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
  lua_replace(L, 1);
  return lua_gettop(L);
}

/* try_after(err, fn, ...): as try, for what the module does after it has caught `err`, and before it raises it again
 * (or nil). The error stands where Lua puts it for a __close handler: so debug mode knows of both. */
static int try_after(lua_State *L) {
  lw_check_any(L, 2);
  return try_end(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, try_end), 0); /* err becomes the first result */
}

/* try(fn, ...): Lua's own pcall, for the module's use: the global may have been replaced. */
static int try(lua_State *L) {
  lw_check_any(L, 1);
  lua_pushnil(L);
  lua_insert(L, 1);
  return try_after(L);
}

/* The message handler for xpcall: the user's (upvalue 2) is not shown a cancellation, nor called while the step is
 * being stopped. */
static int handle_message(lua_State *L) {
  lua_settop(L, 1);
  if (lw_loop(L)->stopping || must_pass(L, 1)) return 1;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* async.xpcall(fn, handler, ...): as xpcall, but a CancelledError passes. */
static int async_xpcall(lua_State *L) {
  int nargs = lua_gettop(L) - 2;
  lw_check_type(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, handle_message, 2);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* fn, handler, true, fn, arguments */
  return protected_end(L, lua_pcallk(L, nargs, LUA_MULTRET, 2, 2, protected_end), 2);
}

/* ---- coroutines whose waits reach the task ---- */

/* Resumes the user's coroutine `co`; a wait in it can reach the task if one here could. */
static int resume_bridged(lua_State *L, lw_Loop *loop, lua_State *co, int nargs, int *count) {
  lua_State *outer = loop->bridged, *active = atomic_load_explicit(&loop->active, memory_order_relaxed);
  int status, task_like = loop->current != NULL && (L == loop->current->co || L == outer);
  loop->bridged = task_like && lua_isyieldable(L) ? co : NULL;
  if (active != NULL) atomic_store_explicit(&loop->active, co, memory_order_relaxed);
  status = lua_resume(co, L, nargs, count);
  if (active != NULL) {
    atomic_store_explicit(&loop->active, active, memory_order_relaxed);
    /* as in lw_end_step: `co` may be dropped now, and the monitor must have let go of it */
    if (LW_UNLIKELY(atomic_load_explicit(&loop->pause, memory_order_acquire))) lw_wait_for_monitor(loop);
  }
  loop->bridged = outer;
  return status;
}

/* The frame of a resume that a wait passes through: the coroutine (of resume, for wrap it is an upvalue), then the
 * task. */
enum { WRAP_BASE = 0, RESUME_BASE = 1 };

static int wrap_end(lua_State *L, int status, lua_KContext context);
static int resume_end(lua_State *L, int status, lua_KContext context);

/* Moves `count` results of `co` here, in front of what the function returns; or passes a wait on towards the task, and
 * comes back through `k` when that is over. Returns the number of results, or -1 for an error, which is then on the
 * top. */
static int step(lua_State *L, lua_State *co, int nargs, lua_KFunction k) {
  lw_Loop *loop = lw_loop(L);
  int count, status = resume_bridged(L, loop, co, nargs, &count);
  if (status == LUA_YIELD && loop->passing) {
    lua_settop(L, k == resume_end ? RESUME_BASE : WRAP_BASE);
    lua_pushlightuserdata(L, loop->current);
    return lua_yieldk(L, 0, (lua_KContext)co, k);
  }
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, count + 1)) {
    lua_pop(co, count);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, count);
  return count;
}

/* Moves the arguments from index `first` on into `co`. */
static int pass_arguments(lua_State *L, lua_State *co, int first) {
  int nargs = lua_gettop(L) - first + 1;
  if (!lua_checkstack(co, nargs)) return -1;
  lua_xmove(L, co, nargs);
  return nargs;
}

static int resume_results(lua_State *L, int count) {
  if (count < 0 && lw_error_is(L, -1, LW_CANCELLED_ERROR)) return lua_error(L);
  lua_pushboolean(L, count >= 0);
  if (count < 0) count = 1;
  lua_insert(L, -(count + 1));
  return count + 1;
}

/* A wait passes through here, but it is not its task that resumes: as where a task has parked, the wait goes on. */
static int is_stranger(lua_State *L, int base) {
  const lw_Loop *loop = lw_loop(L);
  return loop->current == NULL || lua_touserdata(L, base + 1) != loop->current;
}

static int refuse(lua_State *L, lua_KContext context, lua_KFunction k) {
  lua_pushliteral(L, "RuntimeError: this coroutine waits in a task, only the event loop may resume it");
  return lua_yieldk(L, 1, context, k);
}

static int resume_end(lua_State *L, int status, lua_KContext context) {
  (void)status;
  if (LW_UNLIKELY(is_stranger(L, RESUME_BASE))) return refuse(L, context, resume_end);
  return resume_results(L, step(L, (lua_State *)context, 0, resume_end));
}

/* coroutine.resume(co, ...): as Lua's, but a wait inside co suspends the task, and a CancelledError passes. */
static int bridge_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  int nargs;
  if (co == NULL) lw_typeerror(L, 1, "coroutine");
  if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
    lua_pushliteral(L, "cannot resume dead coroutine");
    return resume_results(L, -1);
  }
  nargs = pass_arguments(L, co, 2);
  if (nargs < 0) {
    lua_pushliteral(L, "too many arguments to resume");
    return resume_results(L, -1);
  }
  return resume_results(L, step(L, co, nargs, resume_end));
}

static int wrap_results(lua_State *L, lua_State *co, int count) {
  int status;
  if (count >= 0) return count;
  status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_pop(L, 1);
    lua_resetthread(co); /* its <close> variables; a new error takes the place of the old one */
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap_end(lua_State *L, int status, lua_KContext context) {
  lua_State *co = (lua_State *)context;
  (void)status;
  if (LW_UNLIKELY(is_stranger(L, WRAP_BASE))) return refuse(L, context, wrap_end);
  return wrap_results(L, co, step(L, co, 0, wrap_end));
}

static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(2));
  int nargs;
  if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
    lua_pushliteral(L, "cannot resume dead coroutine");
    return wrap_results(L, co, -1);
  }
  nargs = pass_arguments(L, co, 1);
  if (nargs < 0) return luaL_error(L, "too many arguments to resume");
  return wrap_results(L, co, step(L, co, nargs, wrap_end));
}

/* coroutine.wrap(fn): as Lua's, with the resume of this table */
static int bridge_wrap(lua_State *L) {
  lua_State *co;
  lw_check_type(L, 1, LUA_TFUNCTION);
  lua_pushvalue(L, lua_upvalueindex(1));
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, call_wrapped, 2);
  return 1;
}

void lw_open_bridge(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg funcs[] = {
      {"pcall", async_pcall}, {"xpcall", async_xpcall}, {"try", try}, {"try_after", try_after}, {NULL, NULL}};
  static const luaL_Reg coroutines[] = {{"resume", bridge_resume}, {"wrap", bridge_wrap}, {NULL, NULL}};
  int library;
  (void)loop;
  lw_setfuncs(L, loop_index, funcs);
  lua_newtable(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); /* none where no library is open */
  if (lua_getfield(L, -1, LUA_COLIBNAME) == LUA_TTABLE) {
    library = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, library);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, library - 2);
    }
  }
  lua_pop(L, 2);
  lw_setfuncs(L, loop_index, coroutines);
  lua_setfield(L, -2, "coroutine");
}
