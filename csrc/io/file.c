#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "io/paths.h"

/* ---- life ---- */

/* What is under way keeps the descriptor, until it is done. */
static void file_leave(lw_IoHandle *handle) {
  lw_File *file = (lw_File *)handle;
  lw_FileJob *current = (lw_FileJob *)lw_lane_close(&file->lane);
  lw_buffer_free(&file->in, NULL);
  if (current != NULL) {
    current->file = NULL;
    if (current->job.stage == LW_JOB_RUNNING && file->fd >= 0) {
      current->owns_fd = 1;
      file->fd = -1;
    }
  }
  if (file->fd >= 0) close(file->fd);
  file->fd = -1;
}

static const lw_IoClass file_class = {"file", lw_io_close, file_leave};

/* Pushes a file that is not open yet. */
static lw_File *new_file(lua_State *L, lw_Loop *loop, const char *path, size_t length) {
  lw_File *file = lw_io_new(L, loop, &file_class, sizeof *file + length + 1, 0);
  file->fd = -1;
  memcpy(file->path, path, length + 1);
  return file;
}

static void file_opened(lw_File *file, int fd) {
  file->fd = fd;
  uv_idle_init(file->handle.loop->uv, &file->uv);
  lw_io_opened(&file->handle, (uv_handle_t *)&file->uv);
}

int lw_is_file(lua_State *L, int index) {
  int same;
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &file_class);
  same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

uv_file lw_file_fd(lua_State *L, int arg) {
  lw_File *file = *(lw_File **)lua_touserdata(L, arg);
  if (file == NULL || file->handle.state != LW_IO_OPEN) return lw_argerror(L, arg, "file is closed");
  if (lw_buffer_length(&file->in) > 0 && lseek(file->fd, -(off_t)lw_buffer_length(&file->in), SEEK_CUR) >= 0)
    lw_buffer_free(&file->in, NULL);
  return file->fd;
}

/* ---- jobs ---- */

lw_FileJob *lw_file_job(lua_State *L, const lw_JobClass *cls, size_t extra) {
  lw_File *file = lw_io_open_self(L);
  lw_FileJob *job = (lw_FileJob *)lw_job_new(L, file->handle.loop, cls, sizeof *job + extra);
  job->job.lane = &file->lane;
  job->job.path = file->path;
  job->file = file;
  job->fd = -1;
  return job;
}

void lw_file_begin(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  mine->fd = mine->file->fd;
  mine->in = mine->file->in;
  mine->file->in = (lw_Buffer){0};
}

void lw_file_end(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  if (mine->file != NULL)
    mine->file->in = mine->in;
  else
    lw_buffer_free(&mine->in, NULL);
  mine->in = (lw_Buffer){0};
  if (mine->owns_fd) close(mine->fd);
  mine->owns_fd = 0;
}

int lw_file_settle(lw_FileJob *job) {
  size_t ahead = lw_buffer_length(&job->in);
  if (ahead == 0) return 1;
  if (lseek(job->fd, -(off_t)ahead, SEEK_CUR) >= 0)
    lw_buffer_consume(&job->in, NULL, ahead);
  else if (errno != ESPIPE)
    return lw_job_called(&job->job, "lseek", uv_translate_sys_error(errno));
  return 1;
}

/* Runs a job that lw_file_job pushed. */
static int run(lua_State *L, lw_FileJob *job) { return lw_job_run(L, lw_waiter(L, job->job.loop), &job->job); }

static int return_self(lua_State *L, lw_Job *job) {
  (void)job;
  lua_pushvalue(L, 1);
  return 1;
}

/* ---- opening ---- */

static void open_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  uv_fs_t req;
  mine->fd = uv_fs_open(NULL, &req, job->path, mine->argument, mine->mode, NULL);
  lw_job_called(job, "open", mine->fd);
  uv_fs_req_cleanup(&req);
}

static int open_finish(lua_State *L, lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  file_opened(mine->file, mine->fd);
  mine->fd = -1;
  lua_pop(L, 1); /* the job; below it is the file */
  return 1;
}

static void open_release(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  if (mine->fd >= 0) close(mine->fd);
}

static const lw_JobClass open_class = {"open", open_work, open_finish, open_release, NULL, NULL, 0};

/* Pushes a file, and a job that will open it. */
static lw_FileJob *opening(lua_State *L, lw_Loop *loop, const lw_JobClass *cls, const char *path, size_t length) {
  lw_File *file = new_file(L, loop, path, length);
  lw_FileJob *job = (lw_FileJob *)lw_job_new(L, loop, cls, sizeof *job + length + 1);
  memcpy(job->data, path, length + 1);
  job->job.path = job->data;
  job->file = file;
  job->fd = -1;
  return job;
}

/* The flags for a mode of Lua's, as fopen has them; -1 for any other text. */
static int open_flags(const char *mode) {
  int plus = strchr(mode, '+') != NULL, flags = plus ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
  const char *rest = mode + 1;
  if (*mode == '\0' || strchr("rwa", *mode) == NULL) return -1;
  for (; *rest != '\0'; rest++)
    if (strchr("+bx", *rest) == NULL || strchr(rest + 1, *rest) != NULL) return -1;
  if (*mode == 'w') flags |= O_CREAT | O_TRUNC;
  if (*mode == 'a') flags |= O_CREAT | O_APPEND;
  if (strchr(mode, 'x') != NULL) flags |= *mode == 'r' ? -1 : O_EXCL;
  return flags;
}

/* fs.open(path, mode?, opts?): see types/fs.lua. Waits. Raises OSError. */
static int fs_open(lua_State *L) {
  static const char *const known[] = {"mode", NULL};
  lw_Loop *loop = lw_loop(L);
  size_t length;
  const char *path = lw_check_text(L, 1, &length);
  const char *mode = lua_isnoneornil(L, 2) ? "r" : lw_check_text(L, 2, NULL);
  int flags = open_flags(mode), permissions;
  lw_Task *task;
  lw_FileJob *job;
  lw_check_options(L, 3, known);
  permissions = (int)lw_integer_option(L, 3, "mode", 0, 07777, 0666);
  if (flags == -1) lw_argerror(L, 2, lua_pushfstring(L, "invalid mode '%s'", mode));
  task = lw_waiter(L, loop);
  job = opening(L, loop, &open_class, path, length);
  job->argument = flags;
  job->mode = permissions;
  return lw_job_run(L, task, &job->job);
}

static void mkstemp_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  uv_fs_t req;
  mine->fd = uv_fs_mkstemp(NULL, &req, mine->data, NULL);
  if (lw_job_called(job, "mkstemp", mine->fd)) memcpy(mine->data, req.path, strlen(mine->data));
  uv_fs_req_cleanup(&req);
}

static int mkstemp_finish(lua_State *L, lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  lua_pushstring(L, mine->data);
  memcpy(mine->file->path, mine->data, strlen(mine->data));
  lua_replace(L, -2);
  file_opened(mine->file, mine->fd);
  mine->fd = -1;
  return 2;
}

/* mkstemp(template): File, path. The template ends in XXXXXX. Waits. Raises OSError. */
static int fs_mkstemp(lua_State *L) {
  static const lw_JobClass cls = {"mkstemp", mkstemp_work, mkstemp_finish, open_release, NULL, NULL, 0};
  lw_Loop *loop = lw_loop(L);
  size_t length;
  const char *template = lw_check_text(L, 1, &length);
  lw_Task *task = lw_waiter(L, loop);
  return lw_job_run(L, task, &opening(L, loop, &cls, template, length)->job);
}

/* ---- writing ---- */

static void write_work(lw_Job *job) {
  enum { PIECE = 1 << 20 }; /* after which a cancellation is noticed */
  lw_FileJob *mine = (lw_FileJob *)job;
  const char *at = mine->data, *stop = at + mine->length;
  if (!lw_file_settle(mine)) return;
  while (at < stop && !lw_job_abandoned(job)) {
    size_t left = (size_t)(stop - at);
    ssize_t n = write(mine->fd, at, left < PIECE ? left : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      lw_job_called(job, "write", uv_translate_sys_error(errno));
      return;
    }
    at += n;
  }
}

/* file:write(...): the file. Writes strings and numbers. Waits. Raises OSError. A cancelled one has written all, or a
 * part. */
static int file_write(lua_State *L) {
  static const lw_JobClass cls = {"write", write_work, return_self, NULL, lw_file_begin, lw_file_end, 0};
  lw_FileJob *job;
  size_t length = 0, n;
  int arg, top = lua_gettop(L);
  char *at;
  lw_io_open_self(L);
  for (arg = 2; arg <= top; arg++) {
    lw_check_string(L, arg, &n);
    length += n;
  }
  job = lw_file_job(L, &cls, length);
  job->length = length;
  for (arg = 2, at = job->data; arg <= top; arg++, at += n) {
    const char *text = lua_tolstring(L, arg, &n);
    memcpy(at, text, n);
  }
  return run(L, job);
}

/* ---- position, size, state ---- */

static void seek_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  off_t at;
  if (!lw_file_settle(mine)) return;
  at = lseek(mine->fd, (off_t)mine->offset, mine->argument);
  if (at < 0)
    lw_job_called(job, "lseek", uv_translate_sys_error(errno));
  else
    mine->offset = at;
}

static int seek_finish(lua_State *L, lw_Job *job) {
  lua_pushinteger(L, (lua_Integer)((lw_FileJob *)job)->offset);
  return 1;
}

/* file:seek(whence?, offset?): position in bytes. Waits. Raises OSError. */
static int file_seek(lua_State *L) {
  static const lw_JobClass cls = {"lseek", seek_work, seek_finish, NULL, lw_file_begin, lw_file_end, 0};
  static const char *const names[] = {"set", "cur", "end"};
  static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  const char *name = lua_isnoneornil(L, 2) ? "cur" : lw_check_text(L, 2, NULL);
  lua_Integer offset = lua_isnoneornil(L, 3) ? 0 : lw_check_integer(L, 3);
  lw_FileJob *job;
  int i = 0;
  lw_io_open_self(L);
  while (i < 3 && strcmp(names[i], name) != 0) i++;
  if (i == 3) return lw_argerror(L, 2, lua_pushfstring(L, "\"set\", \"cur\" or \"end\" expected, got \"%s\"", name));
  job = lw_file_job(L, &cls, 0);
  job->argument = whence[i];
  job->offset = offset;
  return run(L, job);
}

static void truncate_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  uv_fs_t req;
  if (!lw_file_settle(mine)) return;
  if (mine->offset < 0) mine->offset = lseek(mine->fd, 0, SEEK_CUR);
  if (mine->offset < 0)
    lw_job_called(job, "lseek", uv_translate_sys_error(errno));
  else
    lw_job_called(job, "ftruncate", uv_fs_ftruncate(NULL, &req, mine->fd, mine->offset, NULL));
}

/* file:truncate(size?): the file, now of so many bytes (those before its position). Waits. Raises OSError. */
static int file_truncate(lua_State *L) {
  static const lw_JobClass cls = {"ftruncate", truncate_work, return_self, NULL, lw_file_begin, lw_file_end, 0};
  lua_Integer size = -1;
  lw_FileJob *job;
  lw_io_open_self(L);
  if (!lua_isnoneornil(L, 2) && (size = lw_check_integer(L, 2)) < 0)
    lw_argerror(L, 2, lua_pushfstring(L, "size of 0 or more bytes expected, got %I", size));
  job = lw_file_job(L, &cls, 0);
  job->offset = size;
  return run(L, job);
}

static void sync_work(lw_Job *job) {
  uv_fs_t req;
  lw_job_called(job, "fsync", uv_fs_fsync(NULL, &req, ((lw_FileJob *)job)->fd, NULL));
}

/* file:sync(): the file, all of it on the disk. Waits. Raises OSError. */
static int file_sync(lua_State *L) {
  static const lw_JobClass cls = {"fsync", sync_work, return_self, NULL, lw_file_begin, lw_file_end, 0};
  return run(L, lw_file_job(L, &cls, 0));
}

static void stat_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  uv_fs_t req;
  if (lw_job_called(job, "fstat", uv_fs_fstat(NULL, &req, mine->fd, NULL))) mine->stat = req.statbuf;
}

static int stat_finish(lua_State *L, lw_Job *job) {
  lw_push_stat(L, &((lw_FileJob *)job)->stat);
  return 1;
}

/* file:stat(): a table as of fs.stat. Waits. Raises OSError. */
static int file_stat(lua_State *L) {
  static const lw_JobClass cls = {"fstat", stat_work, stat_finish, NULL, lw_file_begin, lw_file_end, 0};
  return run(L, lw_file_job(L, &cls, 0));
}

/* ---- closing ---- */

static void close_begin(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  mine->fd = mine->file->fd;
  mine->owns_fd = 1;
  mine->file->fd = -1;
}

static void close_work(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  uv_fs_t req;
  mine->owns_fd = 0;
  lw_job_called(job, "close", uv_fs_close(NULL, &req, mine->fd, NULL));
}

static void close_end(lw_Job *job) {
  lw_FileJob *mine = (lw_FileJob *)job;
  if (mine->owns_fd) close(mine->fd);
  if (mine->file != NULL) lw_io_close(&mine->file->handle);
}

static const lw_JobClass close_class = {"close", close_work, NULL, NULL, close_begin, close_end, 1};

static int close_in_turn(lua_State *L, lw_File *file) {
  lw_Task *task = lw_waiter(L, file->handle.loop);
  lw_FileJob *job = lw_file_job(L, &close_class, 0);
  file->handle.state = LW_IO_ENDING;
  return lw_job_run(L, task, &job->job);
}

/* file:close(): closes it for the program at once, then waits for what others have begun, and for the system's close.
 * Raises OSError: it is closed then, too. A cancelled one goes on. Outside a task nothing is waited for. */
static int file_close(lua_State *L) {
  lw_File *file = lw_io_self(L);
  if (file->handle.state != LW_IO_OPEN) return 0;
  if (file->handle.loop->current != NULL) return close_in_turn(L, file);
  lw_io_close(&file->handle);
  return 0;
}

/* Leaving a scope well closes as close() does; leaving it with an error, or where no wait is possible, at once. */
static int file_close_scope(lua_State *L) {
  lw_File *file = lw_io_self(L);
  if (file->handle.state != LW_IO_OPEN) return 0;
  if (lua_isnoneornil(L, 2) && lw_can_wait(L, file->handle.loop)) return close_in_turn(L, file);
  lw_io_close(&file->handle);
  return 0;
}

static int file_tostring(lua_State *L) {
  lw_File *file = lw_io_self(L);
  lua_pushfstring(L, "<File %s %s>", file->path, file->handle.state == LW_IO_OPEN ? "open" : "closed");
  return 1;
}

void lw_open_file(lua_State *L, int loop_index) {
  static const luaL_Reg methods[] = {
      {"read", lw_file_read}, {"write", file_write}, {"seek", file_seek},   {"truncate", file_truncate},
      {"sync", file_sync},    {"stat", file_stat},   {"close", file_close}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__close", file_close_scope}, {"__tostring", file_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"open", fs_open}, {"mkstemp", fs_mkstemp}, {NULL, NULL}};
  lw_io_class(L, loop_index, &file_class, methods, meta);
  lw_export_methods(L, "file");
  lua_pop(L, 1);
  lw_setfuncs(L, loop_index, funcs);
}
