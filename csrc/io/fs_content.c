/* Whole files: each in one job. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "io/fs.h"
#include "io/paths.h"

enum { PIECE = 1024 * 1024 /* read or written at once: a cancellation is noticed between two */ };

static int system_called(lw_Job *job, const char *call, int failed) {
  return lw_job_called(job, call, failed ? uv_translate_sys_error(errno) : 0);
}

static int open_path(lw_Job *job, const char *path, int flags, int mode) {
  uv_fs_t req;
  int fd = uv_fs_open(NULL, &req, path, flags, mode, NULL);
  uv_fs_req_cleanup(&req);
  lw_job_called(job, "open", fd);
  return fd;
}

/* ---- reading ---- */

typedef struct ReadJob {
  lw_Job job;
  char *data;
  size_t length, size;
  char path[];
} ReadJob;

/* Room for the rest of the file, whose size is believed as far as it costs little. */
static int make_room(ReadJob *my, int fd) {
  enum { LEAST = 4096, MOST = 64 * 1024 * 1024 };
  uv_fs_t req;
  size_t size = my->size * 2;
  char *data;
  if (my->size == 0) {
    size = LEAST;
    if (uv_fs_fstat(NULL, &req, fd, NULL) == 0 && req.statbuf.st_size >= LEAST)
      size = req.statbuf.st_size < MOST ? (size_t)req.statbuf.st_size + 1 : MOST;
  }
  data = realloc(my->data, size);
  if (data == NULL) return lw_job_called(&my->job, "read", UV_ENOMEM);
  my->data = data;
  my->size = size;
  return 1;
}

static void read_all(ReadJob *my, int fd) {
  ssize_t n = 1;
  while (n != 0 && !lw_job_abandoned(&my->job)) {
    size_t room;
    if (my->length == my->size && !make_room(my, fd)) return;
    room = my->size - my->length;
    n = read(fd, my->data + my->length, room < PIECE ? room : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (!system_called(&my->job, "read", n < 0)) return;
    my->length += (size_t)n;
  }
}

static void read_work(lw_Job *job) {
  int fd = open_path(job, job->path, O_RDONLY, 0);
  if (fd < 0) return;
  read_all((ReadJob *)job, fd);
  close(fd);
}

static int read_finish(lua_State *L, lw_Job *job) {
  ReadJob *my = (ReadJob *)job;
  lua_pushlstring(L, my->data, my->length);
  return 1;
}

static void read_release(lw_Job *job) {
  free(((ReadJob *)job)->data);
  ((ReadJob *)job)->data = NULL;
}

/* read_file(path): see types/fs.lua. */
static int fs_read_file(lua_State *L) {
  static const lw_JobClass cls = {"read", read_work, read_finish, read_release, NULL, NULL, 0};
  lw_Loop *loop = lw_loop(L);
  size_t n;
  const char *path = lw_check_path(L, 1, &n);
  lw_Task *task = lw_waiter(L, loop);
  ReadJob *job = (ReadJob *)lw_job_new(L, loop, &cls, sizeof *job + n + 1);
  job->job.path = memcpy(job->path, path, n + 1);
  return lw_job_run(L, task, &job->job);
}

/* ---- writing ---- */

typedef struct WriteJob {
  lw_Job job;
  int flags;
  int mode;      /* -1: not given */
  size_t folder; /* length of the path's part up to and with its last slash */
  size_t length; /* of what is written */
  const char *data;
  char path[];
} WriteJob;

static int write_all(WriteJob *my, int fd) {
  const char *at = my->data, *stop = at + my->length;
  while (at < stop && !lw_job_abandoned(&my->job)) {
    size_t left = (size_t)(stop - at);
    ssize_t n = write(fd, at, left < PIECE ? left : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (!system_called(&my->job, "write", n < 0)) return 0;
    at += n;
  }
  return at == stop;
}

/* An error that close tells is one of the writing. */
static int close_written(WriteJob *my, int fd, int fine) {
  uv_fs_t req;
  int err = uv_fs_close(NULL, &req, fd, NULL);
  return fine && lw_job_called(&my->job, "close", err);
}

static void write_work(lw_Job *job) {
  WriteJob *my = (WriteJob *)job;
  int fd = open_path(job, job->path, my->flags, my->mode >= 0 ? my->mode : 0666);
  if (fd >= 0) close_written(my, fd, write_all(my, fd));
}

/* ---- atomic: a new file, which takes the place of the old one when it is on the disk ---- */

static int sync_file(WriteJob *my, int fd) {
  uv_fs_t req;
  return lw_job_called(&my->job, "fsync", uv_fs_fsync(NULL, &req, fd, NULL));
}

/* The new name is on the disk, too. A directory that cannot be read, or synced, is no error: the file is in its place.
 */
static void sync_folder(WriteJob *my) {
  char *path = my->path, kept = path[my->folder];
  uv_fs_t req;
  int fd;
  path[my->folder] = '\0';
  fd = uv_fs_open(NULL, &req, my->folder > 0 ? path : ".", O_RDONLY | O_DIRECTORY, 0, NULL);
  uv_fs_req_cleanup(&req);
  path[my->folder] = kept;
  if (fd < 0) return;
  if (uv_fs_fsync(NULL, &req, fd, NULL) == UV_EIO) lw_job_called(&my->job, "fsync", UV_EIO);
  close(fd);
}

/* The mode that was asked for; else that of the file which is replaced; else the usual one stays. */
static int set_mode(WriteJob *my, int fd) {
  struct stat old;
  if (my->mode >= 0) return system_called(&my->job, "fchmod", fchmod(fd, (mode_t)my->mode) != 0);
  if (stat(my->path, &old) != 0) return 1;
  return system_called(&my->job, "fchmod", fchmod(fd, old.st_mode & 07777) != 0);
}

/* Makes a file with a name of its own beside the old one; the name goes to `path`. */
static int open_beside(WriteJob *my, char *path, size_t size) {
  int fd, tries = 0;
  do {
    snprintf(path, size, "%.*s.%lx-%llx.tmp", (int)my->folder, my->path, (long)uv_os_getpid(),
             (unsigned long long)uv_hrtime());
    my->job.status = 0;
    fd = open_path(&my->job, path, O_WRONLY | O_CREAT | O_EXCL, 0666);
  } while (fd == UV_EEXIST && ++tries < 100);
  return fd;
}

static int replace(WriteJob *my, const char *path) {
  uv_fs_t req;
  if (lw_job_abandoned(&my->job)) return 0;
  return lw_job_called(&my->job, "rename", uv_fs_rename(NULL, &req, path, my->path, NULL));
}

static void atomic_work(lw_Job *job) {
  WriteJob *my = (WriteJob *)job;
  size_t size = my->folder + 64;
  char *path = malloc(size);
  int fd, fine;
  if (path == NULL) {
    lw_job_called(job, "open", UV_ENOMEM);
    return;
  }
  fd = open_beside(my, path, size);
  if (fd >= 0) {
    fine = write_all(my, fd) && set_mode(my, fd) && sync_file(my, fd);
    fine = close_written(my, fd, fine) && replace(my, path);
    if (fine)
      sync_folder(my);
    else
      unlink(path);
  }
  free(path);
}

static int write_finish(lua_State *L, lw_Job *job) {
  (void)L, (void)job;
  return 0;
}

/* write_file(path, data, opts?): see types/fs.lua. */
static int fs_write_file(lua_State *L) {
  static const char *const known[] = {"append", "atomic", "mode", NULL};
  static const lw_JobClass plain = {"write", write_work, write_finish, NULL, NULL, NULL, 0};
  static const lw_JobClass atomic = {"write", atomic_work, write_finish, NULL, NULL, NULL, 0};
  lw_Loop *loop = lw_loop(L);
  size_t n, length;
  const char *path = lw_check_path(L, 1, &n), *data = lw_check_string(L, 2, &length), *slash = strrchr(path, '/');
  int append, whole, mode;
  WriteJob *job;
  lw_Task *task;
  lw_check_options(L, 3, known);
  append = lw_boolean_option(L, 3, "append");
  whole = lw_boolean_option(L, 3, "atomic");
  mode = (int)lw_integer_option(L, 3, "mode", 0, 07777, -1);
  if (append && whole) lw_argerror(L, 3, "options 'append' and 'atomic' exclude each other");
  task = lw_waiter(L, loop);
  job = (WriteJob *)lw_job_new(L, loop, whole ? &atomic : &plain, sizeof *job + n + 1 + length);
  job->job.path = memcpy(job->path, path, n + 1);
  job->data = memcpy(job->path + n + 1, data, length);
  job->length = length;
  job->folder = slash != NULL ? (size_t)(slash + 1 - path) : 0;
  job->flags = O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC);
  job->mode = mode;
  return lw_job_run(L, task, &job->job);
}

void lw_open_fs_content(lua_State *L, int loop_index) {
  static const luaL_Reg funcs[] = {{"read_file", fs_read_file}, {"write_file", fs_write_file}, {NULL, NULL}};
  lw_setfuncs(L, loop_index, funcs);
}
