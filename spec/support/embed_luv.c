/* Runs the Lua code of its arguments, one after another, each as a task: the last one on a uv_loop_t of the program's,
 * those before it on loops of luawait's. What luawait.luv says to that. */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>
#include <uv.h>

int main(int argc, char **argv) {
  uv_loop_t loop;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = luaL_newstate();
  int failed = 0, i;
  if (argc < 2 || L == NULL || uv_loop_init(&loop) != 0) return 2;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 1);
  lua_pop(L, 1);
  for (i = 1; i < argc && !failed; i++) {
    if (i == argc - 1) options.loop = &loop;
    failed = luawait_open(L, &options) != LUAWAIT_OK || luaL_loadstring(L, argv[i]) != LUA_OK ||
             luawait_call(L, 0, 0) != LUAWAIT_OK;
    if (failed) printf("%s\n", luaL_tolstring(L, -1, NULL));
    luawait_close(L);
  }
  lua_close(L);
  return uv_loop_close(&loop) != 0 || failed;
}
