#include "io/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "io/file.h"
#include "io/paths.h"

/* What most functions need: one or two paths, some numbers, and the request that libuv answers. */
typedef struct PathJob {
  lw_Job job;
  uv_fs_t req;
  int flags, mode;
  uid_t uid;
  gid_t gid;
  double atime, mtime;
  char data[]; /* the paths */
} PathJob;

/* ---- arguments ---- */

lua_Integer lw_integer_option(lua_State *L, int arg, const char *key, lua_Integer least, lua_Integer most,
                              lua_Integer otherwise) {
  lua_Integer value = otherwise;
  int is_integer = 1;
  if (lw_option(L, arg, key, LUA_TNUMBER) != LUA_TNIL) {
    value = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || value < least || value > most)
      lw_argerror(L, arg, lua_pushfstring(L, "option '%s': integer from %I to %I expected", key, least, most));
  }
  lua_pop(L, 1);
  return value;
}

int lw_boolean_option(lua_State *L, int arg, const char *key) {
  int value;
  lw_option(L, arg, key, LUA_TBOOLEAN);
  value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static lua_Integer check_range(lua_State *L, int arg, lua_Integer least, lua_Integer most) {
  lua_Integer value = lw_check_integer(L, arg);
  if (value < least || value > most)
    lw_argerror(L, arg, lua_pushfstring(L, "integer from %I to %I expected, got %I", least, most, value));
  return value;
}

/* ---- stat ---- */

const char *lw_file_type(uint64_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "link";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
      return "char";
    case S_IFBLK:
      return "block";
    default:
      return "unknown";
  }
}

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static void set_time(lua_State *L, const char *key, const uv_timespec_t *time) {
  lua_pushnumber(L, (lua_Number)time->tv_sec + (lua_Number)time->tv_nsec / 1e9);
  lua_setfield(L, -2, key);
}

void lw_push_stat(lua_State *L, const uv_stat_t *stat) {
  lua_createtable(L, 0, 15);
  lua_pushstring(L, lw_file_type(stat->st_mode));
  lua_setfield(L, -2, "type");
  set_integer(L, "mode", stat->st_mode & 07777);
  set_integer(L, "size", stat->st_size);
  set_integer(L, "uid", stat->st_uid);
  set_integer(L, "gid", stat->st_gid);
  set_integer(L, "nlink", stat->st_nlink);
  set_integer(L, "ino", stat->st_ino);
  set_integer(L, "dev", stat->st_dev);
  set_integer(L, "rdev", stat->st_rdev);
  set_integer(L, "blocks", stat->st_blocks);
  set_integer(L, "blksize", stat->st_blksize);
  set_time(L, "atime", &stat->st_atim);
  set_time(L, "mtime", &stat->st_mtim);
  set_time(L, "ctime", &stat->st_ctim);
  set_time(L, "birthtime", &stat->st_birthtim);
}

/* ---- jobs ---- */

static void path_release(lw_Job *job) { uv_fs_req_cleanup(&((PathJob *)job)->req); }

/* Pushes a job about the path at argument 1 and, if `both`, the one at 2. */
static PathJob *new_job(lua_State *L, const lw_JobClass *cls, int both) {
  size_t n, n2 = 0;
  const char *path = lw_check_text(L, 1, &n), *path2 = both ? lw_check_text(L, 2, &n2) : "";
  PathJob *job = (PathJob *)lw_job_new(L, lw_loop(L), cls, sizeof *job + n + n2 + 2);
  job->job.path = memcpy(job->data, path, n + 1);
  memcpy(job->data + n + 1, path2, n2 + 1);
  if (both) job->job.path2 = job->data + n + 1;
  return job;
}

static int run(lua_State *L, PathJob *job) { return lw_job_run(L, lw_waiter(L, job->job.loop), &job->job); }

/* NAME_work: makes one call of libuv's; the expressions in `call` see the job as `my`. */
#define WORK(name, call)                 \
  static void name##_work(lw_Job *job) { \
    PathJob *my = (PathJob *)job;        \
    lw_job_called(job, NULL, call);      \
  }

/* A class that gives no results, and uses libuv's function of the same name. */
#define PLAIN(name, call) \
  WORK(name, call)        \
  static const lw_JobClass name##_class = {#name, name##_work, NULL, path_release, NULL, NULL, 0};

#define WITH_RESULTS(name, call) \
  WORK(name, call)               \
  static const lw_JobClass name##_class = {#name, name##_work, name##_finish, path_release, NULL, NULL, 0};

/* ---- stat, lstat, exists, access ---- */

static int stat_finish(lua_State *L, lw_Job *job) {
  lw_push_stat(L, &((PathJob *)job)->req.statbuf);
  return 1;
}

static int lstat_finish(lua_State *L, lw_Job *job) { return stat_finish(L, job); }

WITH_RESULTS(stat, uv_fs_stat(NULL, &my->req, job->path, NULL))
WITH_RESULTS(lstat, uv_fs_lstat(NULL, &my->req, job->path, NULL))

/* Each of these: see types/fs.lua. */
static int fs_stat(lua_State *L) { return run(L, new_job(L, &stat_class, 0)); }
static int fs_lstat(lua_State *L) { return run(L, new_job(L, &lstat_class, 0)); }

/* Does this error say that nothing is there? */
static int is_absence(int err) { return err == UV_ENOENT || err == UV_ENOTDIR || err == UV_ELOOP; }

static void exists_work(lw_Job *job) {
  PathJob *my = (PathJob *)job;
  int err = uv_fs_stat(NULL, &my->req, job->path, NULL);
  my->flags = err == 0;
  if (!is_absence(err)) lw_job_called(job, "stat", err);
}

static void access_work(lw_Job *job) {
  PathJob *my = (PathJob *)job;
  int err = uv_fs_access(NULL, &my->req, job->path, my->mode, NULL);
  my->flags = err == 0;
  if (!is_absence(err) && err != UV_EACCES && err != UV_EPERM && err != UV_EROFS) lw_job_called(job, NULL, err);
}

static int push_answer(lua_State *L, lw_Job *job) {
  lua_pushboolean(L, ((PathJob *)job)->flags);
  return 1;
}

static int fs_exists(lua_State *L) {
  static const lw_JobClass cls = {"exists", exists_work, push_answer, path_release, NULL, NULL, 0};
  return run(L, new_job(L, &cls, 0));
}

static int fs_access(lua_State *L) {
  static const lw_JobClass cls = {"access", access_work, push_answer, path_release, NULL, NULL, 0};
  const char *how = lua_isnoneornil(L, 2) ? "" : lw_check_text(L, 2, NULL);
  PathJob *job;
  if (how[strspn(how, "rwx")] != '\0')
    lw_argerror(L, 2, lua_pushfstring(L, "letters of \"rwx\" expected, got \"%s\"", how));
  job = new_job(L, &cls, 0);
  job->mode = (strchr(how, 'r') ? R_OK : 0) | (strchr(how, 'w') ? W_OK : 0) | (strchr(how, 'x') ? X_OK : 0);
  return run(L, job);
}

/* ---- names ---- */

PLAIN(rmdir, uv_fs_rmdir(NULL, &my->req, job->path, NULL))
PLAIN(unlink, uv_fs_unlink(NULL, &my->req, job->path, NULL))
PLAIN(rename, uv_fs_rename(NULL, &my->req, job->path, job->path2, NULL))
PLAIN(link, uv_fs_link(NULL, &my->req, job->path, job->path2, NULL))
PLAIN(symlink, uv_fs_symlink(NULL, &my->req, job->path, job->path2, 0, NULL))

static int fs_rmdir(lua_State *L) { return run(L, new_job(L, &rmdir_class, 0)); }
static int fs_remove(lua_State *L) { return run(L, new_job(L, &unlink_class, 0)); }
static int fs_rename(lua_State *L) { return run(L, new_job(L, &rename_class, 1)); }
static int fs_link(lua_State *L) { return run(L, new_job(L, &link_class, 1)); }
static int fs_symlink(lua_State *L) { return run(L, new_job(L, &symlink_class, 1)); }

static int push_text(lua_State *L, lw_Job *job) {
  lua_pushstring(L, ((PathJob *)job)->req.ptr);
  return 1;
}

static int readlink_finish(lua_State *L, lw_Job *job) { return push_text(L, job); }
static int realpath_finish(lua_State *L, lw_Job *job) { return push_text(L, job); }

WITH_RESULTS(readlink, uv_fs_readlink(NULL, &my->req, job->path, NULL))
WITH_RESULTS(realpath, uv_fs_realpath(NULL, &my->req, job->path, NULL))

static int fs_readlink(lua_State *L) { return run(L, new_job(L, &readlink_class, 0)); }
static int fs_realpath(lua_State *L) { return run(L, new_job(L, &realpath_class, 0)); }

static int mkdtemp_finish(lua_State *L, lw_Job *job) {
  lua_pushstring(L, ((PathJob *)job)->req.path);
  return 1;
}

WITH_RESULTS(mkdtemp, uv_fs_mkdtemp(NULL, &my->req, job->path, NULL))

/* mkdtemp(template): path. The template ends in XXXXXX. */
static int fs_mkdtemp(lua_State *L) { return run(L, new_job(L, &mkdtemp_class, 0)); }

/* ---- directories ---- */

/* Makes one; fine if there is one already and `others` may have made it. */
static int make_directory(lw_Job *job, const char *path, int others) {
  PathJob *my = (PathJob *)job;
  int err = uv_fs_mkdir(NULL, &my->req, path, my->mode, NULL);
  struct stat stat_of;
  if (err == UV_EEXIST && others && stat(path, &stat_of) == 0 && S_ISDIR(stat_of.st_mode)) return 1;
  return lw_job_called(job, NULL, err);
}

enum { PARENTS = 1, EXIST_OK = 2 };

/* The first slash behind `at` that ends the name of a parent, or NULL. */
static char *end_of_parent(char *at) {
  char *slash = *at != '\0' ? strchr(at + 1, '/') : NULL;
  return slash != NULL && slash[strspn(slash, "/")] != '\0' ? slash : NULL;
}

static void mkdir_work(lw_Job *job) {
  PathJob *my = (PathJob *)job;
  char *at = my->data;
  int fine = 1;
  while (fine && my->flags & PARENTS && (at = end_of_parent(at)) != NULL) {
    *at = '\0';
    fine = make_directory(job, job->path, 1);
    *at = '/';
  }
  if (fine) make_directory(job, job->path, my->flags & EXIST_OK);
}

static int fs_mkdir(lua_State *L) {
  static const lw_JobClass cls = {"mkdir", mkdir_work, NULL, path_release, NULL, NULL, 0};
  static const char *const known[] = {"parents", "exist_ok", "mode", NULL};
  PathJob *job;
  int mode, flags;
  lw_check_options(L, 2, known);
  mode = (int)lw_integer_option(L, 2, "mode", 0, 07777, 0777);
  flags = (lw_boolean_option(L, 2, "parents") ? PARENTS : 0) | (lw_boolean_option(L, 2, "exist_ok") ? EXIST_OK : 0);
  job = new_job(L, &cls, 0);
  job->mode = mode;
  job->flags = flags;
  return run(L, job);
}

/* ---- attributes ---- */

PLAIN(chmod, uv_fs_chmod(NULL, &my->req, job->path, my->mode, NULL))
PLAIN(chown, uv_fs_chown(NULL, &my->req, job->path, my->uid, my->gid, NULL))
PLAIN(utime, uv_fs_utime(NULL, &my->req, job->path, my->atime, my->mtime, NULL))

static int fs_chmod(lua_State *L) {
  int mode = (int)check_range(L, 2, 0, 07777);
  PathJob *job = new_job(L, &chmod_class, 0);
  job->mode = mode;
  return run(L, job);
}

static int fs_chown(lua_State *L) {
  lua_Integer most = UINT32_MAX - 1, uid = check_range(L, 2, -1, most), gid = check_range(L, 3, -1, most);
  PathJob *job = new_job(L, &chown_class, 0);
  job->uid = (uid_t)uid;
  job->gid = (gid_t)gid;
  return run(L, job);
}

/* A time of the calendar that the system can hold. */
static double check_time(lua_State *L, int arg, double otherwise) {
  double time = lua_isnoneornil(L, arg) ? otherwise : lw_check_number(L, arg);
  if (!(time >= -1e11 && time <= 1e11)) lw_argerror(L, arg, "seconds since 1970 expected");
  return time;
}

static double now(void) {
  uv_timeval64_t time = {0};
  uv_gettimeofday(&time);
  return (double)time.tv_sec + time.tv_usec / 1e6;
}

static int fs_utime(lua_State *L) {
  double atime = check_time(L, 2, now()), mtime = check_time(L, 3, atime);
  PathJob *job = new_job(L, &utime_class, 0);
  job->atime = atime;
  job->mtime = mtime;
  return run(L, job);
}

/* tmpdir(): the directory for temporary files. */
static int fs_tmpdir(lua_State *L) {
  char path[4096];
  size_t size = sizeof path;
  int err = uv_os_tmpdir(path, &size);
  if (err != 0) {
    lw_error_push_os(L, err, "tmpdir", NULL, NULL);
    return lua_error(L);
  }
  lua_pushlstring(L, path, size);
  return 1;
}

void lw_open_fs(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg funcs[] = {
      {"stat", fs_stat},         {"lstat", fs_lstat},       {"exists", fs_exists},
      {"access", fs_access},     {"rmdir", fs_rmdir},       {"remove", fs_remove},
      {"rename", fs_rename},     {"link", fs_link},         {"symlink", fs_symlink},
      {"readlink", fs_readlink}, {"realpath", fs_realpath}, {"mkdir", fs_mkdir},
      {"mkdtemp", fs_mkdtemp},   {"chmod", fs_chmod},       {"chown", fs_chown},
      {"utime", fs_utime},       {"tmpdir", fs_tmpdir},     {NULL, NULL},
  };
  (void)loop;
  lw_open_job(L, loop_index);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
  lw_open_file(L, loop_index);
  lw_open_fs_content(L, loop_index);
  lw_open_fs_tree(L, loop_index);
  lw_open_fs_watch(L, loop_index);
}
