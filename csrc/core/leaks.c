/* What a test has left behind: open handles of libuv, callbacks to come, descriptors, futures that were never done.
 * Unfinished tasks are async.all_tasks(). */
#include <dirent.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/handle.h"
#include "core/testing.h"
#include "core/timers.h"

/* The registry holds the futures made by the test under the address of this: future -> "file:line:"; weak keys. */
static const char FUTURES = 0;

/* ---- futures ---- */

static void new_futures(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &FUTURES);
}

void lw_leaks_note_future(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &FUTURES);
  lua_pushvalue(L, -2);
  luaL_where(L, 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* forget_futures(): those made so far are no concern of the test that begins */
static int leaks_forget_futures(lua_State *L) {
  new_futures(L);
  return 0;
}

/* futures(): array of the places where those were made that are pending still, and are not garbage */
static int leaks_futures(lua_State *L) {
  lua_Integer n = 0;
  lua_settop(L, 0);
  lua_newtable(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &FUTURES);
  for (lua_pushnil(L); lua_next(L, 2);) {
    if (lw_future_done(lua_touserdata(L, -2)))
      lua_pop(L, 1);
    else
      lua_rawseti(L, 1, ++n);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- coroutines ---- */

/* coroutines(): how many there are that nobody has awaited; some may be garbage */
static int leaks_coroutines(lua_State *L) {
  lua_pushinteger(L, lw_loop(L)->coroutines);
  return 1;
}

/* ---- handles ---- */

static void add_line(lua_State *L, int list) { lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1); }

/* uv_walk may not be left by an error: the handles are counted, then noted, then described. */
typedef struct Walk {
  lw_Loop *loop;
  const uv_handle_t **handles; /* NULL: only count */
  size_t count;
} Walk;

/* An idle handle may stand for something else, such as an open file. NULL: for nothing that could be left behind. */
static const char *name_of(const lw_Loop *loop, const uv_handle_t *handle) {
  return handle->type == UV_IDLE ? loop->handle_name(loop, handle) : uv_handle_type_name(handle->type);
}

/* The loop's own have it as their data. */
static void note_handle(uv_handle_t *handle, void *arg) {
  Walk *walk = arg;
  if (handle->data == walk->loop || uv_is_closing(handle) || name_of(walk->loop, handle) == NULL) return;
  if (walk->handles != NULL) walk->handles[walk->count] = handle;
  walk->count++;
}

static void add_handles(lua_State *L, lw_Loop *loop) {
  Walk walk = {.loop = loop};
  size_t i;
  uv_os_fd_t fd;
  uv_walk(loop->uv, note_handle, &walk);
  walk.handles = lua_newuserdatauv(L, (walk.count + 1) * sizeof *walk.handles, 0);
  walk.count = 0;
  uv_walk(loop->uv, note_handle, &walk);
  for (i = 0; i < walk.count; i++) {
    const char *type = name_of(loop, walk.handles[i]);
    if (uv_fileno(walk.handles[i], &fd) == 0)
      lua_pushfstring(L, "%s handle, descriptor %d", type, (int)fd);
    else
      lua_pushfstring(L, "%s handle", type);
    add_line(L, 1);
  }
  lua_settop(L, 1);
}

/* A callback of call_soon, call_later or call_at; those of a future come with that. */
static void add_callback(lua_State *L, lw_Loop *loop, uint32_t slot) {
  lw_Handle *handle;
  lw_push_anchored(L, loop, slot);
  handle = lw_test(L, -1, loop->metatables[LW_REF_HANDLE]);
  if (handle != NULL && handle->timed.node.state == LW_WAITING && handle->future == NULL) {
    lua_getiuservalue(L, -1, 1);
    lw_push_function_name(L, -1, NULL);
    if (isnan(handle->when)) /* of call_soon */
      lua_pushfstring(L, "callback %s, due at once", lua_tostring(L, -1));
    else
      lua_pushfstring(L, "callback %s, due in %f s", lua_tostring(L, -1), handle->when - lw_seconds(loop));
    add_line(L, 1);
  }
  lua_settop(L, 1);
}

/* handles(): array of descriptions of the libuv handles that are open in the running loop, and of the callbacks to
 * come */
static int leaks_handles(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  uint32_t slot;
  lua_settop(L, 0);
  lua_newtable(L);
  add_handles(L, loop);
  for (slot = 1; slot <= loop->slots; slot++) add_callback(L, loop, slot);
  return 1;
}

/* ---- descriptors ---- */

/* Pushes what /proc tells of the open descriptor, or nothing of use. */
static void push_target(lua_State *L, int fd) {
  char path[64], target[512];
  ssize_t n;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  n = readlink(path, target, sizeof target);
  lua_pushlstring(L, target, n > 0 ? (size_t)n : 0);
}

/* libuv opens some for the whole process with its first loop: these are no test's. */
static void open_first_loop(void) {
  uv_loop_t uv;
  lw_fill_stdio();
  if (uv_loop_init(&uv) == 0) uv_loop_close(&uv);
}

/* Under lua_pcall, so that the directory is closed: 1 the table, 2 the directory. */
static int list_descriptors(lua_State *L) {
  DIR *directory = lua_touserdata(L, 2);
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    char *end;
    int fd = (int)strtol(entry->d_name, &end, 10);
    if (end == entry->d_name || fd == dirfd(directory)) continue; /* "." and "..", and what this reads */
    push_target(L, fd);
    lua_rawseti(L, 1, fd);
  }
  return 0;
}

/* descriptors(): table of the process' open descriptors, number -> what it is of, "" where the system does not tell.
 * Empty where there is neither /proc/self/fd nor /dev/fd. */
static int leaks_descriptors(lua_State *L) {
  DIR *directory;
  int status = LUA_OK;
  lua_settop(L, 0);
  lua_newtable(L);
  lua_pushcfunction(L, list_descriptors);
  lua_pushvalue(L, 1);
  open_first_loop();
  directory = opendir("/proc/self/fd");
  if (directory == NULL) directory = opendir("/dev/fd");
  if (directory == NULL) {
    lua_settop(L, 1);
    return 1;
  }
  lua_pushlightuserdata(L, directory);
  status = lua_pcall(L, 2, 0, 0);
  closedir(directory);
  return status == LUA_OK ? 1 : lua_error(L);
}

void lw_open_leaks(lua_State *L, int loop_index) {
  static const luaL_Reg funcs[] = {{"forget_futures", leaks_forget_futures}, {"futures", leaks_futures},
                                   {"coroutines", leaks_coroutines},         {"handles", leaks_handles},
                                   {"descriptors", leaks_descriptors},       {NULL, NULL}};
  new_futures(L);
  lw_setfuncs(L, loop_index, funcs);
}
