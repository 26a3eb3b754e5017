#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/numeral.h"

enum {
  BLOCK = 64 * 1024,  /* read at once, at least */
  PIECE = 1024 * 1024 /* at most: a cancellation is noticed between two */
};

/* ---- what a format wants of the buffer ---- */

static size_t available(const lw_Buffer *in, const lw_Format *format) { return lw_buffer_length(in) - format->from; }

static const char *data_of(const lw_Buffer *in, const lw_Format *format) {
  return available(in, format) > 0 ? lw_buffer_data(in) + format->from : "";
}

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static size_t count_spaces(const char *data, size_t n) {
  size_t i = 0;
  while (i < n && is_space(data[i])) i++;
  return i;
}

/* Where the line ends: the index of its LF, or LW_NOT_FOUND. Looks at each byte once. */
static ptrdiff_t find_line_end(const lw_Buffer *in, lw_Format *format) {
  ptrdiff_t at = lw_buffer_find(in, format->from + format->scanned, "\n", 1);
  if (at == LW_NOT_FOUND) {
    format->scanned = available(in, format);
    return at;
  }
  format->scanned = (size_t)at - format->from;
  return (ptrdiff_t)format->scanned;
}

static int has_number(const lw_Buffer *in, const lw_Format *format) {
  const char *data = data_of(in, format);
  size_t have = available(in, format), spaces = count_spaces(data, have);
  return spaces + lw_numeral_length(data + spaces, have - spaces) < have;
}

/* Is there enough in the buffer, whatever follows? */
static int settled(const lw_Buffer *in, lw_Format *format) {
  switch (format->kind) {
    case '#':
      return available(in, format) >= (format->n > 0 ? format->n : 1);
    case 'a':
      return 0;
    case 'n':
      return has_number(in, format);
    default:
      return find_line_end(in, format) != LW_NOT_FOUND;
  }
}

/* ---- in a thread ---- */

static size_t room_wanted(const lw_FileJob *job) {
  const lw_Format *format = &job->format;
  size_t have = available(&job->in, format), want = have;
  if (format->kind == '#') want = format->n - (format->n > have ? have : format->n);
  return want < BLOCK ? BLOCK : want > PIECE ? PIECE : want;
}

/* Reads once into the buffer. Returns 0 at the end of the file and on an error. */
static int read_more(lw_FileJob *job) {
  lw_Buffer *in = &job->in;
  size_t room;
  ssize_t n;
  if (lw_buffer_reserve(in, NULL, room_wanted(job)) != 0) return lw_job_called(&job->job, "read", UV_ENOMEM);
  room = in->size - in->end;
  do n = read(job->fd, in->base + in->end, room < PIECE ? room : PIECE);
  while (n < 0 && errno == EINTR);
  if (n < 0) return lw_job_called(&job->job, "read", uv_translate_sys_error(errno));
  job->at_end = n == 0;
  in->end += (size_t)n;
  return n > 0;
}

static void read_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  mine->at_end = 0;
  while (!settled(&mine->in, &mine->format) && !lw_job_abandoned(job))
    if (!read_more(mine)) return;
}

/* ---- results ---- */

/* Pushes `n` bytes; the format takes them, and `dropped` more. */
static int push_bytes(lua_State *L, const lw_Buffer *in, lw_Format *format, size_t n, size_t dropped) {
  lua_pushlstring(L, data_of(in, format), n);
  format->from += n + dropped;
  return 1;
}

static int push_nothing(lua_State *L) {
  lua_pushnil(L);
  return 0;
}

static int push_line(lua_State *L, const lw_Buffer *in, lw_Format *format) {
  ptrdiff_t end = find_line_end(in, format);
  size_t have = available(in, format);
  if (end == LW_NOT_FOUND) return have > 0 ? push_bytes(L, in, format, have, 0) : push_nothing(L);
  return format->kind == 'L' ? push_bytes(L, in, format, (size_t)end + 1, 0)
                             : push_bytes(L, in, format, (size_t)end, 1);
}

static int push_number(lua_State *L, const lw_Buffer *in, lw_Format *format) {
  const char *data = data_of(in, format);
  char text[LW_NUMERAL + 1];
  size_t have = available(in, format), spaces = count_spaces(data, have);
  size_t n = lw_numeral_length(data + spaces, have - spaces);
  memcpy(text, data + spaces, n);
  text[n] = '\0';
  format->from += spaces + n;
  return n > 0 && lua_stringtonumber(L, text) != 0 ? 1 : push_nothing(L);
}

/* Pushes what the format gets, and returns whether it got it; else pushes nil. */
static int grant(lua_State *L, const lw_Buffer *in, lw_Format *format) {
  size_t have = available(in, format);
  switch (format->kind) {
    case '#':
      return have > 0 ? push_bytes(L, in, format, have < format->n ? have : format->n, 0) : push_nothing(L);
    case 'a':
      return push_bytes(L, in, format, have, 0);
    case 'n':
      return push_number(L, in, format);
    default:
      return push_line(L, in, format);
  }
}

/* ---- read ---- */

static void bad_format(lua_State *L, int arg) { lw_argerror(L, arg, "invalid format"); }

/* Sets what the format at `arg` wants; what formats before it took stays taken. */
static void set_format(lua_State *L, int arg, lw_Format *format) {
  const char *text;
  format->scanned = 0;
  if (lua_type(L, arg) == LUA_TNUMBER) {
    lua_Integer n = lw_check_integer(L, arg);
    if (n < 0) lw_argerror(L, arg, lua_pushfstring(L, "count of 0 or more bytes expected, got %I", n));
    format->kind = '#';
    format->n = (size_t)n;
    return;
  }
  text = lw_check_string(L, arg, NULL);
  if (*text == '*') text++; /* as in older Luas */
  if (*text == '\0' || strchr("lLan", *text) == NULL) bad_format(L, arg);
  format->kind = *text;
}

/* Grants the formats from `job->argument` on, whose results are on the top. The first of them may have met the end of
 * the file. Nothing is taken from the buffer before the last one is through, so that a cancellation in between loses
 * nothing. Returns whether all is done. */
static int grant_all(lua_State *L, lw_File *file, lw_FileJob *job, int last) {
  int at_end = job->at_end;
  for (; job->argument <= last; job->argument++, at_end = 0) {
    set_format(L, job->argument, &job->format);
    if (!at_end && !settled(&file->in, &job->format)) return 0;
    luaL_checkstack(L, 2, NULL);
    if (!grant(L, &file->in, &job->format)) break;
  }
  if (job->format.from > 0) lw_buffer_consume(&file->in, NULL, job->format.from);
  return 1;
}

/* The frame: the file, the formats, the job, the results so far. */
static int read_finish(lua_State *L, lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  int last = mine->mode;
  if (mine->file == NULL) return lw_io_raise_closed(L, *(lw_IoHandle **)lua_touserdata(L, 1));
  if (!grant_all(L, mine->file, mine, last)) return lw_job_again(L, job);
  return lua_gettop(L) - last - 1;
}

static const lw_JobClass read_class = {"read", read_work, read_finish, NULL, lw_file_begin, lw_file_end, 0};

/* file:read(...): as Lua's. Waits, unless it was all read ahead. Raises OSError. A cancelled one leaves what it has
 * read in the file. */
int lw_file_read(lua_State *L) {
  lw_File *file = lw_io_open_self(L);
  lw_FileJob first = {.argument = 2}, *job;
  int arg, last = lua_gettop(L);
  lw_Task *task;
  if (last == 1) {
    lua_pushliteral(L, "l");
    last = 2;
  }
  for (arg = 2; arg <= last; arg++) set_format(L, arg, &first.format);
  task = lw_waiter(L, file->handle.loop);
  if (file->lane.current == NULL && grant_all(L, file, &first, last)) return lua_gettop(L) - last;
  job = lw_file_job(L, &read_class, 0);
  lua_insert(L, last + 1);
  job->argument = first.argument;
  job->mode = last;
  job->format = first.format;
  set_format(L, job->argument, &job->format);
  return lw_job_run(L, task, &job->job);
}
