/* Runs a Lua program in several threads at once, each in a Lua state of its own: threads COUNT [interrupt] PROGRAM.lua
 *
 * `interrupt`: the process is sent SIGINT as soon as each program has called ready(), and again, until all have ended;
 * the global `interrupted` tells the program that it will be. Exits with 1 if a program raised an error. */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 16 };

static const char *program;
static int interrupt;
static atomic_int ready, ended, failed;

static int tell_ready(lua_State *L) {
  (void)L;
  atomic_fetch_add(&ready, 1);
  return 0;
}

static void *run(void *arg) {
  lua_State *L = luaL_newstate();
  (void)arg;
  luaL_openlibs(L);
  lua_pushcfunction(L, tell_ready);
  lua_setglobal(L, "ready");
  lua_pushboolean(L, interrupt);
  lua_setglobal(L, "interrupted");
  if (luaL_dofile(L, program)) {
    fprintf(stderr, "threads: %s\n", luaL_tolstring(L, -1, NULL));
    atomic_store(&failed, 1);
  }
  lua_close(L);
  atomic_fetch_add(&ended, 1);
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t threads[MOST];
  int i, count = argc > 2 ? atoi(argv[1]) : 0;
  if (count < 1 || count > MOST) return 2;
  interrupt = strcmp(argv[2], "interrupt") == 0;
  program = argv[argc - 1];
  signal(SIGINT, SIG_IGN); /* while nobody watches it */
  if (interrupt) signal(SIGINT, SIG_DFL);
  for (i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, run, NULL) != 0) return 2;
  while (interrupt && atomic_load(&ready) < count && atomic_load(&failed) == 0) usleep(1000);
  if (interrupt) kill(getpid(), SIGINT);
  for (i = 0; i < count; i++) pthread_join(threads[i], NULL);
  return atomic_load(&failed);
}
