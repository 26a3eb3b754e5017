/* Watching a file or a directory: what the system tells of it is queued until the program asks.
 *
 * The queue is bounded. When it is full the watch tells "overflow" in the place of what it drops. libuv does not tell
 * when the system's own queue (on Linux one for all watches of a loop, of 16,384 events) was full. But it empties that
 * queue in one go, so the events of all watches together pass MOST_OF_ALL then, and all of them tell an overflow. */
#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "io/fs.h"
#include "io/handle.h"
#include "io/paths.h"
#include "io/request.h"

enum { MOST = 1024, MOST_OF_ALL = 8192 };

typedef struct Watch {
  lw_IoHandle handle;
  uv_fs_event_t uv;
  lw_Link link;       /* in the list of the watches of the loop */
  lw_Request reading; /* the task that waits */
  lw_Buffer events;   /* for each a letter for its kind, the name, and a zero */
  unsigned count, most;
  int lost;   /* events were dropped, which is to be told when those before it were */
  int status; /* of libuv's, to be raised */
  char path[];
} Watch;

/* ---- events ---- */

static void wake(Watch *watch) {
  if (watch->reading.task != NULL && !watch->reading.done) lw_request_done(watch->handle.loop, &watch->reading, 0);
}

static void lose(Watch *watch) {
  watch->lost = 1;
  wake(watch);
}

static void lose_all(lw_Io *io) {
  lw_Link *link;
  for (link = io->watches.first; link != NULL; link = lw_list_next(&io->watches, link))
    lose(LW_CONTAINER(link, Watch, link));
}

static void keep(Watch *watch, char kind, const char *name) {
  size_t n = strlen(name) + 1;
  if (watch->lost) return;
  if (watch->count == watch->most || lw_buffer_reserve(&watch->events, NULL, n + 1) != 0) {
    lose(watch);
    return;
  }
  lw_buffer_append(&watch->events, NULL, &kind, 1);
  lw_buffer_append(&watch->events, NULL, name, n);
  watch->count++;
  wake(watch);
  if (++watch->handle.io->events > MOST_OF_ALL) lose_all(watch->handle.io);
}

static void on_event(uv_fs_event_t *uv, const char *name, int events, int status) {
  Watch *watch = uv->data;
  if (status < 0) {
    watch->status = status;
    wake(watch);
  } else {
    keep(watch, events & UV_RENAME ? 'r' : 'c', name != NULL ? name : "");
  }
}

/* ---- life ---- */

static void watch_leave(lw_IoHandle *handle) {
  Watch *watch = (Watch *)handle;
  lw_list_remove(&handle->io->watches, &watch->link);
  handle->io->events -= watch->count;
  watch->count = 0;
  lw_buffer_free(&watch->events, NULL);
  wake(watch);
}

static const lw_IoClass watch_class = {"watch", lw_io_close, watch_leave};

static int raise_os(lua_State *L, const Watch *watch, int err) {
  lw_error_push_os(L, err, "watch", "path", watch->path);
  return lua_error(L);
}

/* watch(path, opts?): see types/fs.lua. */
static int fs_watch(lua_State *L) {
  static const char *const known[] = {"limit", NULL};
  lw_Loop *loop = lw_running_loop(L);
  size_t n;
  const char *path = lw_check_text(L, 1, &n);
  unsigned most;
  Watch *watch;
  int err;
  lw_check_options(L, 2, known);
  most = (unsigned)lw_integer_option(L, 2, "limit", 1, MOST_OF_ALL, MOST);
  watch = lw_io_new(L, loop, &watch_class, sizeof *watch + n + 1, 0);
  memcpy(watch->path, path, n + 1);
  watch->most = most;
  err = uv_fs_event_init(loop->uv, &watch->uv);
  if (err != 0) return raise_os(L, watch, err);
  lw_io_opened(&watch->handle, (uv_handle_t *)&watch->uv);
  lw_list_push(&watch->handle.io->watches, &watch->link);
  err = uv_fs_event_start(&watch->uv, on_event, watch->path, 0);
  if (err != 0) {
    lw_io_close(&watch->handle);
    return raise_os(L, watch, err);
  }
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, -3);
  return 4;
}

/* ---- reading ---- */

static int is_ready(const Watch *watch) {
  return watch->status < 0 || watch->count > 0 || watch->lost || watch->handle.state != LW_IO_OPEN;
}

/* Pushes the first event there is: kind, name. */
static int push_event(lua_State *L, Watch *watch) {
  if (watch->count > 0) {
    const char *event = lw_buffer_data(&watch->events);
    lua_pushstring(L, *event == 'r' ? "rename" : "change");
    lua_pushstring(L, event + 1);
    lw_buffer_consume(&watch->events, NULL, strlen(event) + 1);
    watch->count--;
    watch->handle.io->events--;
    return 2;
  }
  if (watch->handle.state != LW_IO_OPEN) return 0;
  if (watch->status < 0) return raise_os(L, watch, watch->status);
  watch->lost = 0;
  lua_pushliteral(L, "overflow");
  return 1;
}

static int watch_finish(lua_State *L, lw_Request *request) {
  return push_event(L, LW_CONTAINER(request, Watch, reading));
}

static void watch_abandon(lw_Request *request) { (void)request; }

static void watch_describe(lua_State *L, const lw_Request *request) {
  const Watch *watch = LW_CONTAINER(request, Watch, reading);
  lua_pushfstring(L, "an event of %s", watch->path);
}

/* watch:next(): kind, name; nothing once it is closed. Waits. */
static int watch_next(lua_State *L) {
  static const lw_RequestClass cls = {watch_finish, watch_abandon, watch_describe};
  Watch *watch = lw_io_self(L);
  lw_Loop *loop = watch->handle.loop;
  lw_Task *task;
  if (watch->handle.state != LW_IO_OPEN) return 0;
  if (watch->reading.task != NULL) return lw_error_raise(L, LW_RUNTIME_ERROR, "another task waits for this watch");
  if (is_ready(watch)) return push_event(L, watch);
  task = lw_waiter(L, loop);
  watch->reading.cls = &cls;
  watch->reading.done = 0;
  return lw_request_wait(L, task, &watch->reading);
}

static int watch_close_scope(lua_State *L) {
  Watch *watch = lw_io_self(L);
  if (watch->handle.state == LW_IO_OPEN) lw_io_close(&watch->handle);
  return 0;
}

static int watch_tostring(lua_State *L) {
  Watch *watch = lw_io_self(L);
  lua_pushfstring(L, "<Watch %s %s>", watch->path, watch->handle.state == LW_IO_OPEN ? "open" : "closed");
  return 1;
}

void lw_open_fs_watch(lua_State *L, int loop_index) {
  static const luaL_Reg methods[] = {
      {"next", watch_next}, {"close", lw_io_close_method}, {"is_closing", lw_io_is_closing}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__call", watch_next}, {"__close", watch_close_scope}, {"__tostring", watch_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"watch", fs_watch}, {NULL, NULL}};
  lw_io_class(L, loop_index, &watch_class, methods, meta);
  lua_pop(L, 1);
  lw_setfuncs(L, loop_index, funcs);
}
