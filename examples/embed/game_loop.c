/* A game: 60 frames a second, of which the scripts of its creatures get 2 ms at most. There are more of them than fit
 * in that time; those that had no turn have theirs in the next frame.
 *
 *   game_loop [FRAMES] */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FRAME (1.0 / 60)
#define SCRIPTS 0.002

static const char script[] =
    "local async = require 'luawait'\n"
    "moves, creatures = 0, 500\n"
    "local function think() local n = 0 for i = 1, 2000 do n = n + i % 7 end return n end\n"
    "for i = 1, creatures do\n"
    "  async.create_task(function()\n"
    "    while true do\n"
    "      think()\n"
    "      moves = moves + 1\n"
    "      async.sleep(0)\n"
    "    end\n"
    "  end)\n"
    "end\n";

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_until(double when) {
  double left = when - now();
  struct timespec t = {0, (long)(left * 1e9)};
  if (left > 0) nanosleep(&t, NULL);
}

static long global_integer(lua_State *L, const char *name) {
  long value;
  lua_getglobal(L, name);
  value = (long)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

int main(int argc, char **argv) {
  int frame, frames = argc > 1 ? atoi(argv[1]) : 60, late = 0;
  lua_State *L = luaL_newstate();
  double begin;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  if (luawait_open(L, NULL) != LUAWAIT_OK || luaL_dostring(L, script) != LUA_OK) return 2;

  begin = now();
  for (frame = 1; frame <= frames; frame++) {
    double start = now();
    if (luawait_step(L, 0, SCRIPTS) != LUAWAIT_OK) return 2;
    if (now() - start > FRAME / 2) late++; /* a frame has to be drawn in the rest */
    sleep_until(begin + frame * FRAME);
  }

  printf("%d frames, %d late; %ld creatures have made %ld moves\n", frames, late, global_integer(L, "creatures"),
         global_integer(L, "moves"));
  luawait_close(L);
  lua_close(L);
  return 0;
}
