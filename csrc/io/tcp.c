#include "io/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "core/future.h"
#include "io/dns.h"
#include "io/pipe.h"
#include "io/stream.h"

/* ---- connecting ---- */

/* Raises what went wrong with the connection to the numeric address in the arguments; `host`, the option by that name,
 * is what the program asked for. */
static int connect_raise(lua_State *L, int status, const char *syscall) {
  lw_Address address = {0};
  lw_check_address(L, 1, &address);
  lw_push_address(L, &address);
  if (lw_option(L, 3, "host", LUA_TSTRING) != LUA_TNIL && !lua_rawequal(L, -1, 1))
    lua_pushfstring(L, "%s (%s)", lua_tostring(L, -1), lua_tostring(L, -2));
  else
    lua_pushvalue(L, -2);
  lw_error_push_os(L, status, syscall, NULL, lua_tostring(L, -1));
  lua_pushvalue(L, -4);
  lua_setfield(L, -2, "address");
  return lua_error(L);
}

/* The stream is on the top. */
static int connect_finish(lua_State *L, lw_Request *request) {
  lw_Stream *stream = LW_CONTAINER(request, lw_Stream, connecting);
  int err = request->status;
  if (err == 0) err = lw_stream_connected(stream);
  if (err == 0) return 1;
  lw_io_close(&stream->handle);
  return connect_raise(L, err, "connect");
}

static void connect_abandon(lw_Request *request) { lw_io_close(&LW_CONTAINER(request, lw_Stream, connecting)->handle); }

static void connect_describe(lua_State *L, const lw_Request *request) {
  const lw_Stream *stream = LW_CONTAINER(request, lw_Stream, connecting);
  lw_push_address(L, &stream->peer);
  lua_pushfstring(L, "a connection to %s", lua_tostring(L, -1));
  lua_remove(L, -2);
}

static void on_connect(uv_connect_t *req, int status) {
  lw_Stream *stream = req->handle->data;
  lw_request_done(stream->handle.loop, &stream->connecting, status);
}

/* The option `local_address`: binds to it, any port. */
static int bind_local(lua_State *L, lw_Stream *stream) {
  lw_Address address = {0};
  const char *host;
  lw_option(L, 3, "local_address", LUA_TSTRING);
  host = lua_tostring(L, -1);
  lua_pop(L, 1); /* the options hold it */
  if (host == NULL) return 0;
  if (!lw_parse_address(host, 0, &address))
    lw_argerror(L, 3, lua_pushfstring(L, "option 'local_address': numeric address expected, got '%s'", host));
  return uv_tcp_bind(&stream->uv.tcp, &address.any, 0);
}

/* connect(address, port, opts?): a Stream to a numeric address; opts.local_address, and opts.host for messages. Waits.
 * Raises OSError. A cancelled one leaves nothing behind. */
static int net_connect(lua_State *L) {
  static const lw_RequestClass cls = {connect_finish, connect_abandon, connect_describe};
  lw_Loop *loop = lw_loop(L);
  lw_Stream *stream;
  lw_Address address = {0};
  lw_Task *task;
  int err;
  lua_settop(L, 3);
  lw_check_address(L, 1, &address);
  lw_has_options(L, 3);
  task = lw_waiter(L, loop);
  stream = lw_stream_new(L, loop);
  stream->peer = address;
  stream->connecting.cls = &cls;
  uv_tcp_init(loop->uv, &stream->uv.tcp);
  lw_io_opened(&stream->handle, &stream->uv.handle);
  err = bind_local(L, stream);
  if (err != 0) {
    lw_io_close(&stream->handle);
    return connect_raise(L, err, "bind");
  }
  err = uv_tcp_connect(&stream->req.connect, &stream->uv.tcp, &address.any, on_connect);
  if (err != 0) {
    lw_io_close(&stream->handle);
    return connect_raise(L, err, "connect");
  }
  return lw_request_wait(L, task, &stream->connecting);
}

/* ---- listening ----
 *
 * A listener accepts, and calls a function of luawait.net with each stream. It is pinned while it is open; user value 1
 * is the function. */
typedef struct Listener {
  lw_IoHandle handle;
  uv_tcp_t uv;
  int paused;  /* a connection that comes is left to wait */
  int waiting; /* one does: libuv holds it, and looks for no further ones until it is accepted */
  int errors;  /* failures of the system's accept in a row */
} Listener;

enum { PATIENCE = 16 /* such failures until a listener gives up */ };

static void listener_leave(lw_IoHandle *handle) { (void)handle; }

static const lw_IoClass listener_class = {"server", lw_io_close, listener_leave, NULL};

/* Calls the listener's function with the stream (or nil) and the error (or nil) on the top; pops them. */
static void call_accepted(lua_State *L, Listener *listener) {
  lw_push_anchored(L, listener->handle.loop, listener->handle.slot);
  lua_getiuservalue(L, -1, 1);
  lua_replace(L, -2);
  lua_insert(L, -3);
  lua_call(L, 2, 0);
}

static void report_to_server(lua_State *L, Listener *listener, int err) {
  lua_pushnil(L);
  lw_error_push_os(L, err, "accept", NULL, NULL);
  call_accepted(L, listener);
}

/* Could another descriptor be had? If accept itself were to find that there is none, libuv would drop the connections
 * that wait; so the last one is left to wait until there is. */
static int out_of_descriptors(const Listener *listener) {
  uv_os_fd_t fd;
  int copy;
  if (uv_fileno((const uv_handle_t *)&listener->uv, &fd) != 0) return 0;
  copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy >= 0) close(copy);
  return copy < 0 && errno == EMFILE;
}

/* Accepts the connection that waits. Runs under lua_pcall; argument 1 is the listener. */
static int accept_waiting(lua_State *L) {
  Listener *listener = lua_touserdata(L, 1);
  lw_Loop *loop = listener->handle.loop;
  lw_Stream *stream;
  int err;
  if (out_of_descriptors(listener)) {
    listener->paused = 1;
    report_to_server(L, listener, UV_EMFILE);
    return 0;
  }
  stream = lw_stream_new(L, loop);
  uv_tcp_init(loop->uv, &stream->uv.tcp);
  lw_io_opened(&stream->handle, &stream->uv.handle);
  err = uv_accept((uv_stream_t *)&listener->uv, &stream->uv.stream);
  listener->waiting = 0;
  if (err == 0) err = lw_stream_connected(stream);
  if (err != 0) { /* the peer has gone again */
    lw_io_close(&stream->handle);
    return 0;
  }
  lua_pushnil(L);
  call_accepted(L, listener);
  return 0;
}

/* The same when accept fails. */
static int accept_failed(lua_State *L) {
  Listener *listener = lua_touserdata(L, 1);
  report_to_server(L, listener, (int)lua_tointeger(L, 2));
  return 0;
}

/* Lets no error through but one for want of memory. A connection that could not be accepted keeps waiting, and the
 * server is told, so that it tries again. */
static int guarded(lua_State *L) {
  Listener *listener = lua_touserdata(L, 2);
  lua_pushcfunction(L, lw_traceback);
  lua_insert(L, 1);
  if (lua_pcall(L, 2, 0, 1) == LUA_OK) return 0;
  if (listener->waiting)
    report_to_server(L, listener, UV_ENOMEM);
  else
    lw_report_error(L, listener->handle.loop, "error in accepting a connection");
  return 0;
}

/* Calls accept_waiting or accept_failed where no error may get through. */
static void protect(lua_State *L, lua_CFunction function, Listener *listener, int err) {
  if (L == NULL || !lua_checkstack(L, 8)) return;
  lua_pushcfunction(L, guarded);
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, listener);
  lua_pushinteger(L, err);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) lua_pop(L, 1);
}

static void on_connection(uv_stream_t *uv, int status) {
  Listener *listener = uv->data;
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

static int listen_raise(lua_State *L, Listener *listener, int err, const char *syscall) {
  lw_Address address = {0};
  if (listener->handle.state == LW_IO_OPEN) lw_io_close(&listener->handle);
  lw_check_address(L, 1, &address);
  lw_push_address(L, &address);
  lw_error_push_os(L, err, syscall, "address", lua_tostring(L, -1));
  return lua_error(L);
}

static int set_reuseport(Listener *listener) {
#ifdef SO_REUSEPORT
  uv_os_fd_t fd;
  int err = uv_fileno((const uv_handle_t *)&listener->uv, &fd);
  if (err != 0) return err;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) != 0 ? uv_translate_sys_error(errno) : 0;
#else
  (void)listener;
  return UV_ENOTSUP;
#endif
}

/* listen(address, port, backlog, reuseport, accepted): a listener on a numeric address that calls accepted(stream), or
 * accepted(nil, error) when it cannot accept for want of descriptors (it is paused then) or another reason. Raises
 * OSError. */
static int net_listen(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lw_Address address = {0};
  Listener *listener;
  lua_Integer backlog;
  int err;
  lua_settop(L, 5);
  lw_check_address(L, 1, &address);
  backlog = lw_check_integer(L, 3);
  if (backlog < 1 || backlog > INT32_MAX) lw_argerror(L, 3, "positive integer expected");
  lw_check_type(L, 5, LUA_TFUNCTION);
  listener = lw_io_new(L, loop, &listener_class, sizeof *listener, 1);
  lua_pushvalue(L, 5);
  lua_setiuservalue(L, -2, 1);
  err = uv_tcp_init_ex(loop->uv, &listener->uv, address.any.sa_family);
  if (err != 0) return listen_raise(L, listener, err, "socket");
  lw_io_opened(&listener->handle, (uv_handle_t *)&listener->uv);
  if (lua_toboolean(L, 4) && (err = set_reuseport(listener)) != 0) return listen_raise(L, listener, err, "setsockopt");
  err = uv_tcp_bind(&listener->uv, &address.any, 0);
  if (err != 0) return listen_raise(L, listener, err, "bind");
  lw_io_pin(L, &listener->handle, -1);
  err = uv_listen((uv_stream_t *)&listener->uv, (int)backlog, on_connection);
  if (err != 0) return listen_raise(L, listener, err, "listen");
  return 1;
}

/* listener:address(): host, port. Raises OSError. */
static int listener_address(lua_State *L) {
  Listener *listener = lw_io_open_self(L);
  lw_Address address = {0};
  char host[INET6_ADDRSTRLEN];
  int size = sizeof address, err = uv_tcp_getsockname(&listener->uv, &address.any, &size);
  if (err == 0) err = uv_ip_name(&address.any, host, sizeof host);
  if (err != 0) {
    lw_error_push_os(L, err, "getsockname", NULL, NULL);
    return lua_error(L);
  }
  lua_pushstring(L, host);
  lua_pushinteger(L, ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port : address.in.sin_port));
  return 2;
}

/* listener:pause(): further connections wait. */
static int listener_pause(lua_State *L) {
  Listener *listener = lw_io_self(L);
  listener->paused = 1;
  return 0;
}

/* listener:resume(): accepts again; also the one that waits. */
static int listener_resume(lua_State *L) {
  Listener *listener = lw_io_self(L);
  listener->paused = 0;
  if (listener->waiting && listener->handle.state == LW_IO_OPEN) protect(L, accept_waiting, listener, 0);
  return 0;
}

/* failure(task): the Failure of a task that failed; it counts as retrieved. */
static int net_failure(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  lw_Future *future = lw_to_future(L, loop, 1);
  if (future == NULL || lw_future_node(future)->state != LW_FAILED) lw_typeerror(L, 1, "failed task");
  lw_future_push_failure(L, loop, 1, future);
  return 1;
}

/* report(info): hands a table {message=, error=, traceback=, task=} to the exception handler. */
static int net_report(lua_State *L) {
  lw_check_type(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lw_report(L, lw_loop(L));
  return 0;
}

int lw_open_net(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {
      {"address", listener_address}, {"pause", listener_pause},        {"resume", listener_resume},
      {"close", lw_io_close_method}, {"is_closing", lw_io_is_closing}, {NULL, NULL},
  };
  static const luaL_Reg funcs[] = {
      {"connect", net_connect}, {"listen", net_listen}, {"failure", net_failure}, {"report", net_report}, {NULL, NULL}};
  lw_open_io(L, loop);
  lw_open_request(loop);
  lw_open_stream(L, loop_index, loop);
  lw_io_class(L, loop_index, &listener_class, methods, NULL);
  lua_pop(L, 1);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
  lw_open_pipe(L, loop_index);
  lw_open_dns(L, loop_index);
  return 1;
}
