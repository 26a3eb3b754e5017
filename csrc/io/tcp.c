#include "io/tcp.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "core/future.h"
#include "io/dns.h"
#include "io/listener.h"
#include "io/pipe.h"
#include "io/udp.h"
#include "io/unix.h"

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

/* is_numeric(text): is it a numeric address? */
static int net_is_numeric(lua_State *L) {
  lw_Address address = {0};
  size_t n;
  const char *text = lw_check_string(L, 1, &n);
  lua_pushboolean(L, strlen(text) == n && lw_parse_address(text, 0, &address));
  return 1;
}

/* The option `local_address`, at which luawait.net has looked: binds to it, any port. */
static int bind_local(lua_State *L, lw_Stream *stream) {
  lw_Address address = {0};
  const char *host;
  lw_option(L, 3, "local_address", LUA_TSTRING);
  host = lua_tostring(L, -1);
  lua_pop(L, 1); /* the options hold it */
  if (host == NULL) return 0;
  return lw_parse_address(host, 0, &address) ? uv_tcp_bind(&stream->uv.tcp, &address.any, 0) : UV_EINVAL;
}

/* Pushes a stream that libuv knows as a TCP connection to be. */
static lw_Stream *new_stream(lua_State *L, lw_Loop *loop) {
  lw_Stream *stream = lw_stream_new(L, loop);
  uv_tcp_init(loop->uv, &stream->uv.tcp);
  lw_io_opened(&stream->handle, &stream->uv.handle);
  return stream;
}

/* connect(address, port, opts?): a Stream to a numeric address; opts.local_address, and opts.host for messages. Waits.
 * Raises OSError. A cancelled one leaves nothing behind. */
static int net_connect(lua_State *L) {
  static const char *const known[] = {"host", "local_address", NULL};
  static const lw_RequestClass cls = {connect_finish, connect_abandon, connect_describe};
  lw_Loop *loop = lw_loop(L);
  lw_Stream *stream;
  lw_Address address = {0};
  lw_Task *task;
  int err;
  lua_settop(L, 3);
  lw_check_address(L, 1, &address);
  lw_check_options(L, 3, known);
  task = lw_waiter(L, loop);
  stream = new_stream(L, loop);
  stream->peer = address;
  stream->connecting.cls = &cls;
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

/* ---- listening ---- */

static int listen_raise(lua_State *L, lw_Listener *listener, int err, const char *syscall) {
  lw_Address address = {0};
  if (listener->handle.state == LW_IO_OPEN) lw_io_close(&listener->handle);
  lw_check_address(L, 1, &address);
  lw_push_address(L, &address);
  lw_error_push_os(L, err, syscall, "address", lua_tostring(L, -1));
  return lua_error(L);
}

static int set_reuseport(lw_Listener *listener) {
#ifdef SO_REUSEPORT
  uv_os_fd_t fd;
  int err = uv_fileno(&listener->uv.handle, &fd);
  if (err != 0) return err;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) != 0 ? uv_translate_sys_error(errno) : 0;
#else
  (void)listener;
  return UV_ENOTSUP;
#endif
}

/* listen(address, port, backlog, reuseport, accepted): a listener on a numeric address, see io/listener.h. Raises
 * OSError. */
static int net_listen(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lw_Address address = {0};
  lw_Listener *listener;
  int err, backlog;
  lua_settop(L, 5);
  lw_check_address(L, 1, &address);
  backlog = lw_check_backlog(L, 3);
  lw_check_type(L, 5, LUA_TFUNCTION);
  listener = lw_listener_new(L, loop, 5, new_stream);
  err = uv_tcp_init_ex(loop->uv, &listener->uv.tcp, address.any.sa_family);
  if (err != 0) return listen_raise(L, listener, err, "socket");
  lw_io_opened(&listener->handle, &listener->uv.handle);
  if (lua_toboolean(L, 4) && (err = set_reuseport(listener)) != 0) return listen_raise(L, listener, err, "setsockopt");
  err = uv_tcp_bind(&listener->uv.tcp, &address.any, 0);
  if (err != 0) return listen_raise(L, listener, err, "bind");
  err = lw_listener_listen(L, listener, backlog);
  if (err != 0) return listen_raise(L, listener, err, "listen");
  return 1;
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

void lw_open_net(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg funcs[] = {{"connect", net_connect}, {"is_numeric", net_is_numeric}, {"listen", net_listen},
                                   {"failure", net_failure}, {"report", net_report},         {NULL, NULL}};
  lw_open_io(L, loop);
  lw_open_request(loop);
  lw_open_stream(L, loop_index, loop);
  lw_open_listener(L, loop_index);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
  lw_open_pipe(L, loop_index);
  lw_open_unix(L, loop_index);
  lw_open_udp(L, loop_index, loop);
  lw_open_dns(L, loop_index);
}
