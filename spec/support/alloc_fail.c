/* Runs a Lua program many times, each time in a new state whose allocator fails from one point on: first at the first
 * allocation of the program, then at the second, and so on to the last.
 *
 *   alloc_fail once|on PROGRAM.lua [PRELUDE.lua]
 *
 * `once`: one request fails (and Lua's second try, after it has collected garbage); `on`: all from there on fail. The prelude
 * runs before, with all the memory it wants. The program may end with any error; what is looked for is a crash, a hang, and
 * memory that is not given back. Prints the number of rounds. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 2 }; /* Lua asks twice before it raises */

typedef struct Memory {
  long left;    /* requests until one fails; below 0: none does */
  int failures; /* that are left to come, below 0: no end of them */
  long requests;
  size_t bytes; /* in use */
} Memory;

static int refuse(Memory *memory) {
  memory->requests++;
  if (memory->left < 0) return 0;
  if (memory->left > 0) {
    memory->left--;
    return 0;
  }
  if (memory->failures == 0) return 0;
  if (memory->failures > 0) memory->failures--;
  return 1;
}

static void *allocate(void *ud, void *block, size_t old_size, size_t size) {
  Memory *memory = ud;
  void *result;
  if (block == NULL) old_size = 0; /* it is the kind of object then */
  if (size == 0) {
    memory->bytes -= old_size;
    free(block);
    return NULL;
  }
  if (size > old_size && refuse(memory)) return NULL;
  result = realloc(block, size);
  if (result != NULL) memory->bytes += size - old_size;
  return result;
}

static int open_libraries(lua_State *L) {
  luaL_openlibs(L);
  return 0;
}

/* Loads and calls the file whose name is the light userdata at 1. */
static int run_file(lua_State *L) {
  if (luaL_loadfile(L, lua_touserdata(L, 1)) != LUA_OK) lua_error(L);
  lua_call(L, 0, 0);
  return 0;
}

static int run(lua_State *L, const char *file) {
  lua_pushcfunction(L, run_file);
  lua_pushlightuserdata(L, (void *)file);
  return lua_pcall(L, 1, 0, 0);
}

static void must(lua_State *L, int status) {
  if (status == LUA_OK) return;
  fprintf(stderr, "alloc_fail: %s\n", luaL_tolstring(L, -1, NULL));
  exit(2);
}

/* One round: the request number `fail` of the program is refused. Returns the number of requests. */
static long play(const char *program, const char *prelude, long fail, int failures) {
  Memory memory = {.left = -1};
  lua_State *L = lua_newstate(allocate, &memory);
  int status;
  if (L == NULL) exit(2);
  lua_pushcfunction(L, open_libraries);
  must(L, lua_pcall(L, 0, 0, 0));
  if (prelude != NULL) must(L, run(L, prelude));
  memory.requests = 0;
  memory.left = fail;
  memory.failures = failures;
  status = run(L, program);
  memory.left = -1;
  if (fail < 0) must(L, status);
  lua_close(L);
  if (memory.bytes != 0) {
    fprintf(stderr, "alloc_fail: request %ld: %zu bytes were not given back\n", fail, memory.bytes);
    exit(3);
  }
  return memory.requests;
}

int main(int argc, char **argv) {
  const char *prelude = argc > 3 ? argv[3] : NULL;
  long round, requests;
  int failures;
  if (argc < 3) return 2;
  failures = strcmp(argv[1], "once") == 0 ? TRIES : -1;
  requests = play(argv[2], prelude, -1, 0);
  for (round = 0; round < requests; round++) play(argv[2], prelude, round, failures);
  printf("%ld\n", requests);
  return 0;
}
