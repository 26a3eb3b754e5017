/* A program with a poll(2) loop of its own, which knows nothing of libuv: the scripts' descriptor is one among others.
 *
 *   poll_loop */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const char script[] =
    "local async = require 'luawait'\n"
    "for i = 1, 3 do\n"
    "  async.sleep(0.02)\n"
    "  tell('tick ' .. i)\n"
    "end\n";

/* tell(text): into the program's own pipe */
static int tell(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  int fd = (int)lua_tointeger(L, lua_upvalueindex(1));
  if (write(fd, text, size) != (ssize_t)size) return luaL_error(L, "tell: the pipe is broken");
  return 0;
}

static void read_pipe(int fd) {
  char text[100];
  ssize_t n = read(fd, text, sizeof text);
  if (n > 0) printf("the program has read: %.*s\n", (int)n, text);
}

int main(void) {
  lua_State *L = luaL_newstate();
  int ends[2], status;
  struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
  if (L == NULL || pipe(ends) != 0) return 2;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_pushinteger(L, ends[1]);
  lua_pushcclosure(L, tell, 1);
  lua_setglobal(L, "tell");
  if (luawait_open(L, NULL) != LUAWAIT_OK || luaL_loadstring(L, script) != LUA_OK) return 2;
  status = luawait_spawn(L, 0, NULL, NULL);

  fds[0].fd = ends[0];
  fds[1].fd = luawait_backend_fd(L);
  while (status == LUAWAIT_OK && luawait_pending(L) > 0) {
    poll(fds, 2, luawait_timeout(L));
    if (fds[0].revents & POLLIN) read_pipe(ends[0]);
    status = luawait_step(L, 0, 0);
  }
  if (poll(fds, 1, 0) > 0) read_pipe(ends[0]);

  if (status == LUAWAIT_ERROR) fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  luawait_close(L);
  lua_close(L);
  close(ends[0]);
  close(ends[1]);
  return status != LUAWAIT_OK;
}
