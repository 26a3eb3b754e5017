/* Whole files: each in one job. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif

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

/* At most a piece. Returns how much, 0 at the end, or -1 after an error. */
static ssize_t read_piece(lw_Job *job, int fd, char *data, size_t room) {
  ssize_t n;
  do n = read(fd, data, room < PIECE ? room : PIECE);
  while (n < 0 && errno == EINTR);
  return system_called(job, "read", n < 0) ? n : -1;
}

static int write_all(lw_Job *job, int fd, const char *data, size_t length) {
  const char *stop = data + length;
  while (data < stop && !lw_job_abandoned(job)) {
    size_t left = (size_t)(stop - data);
    ssize_t n = write(fd, data, left < PIECE ? left : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (!system_called(job, "write", n < 0)) return 0;
    data += n;
  }
  return data == stop;
}

/* An error that close tells is one of the writing. */
static int close_written(lw_Job *job, int fd, int fine) {
  uv_fs_t req;
  int err = uv_fs_close(NULL, &req, fd, NULL);
  return fine && lw_job_called(job, "close", err);
}

static int change_mode(lw_Job *job, int fd, mode_t mode) {
  return system_called(job, "fchmod", fchmod(fd, mode & 07777) != 0);
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
    if (my->length == my->size && !make_room(my, fd)) return;
    n = read_piece(&my->job, fd, my->data + my->length, my->size - my->length);
    if (n < 0) return;
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
  const char *path = lw_check_text(L, 1, &n);
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

static void write_work(lw_Job *job) {
  WriteJob *my = (WriteJob *)job;
  int fd = open_path(job, job->path, my->flags, my->mode >= 0 ? my->mode : 0666);
  if (fd >= 0) close_written(job, fd, write_all(job, fd, my->data, my->length));
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
  if (my->mode >= 0) return change_mode(&my->job, fd, (mode_t)my->mode);
  return stat(my->path, &old) != 0 || change_mode(&my->job, fd, old.st_mode);
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
    fine = write_all(job, fd, my->data, my->length) && set_mode(my, fd) && sync_file(my, fd);
    fine = close_written(job, fd, fine) && replace(my, path);
    if (fine)
      sync_folder(my);
    else
      unlink(path);
  }
  free(path);
}

/* write_file(path, data, opts?): see types/fs.lua. */
static int fs_write_file(lua_State *L) {
  static const char *const known[] = {"append", "atomic", "mode", NULL};
  static const lw_JobClass plain = {"write", write_work, NULL, NULL, NULL, NULL, 0};
  static const lw_JobClass atomic = {"write", atomic_work, NULL, NULL, NULL, NULL, 0};
  lw_Loop *loop = lw_loop(L);
  size_t n, length;
  const char *path = lw_check_text(L, 1, &n), *data = lw_check_string(L, 2, &length), *slash = strrchr(path, '/');
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

/* ---- copying ---- */

typedef struct CopyJob {
  lw_Job job;
  int exclusive;
  char paths[];
} CopyJob;

/* Shares the blocks on the disk, where the file system can do so. */
static int clone_content(int from, int to) {
#ifdef FICLONE
  return ioctl(to, FICLONE, from) == 0;
#else
  (void)from, (void)to;
  return 0;
#endif
}

/* Up to where the file ends when that is read. (uv_fs_copyfile goes by the size that it was told at the beginning: of a
 * file that is cut meanwhile it never finds the end, and of one in /proc nothing.) */
static int copy_content(lw_Job *job, int from, int to) {
  char *piece = malloc(PIECE);
  ssize_t n;
  int fine;
  if (piece == NULL) return lw_job_called(job, "read", UV_ENOMEM);
  do {
    n = read_piece(job, from, piece, PIECE);
    fine = n >= 0 && write_all(job, to, piece, (size_t)n);
  } while (fine && n > 0);
  free(piece);
  return fine;
}

/* What was begun and not finished is removed; what is no file, a device say, is only written to. */
static void copy_into(lw_Job *job, int from, const struct stat *source, int to) {
  struct stat target;
  int fine = system_called(job, "fstat", fstat(to, &target) != 0), is_file = fine && S_ISREG(target.st_mode);
  if (is_file && target.st_dev == source->st_dev && target.st_ino == source->st_ino) {
    close(to);
    return;
  }
  if (is_file) fine = system_called(job, "ftruncate", ftruncate(to, 0) != 0) && change_mode(job, to, source->st_mode);
  fine = fine && (clone_content(from, to) || copy_content(job, from, to));
  if (!close_written(job, to, fine) && is_file) unlink(job->path2);
}

static void copy_work(lw_Job *job) {
  struct stat source;
  int from = open_path(job, job->path, O_RDONLY, 0), to;
  if (from < 0) return;
  if (system_called(job, "fstat", fstat(from, &source) != 0) &&
      lw_job_called(job, "read", S_ISDIR(source.st_mode) ? UV_EISDIR : 0)) {
    to = open_path(job, job->path2, O_WRONLY | O_CREAT | (((CopyJob *)job)->exclusive ? O_EXCL : 0),
                   source.st_mode & 0777);
    if (to >= 0) copy_into(job, from, &source, to);
  }
  close(from);
}

/* copy(path, new_path, opts?): see types/fs.lua. */
static int fs_copy(lua_State *L) {
  static const char *const known[] = {"exclusive", NULL};
  static const lw_JobClass cls = {"copy", copy_work, NULL, NULL, NULL, NULL, 0};
  lw_Loop *loop = lw_loop(L);
  size_t n, n2;
  const char *path = lw_check_text(L, 1, &n), *path2 = lw_check_text(L, 2, &n2);
  lw_Task *task;
  CopyJob *job;
  int exclusive;
  lw_check_options(L, 3, known);
  exclusive = lw_boolean_option(L, 3, "exclusive");
  task = lw_waiter(L, loop);
  job = (CopyJob *)lw_job_new(L, loop, &cls, sizeof *job + n + n2 + 2);
  job->job.path = memcpy(job->paths, path, n + 1);
  job->job.path2 = memcpy(job->paths + n + 1, path2, n2 + 1);
  job->exclusive = exclusive;
  return lw_job_run(L, task, &job->job);
}

void lw_open_fs_content(lua_State *L, int loop_index) {
  static const luaL_Reg funcs[] = {
      {"read_file", fs_read_file}, {"write_file", fs_write_file}, {"copy", fs_copy}, {NULL, NULL}};
  lw_setfuncs(L, loop_index, funcs);
}
