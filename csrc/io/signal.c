#include "io/signal.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- names ---- */

#define SIGNAL(name) \
  { #name, name }

static const struct {
  const char *name;
  int signum;
} signals[] = {
    SIGNAL(SIGHUP),    SIGNAL(SIGINT),  SIGNAL(SIGQUIT), SIGNAL(SIGILL),   SIGNAL(SIGTRAP), SIGNAL(SIGABRT),
    SIGNAL(SIGBUS),    SIGNAL(SIGFPE),  SIGNAL(SIGKILL), SIGNAL(SIGUSR1),  SIGNAL(SIGSEGV), SIGNAL(SIGUSR2),
    SIGNAL(SIGPIPE),   SIGNAL(SIGALRM), SIGNAL(SIGTERM), SIGNAL(SIGCHLD),  SIGNAL(SIGCONT), SIGNAL(SIGSTOP),
    SIGNAL(SIGTSTP),   SIGNAL(SIGTTIN), SIGNAL(SIGTTOU), SIGNAL(SIGURG),   SIGNAL(SIGXCPU), SIGNAL(SIGXFSZ),
    SIGNAL(SIGVTALRM), SIGNAL(SIGPROF), SIGNAL(SIGSYS),  SIGNAL(SIGWINCH), SIGNAL(SIGIO),
#ifdef SIGPWR
    SIGNAL(SIGPWR),
#endif
#ifdef SIGINFO
    SIGNAL(SIGINFO),
#endif
};

enum { SIGNALS = sizeof signals / sizeof *signals };

void lw_push_signal_name(lua_State *L, int signum) {
  int i;
  for (i = 0; i < SIGNALS; i++) {
    if (signals[i].signum != signum) continue;
    lua_pushstring(L, signals[i].name);
    return;
  }
  lua_pushfstring(L, "signal %d", signum);
}

/* number(name): that of a signal; nil for a name that no signal has. */
static int signal_number(lua_State *L) {
  size_t n;
  const char *name = lw_check_string(L, 1, &n);
  int i;
  for (i = 0; i < SIGNALS; i++) {
    if (strlen(signals[i].name) != n || strcmp(signals[i].name, name) != 0) continue;
    lua_pushinteger(L, signals[i].signum);
    return 1;
  }
  lua_pushnil(L);
  return 1;
}

/* ---- what signals did before ---- */

lw_Disposition *lw_disposition_hold(lw_Io *io, int signum) {
  lw_Disposition *disposition = io->dispositions;
  while (disposition != NULL && disposition->signum != signum) disposition = disposition->next;
  if (disposition == NULL) {
    disposition = calloc(1, sizeof *disposition);
    if (disposition == NULL) return NULL;
    disposition->signum = signum;
    disposition->next = io->dispositions;
    io->dispositions = disposition;
    sigaction(signum, NULL, &disposition->before);
  }
  disposition->users++;
  return disposition;
}

void lw_disposition_held(lw_Disposition *disposition) {
  struct sigaction installed;
  if (disposition->users > 1) return;
  sigaction(disposition->signum, NULL, &installed);
  disposition->ours = installed.sa_handler != disposition->before.sa_handler;
}

void lw_disposition_release(lw_Io *io, lw_Disposition *disposition) {
  lw_Disposition **link = &io->dispositions;
  struct sigaction now;
  if (--disposition->users > 0) return;
  sigaction(disposition->signum, NULL, &now);
  if (disposition->ours && now.sa_handler == SIG_DFL) sigaction(disposition->signum, &disposition->before, NULL);
  while (*link != disposition) link = &(*link)->next;
  *link = disposition->next;
  free(disposition);
}

/* ---- watching ----
 *
 * A watch calls its function, user value 1, when its signal has come. It is pinned while it is open. */
typedef struct Watch {
  lw_IoHandle handle;
  uv_signal_t uv;
  int signum;
  lw_Disposition *disposition;
} Watch;

static void watch_leave(lw_IoHandle *handle) { (void)handle; }

/* libuv watches it no more. */
static void watch_closed(lw_IoHandle *handle) {
  Watch *watch = (Watch *)handle;
  if (watch->disposition == NULL) return;
  lw_disposition_release(handle->io, watch->disposition);
  watch->disposition = NULL;
  if (watch->signum == SIGINT) atomic_fetch_sub(&handle->loop->sigint_watches, 1);
}

static const lw_IoClass watch_class = {"signal watch", lw_io_close, watch_leave};

/* Under lua_pcall: 1 the watch. */
static int call_function(lua_State *L) {
  Watch *watch = lua_touserdata(L, 1);
  lw_push_anchored(L, watch->handle.loop, watch->handle.slot);
  lua_getiuservalue(L, -1, 1);
  lua_call(L, 0, 0);
  return 0;
}

/* Lets no error through but one for want of memory. */
static int guarded(lua_State *L) {
  Watch *watch = lua_touserdata(L, 1);
  lua_pushcfunction(L, lw_traceback);
  lua_pushcfunction(L, call_function);
  lua_pushlightuserdata(L, watch);
  if (lua_pcall(L, 1, 0, 2) != LUA_OK) lw_report_error(L, watch->handle.loop, "a signal could not be delivered");
  return 0;
}

static void on_signal(uv_signal_t *uv, int signum) {
  Watch *watch = uv->data;
  lua_State *L = watch->handle.loop->L;
  (void)signum;
  if (L == NULL || !lua_checkstack(L, 4)) return;
  lua_pushcfunction(L, guarded);
  lua_pushlightuserdata(L, watch);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

static int watch_failed(lua_State *L, Watch *watch, int err) {
  lw_io_close(&watch->handle);
  lw_error_push_os(L, err, "sigaction", NULL, NULL);
  return lua_error(L);
}

/* watch(number, fn): calls fn() on the loop when the signal has come, until close(). Raises OSError. */
static int signal_watch(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  int signum = (int)lw_check_integer(L, 1), err;
  Watch *watch;
  lw_check_type(L, 2, LUA_TFUNCTION);
  watch = lw_io_new(L, loop, &watch_class, sizeof *watch, 1);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, 1);
  watch->signum = signum;
  watch->handle.closed = watch_closed;
  uv_signal_init(loop->uv, &watch->uv);
  lw_io_opened(&watch->handle, (uv_handle_t *)&watch->uv);
  lw_io_pin(L, &watch->handle, -1);
  watch->disposition = lw_disposition_hold(watch->handle.io, signum);
  if (watch->disposition == NULL) return watch_failed(L, watch, UV_ENOMEM);
  if (signum == SIGINT) atomic_fetch_add(&loop->sigint_watches, 1);
  err = uv_signal_start(&watch->uv, on_signal, signum);
  if (err != 0) return watch_failed(L, watch, err);
  lw_disposition_held(watch->disposition);
  return 1;
}

void lw_open_signal(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {{"close", lw_io_close_method}, {"is_closing", lw_io_is_closing}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"number", signal_number}, {"watch", signal_watch}, {NULL, NULL}};
  (void)loop;
  lw_io_class(L, loop_index, &watch_class, methods, NULL);
  lua_pop(L, 1);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
}
