#include "io/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "io/listener.h"
#include "io/pipe.h"

/* libuv 1.44 cuts long paths short, knows no abstract names, and cannot tell a stale file: so sockets are bound and
 * connected here, and handed to it then. None of these calls blocks. */
typedef struct Name {
  struct sockaddr_un address;
  socklen_t size;
} Name;

static int is_abstract(const Name *name) { return name->address.sun_path[0] == '\0'; }

/* Raises what went wrong with the path in argument 1. */
static int unix_raise(lua_State *L, int err, const char *syscall) {
  size_t n;
  const char *path = lua_tolstring(L, 1, &n);
  lw_push_path(L, path, n);
  lw_error_push_os(L, err, syscall, NULL, lua_tostring(L, -1));
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "path");
  return lua_error(L);
}

/* The path in argument 1, which luawait.net has looked at: of a file, or (Linux) an abstract name, which begins with a
 * zero. */
static Name check_name(lua_State *L, const char *syscall) {
  Name name = {.address.sun_family = AF_UNIX};
  size_t n;
  const char *path = lw_check_string(L, 1, &n);
  if (n >= sizeof name.address.sun_path) unix_raise(L, UV_ENAMETOOLONG, syscall);
  memcpy(name.address.sun_path, path, n);
  name.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !is_abstract(&name));
  return name;
}

static int system_error(void) { return uv_translate_sys_error(errno); }

/* Returns a descriptor, or an error of libuv's. */
static int new_socket(void) {
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
#endif
  return fd < 0 ? system_error() : fd;
}

/* Returns a descriptor, or an error of libuv's: UV_EAGAIN when the server's backlog is full. */
static int connected_socket(const Name *name) {
  int err, fd = new_socket();
  if (fd < 0 || connect(fd, (const struct sockaddr *)&name->address, name->size) == 0) return fd;
  err = system_error();
  close(fd);
  return err;
}

/* connect_unix(path): a Stream, or nil when the server's backlog is full. Raises OSError. */
static int net_connect_unix(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  Name name = check_name(L, "connect");
  size_t n;
  const char *path = lua_tolstring(L, 1, &n);
  lw_Stream *stream = lw_pipe_new_to(L, loop, path, n);
  int fd = connected_socket(&name), err = fd < 0 ? fd : lw_pipe_open(stream, fd);
  if (err == 0) return 1;
  lw_io_close(&stream->handle);
  if (err != UV_EAGAIN) return unix_raise(L, err, "connect");
  lua_pushnil(L);
  return 1;
}

/* ---- listening ---- */

/* Is there a socket at the path on which nobody listens? */
static int is_stale(const Name *name) {
  struct stat info;
  int fd;
  if (is_abstract(name) || lstat(name->address.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return 0;
  fd = connected_socket(name);
  if (fd >= 0) close(fd);
  return fd == UV_ECONNREFUSED;
}

static int bind_once(int fd, const Name *name) {
  return bind(fd, (const struct sockaddr *)&name->address, name->size) == 0 ? 0 : system_error();
}

/* Binds the socket; in the place of a stale one if need be. Returns 0 or an error of libuv's. */
static int bind_socket(int fd, const Name *name) {
  int err = bind_once(fd, name);
  if (err != UV_EADDRINUSE || !is_stale(name) || unlink(name->address.sun_path) != 0) return err;
  return bind_once(fd, name);
}

/* The file is the listener's: to be removed when that is closed. */
static void own_file(lw_Listener *listener, const Name *name) {
  struct stat info;
  if (is_abstract(name) || lstat(name->address.sun_path, &info) != 0) return;
  memcpy(listener->path, name->address.sun_path, sizeof listener->path);
  listener->dev = info.st_dev;
  listener->ino = info.st_ino;
}

/* Binds the listener, which libuv knows. Returns 0 or an error of libuv's. */
static int bind_listener(lw_Listener *listener, const Name *name) {
  int err, fd = new_socket();
  if (fd < 0) return fd;
  err = bind_socket(fd, name);
  if (err == 0) {
    own_file(listener, name);
    err = uv_pipe_open(&listener->uv.pipe, fd);
  }
  if (err != 0) close(fd);
  return err;
}

/* listen_unix(path, backlog, accepted): a listener, see io/listener.h. Raises OSError. */
static int net_listen_unix(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  Name name = check_name(L, "bind");
  int err, backlog = lw_check_backlog(L, 2);
  lw_Listener *listener;
  lw_check_type(L, 3, LUA_TFUNCTION);
  lua_settop(L, 3);
  listener = lw_listener_new(L, loop, 3, lw_pipe_new);
  uv_pipe_init(loop->uv, &listener->uv.pipe, 0);
  lw_io_opened(&listener->handle, &listener->uv.handle);
  err = bind_listener(listener, &name);
  if (err == 0) err = lw_listener_listen(L, listener, backlog);
  if (err == 0) return 1;
  lw_io_close(&listener->handle);
  return unix_raise(L, err, "bind");
}

void lw_open_unix(lua_State *L, int loop_index) {
  static const luaL_Reg funcs[] = {{"connect_unix", net_connect_unix}, {"listen_unix", net_listen_unix}, {NULL, NULL}};
  lw_setfuncs(L, loop_index, funcs);
}
