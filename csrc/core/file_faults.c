/* As core/call_faults.c, for the calls that concern files; most are made in the threads of libuv's pool, where the plan
 * of the thread that handed the job over holds. */
#ifdef LUAWAIT_FAULTS

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "core/call_faults.h"

void *__real_malloc(size_t size);
void __real_free(void *block);

/* ---- libuv ---- */

/* Functions for files, which leave a request that can be cleaned up. */
#define FILE_FAULT(name, usual, parameters, arguments) \
  int __real_##name parameters;                        \
  int __wrap_##name parameters;                        \
  int __wrap_##name parameters {                       \
    int err = lw_fault(#name, usual);                  \
    if (err == 0) return __real_##name arguments;      \
    memset(req, 0, sizeof *req);                       \
    return err;                                        \
  }

FILE_FAULT(uv_fs_open, UV_EMFILE, (uv_loop_t * loop, uv_fs_t *req, const char *path, int flags, int mode, uv_fs_cb cb),
           (loop, req, path, flags, mode, cb))
FILE_FAULT(uv_fs_fsync, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, uv_file fd, uv_fs_cb cb), (loop, req, fd, cb))
FILE_FAULT(uv_fs_fstat, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, uv_file fd, uv_fs_cb cb), (loop, req, fd, cb))
FILE_FAULT(uv_fs_ftruncate, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, uv_file fd, int64_t size, uv_fs_cb cb),
           (loop, req, fd, size, cb))
FILE_FAULT(uv_fs_stat, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb), (loop, req, path, cb))
FILE_FAULT(uv_fs_lstat, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb), (loop, req, path, cb))
FILE_FAULT(uv_fs_access, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, int mode, uv_fs_cb cb),
           (loop, req, path, mode, cb))
FILE_FAULT(uv_fs_rmdir, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb), (loop, req, path, cb))
FILE_FAULT(uv_fs_unlink, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb), (loop, req, path, cb))
FILE_FAULT(uv_fs_rename, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, const char *other, uv_fs_cb cb),
           (loop, req, path, other, cb))
FILE_FAULT(uv_fs_link, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, const char *other, uv_fs_cb cb),
           (loop, req, path, other, cb))
FILE_FAULT(uv_fs_symlink, UV_EIO,
           (uv_loop_t * loop, uv_fs_t *req, const char *path, const char *other, int flags, uv_fs_cb cb),
           (loop, req, path, other, flags, cb))
FILE_FAULT(uv_fs_readlink, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb),
           (loop, req, path, cb))
FILE_FAULT(uv_fs_realpath, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb),
           (loop, req, path, cb))
FILE_FAULT(uv_fs_mkdir, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, int mode, uv_fs_cb cb),
           (loop, req, path, mode, cb))
FILE_FAULT(uv_fs_mkdtemp, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb),
           (loop, req, path, cb))
FILE_FAULT(uv_fs_mkstemp, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_fs_cb cb),
           (loop, req, path, cb))
FILE_FAULT(uv_fs_chmod, UV_EIO, (uv_loop_t * loop, uv_fs_t *req, const char *path, int mode, uv_fs_cb cb),
           (loop, req, path, mode, cb))
FILE_FAULT(uv_fs_chown, UV_EIO,
           (uv_loop_t * loop, uv_fs_t *req, const char *path, uv_uid_t uid, uv_gid_t gid, uv_fs_cb cb),
           (loop, req, path, uid, gid, cb))
FILE_FAULT(uv_fs_utime, UV_EIO,
           (uv_loop_t * loop, uv_fs_t *req, const char *path, double atime, double mtime, uv_fs_cb cb),
           (loop, req, path, atime, mtime, cb))
int __real_uv_fs_event_init(uv_loop_t *loop, uv_fs_event_t *event);
int __wrap_uv_fs_event_init(uv_loop_t *loop, uv_fs_event_t *event);
int __wrap_uv_fs_event_init(uv_loop_t *loop, uv_fs_event_t *event) {
  int err = lw_fault("uv_fs_event_init", UV_ENOMEM);
  return err != 0 ? err : __real_uv_fs_event_init(loop, event);
}

/* The descriptor is closed all the same, as after an error of the system's. */
int __real_uv_fs_close(uv_loop_t *loop, uv_fs_t *req, uv_file fd, uv_fs_cb cb);
int __wrap_uv_fs_close(uv_loop_t *loop, uv_fs_t *req, uv_file fd, uv_fs_cb cb);
int __wrap_uv_fs_close(uv_loop_t *loop, uv_fs_t *req, uv_file fd, uv_fs_cb cb) {
  int err = lw_fault("uv_fs_close", UV_EIO), closed = __real_uv_fs_close(loop, req, fd, cb);
  return err != 0 ? err : closed;
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status) {
  uv_fs_event_cb cb = (uv_fs_event_cb)lw_fault_recall(event);
  cb(event, name, events, status < 0 ? status : lw_fault("uv_fs_event_start callback", UV_EIO));
}

int __real_uv_fs_event_start(uv_fs_event_t *event, uv_fs_event_cb cb, const char *path, unsigned flags);
int __wrap_uv_fs_event_start(uv_fs_event_t *event, uv_fs_event_cb cb, const char *path, unsigned flags);
int __wrap_uv_fs_event_start(uv_fs_event_t *event, uv_fs_event_cb cb, const char *path, unsigned flags) {
  int err = lw_fault("uv_fs_event_start", UV_ENOSPC);
  if (err != 0) return err;
  lw_fault_remember(event, (lw_Callback)cb);
  return __real_uv_fs_event_start(event, on_event, path, flags);
}

/* A job that a thread of the pool does by the plan of the thread that handed it over. */
typedef struct Work {
  uv_work_t *req;
  void *data; /* of the request, while it is here */
  uv_work_cb work;
  uv_after_work_cb after;
  void *plan;
} Work;

static void on_work(uv_work_t *req) {
  Work *work = req->data;
  lw_fault_follow(work->plan);
  req->data = work->data;
  work->work(req);
  req->data = work;
  lw_fault_follow(NULL);
}

static void on_worked(uv_work_t *req, int status) {
  Work work = *(Work *)req->data;
  __real_free(req->data);
  req->data = work.data;
  work.after(req, status);
}

int __real_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb after);
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb after);
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb after) {
  int err = lw_fault("uv_queue_work", UV_ENOMEM);
  Work *mine = err == 0 ? __real_malloc(sizeof *mine) : NULL;
  if (mine == NULL) return err;
  *mine = (Work){req, req->data, work, after, lw_fault_plan()};
  req->data = mine;
  return __real_uv_queue_work(loop, req, on_work, on_worked);
}

/* ---- the system ---- */

ssize_t __real_read(int fd, void *data, size_t n);
ssize_t __wrap_read(int fd, void *data, size_t n);
ssize_t __wrap_read(int fd, void *data, size_t n) { return lw_broken("read", EIO) ? -1 : __real_read(fd, data, n); }

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n) {
  return lw_broken("write", ENOSPC) ? -1 : __real_write(fd, data, n);
}

int __real_fstat(int fd, struct stat *buffer);
int __wrap_fstat(int fd, struct stat *buffer);
int __wrap_fstat(int fd, struct stat *buffer) { return lw_broken("fstat", EIO) ? -1 : __real_fstat(fd, buffer); }

int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size) { return lw_broken("ftruncate", EIO) ? -1 : __real_ftruncate(fd, size); }

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode) { return lw_broken("fchmod", EPERM) ? -1 : __real_fchmod(fd, mode); }

off_t __real_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence) {
  return lw_broken("lseek", EIO) ? -1 : __real_lseek(fd, offset, whence);
}

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...) {
  return lw_broken("openat", EMFILE) ? -1 : __real_openat(folder, path, flags);
}

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd) { return lw_broken("fdopendir", ENOMEM) ? NULL : __real_fdopendir(fd); }

static atomic_int typeless; /* do directories tell no types? */

void lw_fault_typeless(int on) { atomic_store(&typeless, on); }

struct dirent *__real_readdir(DIR *directory);
struct dirent *__wrap_readdir(DIR *directory);
struct dirent *__wrap_readdir(DIR *directory) {
  struct dirent *entry = lw_broken("readdir", EIO) ? NULL : __real_readdir(directory);
  if (entry != NULL && atomic_load(&typeless)) entry->d_type = DT_UNKNOWN;
  return entry;
}

int __real_fstatat(int folder, const char *path, struct stat *buffer, int flags);
int __wrap_fstatat(int folder, const char *path, struct stat *buffer, int flags);
int __wrap_fstatat(int folder, const char *path, struct stat *buffer, int flags) {
  return lw_broken("fstatat", ENOENT) ? -1 : __real_fstatat(folder, path, buffer, flags);
}

int __real_unlinkat(int folder, const char *path, int flags);
int __wrap_unlinkat(int folder, const char *path, int flags);
int __wrap_unlinkat(int folder, const char *path, int flags) {
  return lw_broken("unlinkat", EBUSY) ? -1 : __real_unlinkat(folder, path, flags);
}

#else

typedef int lw_NoFileFaults; /* C wants something in every file */

#endif
