/* A program that uses the installed luawait: runs the Lua code of its argument as a task. */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  int failed;
  if (L == NULL || argc != 2) return 2;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 1);
  lua_pop(L, 1);
  failed =
      luawait_open(L, NULL) != LUAWAIT_OK || luaL_loadstring(L, argv[1]) != LUA_OK || luawait_call(L, 0, 0) != LUAWAIT_OK;
  if (failed) fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  printf("%s\n", LUAWAIT_VERSION);
  luawait_close(L);
  lua_close(L);
  return failed;
}
