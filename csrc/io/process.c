#include "io/process.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "core/park.h"
#include "io/file.h"
#include "io/pipe.h"
#include "io/signal.h"

extern char **environ;

/* ---- life ----
 *
 * A process is pinned until its end, so that libuv reaps it whether or not anybody waits. Its handle is closed then. */
typedef struct Process {
  lw_IoHandle handle;
  uv_process_t uv;
  lw_List waiters;
  lw_Disposition *disposition; /* of SIGCHLD */
  int status, signum;          /* how it ended */
  uint8_t ended;
  uint8_t grouped;  /* it leads a process group of its own */
  uint8_t detached; /* it may outlive the run */
} Process;

enum { REAP_MS = 1000 /* for which the end of a run waits until a process that it killed is gone */ };

static int send_signal(const Process *process, int signum) {
  if (kill(process->grouped ? -process->uv.pid : process->uv.pid, signum) == 0) return 0;
  return uv_translate_sys_error(errno);
}

/* The loop is being closed, and libuv reaps no more. */
static void kill_and_reap(Process *process) {
  int ms, status = 0, reaped = 0;
  send_signal(process, SIGKILL);
  for (ms = 0; ms < REAP_MS && (reaped = waitpid(process->uv.pid, &status, WNOHANG)) == 0; ms++) uv_sleep(1);
  if (reaped != process->uv.pid) return;
  process->ended = 1;
  process->status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  process->signum = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void process_leave(lw_IoHandle *handle) {
  Process *process = (Process *)handle;
  if (!process->ended && !process->detached && process->uv.pid > 0) kill_and_reap(process);
}

static void process_closed(lw_IoHandle *handle) {
  Process *process = (Process *)handle;
  lw_disposition_release(handle->io, process->disposition);
}

static const lw_IoClass process_class = {"process", lw_io_close, process_leave};

static void on_end(uv_process_t *uv, int64_t status, int signum) {
  Process *process = uv->data;
  lw_Link *link;
  process->ended = 1;
  process->status = (int)status;
  process->signum = signum;
  if (process->grouped && send_signal(process, 0) != 0) process->grouped = 0; /* nobody is left of it */
  while ((link = lw_list_pop(&process->waiters)) != NULL)
    lw_wake(process->handle.loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
  lw_io_close(&process->handle);
}

/* ---- starting ---- */

enum { ARGV = 1, CWD, ENV, DETACHED, GROUP, STDIO /* three of them */, STARTED = STDIO + 3, STREAMS };

/* What a child gets, and what goes when it has it (or when it could not be had). */
typedef struct Plan {
  uv_process_options_t options;
  uv_stdio_container_t stdio[3];
  lw_Stream *streams[3]; /* the parent's ends */
  int given[3];          /* the child's ends of pipes, else -1 */
} Plan;

/* A NULL-terminated array of the strings in the table at `index`, which keeps them; pushes what holds it. */
static char **string_array(lua_State *L, int index) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, index);
  char **array = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *array, 0);
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, index, i + 1);
    array[i] = (char *)lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  array[n] = NULL;
  return array;
}

/* A pipe to the child as its descriptor `fd`. Returns an error of libuv's, or 0. */
static int make_pipe(Plan *plan, int fd) {
  uv_file ends[2];
  int err = uv_pipe(ends, 0, 0);
  if (err != 0) return err;
  plan->given[fd] = ends[fd == 0 ? 0 : 1];
  plan->stdio[fd].flags = UV_INHERIT_FD;
  plan->stdio[fd].data.fd = plan->given[fd];
  return lw_pipe_open(plan->streams[fd], ends[fd == 0 ? 1 : 0]);
}

static int make_pipes(Plan *plan) {
  int fd, err = 0;
  for (fd = 0; fd < 3 && err == 0; fd++)
    if (plan->streams[fd] != NULL) err = make_pipe(plan, fd);
  if (plan->stdio[2].flags == UV_INHERIT_FD && plan->stdio[2].data.fd < 0) plan->stdio[2] = plan->stdio[1];
  return err;
}

/* What stands for the child's descriptor `fd`: "pipe", "null", "inherit", for 2 also "stdout", or a descriptor. Pushes
 * the stream of a pipe, else nil. */
static void plan_stdio(lua_State *L, lw_Loop *loop, Plan *plan, int fd) {
  int arg = STDIO + fd;
  const char *kind = lua_type(L, arg) == LUA_TSTRING ? lua_tostring(L, arg) : "";
  uv_stdio_container_t *stdio = &plan->stdio[fd];
  plan->given[fd] = -1;
  stdio->flags = strcmp(kind, "null") == 0 ? UV_IGNORE : UV_INHERIT_FD;
  stdio->data.fd = *kind == '\0' ? (int)lw_check_integer(L, arg) : strcmp(kind, "stdout") == 0 ? -1 : fd;
  if (strcmp(kind, "pipe") == 0)
    plan->streams[fd] = lw_pipe_new(L, loop);
  else
    lua_pushnil(L);
}

/* Closes what the child has now, and with `all` what the parent would have. */
static void end_plan(Plan *plan, int all) {
  int fd;
  for (fd = 0; fd < 3; fd++) {
    if (plan->given[fd] >= 0) close(plan->given[fd]);
    if (all && plan->streams[fd] != NULL) lw_io_close(&plan->streams[fd]->handle);
  }
}

/* Is it the directory that was wrong? The child cannot tell. */
static int is_no_directory(const char *path) {
  struct stat info;
  return path != NULL && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode) || access(path, X_OK) != 0);
}

static int spawn_failed(lua_State *L, Process *process, Plan *plan, int err) {
  const char *cwd = plan->options.cwd;
  int at_cwd = is_no_directory(cwd);
  end_plan(plan, 1);
  if (process->handle.state == LW_IO_OPEN) {
    process->ended = 1;
    lw_io_close(&process->handle);
  } else {
    lw_disposition_release(process->handle.io, process->disposition);
    lw_io_unpin(&process->handle);
  }
  lw_error_push_os(L, err, at_cwd ? "chdir" : "spawn", "path", at_cwd ? cwd : plan->options.file);
  return lua_error(L);
}

static int start(lw_Loop *loop, Process *process, Plan *plan) {
  int err = make_pipes(plan);
  if (err != 0) return err;
  err = uv_spawn(loop->uv, &process->uv, &plan->options);
  lw_io_opened(&process->handle, (uv_handle_t *)&process->uv);
  lw_disposition_held(process->disposition);
  return err;
}

/* spawn(argv, cwd, env, detached, group, stdin, stdout, stderr): a process, its number, and the streams of those that
 * are "pipe" (else nil). `argv` and `env` (of "NAME=value") are arrays of strings without zeros; env and cwd false: as
 * this program's own. Raises OSError with `path`. */
static int process_spawn(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  Plan plan = {.options = {.exit_cb = on_end, .stdio_count = 3}};
  Process *process;
  int fd, err, detached, group;
  lua_settop(L, STARTED - 1);
  lw_check_type(L, ARGV, LUA_TTABLE);
  plan.options.stdio = plan.stdio;
  process = lw_io_new(L, loop, &process_class, sizeof *process, 0);
  process->handle.closed = process_closed;
  lua_pushinteger(L, 0);
  for (fd = 0; fd < 3; fd++) plan_stdio(L, loop, &plan, fd);
  plan.options.args = string_array(L, ARGV);
  plan.options.file = plan.options.args[0];
  plan.options.cwd = lua_tostring(L, CWD);
  if (lua_istable(L, ENV)) plan.options.env = string_array(L, ENV);
  detached = lua_toboolean(L, DETACHED);
  group = lua_toboolean(L, GROUP);
  if (detached || group) plan.options.flags |= UV_PROCESS_DETACHED;
  lw_io_pin(L, &process->handle, STARTED);
  process->disposition = lw_disposition_hold(process->handle.io, SIGCHLD);
  if (process->disposition == NULL) {
    lw_io_unpin(&process->handle);
    return luaL_error(L, "not enough memory");
  }
  err = start(loop, process, &plan);
  if (err != 0) return spawn_failed(L, process, &plan, err);
  process->detached = (uint8_t)detached;
  process->grouped = (uint8_t)group;
  end_plan(&plan, 0);
  lua_pushinteger(L, process->uv.pid);
  lua_replace(L, STARTED + 1);
  lua_settop(L, STARTED + 4);
  return 5;
}

/* descriptor(value): that of a File that is open; nothing for what is no File. */
static int process_descriptor(lua_State *L) {
  if (!lw_is_file(L, 1)) return 0;
  lua_pushinteger(L, lw_file_fd(L, 1));
  return 1;
}

/* environ(): the variables of this program's environment, by name. */
static int process_environ(lua_State *L) {
  char **variable;
  lua_newtable(L);
  for (variable = environ; variable != NULL && *variable != NULL; variable++) {
    const char *sign = strchr(*variable, '=');
    if (sign == NULL || sign == *variable) continue;
    lua_pushlstring(L, *variable, (size_t)(sign - *variable));
    lua_pushstring(L, sign + 1);
    lua_rawset(L, -3);
  }
  return 1;
}

/* ---- waiting, and signals ---- */

static int push_end(lua_State *L, const Process *process) {
  if (process->signum == 0) {
    lua_pushinteger(L, process->status);
    return 1;
  }
  lua_pushnil(L);
  lw_push_signal_name(L, process->signum);
  return 2;
}

static int wait_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)wake;
  return push_end(L, on);
}

static int wait_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  Process *process = on;
  (void)L, (void)loop;
  lw_list_remove(&process->waiters, &lw_task_node(task)->link);
  return 0;
}

static void wait_describe(lua_State *L, lw_Loop *loop, void *on) {
  const Process *process = on;
  (void)loop;
  lua_pushfstring(L, "the end of process %d", process->uv.pid);
}

/* process:wait(): its exit status; nil and the name of the signal if one ended it. Waits. A cancelled one leaves
 * nothing behind; the process goes on. */
static int process_wait(lua_State *L) {
  Process *process = lw_io_self(L);
  lw_Loop *loop = process->handle.loop;
  lw_Task *task;
  if (process->ended) return push_end(L, process);
  if (process->handle.state != LW_IO_OPEN) return lw_io_raise_closed(L, &process->handle);
  task = lw_waiter(L, loop);
  lw_list_push(&process->waiters, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_PROCESS, process);
}

/* process:kill(number): sends a signal, to the whole group if it has one of its own. Returns false when it has ended.
 * Raises OSError; RuntimeError when the run has ended and the process had not: it may have by now. */
static int process_kill(lua_State *L) {
  Process *process = lw_io_self(L);
  int signum = (int)lw_check_integer(L, 2), err = UV_ESRCH;
  if (process->grouped || process->handle.state == LW_IO_OPEN)
    err = send_signal(process, signum);
  else if (!process->ended)
    return lw_io_raise_closed(L, &process->handle);
  if (err != 0 && err != UV_ESRCH) {
    lw_error_push_os(L, err, "kill", NULL, NULL);
    return lua_error(L);
  }
  lua_pushboolean(L, err == 0);
  return 1;
}

/* process:ended(): boolean */
static int process_ended(lua_State *L) {
  Process *process = lw_io_self(L);
  lua_pushboolean(L, process->ended);
  return 1;
}

void lw_open_process(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass wait_class = {wait_resumed, wait_cancel, NULL, wait_describe, NULL, NULL};
  static const luaL_Reg methods[] = {
      {"wait", process_wait}, {"kill", process_kill}, {"ended", process_ended}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {
      {"spawn", process_spawn}, {"descriptor", process_descriptor}, {"environ", process_environ}, {NULL, NULL}};
  loop->waits[LW_WAIT_PROCESS] = &wait_class;
  lw_io_class(L, loop_index, &process_class, methods, NULL);
  lua_pop(L, 1);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
}
