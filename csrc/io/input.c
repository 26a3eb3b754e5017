#include "io/input.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "io/handle.h"
#include "io/request.h"

/* One wait. Stands in the frame of the function that waits. */
typedef struct Input {
  lw_IoHandle handle;
  uv_poll_t uv;
  lw_Request request;
  int fd;
} Input;

/* Without a frame there is nobody to wake: the task was closed from outside, and waits for nothing. */
static void input_leave(lw_IoHandle *handle) {
  lw_Request *request = &((Input *)handle)->request;
  if (request->task != NULL) request->task->on = NULL;
  request->task = NULL;
}

static const lw_IoClass input_class = {"input", lw_io_close, input_leave};

static int raise_os(lua_State *L, int err, const char *syscall) {
  lw_error_push_os(L, err, syscall, NULL, NULL);
  return lua_error(L);
}

/* Whatever the poll was told, reading tells better. */
static int input_finish(lua_State *L, lw_Request *request) {
  (void)L;
  lw_io_close(&LW_CONTAINER(request, Input, request)->handle);
  return 0;
}

static void input_abandon(lw_Request *request) { lw_io_close(&LW_CONTAINER(request, Input, request)->handle); }

static void input_describe(lua_State *L, const lw_Request *request) {
  lua_pushfstring(L, "input on descriptor %d", LW_CONTAINER(request, Input, request)->fd);
}

static void on_input(uv_poll_t *uv, int status, int events) {
  Input *input = uv->data;
  (void)events;
  uv_poll_stop(uv);
  lw_request_done(input->handle.loop, &input->request, status);
}

/* libuv makes the descriptor non-blocking, which others who share the terminal would notice: it is as before then. */
static int poll_init(uv_loop_t *loop, uv_poll_t *uv, int fd) {
  int flags = fcntl(fd, F_GETFL), err = uv_poll_init(loop, uv, fd);
  if (err == 0 && flags != -1) fcntl(fd, F_SETFL, flags);
  return err;
}

static int check_fd(lua_State *L) {
  lua_Integer fd = lw_check_integer(L, 1);
  if (fd < 0 || fd > INT_MAX) lw_argerror(L, 1, "file descriptor expected");
  return (int)fd;
}

/* ready(fd): waits until reading from the descriptor would not block. What can always be read, like a file, is ready
 * at once. Raises OSError. A cancelled one leaves nothing behind. */
static int input_ready(lua_State *L) {
  static const lw_RequestClass cls = {input_finish, input_abandon, input_describe};
  lw_Loop *loop = lw_loop(L);
  int err, fd = check_fd(L);
  lw_Task *task = lw_waiter(L, loop);
  Input *input = lw_io_new(L, loop, &input_class, sizeof *input, 0);
  input->fd = fd;
  input->request.cls = &cls;
  err = poll_init(loop->uv, &input->uv, fd);
  if (err == UV_EPERM) return 0;
  if (err != 0) return raise_os(L, err, "poll");
  lw_io_opened(&input->handle, (uv_handle_t *)&input->uv);
  err = uv_poll_start(&input->uv, UV_READABLE | UV_DISCONNECT, on_input);
  if (err == 0) return lw_request_wait(L, task, &input->request);
  lw_io_close(&input->handle);
  return raise_os(L, err, "poll");
}

/* Does the error stand for the end? A terminal whose other side is closed says EIO until it is hung up, and always to a
 * process in its background that ignores SIGTTIN. */
static int is_gone(int fd, int error) {
  struct stat st;
  return error == EIO && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
}

/* read(fd): what can be read now, at most 4 KiB; "" if that is nothing, nil at the end. Raises OSError. */
static int input_read(lua_State *L) {
  char buffer[4096];
  int fd = check_fd(L);
  ssize_t n = read(fd, buffer, sizeof buffer);
  if (n < 0 && is_gone(fd, errno)) n = 0;
  if (n < 0 && errno != EINTR && errno != EAGAIN) return raise_os(L, uv_translate_sys_error(errno), "read");
  if (n == 0)
    lua_pushnil(L);
  else
    lua_pushlstring(L, buffer, n > 0 ? (size_t)n : 0);
  return 1;
}

/* is_terminal(fd): boolean */
static int input_is_terminal(lua_State *L) {
  lua_pushboolean(L, isatty(check_fd(L)));
  return 1;
}

void lw_open_input(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg funcs[] = {
      {"ready", input_ready}, {"read", input_read}, {"is_terminal", input_is_terminal}, {NULL, NULL}};
  (void)loop;
  lw_io_class(L, loop_index, &input_class, NULL, NULL);
  lua_pop(L, 1);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
}
