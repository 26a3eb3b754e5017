/* Directories: their entries, and removing them with all that is in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "io/buffer.h"
#include "io/fs.h"
#include "io/paths.h"

typedef struct TreeJob {
  lw_Job job;
  lw_Buffer entries; /* of scandir: for each a letter for its type, its name, and a zero */
  char *failed;      /* of rmtree: the path below the root that could not be removed; NULL: the root */
  char path[];
} TreeJob;

static int fail(TreeJob *my, const char *call, int err) {
  return lw_job_called(&my->job, call, uv_translate_sys_error(err));
}

/* Opens a directory that stands in `parent`, and is no link. NULL and errno if that cannot be. */
static DIR *open_directory(int parent, const char *name, int flags) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
  if (fd >= 0 && directory == NULL) close(fd);
  return directory;
}

/* The next entry; NULL and errno 0 at the end. */
static struct dirent *next_entry(DIR *directory) {
  struct dirent *entry;
  do {
    errno = 0;
    entry = readdir(directory);
  } while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
  return entry;
}

/* ---- scandir ---- */

static const char letters[] = "fdlpscbu";
static const char *const types[] = {"file", "directory", "link", "fifo", "socket", "char", "block", "unknown"};

/* The first letter of each type's place among these. Not every file system tells the type: then it is looked up. */
static char letter_of(DIR *directory, const struct dirent *entry) {
  struct stat stat_of;
  switch (entry->d_type) {
    case DT_REG:
      return 'f';
    case DT_DIR:
      return 'd';
    case DT_LNK:
      return 'l';
    case DT_FIFO:
      return 'p';
    case DT_SOCK:
      return 's';
    case DT_CHR:
      return 'c';
    case DT_BLK:
      return 'b';
    default:
      if (fstatat(dirfd(directory), entry->d_name, &stat_of, AT_SYMLINK_NOFOLLOW) != 0) return 'u';
      return S_ISFIFO(stat_of.st_mode) ? 'p' : *lw_file_type(stat_of.st_mode);
  }
}

static int add_entry(TreeJob *my, DIR *directory, const struct dirent *entry) {
  char letter = letter_of(directory, entry);
  if (lw_buffer_append(&my->entries, NULL, &letter, 1) == 0 &&
      lw_buffer_append(&my->entries, NULL, entry->d_name, strlen(entry->d_name) + 1) == 0)
    return 1;
  return lw_job_called(&my->job, "readdir", UV_ENOMEM);
}

static void scandir_work(lw_Job *job) {
  TreeJob *my = (TreeJob *)job;
  DIR *directory = open_directory(AT_FDCWD, my->path, 0);
  struct dirent *entry = NULL;
  if (directory == NULL) {
    fail(my, "opendir", errno);
    return;
  }
  while (!lw_job_abandoned(job) && (entry = next_entry(directory)) != NULL)
    if (!add_entry(my, directory, entry)) break;
  if (entry == NULL && errno != 0) fail(my, "readdir", errno);
  closedir(directory);
}

static void tree_release(lw_Job *job) {
  TreeJob *my = (TreeJob *)job;
  lw_buffer_free(&my->entries, NULL);
  free(my->failed);
  my->failed = NULL;
}

/* Gives out the entries: name, type. */
static int entries_next(lua_State *L) {
  lw_Buffer *entries = lw_self(L);
  const char *entry, *found;
  size_t n;
  if (lw_buffer_length(entries) == 0) return 0;
  entry = lw_buffer_data(entries);
  n = strlen(entry + 1);
  found = strchr(letters, *entry);
  lua_pushlstring(L, entry + 1, n);
  lua_pushstring(L, types[found - letters]);
  lw_buffer_consume(entries, NULL, n + 2);
  return 2;
}

/* __close, __gc */
static int entries_close(lua_State *L) {
  lw_buffer_free(lw_self(L), NULL);
  return 0;
}

/* The entries stand in the frame already, at index 2. */
static int scandir_finish(lua_State *L, lw_Job *job) {
  TreeJob *my = (TreeJob *)job;
  *(lw_Buffer *)lua_touserdata(L, 2) = my->entries;
  my->entries = (lw_Buffer){0};
  lua_pushvalue(L, 2);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, 2);
  return 4;
}

static TreeJob *new_job(lua_State *L, const lw_JobClass *cls) {
  size_t n;
  const char *path = lw_check_text(L, 1, &n);
  TreeJob *job = (TreeJob *)lw_job_new(L, lw_loop(L), cls, sizeof *job + n + 1);
  job->job.path = memcpy(job->path, path, n + 1);
  return job;
}

/* scandir(path): an iterator over name, type, with what a generic for closes. */
static int fs_scandir(lua_State *L) {
  static const lw_JobClass cls = {"scandir", scandir_work, scandir_finish, tree_release, NULL, NULL, 0};
  lw_Task *task;
  lw_Buffer *entries;
  lw_check_text(L, 1, NULL);
  lua_settop(L, 1);
  task = lw_waiter(L, lw_loop(L));
  entries = lua_newuserdatauv(L, sizeof *entries, 0);
  *entries = (lw_Buffer){0};
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return lw_job_run(L, task, &new_job(L, &cls)->job);
}

/* ---- rmtree ----
 *
 * Every step is relative to the open directory that it works in, and opens no links: whoever replaces a directory by a
 * link meanwhile has the link removed, and nothing behind it. */

/* The entry `name` is to blame, or what `failed` names below it. */
static void blame(TreeJob *my, const char *name) {
  size_t n = strlen(name), below = my->failed != NULL ? strlen(my->failed) : 0;
  char *path = malloc(n + below + 2);
  if (path != NULL) {
    memcpy(path, name, n + 1);
    if (below > 0) {
      path[n] = '/';
      memcpy(path + n + 1, my->failed, below + 1);
    }
  }
  free(my->failed);
  my->failed = path;
}

static int remove_directory(TreeJob *my, int parent, const char *name);

static int remove_entry(TreeJob *my, DIR *directory, const struct dirent *entry) {
  int fd = dirfd(directory), err = EISDIR;
  if (lw_job_abandoned(&my->job)) return 0;
  if (entry->d_type != DT_DIR) err = unlinkat(fd, entry->d_name, 0) == 0 ? 0 : errno;
  if (err == 0 || err == ENOENT) return 1;
  if ((err == EISDIR || err == EPERM) && remove_directory(my, fd, entry->d_name)) return 1;
  if (my->job.status == 0) fail(my, "unlink", err);
  blame(my, entry->d_name);
  return 0;
}

/* Removes what is in it. Returns the number of entries, or -1. */
static int empty_directory(TreeJob *my, DIR *directory) {
  struct dirent *entry;
  int count = 0;
  rewinddir(directory);
  while ((entry = next_entry(directory)) != NULL) {
    if (!remove_entry(my, directory, entry)) return -1;
    count = 1;
  }
  if (errno != 0) fail(my, "readdir", errno);
  return errno != 0 ? -1 : count;
}

static int remove_directory(TreeJob *my, int parent, const char *name) {
  DIR *directory = open_directory(parent, name, O_NOFOLLOW);
  int count, removed = 0;
  if (directory == NULL) {
    if (errno == ENOENT && parent != AT_FDCWD) return 1;
    if ((errno == ENOTDIR || errno == ELOOP) && parent != AT_FDCWD && unlinkat(parent, name, 0) == 0) return 1;
    return fail(my, "opendir", errno);
  }
  /* Where removing has made readdir skip some, it begins anew. */
  do {
    count = empty_directory(my, directory);
    if (count >= 0) removed = unlinkat(parent, name, AT_REMOVEDIR) == 0;
  } while (count > 0 && !removed && (errno == ENOTEMPTY || errno == EEXIST));
  if (count >= 0 && !removed) fail(my, "rmdir", errno);
  closedir(directory);
  return removed;
}

static void rmtree_work(lw_Job *job) {
  TreeJob *my = (TreeJob *)job;
  if (remove_directory(my, AT_FDCWD, my->path) || my->failed == NULL) return;
  blame(my, my->path);
  if (my->failed != NULL) job->path = my->failed;
}

/* With a slash behind it the name of a link is that of the directory which it leads to. */
static void cut_slashes(char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') path[--n] = '\0';
}

/* rmtree(path): see types/fs.lua. */
static int fs_rmtree(lua_State *L) {
  static const lw_JobClass cls = {"rmtree", rmtree_work, NULL, tree_release, NULL, NULL, 0};
  TreeJob *job = new_job(L, &cls);
  cut_slashes(job->path);
  return lw_job_run(L, lw_waiter(L, lw_loop(L)), &job->job);
}

void lw_open_fs_tree(lua_State *L, int loop_index) {
  static const luaL_Reg meta[] = {
      {"__call", entries_next}, {"__close", entries_close}, {"__gc", entries_close}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"scandir", fs_scandir}, {"rmtree", fs_rmtree}, {NULL, NULL}};
  lua_pushvalue(L, loop_index);
  lw_class(L, loop_index, "Directory", NULL, meta);
  luaL_setfuncs(L, funcs, 2);
}
