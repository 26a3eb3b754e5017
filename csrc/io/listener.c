#include "io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { PATIENCE = 16 /* failures of accept in a row until a listener gives up */ };

/* Removes the file of a Unix socket, unless it is another's by now. */
static void remove_file(lw_Listener *listener) {
  struct stat info;
  if (listener->path[0] == '\0') return;
  if (lstat(listener->path, &info) == 0 && info.st_dev == listener->dev && info.st_ino == listener->ino)
    unlink(listener->path);
  listener->path[0] = '\0';
}

static void listener_leave(lw_IoHandle *handle) { remove_file((lw_Listener *)handle); }

static const lw_IoClass listener_class = {"server", lw_io_close, listener_leave};

lw_Listener *lw_listener_new(lua_State *L, lw_Loop *loop, int accepted, lw_Stream *(*make)(lua_State *, lw_Loop *)) {
  lw_Listener *listener = lw_io_new(L, loop, &listener_class, sizeof *listener, 1);
  lua_pushvalue(L, accepted);
  lua_setiuservalue(L, -2, 1);
  listener->make = make;
  return listener;
}

/* Calls the listener's function with the stream (or nil) and the error (or nil) on the top; pops them. */
static void call_accepted(lua_State *L, lw_Listener *listener) {
  lw_push_anchored(L, listener->handle.loop, listener->handle.slot);
  lua_getiuservalue(L, -1, 1);
  lua_replace(L, -2);
  lua_insert(L, -3);
  lua_call(L, 2, 0);
}

static void report_to_server(lua_State *L, lw_Listener *listener, int err) {
  lua_pushnil(L);
  lw_error_push_os(L, err, "accept", NULL, NULL);
  call_accepted(L, listener);
}

/* Could another descriptor be had? If accept itself were to find that there is none, libuv would drop the connections
 * that wait; so the last one is left to wait until there is. */
static int out_of_descriptors(const lw_Listener *listener) {
  uv_os_fd_t fd;
  int copy;
  if (uv_fileno(&listener->uv.handle, &fd) != 0) return 0;
  copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy >= 0) close(copy);
  return copy < 0 && errno == EMFILE;
}

/* Accepts the connection that waits. Runs under lua_pcall; argument 1 is the listener. */
static int accept_waiting(lua_State *L) {
  lw_Listener *listener = lua_touserdata(L, 1);
  lw_Stream *stream;
  int err;
  if (out_of_descriptors(listener)) {
    listener->paused = 1;
    report_to_server(L, listener, UV_EMFILE);
    return 0;
  }
  stream = listener->make(L, listener->handle.loop);
  err = uv_accept(&listener->uv.stream, &stream->uv.stream);
  listener->waiting = 0;
  if (err == 0) err = lw_stream_connected(stream);
  if (err != 0) { /* the peer has gone again */
    lw_io_close(&stream->handle);
    return 0;
  }
  listener->handed = stream;
  lua_pushnil(L);
  call_accepted(L, listener);
  listener->handed = NULL;
  return 0;
}

/* The same when accept fails. */
static int accept_failed(lua_State *L) {
  lw_Listener *listener = lua_touserdata(L, 1);
  report_to_server(L, listener, (int)lua_tointeger(L, 2));
  return 0;
}

/* Lets no error through but one for want of memory. A connection that could not be accepted keeps waiting, and the
 * server is told, so that it tries again; one that could not be handed over is closed at once, not by the collector. */
static int guarded(lua_State *L) {
  lw_Listener *listener = lua_touserdata(L, 2);
  lua_pushcfunction(L, lw_traceback);
  lua_insert(L, 1);
  if (lua_pcall(L, 2, 0, 1) == LUA_OK) return 0;
  if (listener->handed != NULL) lw_io_close(&listener->handed->handle);
  listener->handed = NULL;
  if (listener->waiting)
    report_to_server(L, listener, UV_ENOMEM);
  else
    lw_report_error(L, listener->handle.loop, "error in accepting a connection");
  return 0;
}

/* Calls accept_waiting or accept_failed where no error may get through. */
static void protect(lua_State *L, lua_CFunction function, lw_Listener *listener, int err) {
  if (L == NULL || !lua_checkstack(L, 8)) return;
  lua_pushcfunction(L, guarded);
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, listener);
  lua_pushinteger(L, err);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) lua_pop(L, 1);
}

static void on_connection(uv_stream_t *uv, int status) {
  lw_Listener *listener = uv->data;
  lua_State *L = listener->handle.loop->L;
  if (status < 0) { /* libuv will ask again at once */
    if (++listener->errors == 1) protect(L, accept_failed, listener, status);
    if (listener->errors >= PATIENCE) lw_io_close(&listener->handle);
    return;
  }
  listener->errors = 0;
  listener->waiting = 1;
  if (!listener->paused && listener->handle.loop->last_ending == 0) protect(L, accept_waiting, listener, 0);
}

int lw_listener_listen(lua_State *L, lw_Listener *listener, int backlog) {
  lw_io_pin(L, &listener->handle, -1);
  return uv_listen(&listener->uv.stream, backlog, on_connection);
}

int lw_check_backlog(lua_State *L, int arg) {
  lua_Integer backlog = lw_check_integer(L, arg);
  if (backlog < 1 || backlog > INT32_MAX) lw_argerror(L, arg, "positive integer expected");
  return (int)backlog;
}

/* listener:address(): host, port; or the path of a Unix socket. Raises OSError. */
static int listener_address(lua_State *L) {
  lw_Listener *listener = lw_io_open_self(L);
  lw_Address address = {0};
  uv_os_fd_t fd;
  int size = sizeof address, err = uv_fileno(&listener->uv.handle, &fd);
  if (err == 0 && listener->uv.handle.type == UV_NAMED_PIPE) return lw_push_socket_path(L, fd, LW_THIS_END);
  if (err == 0) err = uv_tcp_getsockname(&listener->uv.tcp, &address.any, &size);
  if (err == 0) return lw_push_host_and_port(L, &address);
  lw_error_push_os(L, err, "getsockname", NULL, NULL);
  return lua_error(L);
}

/* listener:pause(): further connections wait. */
static int listener_pause(lua_State *L) {
  lw_Listener *listener = lw_io_self(L);
  listener->paused = 1;
  return 0;
}

/* listener:resume(): accepts again; also the one that waits. */
static int listener_resume(lua_State *L) {
  lw_Listener *listener = lw_io_self(L);
  listener->paused = 0;
  if (listener->waiting && listener->handle.state == LW_IO_OPEN) protect(L, accept_waiting, listener, 0);
  return 0;
}

void lw_open_listener(lua_State *L, int loop_index) {
  static const luaL_Reg methods[] = {
      {"address", listener_address}, {"pause", listener_pause},        {"resume", listener_resume},
      {"close", lw_io_close_method}, {"is_closing", lw_io_is_closing}, {NULL, NULL},
  };
  lw_io_class(L, loop_index, &listener_class, methods, NULL);
  lua_pop(L, 1);
}
