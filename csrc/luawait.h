/* luawait for C: for programs that hold a Lua state and run scripts which wait, and for C modules that scripts load.
 *
 * A Lua state has one loop. The functions take the lua_State, any coroutine of it, and are called on the thread that
 * runs it; those on a luawait_Port or a luawait_Promise are called on any thread.
 *
 * They return a luawait_Status. Below 0: nothing was done, and the stack is as it was. LUAWAIT_ERROR: what the function
 * takes from the stack is gone, and the error value is on the top, as with lua_pcall. No error is thrown through the
 * caller, but by those that say that they are called by Lua C functions only.
 *
 * A program links the static library:
 *
 *   luaL_requiref(L, "luawait", luaopen_luawait, 1);   once luaL_openlibs(L) has run
 *   luawait_open(L, NULL);
 *   luaL_loadfile(L, "script.lua");
 *   luawait_call(L, 0, 0);                             runs it as a task, to its end
 *   luawait_close(L);
 *   lua_close(L);
 *
 * A C module that Lua loads links nothing, and finds the same functions in a table: luawait_api_get. */
#ifndef LUAWAIT_H
#define LUAWAIT_H

#include <stddef.h>

#define LUAWAIT_VERSION_MAJOR 0
#define LUAWAIT_VERSION_MINOR 1
#define LUAWAIT_VERSION_PATCH 0
#define LUAWAIT_VERSION "0.1.0"

#if defined(__GNUC__)
#define LUAWAIT_API __attribute__((visibility("default")))
#else
#define LUAWAIT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h>

struct uv_loop_s; /* uv_loop_t */

typedef enum luawait_Status {
  LUAWAIT_OK = 0,
  LUAWAIT_ERROR = 1,     /* the error value is on the top of the stack */
  LUAWAIT_CANCELLED = 2, /* for a luawait_DoneFn: the error is a CancelledError */
  LUAWAIT_STOPPED = 3,   /* for a luawait_DoneFn: a limit of luawait_limit was exceeded */
  LUAWAIT_INVALID = -1,  /* a wrong argument, a wrong moment, or the module was not opened in this state */
  LUAWAIT_CLOSED = -2,   /* there is no open loop (any more) */
  LUAWAIT_BUSY = -3,     /* the loop is running: callable only between two turns of it */
  LUAWAIT_DONE = -4,     /* the future is done already */
  LUAWAIT_NO_MEMORY = -5
} luawait_Status;

/* A short text for a status. Any thread. */
LUAWAIT_API const char *luawait_status_text(int status);

/* ---- opening and closing ---- */

/* Lua C functions. The first leaves the table that `require "luawait"` returns, from Lua files that the static library
 * holds, and puts those of the other modules (luawait.std, luawait.net ...) into package.preload: the package library
 * must be open. It is in the static library only. The second is the C part. */
LUAWAIT_API int luaopen_luawait(lua_State *L);
LUAWAIT_API int luaopen_luawait_core(lua_State *L);

/* How a loop is opened. All 0 is the default for each. */
typedef struct luawait_Options {
  size_t size;            /* sizeof(luawait_Options) */
  struct uv_loop_s *loop; /* the program's uv_loop_t, which it turns and closes itself; NULL: one is made */
  int debug;              /* as opts.debug of async.run */
  double slow_callback;   /* as opts.slow_callback, seconds; 0: 0.1 */
  double watchdog;        /* as opts.watchdog, seconds; 0: off */
} luawait_Options;

#define LUAWAIT_OPTIONS_INIT \
  { sizeof(luawait_Options), NULL, 0, 0, 0 }

/* Opens the loop of this state; `options` may be NULL. Until luawait_close, scripts run as they do inside async.run:
 * code called with lua_pcall can make tasks as well, but only a task can wait. The program's uv_loop_t is touched in
 * no other way than by handles of ours in it, and must outlive luawait_close. No signals are handled.
 * BUSY: a loop is open in this state, by async.run too. INVALID: the module was not opened, options->size is unknown,
 * or a time is negative. ERROR: libuv refused, or there was no memory. */
LUAWAIT_API int luawait_open(lua_State *L, const luawait_Options *options);

/* Cancels every task and turns the loop until all have ended, for at most `timeout` seconds (0: those that wait for
 * nothing more end); those that are left then are closed by force, and that is reported. Each luawait_DoneFn has been
 * called afterwards; failures that nobody has retrieved are reported. The loop stays open. On a loop of the program's,
 * that loop is turned meanwhile: not for its callbacks. INVALID: a timeout that is negative or NaN. CLOSED, BUSY.
 * ERROR: no memory, tasks may be left. */
LUAWAIT_API int luawait_shutdown(lua_State *L, double timeout);

/* luawait_shutdown(L, 0), if tasks are left; then closes all that we have opened in the loop, and, if we made it, the
 * loop. Afterwards nothing of ours is in the program's uv_loop_t. What ports and promises are given from now on is
 * dropped. To be called before lua_close. Turns the loop, as luawait_shutdown does. OK also when it was closed before.
 * BUSY; INVALID: it is not luawait_open that opened it. */
LUAWAIT_API int luawait_close(lua_State *L);

/* ---- tasks ---- */

/* The end of a task: called on the loop, between two steps, once for each luawait_spawn that returned OK. `L` is a
 * state for this call, with nothing on its stack but: for OK, the `n` results; else, n being 2, the error value and its
 * traceback (a string or nil). An error that it raises goes to the exception handler.
 * CLOSED: the state was closed without luawait_close, async.run ended at once (SIGINT came twice), or there was no
 * memory to end the task otherwise: n is 0, and nothing may be called. */
typedef void (*luawait_DoneFn)(lua_State *L, int status, int n, void *ud);

/* Starts a task for the function below its `nargs` arguments on the top, and pops them; pushes the Task, whose methods
 * are for Lua. It has its first step when the loop is turned. `done` may be NULL: a failure is then reported unless
 * somebody has asked for it. INVALID: no such function. CLOSED. ERROR: no memory. */
LUAWAIT_API int luawait_spawn(lua_State *L, int nargs, luawait_DoneFn done, void *ud);

/* lua_pcall for functions that wait: runs the function as a task and turns the loop until that has ended; other tasks
 * go on too, and may be left. Pops function and arguments and pushes `nresults` results (LUA_MULTRET: all).
 * ERROR: its error; DeadlockError, when nothing can wake it any more; KeyboardInterrupt, when another task raised one
 * (in these two cases the task is left). INVALID, CLOSED, BUSY. */
LUAWAIT_API int luawait_call(lua_State *L, int nargs, int nresults);

/* Cancels the task or future at `index`, with a message (or NULL) for its CancelledError: as future:cancel.
 * DONE: it was done. INVALID: something else is there. CLOSED. ERROR: no memory. */
LUAWAIT_API int luawait_cancel(lua_State *L, int index, const char *message);

/* Cancels all tasks, each once. CLOSED. ERROR: no memory; some may not have been cancelled. */
LUAWAIT_API int luawait_cancel_all(lua_State *L);

/* How many tasks have not ended; 0 where there is no loop. */
LUAWAIT_API int luawait_pending(lua_State *L);

/* ---- turning the loop ---- */

/* A program with a uv_loop_t of its own calls uv_run and needs none of these. Where they, and luawait_call, turn a loop
 * of the program's, its handles have their callbacks too: not to be called from those. */

/* Turns the loop until no task is left. ERROR: DeadlockError, KeyboardInterrupt, or no memory. CLOSED, BUSY, INVALID:
 * it is not luawait_open that opened it. */
LUAWAIT_API int luawait_run(lua_State *L);

/* One turn: runs what is ready, polls for I/O and deadlines, runs what these have made ready. The poll waits only if
 * nothing is ready, and for at most `timeout` seconds (below 0: as long as it takes). With a `budget` (seconds; 0:
 * none) turns go on while something is ready and the budget lasts; no step is begun when it is over, a step under way
 * is not cut short. Returns as luawait_run; without a budget one turn runs tasks for a few ms. */
LUAWAIT_API int luawait_step(lua_State *L, double timeout, double budget);

/* How long poll(2) may wait for luawait_backend_fd until luawait_step should be called: milliseconds, 0: it is due,
 * -1: only the descriptor can tell. To be asked again after each luawait_step. -1 also where there is no loop. */
LUAWAIT_API int luawait_timeout(lua_State *L);

/* The descriptor that becomes readable when luawait_step has something to do; -1 where there is none. */
LUAWAIT_API int luawait_backend_fd(lua_State *L);

/* The uv_loop_t that is open in this state, by async.run too, for handles of the caller's own, which are to be closed
 * before the loop is. NULL: none. */
LUAWAIT_API struct uv_loop_s *luawait_uv_loop(lua_State *L);

/* ---- calls from other threads ---- */

/* Called on the loop, outside any task, with an empty stack; may call Lua, may raise. Returns the number of results it
 * has pushed, where these are of use. */
typedef int (*luawait_CallFn)(lua_State *L, void *ud);

/* Frees `ud`. Called exactly once for each `ud` that was handed over, after its call or instead of it, on whichever
 * thread that was. Must not call Lua. */
typedef void (*luawait_FreeFn)(void *ud);

/* The way to a loop for other threads; counts its references, and outlives the loop and the Lua state. */
typedef struct luawait_Port luawait_Port;

/* Stores in `*port` a reference to the port of the loop that is open; it has the same port as long as it is. A port
 * does not keep the loop running. CLOSED, INVALID: port is NULL. NO_MEMORY. ERROR: libuv refused. */
LUAWAIT_API int luawait_port(lua_State *L, luawait_Port **port);

/* Any thread: one more, one less reference. NULL is nothing. */
LUAWAIT_API luawait_Port *luawait_port_ref(luawait_Port *port);
LUAWAIT_API void luawait_port_unref(luawait_Port *port);

/* Any thread: the loop will call fn(L, ud), then release(ud) (NULL: nothing). Calls come in the order in which they
 * were posted, none is lost while the loop is open. An error goes to the exception handler, results are dropped.
 * CLOSED, NO_MEMORY, INVALID (no port or no fn): release was called here. */
LUAWAIT_API int luawait_post(luawait_Port *port, luawait_CallFn fn, void *ud, luawait_FreeFn release);

/* ---- futures ---- */

/* The right to complete one future; counts its references, and outlives the loop and the Lua state. As long as it is
 * not used the loop keeps running, since a completion is to come. */
typedef struct luawait_Promise luawait_Promise;

/* Pushes a new Future, and stores a reference to its promise. When the last reference goes before it was completed, the
 * future fails with a RuntimeError. CLOSED, INVALID, NO_MEMORY. ERROR: no memory, or libuv refused. */
LUAWAIT_API int luawait_future(lua_State *L, luawait_Promise **promise);

/* Any thread. */
LUAWAIT_API luawait_Promise *luawait_promise_ref(luawait_Promise *promise);
LUAWAIT_API void luawait_promise_unref(luawait_Promise *promise);

/* Any thread: completes the future. The loop calls fn(L, ud), whose results are the future's (fn NULL: none), or whose
 * error is its failure; then release(ud). Neither is fn called when the future was cancelled meanwhile, which nobody
 * needs to know here. Takes no memory. DONE: it was completed before. CLOSED: the loop was closed. INVALID: no promise.
 * With all three, release was called here. */
LUAWAIT_API int luawait_complete(luawait_Promise *promise, luawait_CallFn fn, void *ud, luawait_FreeFn release);

/* On the loop's thread, at once: pops `nresults` values, or one error value (not nil), and completes the future.
 * DONE: it was completed before, or cancelled. CLOSED, INVALID. ERROR: no memory, the future is as it was. */
LUAWAIT_API int luawait_resolve(lua_State *L, luawait_Promise *promise, int nresults);
LUAWAIT_API int luawait_reject(lua_State *L, luawait_Promise *promise);

/* For Lua C functions, and to be called as `return luawait_await(...)`: the calling task waits for the future or
 * task (or anything that async.await takes) at `index`; then k(L, LUA_YIELD, ctx) is called with its results on the
 * top, or k(L, LUA_ERRRUN, ctx) with the error, which k should hand on with lua_error when it is a CancelledError. What
 * was on the stack is still below. Without a k (NULL) the results are returned, and an error is raised. Raises where
 * async.await does: outside a task, or where Lua cannot yield, with k as well. A cancellation of the task cancels what
 * is awaited. */
LUAWAIT_API int luawait_await(lua_State *L, int index, lua_KContext ctx, lua_KFunction k);

/* ---- reports ---- */

/* What nobody else can be told: a failure that nobody has retrieved, an error in a callback. `text` is one paragraph;
 * the table {message=, error=, traceback=, task=} is at index 1. Runs no code of scripts. May be called while Lua
 * collects garbage. */
typedef void (*luawait_ReportFn)(lua_State *L, const char *text, void *ud);

/* Sets the exception handler of this state in the place of the default, which writes to stderr; NULL restores that. A
 * script that sets one of its own (async.set_exception_handler) while the loop is open takes precedence; where there
 * are limits, not for what is reported while Lua collects garbage. INVALID: the module was not opened. ERROR: no
 * memory. */
LUAWAIT_API int luawait_on_report(lua_State *L, luawait_ReportFn fn, void *ud);

/* ---- limits ---- */

/* 0: unlimited. */
typedef struct luawait_Limits {
  size_t size;                /* sizeof(luawait_Limits) */
  unsigned long instructions; /* of Lua's virtual machine, in one step of a task or one callback */
  size_t memory;              /* bytes in use by the whole state */
} luawait_Limits;

#define LUAWAIT_LIMITS_INIT \
  { sizeof(luawait_Limits), 0, 0 }

/* Sets limits for what the loop runs in this state. A step that exceeds one is stopped: its task or callback ends with
 * an error that no pcall, xpcall, coroutine or <close> variable of the script can keep from ending it; the other tasks
 * go on. Instructions are counted roughly: to about a thousand, each call as one more, each switch between
 * coroutines as a hundred, and in a recursion deeper than 1,000 levels each as several; code that the program itself
 * calls with lua_pcall is not counted. Memory is counted by standing in for the state's allocator (lua_setallocf),
 * until luawait_close; a request that exceeds the limit fails, as if there were no memory, for whoever makes it. What
 * luawait.net and its kin hold outside of Lua is not counted.
 *
 * To be set before scripts are loaded: it sets the hook of the state, which coroutines made from then on inherit, and
 * replaces the globals setmetatable, by one that refuses __gc, and xpcall, coroutine.create and coroutine.wrap, by ones
 * that run nothing of the script's where Lua would call it without hooks. Scripts that are not trusted must not get the
 * debug library, nor `load`, and cannot be kept from long calls of C functions (string.find with a bad pattern,
 * table.move over a huge range). INVALID: limits is NULL, its size unknown, or the module was not opened. CLOSED:
 * limits go with the loop. ERROR: no memory. */
LUAWAIT_API int luawait_limit(lua_State *L, const luawait_Limits *limits);

/* ---- for C modules that Lua loads ---- */

/* The same functions, for modules that are not linked with luawait. Later versions only add to the end. */
typedef struct luawait_Api {
  int version; /* LUAWAIT_API_VERSION */
  size_t size; /* sizeof(luawait_Api) of the luawait that runs */
  const char *(*status_text)(int status);
  int (*open)(lua_State *L, const luawait_Options *options);
  int (*shutdown)(lua_State *L, double timeout);
  int (*close)(lua_State *L);
  int (*spawn)(lua_State *L, int nargs, luawait_DoneFn done, void *ud);
  int (*call)(lua_State *L, int nargs, int nresults);
  int (*cancel)(lua_State *L, int index, const char *message);
  int (*cancel_all)(lua_State *L);
  int (*pending)(lua_State *L);
  int (*run)(lua_State *L);
  int (*step)(lua_State *L, double timeout, double budget);
  int (*timeout)(lua_State *L);
  int (*backend_fd)(lua_State *L);
  struct uv_loop_s *(*uv_loop)(lua_State *L);
  int (*port)(lua_State *L, luawait_Port **port);
  luawait_Port *(*port_ref)(luawait_Port *port);
  void (*port_unref)(luawait_Port *port);
  int (*post)(luawait_Port *port, luawait_CallFn fn, void *ud, luawait_FreeFn release);
  int (*future)(lua_State *L, luawait_Promise **promise);
  luawait_Promise *(*promise_ref)(luawait_Promise *promise);
  void (*promise_unref)(luawait_Promise *promise);
  int (*complete)(luawait_Promise *promise, luawait_CallFn fn, void *ud, luawait_FreeFn release);
  int (*resolve)(lua_State *L, luawait_Promise *promise, int nresults);
  int (*reject)(lua_State *L, luawait_Promise *promise);
  int (*await)(lua_State *L, int index, lua_KContext ctx, lua_KFunction k);
  int (*on_report)(lua_State *L, luawait_ReportFn fn, void *ud);
  int (*limit)(lua_State *L, const luawait_Limits *limits);
} luawait_Api;

#define LUAWAIT_API_VERSION 1
#define LUAWAIT_API_KEY "luawait.api" /* the registry holds the table as a light userdata under it */

/* The table of the luawait that is loaded in this state: once `require "luawait"` has run. NULL: none is, or it is
 * older than this header or too new for it. For Lua C functions, as luaopen_ functions are: may raise a memory error.
 */
static inline const luawait_Api *luawait_api_get(lua_State *L) {
  const luawait_Api *api;
  lua_getfield(L, LUA_REGISTRYINDEX, LUAWAIT_API_KEY);
  api = (const luawait_Api *)lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (api == NULL || api->version != LUAWAIT_API_VERSION || api->size < sizeof(luawait_Api)) return NULL;
  return api;
}

#ifdef __cplusplus
}
#endif

#endif
