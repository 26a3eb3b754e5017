/* Runs the Lua code of its first argument as a task, on a uv_loop_t of the program's: what luawait.luv says to that. */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>
#include <uv.h>

int main(int argc, char **argv) {
  uv_loop_t loop;
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = luaL_newstate();
  int failed;
  if (argc != 2 || L == NULL || uv_loop_init(&loop) != 0) return 2;
  options.loop = &loop;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 1);
  lua_pop(L, 1);
  failed = luawait_open(L, &options) != LUAWAIT_OK || luaL_loadstring(L, argv[1]) != LUA_OK ||
           luawait_call(L, 0, 0) != LUAWAIT_OK;
  if (failed) printf("%s\n", luaL_tolstring(L, -1, NULL));
  luawait_close(L);
  lua_close(L);
  return uv_loop_close(&loop) != 0 || failed;
}
