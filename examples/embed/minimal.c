/* The smallest host: runs a script whose main function, the file itself, may wait.
 *
 *   minimal SCRIPT.lua */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>

int main(int argc, char **argv) {
  lua_State *L = argc == 2 ? luaL_newstate() : NULL;
  int failed;
  if (L == NULL) return 2;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 1);
  lua_pop(L, 1);
  failed =
      luawait_open(L, NULL) != LUAWAIT_OK || luaL_loadfile(L, argv[1]) != LUA_OK || luawait_call(L, 0, 0) != LUAWAIT_OK;
  if (failed) fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  luawait_close(L);
  lua_close(L);
  return failed;
}
