/* Makes a request of Lua's for memory fail on purpose, once. */
#include <lauxlib.h>

#include "core/testing.h"

/* The registry holds the lw_Faults under the address of this. */
static const char FAULTS = 0;

enum { TRIES = 2 }; /* Lua asks for memory a second time, after it has collected garbage */

typedef struct lw_Faults {
  lua_Alloc allocate; /* Lua's own allocator; NULL: it is in its place */
  void *ud;
  lua_Integer requests; /* made so far */
  lua_Integer fail;     /* the one that is refused; 0: none */
} lw_Faults;

/* ---- memory ---- */

static void *allocate(void *ud, void *block, size_t old_size, size_t size) {
  lw_Faults *faults = ud;
  if (size > (block != NULL ? old_size : 0)) {
    lua_Integer n = ++faults->requests - faults->fail;
    if (faults->fail > 0 && n >= 0 && n < TRIES) return NULL;
  }
  return faults->allocate(faults->ud, block, old_size, size);
}

static void restore(lua_State *L, lw_Faults *faults) {
  if (faults->allocate != NULL) lua_setallocf(L, faults->allocate, faults->ud);
  faults->allocate = NULL;
}

/* ---- Lua-visible ---- */

/* fail_from_now(n): the n-th request for memory from now on fails; 0: none does, but they are counted */
static int fail_from_now(lua_State *L) {
  lw_Faults *faults = lw_loop(L)->faults;
  restore(L, faults);
  faults->requests = 0;
  faults->fail = lua_tointeger(L, 1);
  faults->allocate = lua_getallocf(L, &faults->ud);
  lua_setallocf(L, allocate, faults);
  return 0;
}

/* stop_failing(): nothing fails any more. Returns how many requests there have been. Twice is fine. */
static int stop_failing(lua_State *L) {
  lw_Faults *faults = lw_loop(L)->faults;
  restore(L, faults);
  lua_pushinteger(L, faults->requests);
  return 1;
}

static int faults_gc(lua_State *L) {
  restore(L, lua_touserdata(L, 1));
  return 0;
}

void lw_open_faults(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg funcs[] = {{"fail_from_now", fail_from_now}, {"stop_failing", stop_failing}, {NULL, NULL}};
  lw_setfuncs(L, loop_index, funcs);
  loop->faults = lua_newuserdatauv(L, sizeof *loop->faults, 0);
  *loop->faults = (lw_Faults){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, faults_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &FAULTS);
}
