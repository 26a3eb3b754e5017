#include "io/stream.h"

#include <lauxlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/error.h"
#include "io/source.h"

static int is_tcp(const lw_Stream *stream) { return stream->uv.handle.type == UV_TCP; }

/* ---- life ---- */

static void stream_leave(lw_IoHandle *handle) {
  lw_Stream *stream = (lw_Stream *)handle;
  lw_stream_stop_reading(stream);
  lw_source_leave(stream);
  lw_buffer_free(&stream->in, &handle->io->slabs);
  lw_stream_wake_reader(stream);
  lw_stream_wake_writers(stream);
}

/* What was written will still be sent. */
static void close_stream(lw_IoHandle *handle) {
  if (!lw_stream_unsent((lw_Stream *)handle)) {
    lw_io_close(handle);
    return;
  }
  handle->state = LW_IO_ENDING;
  stream_leave(handle);
}

static const lw_IoClass stream_class = {"stream", close_stream, stream_leave};

lw_Stream *lw_stream_new_to(lua_State *L, lw_Loop *loop, const char *path, size_t n) {
  lw_Stream *stream = lw_io_new(L, loop, &stream_class, sizeof *stream + n, 0);
  memcpy(stream->path, path, n);
  stream->path_length = (uint8_t)n;
  stream->fd = -1;
  stream->drained.stream = stream->flushed.stream = stream->ended.stream = stream->leaving.stream = stream;
  stream->leaving.closes = 1;
  return stream;
}

lw_Stream *lw_stream_new(lua_State *L, lw_Loop *loop) { return lw_stream_new_to(L, loop, "", 0); }

static int tcp_connected(lw_Stream *stream) {
  int size = sizeof stream->peer;
  uv_tcp_nodelay(&stream->uv.tcp, 1);
  return uv_tcp_getpeername(&stream->uv.tcp, &stream->peer.any, &size);
}

static int is_socket(uv_os_fd_t fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

int lw_stream_connected(lw_Stream *stream) {
  int err = uv_fileno(&stream->uv.handle, &stream->fd);
  if (err != 0) return err;
  stream->socket = is_tcp(stream) || is_socket(stream->fd);
#ifdef SO_NOSIGPIPE
  if (stream->socket) setsockopt(stream->fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
  if (is_tcp(stream)) return tcp_connected(stream);
  if (!uv_is_writable(&stream->uv.stream)) stream->shut = LW_READ_ONLY;
  return 0;
}

/* ---- names and errors ---- */

static const char *kind_of(const lw_Stream *stream) {
  if (stream->file) return "file";
  switch (stream->uv.handle.type) {
    case UV_TCP:
      return "tcp";
    case UV_TTY:
      return "tty";
    default:
      return "pipe";
  }
}

void lw_stream_push_peer(lua_State *L, const lw_Stream *stream) {
  if (is_tcp(stream))
    lw_push_address(L, &stream->peer);
  else if (stream->path_length > 0)
    lw_push_path(L, stream->path, stream->path_length);
  else
    lua_pushfstring(L, "a %s", kind_of(stream));
}

int lw_stream_raise(lua_State *L, const lw_Stream *stream, int status, const char *syscall) {
  const char *field = is_tcp(stream) ? "address" : stream->path_length > 0 ? "path" : NULL;
  lw_stream_push_peer(L, stream);
  lw_error_push_os(L, status, syscall, field, lua_tostring(L, -1));
  return lua_error(L);
}

/* ---- Lua-visible ---- */

/* stream:abort(): closes at once: what is queued is not sent, and a TCP connection is reset. Never waits; twice is
 * fine, also after close(). After TCP's ABORT (RFC 9293, 3.10.5). */
static int stream_abort(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  if (stream->handle.state != LW_IO_OPEN && stream->handle.state != LW_IO_ENDING) return 0;
  if (is_tcp(stream))
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  lw_io_close(&stream->handle);
  return 0;
}

/* stream:peername(): host (a numeric address), port of the other end; of a Unix socket its path, if it has one; also of
 * a closed stream, but for the path of a client. Nothing for other pipes and terminals. */
static int stream_peername(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  if (stream->path_length > 0) {
    lua_pushlstring(L, stream->path, stream->path_length);
    return 1;
  }
  if (!is_tcp(stream)) return stream->handle.state == LW_IO_OPEN ? lw_push_socket_path(L, stream->fd, LW_OTHER_END) : 0;
  return lw_push_host_and_port(L, &stream->peer);
}

/* stream:sockname(): as peername, of this end. Raises OSError. */
static int stream_sockname(lua_State *L) {
  lw_Stream *stream = lw_io_open_self(L);
  lw_Address address = {0};
  int size = sizeof address, err;
  if (!is_tcp(stream)) return lw_push_socket_path(L, stream->fd, LW_THIS_END);
  err = uv_tcp_getsockname(&stream->uv.tcp, &address.any, &size);
  if (err != 0) return lw_stream_raise(L, stream, err, "getsockname");
  return lw_push_host_and_port(L, &address);
}

/* `self`, an open TCP connection, for the method `name`. */
static lw_Stream *tcp_self(lua_State *L, const char *name) {
  lw_Stream *stream = lw_io_open_self(L);
  if (!is_tcp(stream))
    lw_error_raise(L, LW_RUNTIME_ERROR, "%s is for TCP connections, this is a %s", name, kind_of(stream));
  return stream;
}

/* stream:set_nodelay(enable): sends small writes at once (true, which every stream starts with) or collects them.
 * Raises OSError; RuntimeError for a pipe. */
static int stream_set_nodelay(lua_State *L) {
  lw_Stream *stream = tcp_self(L, "set_nodelay");
  int err;
  lw_check_type(L, 2, LUA_TBOOLEAN);
  err = uv_tcp_nodelay(&stream->uv.tcp, lua_toboolean(L, 2));
  return err != 0 ? lw_stream_raise(L, stream, err, "setsockopt") : 0;
}

/* stream:set_keepalive(enable, delay?): has the system probe a silent peer after `delay` seconds (60; whole seconds, 1
 * at least), so that one that has vanished becomes an error. Raises OSError; RuntimeError for a pipe. */
static int stream_set_keepalive(lua_State *L) {
  lw_Stream *stream = tcp_self(L, "set_keepalive");
  lua_Number delay;
  int err;
  lw_check_type(L, 2, LUA_TBOOLEAN);
  delay = lua_isnoneornil(L, 3) ? 60 : lw_check_number(L, 3);
  if (!(delay >= 1 && delay <= 32767)) lw_argerror(L, 3, "seconds from 1 to 32767 expected");
  err = uv_tcp_keepalive(&stream->uv.tcp, lua_toboolean(L, 2), (unsigned)delay);
  return err != 0 ? lw_stream_raise(L, stream, err, "setsockopt") : 0;
}

static void set_count(lua_State *L, const char *key, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, key);
}

/* stream:statistics(): a table of bytes_read (from the system), bytes_written (by the program), buffered (read, not
 * asked for yet), queued (written, not taken by the system yet), readers and writers (tasks that wait). */
static int stream_statistics(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  int known = stream->handle.state == LW_IO_OPEN || stream->handle.state == LW_IO_ENDING;
  lua_createtable(L, 0, 6);
  set_count(L, "bytes_read", stream->bytes_read);
  set_count(L, "bytes_written", stream->bytes_written);
  set_count(L, "buffered", lw_buffer_length(&stream->in));
  set_count(L, "queued", known ? uv_stream_get_write_queue_size(&stream->uv.stream) : 0);
  set_count(L, "readers", stream->reader != NULL);
  set_count(L, "writers",
            lw_list_count(&stream->drained.tasks) + lw_list_count(&stream->flushed.tasks) +
                lw_list_count(&stream->ended.tasks) + lw_list_count(&stream->leaving.tasks));
  return 1;
}

/* Leaving a scope well waits for what was written; leaving it with an error closes at once, as close() does. */
static int stream_close_scope(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  if (stream->handle.state != LW_IO_OPEN) return 0;
  if (lua_isnoneornil(L, 2)) return lw_stream_flush_and_close(L, stream);
  close_stream(&stream->handle);
  return 0;
}

static int stream_tostring(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  lw_Address address = {0};
  int size = sizeof address;
  if (stream->handle.state != LW_IO_OPEN) {
    lua_pushfstring(L, "<Stream %s %s>", kind_of(stream), stream->handle.state == LW_IO_CLOSED ? "closed" : "closing");
  } else if (is_tcp(stream)) {
    uv_tcp_getsockname(&stream->uv.tcp, &address.any, &size);
    lw_push_address(L, &address);
    lw_push_address(L, &stream->peer);
    lua_pushfstring(L, "<Stream tcp %s -> %s open>", lua_tostring(L, -2), lua_tostring(L, -1));
  } else if (stream->path_length > 0) {
    lw_push_path(L, stream->path, stream->path_length);
    lua_pushfstring(L, "<Stream pipe -> %s open>", lua_tostring(L, -1));
  } else {
    lua_pushfstring(L, "<Stream %s open>", kind_of(stream));
  }
  return 1;
}

void lw_open_stream(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {
      {"close", lw_io_close_method},           {"is_closing", lw_io_is_closing},  {"abort", stream_abort},
      {"peername", stream_peername},           {"sockname", stream_sockname},     {"set_nodelay", stream_set_nodelay},
      {"set_keepalive", stream_set_keepalive}, {"statistics", stream_statistics}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__close", stream_close_scope}, {"__tostring", stream_tostring}, {NULL, NULL}};
  lw_open_stream_read(loop);
  lw_open_stream_write(loop);
  lw_io_class(L, loop_index, &stream_class, methods, meta);
  lw_add_methods(L, loop_index, lw_stream_read_methods);
  lw_add_methods(L, loop_index, lw_stream_write_methods);
  lua_pop(L, 1);
}
