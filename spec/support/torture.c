/* Runs a Lua program many times, each time in a new state with something put in its way: first at the first step, then at
 * the second, and so on to the last.
 *
 *   torture once|on|collect|close STRIDE PROGRAM.lua [PRELUDE.lua]
 *
 * `once`: one allocation fails (and Lua's second try, after it has collected garbage); `on`: all from there on fail.
 * `collect`: the first try of every STRIDE-th allocation fails, so that Lua runs a full collection there and tries
 * again: what a build of Lua with EMERGENCYGCTESTS does; the program must end well, and runs once for each of the STRIDE
 * offsets. `close`: the state is closed and the process ends, as os.exit(0, true) has it, from inside the function call
 * that is the step.
 *
 * The prelude runs before, undisturbed. In the other modes the program may end with any error; what is looked for is a
 * crash, a hang, and memory that is not given back. With a STRIDE above 1 only so many steps are taken. Prints the number
 * of rounds. */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 2 }; /* Lua asks twice before it raises */

typedef struct Memory {
  long left;    /* requests until one fails; below 0: none does */
  int failures; /* that are left to come, below 0: no end of them */
  long every;   /* so many requests from one that fails to the next; 0: no further one does */
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
  if (memory->every > 0) { /* the next request is the second try */
    memory->left = memory->every;
    memory->failures = 1;
  }
  return 1;
}

/* May this be of a luaL_Buffer? Those ask only once, and for more than they begin with. */
static int single_try(size_t size) { return size > LUAL_BUFFERSIZE; }

static void *allocate(void *ud, void *block, size_t old_size, size_t size) {
  Memory *memory = ud;
  void *result;
  if (block == NULL) old_size = 0; /* it is the kind of object then */
  if (size == 0) {
    memory->bytes -= old_size;
    free(block);
    return NULL;
  }
  if (size > old_size && !(memory->every > 0 && single_try(size)) && refuse(memory)) return NULL;
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
  fprintf(stderr, "torture: %s\n", luaL_tolstring(L, -1, NULL));
  exit(2);
}

/* A new state in which the prelude has run. Its global `starving` tells whether allocations will fail for good. */
static lua_State *open_state(Memory *memory, const char *prelude, int starving) {
  lua_State *L = lua_newstate(allocate, memory);
  if (L == NULL) exit(2);
  lua_pushboolean(L, starving);
  lua_setglobal(L, "starving");
  lua_pushcfunction(L, open_libraries);
  must(L, lua_pcall(L, 0, 0, 0));
  if (prelude != NULL) must(L, run(L, prelude));
  return L;
}

static void close_state(lua_State *L, const Memory *memory, long step) {
  lua_close(L);
  if (memory->bytes == 0) return;
  fprintf(stderr, "torture: step %ld: %zu bytes were not given back\n", step, memory->bytes);
  exit(3);
}

/* ---- memory ---- */

/* One round: the request number `fail` of the program is refused. Returns the number of requests. */
static long starve(const char *program, const char *prelude, long fail, int failures, long every) {
  Memory memory = {.left = -1};
  lua_State *L = open_state(&memory, prelude, fail >= 0 && every == 0);
  int status;
  memory.requests = 0;
  memory.left = fail;
  memory.failures = failures;
  memory.every = every;
  status = run(L, program);
  memory.left = -1;
  if (fail < 0 || every > 0) must(L, status);
  close_state(L, &memory, fail);
  return memory.requests;
}

static long starve_each(const char *program, const char *prelude, int failures, long stride) {
  long step, requests = starve(program, prelude, -1, 0, 0);
  for (step = 0; step < requests; step += stride) starve(program, prelude, step, failures, 0);
  return requests;
}

static long collect_each(const char *program, const char *prelude, long stride) {
  long step, requests = 0;
  for (step = 0; step < stride; step++) requests += starve(program, prelude, step, 1, stride);
  return requests;
}

/* ---- the end of the state ---- */

static struct {
  lua_State *L;
  Memory memory;
  long calls, last;
} ending; /* of this process */

/* Counts the calls of all coroutines: a new one has the hook of the one that made it. */
static void on_call(lua_State *L, lua_Debug *ar) {
  (void)L, (void)ar;
  if (++ending.calls != ending.last) return;
  close_state(ending.L, &ending.memory, ending.last);
  exit(0);
}

/* In a process of its own: runs the program up to call number `last` (0: to its end); writes the number of calls. */
static void run_to(const char *program, const char *prelude, long last, int out) {
  int status;
  ending.memory.left = -1;
  ending.last = last;
  ending.L = open_state(&ending.memory, prelude, 0);
  lua_sethook(ending.L, on_call, LUA_MASKCALL, 0);
  status = run(ending.L, program);
  lua_sethook(ending.L, NULL, 0, 0);
  must(ending.L, status);
  close_state(ending.L, &ending.memory, last);
  if (write(out, &ending.calls, sizeof ending.calls) < 0) exit(2);
  exit(0);
}

static long fork_to(const char *program, const char *prelude, long last) {
  int ends[2], status;
  long calls = 0;
  pid_t child;
  if (pipe(ends) != 0 || (child = fork()) < 0) exit(2);
  if (child == 0) {
    alarm(30); /* a hang ends it with a signal */
    run_to(program, prelude, last, ends[1]);
  }
  close(ends[1]);
  if (read(ends[0], &calls, sizeof calls) < 0) exit(2);
  close(ends[0]);
  if (waitpid(child, &status, 0) != child) exit(2);
  if (status == 0) return calls;
  fprintf(stderr, "torture: closed in call %ld, it ended with status %x\n", last, (unsigned)status);
  exit(4);
}

static long close_each(const char *program, const char *prelude, long stride) {
  long step, rounds = 0, calls = fork_to(program, prelude, 0);
  for (step = 1; step <= calls; step += stride, rounds++) fork_to(program, prelude, step);
  return rounds;
}

int main(int argc, char **argv) {
  const char *mode, *program, *prelude = argc > 4 ? argv[4] : NULL;
  long stride, rounds;
  if (argc < 4 || (stride = atol(argv[2])) < 1) return 2;
  mode = argv[1], program = argv[3];
  if (strcmp(mode, "close") == 0)
    rounds = close_each(program, prelude, stride);
  else if (strcmp(mode, "collect") == 0)
    rounds = collect_each(program, prelude, stride);
  else
    rounds = starve_each(program, prelude, strcmp(mode, "once") == 0 ? TRIES : -1, stride);
  printf("%ld\n", rounds);
  return 0;
}
