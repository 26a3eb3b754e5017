#include "io/stream.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <stdint.h>

#include "base/error.h"
#include "io/source.h"

enum {
  HIGH_WATER = 256 * 1024, /* of the buffer while nobody reads */
  LINE_LIMIT = 64 * 1024,  /* of read_line, read_until and lines, unless the caller sets one */
  WORTH_ADOPTING = 4096    /* from so many bytes on a slab is kept instead of copied */
};

/* ---- wishes ---- */

static int find_separator(lw_Stream *stream) {
  lw_Wish *wish = &stream->wish;
  size_t have = lw_buffer_length(&stream->in);
  ptrdiff_t at = lw_buffer_find(&stream->in, wish->scanned, wish->sep, wish->sep_length);
  if (at != LW_NOT_FOUND) {
    wish->scanned = wish->found = (size_t)at;
    return 1;
  }
  if (have >= wish->sep_length) wish->scanned = have - wish->sep_length + 1;
  return 0;
}

/* The length of the line that ends before byte `end`: a CR before the LF is part of the line end. */
static size_t line_length(const lw_Stream *stream, size_t end) {
  return end > 0 && lw_buffer_data(&stream->in)[end - 1] == '\r' ? end - 1 : end;
}

/* Do `length` bytes without (or before) a separator pass the limit? */
static int overrun(const lw_Stream *stream, size_t length) {
  const lw_Wish *wish = &stream->wish;
  return (wish->kind == LW_LINE ? line_length(stream, length) : length) > wish->n;
}

/* Can the wish be granted, or can it never be? */
static int settled(lw_Stream *stream) {
  const lw_Wish *wish = &stream->wish;
  size_t have = lw_buffer_length(&stream->in);
  switch (wish->kind) {
    case LW_SOME:
      return have > 0 || stream->read_status != 0;
    case LW_EXACTLY:
      return have >= wish->n || stream->read_status != 0;
    case LW_ALL:
      return have > wish->n || stream->read_status != 0;
    default:
      return find_separator(stream) || stream->read_status != 0 || overrun(stream, wish->scanned);
  }
}

static int push_bytes(lua_State *L, lw_Stream *stream, size_t n, size_t dropped) {
  lua_pushlstring(L, n > 0 ? lw_buffer_data(&stream->in) : "", n);
  if (n + dropped > 0) lw_buffer_consume(&stream->in, &stream->handle.io->slabs, n + dropped);
  return 1;
}

static int push_end(lua_State *L) {
  lua_pushnil(L);
  return 1;
}

/* The end of the stream came first: what there is goes with the error. */
static int raise_incomplete(lua_State *L, lw_Stream *stream) {
  const lw_Wish *wish = &stream->wish;
  lua_Integer have = (lua_Integer)lw_buffer_length(&stream->in);
  if (wish->kind == LW_EXACTLY)
    lw_error_push(L, LW_INCOMPLETE_READ_ERROR, "the stream ended after %I of %I bytes", have, (lua_Integer)wish->n);
  else
    lw_error_push(L, LW_INCOMPLETE_READ_ERROR, "the stream ended after %I bytes without the separator", have);
  if (wish->kind == LW_EXACTLY) {
    lua_pushinteger(L, (lua_Integer)wish->n);
    lua_setfield(L, -2, "expected");
  }
  push_bytes(L, stream, (size_t)have, 0);
  lua_setfield(L, -2, "partial");
  return lua_error(L);
}

/* The bytes stay in the buffer. */
static int raise_overrun(lua_State *L, const lw_Stream *stream) {
  const lw_Wish *wish = &stream->wish;
  static const char *const what[] = {
      [LW_UNTIL] = "what precedes the separator", [LW_LINE] = "a line", [LW_ALL] = "the rest"};
  lw_error_push(L, LW_LIMIT_OVERRUN_ERROR, "%s is longer than %I bytes", what[wish->kind], (lua_Integer)wish->n);
  lua_pushinteger(L, (lua_Integer)wish->n);
  lua_setfield(L, -2, "limit");
  return lua_error(L);
}

/* The wish is settled, and no separator or too few bytes came before the end or an error. */
static int end_of_stream(lua_State *L, lw_Stream *stream) {
  size_t have = lw_buffer_length(&stream->in);
  if (stream->read_status != UV_EOF) return lw_stream_raise(L, stream, stream->read_status, "read");
  switch (stream->wish.kind) {
    case LW_SOME:
      return push_end(L);
    case LW_LINE:
      return have > 0 ? push_bytes(L, stream, have, 0) : push_end(L);
    case LW_ALL:
      return push_bytes(L, stream, have, 0);
    default:
      return raise_incomplete(L, stream);
  }
}

static int grant_separated(lua_State *L, lw_Stream *stream) {
  lw_Wish *wish = &stream->wish;
  size_t line;
  if (!find_separator(stream))
    return overrun(stream, wish->scanned) ? raise_overrun(L, stream) : end_of_stream(L, stream);
  if (overrun(stream, wish->found)) return raise_overrun(L, stream);
  if (wish->kind == LW_UNTIL) return push_bytes(L, stream, wish->found + wish->sep_length, 0);
  line = line_length(stream, wish->found);
  return push_bytes(L, stream, line, wish->found + 1 - line);
}

/* Pushes what the settled wish gets, or raises. */
static int grant(lua_State *L, lw_Stream *stream) {
  const lw_Wish *wish = &stream->wish;
  size_t have = lw_buffer_length(&stream->in);
  switch (wish->kind) {
    case LW_SOME:
      return have > 0 ? push_bytes(L, stream, have < wish->n ? have : wish->n, 0) : end_of_stream(L, stream);
    case LW_EXACTLY:
      return have >= wish->n ? push_bytes(L, stream, wish->n, 0) : end_of_stream(L, stream);
    case LW_ALL:
      return have > wish->n ? raise_overrun(L, stream) : end_of_stream(L, stream);
    default:
      return grant_separated(L, stream);
  }
}

/* ---- what libuv calls ---- */

/* Does the reader want so much that reads had better go into its buffer directly? */
static int wants_much(const lw_Stream *stream) {
  const lw_Wish *wish = &stream->wish;
  size_t have = lw_buffer_length(&stream->in);
  if (stream->reader == NULL || stream->woken || have == 0) return 0;
  return wish->kind == LW_ALL || (wish->kind == LW_EXACTLY && wish->n - have >= LW_SLAB);
}

/* The reader has enough and shall have its turn, before libuv goes on reading. */
static int declines(const lw_Stream *stream) { return stream->woken && lw_buffer_length(&stream->in) >= LW_SLAB; }

static void on_alloc(uv_handle_t *uv, size_t suggested, uv_buf_t *block) {
  lw_Stream *stream = uv->data;
  lw_Slabs *slabs = &stream->handle.io->slabs;
  lw_Buffer *in = &stream->in;
  (void)suggested;
  *block = uv_buf_init(NULL, 0);
  stream->direct = 0;
  if (declines(stream)) return;
  if (wants_much(stream) && lw_buffer_reserve(in, slabs, LW_SLAB) == 0) {
    size_t room = in->size - in->end;
    stream->direct = 1;
    *block = uv_buf_init(in->base + in->end, room < INT32_MAX ? (unsigned)room : INT32_MAX);
  } else if ((block->base = lw_slab_take(slabs)) != NULL) {
    block->len = LW_SLAB;
  }
}

/* Puts `n` bytes of the block into the buffer and lets go of the block. Returns -1 without memory. */
static int take(lw_Stream *stream, const uv_buf_t *block, size_t n) {
  lw_Slabs *slabs = &stream->handle.io->slabs;
  lw_Buffer *in = &stream->in;
  int result;
  if (stream->direct) {
    in->end += n;
    return 0;
  }
  if (n >= WORTH_ADOPTING && lw_buffer_length(in) == 0 && stream->reader != NULL) {
    lw_buffer_adopt(in, slabs, block->base, n);
    return 0;
  }
  result = lw_buffer_append(in, slabs, block->base, n);
  lw_slab_give(slabs, block->base);
  return result;
}

/* libuv tells of an end, where the socket is hung up after some data, without reading once more: after a reset as well.
 */
static int end_status(const lw_Stream *stream) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error == 0) return UV_EOF;
  return uv_translate_sys_error(error);
}

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *block) {
  lw_Stream *stream = uv->data;
  if (n > 0) {
    stream->bytes_read += (uint64_t)n;
    if (take(stream, block, (size_t)n) != 0) stream->read_status = UV_ENOMEM;
  } else {
    if (block->base != NULL && !stream->direct) lw_slab_give(&stream->handle.io->slabs, block->base);
    if (n == 0) return;
    if (n == UV_ENOBUFS && block->base == NULL) {
      if (declines(stream)) return;
      n = UV_ENOMEM;
    }
    stream->read_status = n == UV_EOF ? end_status(stream) : (int)n;
  }
  if (stream->reader != NULL && !stream->woken && settled(stream)) lw_stream_wake_reader(stream);
  if (stream->read_status != 0 || (stream->reader == NULL && lw_buffer_length(&stream->in) >= HIGH_WATER))
    lw_stream_stop_reading(stream);
}

void lw_stream_take_in(lw_Stream *stream, ssize_t n, const uv_buf_t *slab) {
  stream->direct = 0;
  on_read(&stream->uv.stream, n, slab);
}

void lw_stream_stop_reading(lw_Stream *stream) {
  if (!stream->reading) return;
  stream->reading = 0;
  if (!stream->file) uv_read_stop(&stream->uv.stream);
}

static int start_reading(lw_Stream *stream) {
  int err;
  if (stream->reading) return 0;
  err = stream->file ? lw_source_start(stream->source) : uv_read_start(&stream->uv.stream, on_alloc, on_read);
  stream->reading = err == 0;
  return err;
}

void lw_stream_wake_reader(lw_Stream *stream) {
  if (stream->reader == NULL || stream->woken) return;
  stream->woken = 1;
  lw_wake(stream->handle.loop, stream->reader);
}

/* ---- the wait ---- */

static void read_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  lw_Stream *stream = on;
  (void)loop, (void)task;
  stream->reader = NULL;
  stream->woken = 0;
}

static int read_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L;
  read_hand_on(loop, task, on);
  return 0;
}

static int read_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  lw_Stream *stream = on;
  (void)wake;
  read_hand_on(stream->handle.loop, task, on);
  if (LW_UNLIKELY(stream->handle.state != LW_IO_OPEN)) return lw_io_raise_closed(L, &stream->handle);
  return grant(L, stream);
}

static void read_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Stream *stream = on;
  (void)loop;
  lw_stream_push_peer(L, stream);
  lua_pushfstring(L, "data from %s (%I bytes so far)", lua_tostring(L, -1), (lua_Integer)lw_buffer_length(&stream->in));
  lua_remove(L, -2);
}

/* The stream whose turn to be read it is. */
static void check_readable(lua_State *L, const lw_Stream *stream) {
  if (LW_UNLIKELY(stream->handle.state != LW_IO_OPEN)) lw_io_raise_closed(L, &stream->handle);
  if (LW_UNLIKELY(stream->reader != NULL))
    lw_error_raise(L, LW_RUNTIME_ERROR, "another task is reading from this stream already");
}

static int readable(const lw_Stream *stream) {
  if (stream->file) return (fcntl(stream->fd, F_GETFL, 0) & O_ACCMODE) != O_WRONLY;
  return uv_is_readable(&stream->uv.stream);
}

static int fulfil(lua_State *L, lw_Stream *stream, lw_Wish wish) {
  lw_Task *task;
  int err;
  check_readable(L, stream);
  stream->wish = wish;
  if (settled(stream)) return grant(L, stream);
  if (LW_UNLIKELY(!stream->reading && !readable(stream)))
    lw_error_raise(L, LW_RUNTIME_ERROR, "the stream is for writing only");
  task = lw_waiter(L, stream->handle.loop);
  err = start_reading(stream);
  if (LW_UNLIKELY(err != 0)) return lw_stream_raise(L, stream, err, "read");
  stream->streak = 0;
  stream->reader = task;
  return lw_park(L, stream->handle.loop, task, LW_WAIT_READ, stream);
}

/* ---- Lua-visible ---- */

/* The count of bytes at `arg`, 1 or more; `missing` if there is none (0: it must be there). */
static size_t check_count(lua_State *L, int arg, size_t missing) {
  lua_Integer n;
  if (missing != 0 && lua_isnoneornil(L, arg)) return missing;
  n = lw_check_integer(L, arg);
  if (n < 1) lw_argerror(L, arg, lua_pushfstring(L, "positive integer expected, got %I", n));
  return (size_t)n;
}

static lw_Wish line_wish(size_t limit) { return (lw_Wish){.kind = LW_LINE, .n = limit, .sep = "\n", .sep_length = 1}; }

/* stream:read(n?): the bytes that are there, at most `n` of them, as a string; waits while there are none. nil at the
 * end of the stream. Raises OSError. A cancelled read loses nothing: the bytes stay in the stream. After asyncio's
 * StreamReader. */
static int stream_read(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  return fulfil(L, stream, (lw_Wish){.kind = LW_SOME, .n = check_count(L, 2, SIZE_MAX)});
}

/* stream:read_exactly(n): the next `n` bytes; waits until all are there. Raises OSError, or IncompleteReadError
 * (partial, expected) when the stream ends before. A cancelled one loses nothing. */
static int stream_read_exactly(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  return fulfil(L, stream, (lw_Wish){.kind = LW_EXACTLY, .n = check_count(L, 2, 0)});
}

/* stream:read_until(sep, limit?): the bytes up to and with the first `sep`; waits for it. Raises OSError,
 * IncompleteReadError (partial) when the stream ends without it, or LimitOverrunError when more than `limit` bytes
 * (65536) precede it: they stay in the stream. A cancelled one loses nothing. */
static int stream_read_until(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  lw_Wish wish = {.kind = LW_UNTIL};
  wish.sep = lw_check_string(L, 2, &wish.sep_length);
  if (wish.sep_length == 0) lw_argerror(L, 2, "the separator is empty");
  wish.n = check_count(L, 3, LINE_LIMIT);
  return fulfil(L, stream, wish);
}

/* stream:read_line(limit?): the next line without its end (LF or CRLF); a last one may lack it. nil at the end of the
 * stream. Raises OSError, or LimitOverrunError when the line is longer than `limit` bytes (65536): it stays in the
 * stream. A cancelled one loses nothing. */
static int stream_read_line(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  return fulfil(L, stream, line_wish(check_count(L, 2, LINE_LIMIT)));
}

/* stream:read_all(limit?): everything up to the end of the stream ("" if nothing comes). Raises OSError, or
 * LimitOverrunError as soon as there are more than `limit` bytes (no limit): they stay in the stream. A cancelled one
 * loses nothing. */
static int stream_read_all(lua_State *L) {
  lw_Stream *stream = lw_io_self(L);
  return fulfil(L, stream, (lw_Wish){.kind = LW_ALL, .n = check_count(L, 2, SIZE_MAX)});
}

/* The iterator of lines(); upvalue 3 is the limit, 4 the stream. */
static int next_line(lua_State *L) {
  size_t limit = (size_t)lua_tointeger(L, lua_upvalueindex(3));
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(4));
  return fulfil(L, lw_io_self(L), line_wish(limit));
}

/* stream:lines(limit?): iterator over the lines, each as read_line returns it. */
static int stream_lines(lua_State *L) {
  size_t limit = check_count(L, 2, LINE_LIMIT);
  lw_io_self(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushinteger(L, (lua_Integer)limit);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, next_line, 4);
  return 1;
}

const luaL_Reg lw_stream_read_methods[] = {
    {"read", stream_read},
    {"read_exactly", stream_read_exactly},
    {"read_until", stream_read_until},
    {"read_line", stream_read_line},
    {"read_all", stream_read_all},
    {"lines", stream_lines},
    {NULL, NULL},
};

void lw_open_stream_read(lw_Loop *loop) {
  static const lw_WaitClass read_class = {read_resumed, read_cancel, read_hand_on, read_describe, NULL, NULL};
  loop->waits[LW_WAIT_READ] = &read_class;
}
