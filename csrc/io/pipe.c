#include "io/pipe.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

lw_Stream *lw_pipe_new_to(lua_State *L, lw_Loop *loop, const char *path, size_t n) {
  lw_Stream *stream = lw_stream_new_to(L, loop, path, n);
  uv_pipe_init(loop->uv, &stream->uv.pipe, 0);
  lw_io_opened(&stream->handle, &stream->uv.handle);
  return stream;
}

lw_Stream *lw_pipe_new(lua_State *L, lw_Loop *loop) { return lw_pipe_new_to(L, loop, "", 0); }

/* libuv aborts where the system cannot tell whether a descriptor is ready: on files and most devices. */
static int check_descriptor(uv_file fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return uv_translate_sys_error(errno);
  return S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) ? 0 : UV_EINVAL;
}

int lw_pipe_open(lw_Stream *stream, uv_file fd) {
  int err = check_descriptor(fd);
  if (err == 0) err = uv_pipe_open(&stream->uv.pipe, fd);
  if (err != 0)
    close(fd);
  else
    err = lw_stream_connected(stream);
  if (err != 0) lw_io_close(&stream->handle);
  return err;
}

/* open_pipe(fd): a Stream on a descriptor that is open, which is the stream's from here on, and which is closed when
 * there is an error. Raises OSError. */
static int net_open_pipe(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lua_Integer fd = lw_check_integer(L, 1);
  lw_Stream *stream;
  int err;
  if (fd < 0 || fd > INT32_MAX) lw_argerror(L, 1, lua_pushfstring(L, "descriptor expected, got %I", fd));
  stream = lw_pipe_new(L, loop);
  err = lw_pipe_open(stream, (uv_file)fd);
  return err != 0 ? lw_stream_raise(L, stream, err, "open") : 1;
}

void lw_open_pipe(lua_State *L, int loop_index) {
  static const luaL_Reg funcs[] = {{"open_pipe", net_open_pipe}, {NULL, NULL}};
  lw_setfuncs(L, loop_index, funcs);
}
