/* Included before each file by scripts/tidy.sh: tells the analyzer what Lua's headers do not, that these never return. */
#include <lauxlib.h>
#include <lua.h>

LUA_API int lua_error(lua_State *L) __attribute__((analyzer_noreturn));
LUALIB_API int luaL_error(lua_State *L, const char *format, ...) __attribute__((analyzer_noreturn));
