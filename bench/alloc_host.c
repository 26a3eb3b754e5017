/* alloc_host.c - runs a Lua script and counts what is allocated meanwhile.
 *
 *   alloc_host SCRIPT
 *
 * The script gets one function more, count_allocations(t), which sets in the table t
 *   blocks, bytes         new blocks of Lua's allocator and growth of its blocks, since the program began
 *   string table function userdata thread other    the new blocks by what Lua wanted them for
 *   c_blocks, c_bytes     the same of malloc, calloc and realloc called from C: by the module, by libuv
 * and allocates nothing itself once t has these fields. The last two are 0 where the C library is not
 * glibc, whose allocator can be wrapped.
 */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static lua_Integer blocks, bytes, strings, tables, functions, userdata, threads, others;
static atomic_llong c_blocks, c_bytes; /* libuv's threads allocate too */

#ifdef __GLIBC__

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static void count_c(size_t size) {
  c_blocks++;
  c_bytes += (long long)size;
}

/* These take the place of the C library's for everything in the process. */

void *malloc(size_t size) {
  count_c(size);
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  count_c(n * size);
  return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size) {
  if (size) count_c(size);
  return __libc_realloc(block, size);
}

#define lua_realloc __libc_realloc
#else
#define lua_realloc realloc
#endif

/* Lua says what a new block is for in place of its old size */
static lua_Integer *counter(size_t type) {
  switch (type) {
    case LUA_TSTRING:
      return &strings;
    case LUA_TTABLE:
      return &tables;
    case LUA_TFUNCTION:
      return &functions;
    case LUA_TUSERDATA:
      return &userdata;
    case LUA_TTHREAD:
      return &threads;
    default:
      return &others;
  }
}

static void *allocate(void *ud, void *block, size_t old_size, size_t size) {
  (void)ud;
  if (size == 0) {
    free(block);
    return NULL;
  }
  if (!block) ++*counter(old_size);
  if (!block || size > old_size) {
    blocks++;
    bytes += (lua_Integer)(block ? size - old_size : size);
  }
  return lua_realloc(block, size);
}

static void set(lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, 1, name);
}

static int count_allocations(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  set(L, "blocks", blocks);
  set(L, "bytes", bytes);
  set(L, "string", strings);
  set(L, "table", tables);
  set(L, "function", functions);
  set(L, "userdata", userdata);
  set(L, "thread", threads);
  set(L, "other", others);
  set(L, "c_blocks", c_blocks);
  set(L, "c_bytes", c_bytes);
  return 0;
}

static int traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: alloc_host SCRIPT\n");
    return 2;
  }
  lua_State *L = lua_newstate(allocate, NULL);
  if (!L) return 1;
  luaL_openlibs(L);
  lua_gc(L, LUA_GCGEN, 0, 0); /* as the standalone interpreter does */
  lua_register(L, "count_allocations", count_allocations);
  lua_pushcfunction(L, traceback);
  if (luaL_loadfile(L, argv[1]) || lua_pcall(L, 0, 1, 1)) {
    fprintf(stderr, "alloc_host: %s\n", lua_tostring(L, -1));
    return 1;
  }
  int status = lua_isboolean(L, -1) && !lua_toboolean(L, -1); /* a script that returns false has failed */
  lua_close(L);
  return status;
}
