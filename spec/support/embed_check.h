/* For the programs that test the C API, embed_*.c: they use luawait.h alone. Run without arguments each lists its
 * cases, one a line; with the name of one it runs that, and returns 1 when something is wrong, which stderr tells. */
#ifndef EMBED_CHECK_H
#define EMBED_CHECK_H

#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
  const char *name;
  void (*run)(void);
} Case;

static int failures;

#define CHECK(condition) \
  ((condition) ? (void)0 : (void)(failures++, fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition)))

#define CHECK_INT(value, expected) check_int(__FILE__, __LINE__, #value, (long)(value), (long)(expected))
static inline void check_int(const char *file, int line, const char *text, long value, long expected) {
  if (value == expected) return;
  failures++;
  fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", file, line, text, value, expected);
}

/* Is the value on the top, as text, what is expected? Pops it. */
#define CHECK_TOP(L, expected) check_top(__FILE__, __LINE__, L, expected)
static inline void check_top(const char *file, int line, lua_State *L, const char *expected) {
  const char *text = luaL_tolstring(L, -1, NULL);
  if (strstr(text, expected) == NULL) {
    failures++;
    fprintf(stderr, "%s:%d: '%s', not '%s'\n", file, line, text, expected);
  }
  lua_pop(L, 2);
}

/* A state with the libraries and luawait, whose table is the global `async`; the loop is not open. */
static inline lua_State *new_state(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_setglobal(L, "async");
  return L;
}

static inline lua_State *new_open_state(void) {
  lua_State *L = new_state();
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_OK);
  return L;
}

static inline void end_state(lua_State *L) {
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  lua_close(L);
}

/* Pushes the function with this source. */
static inline void push_lua(lua_State *L, const char *source) {
  if (luaL_loadstring(L, source) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    exit(2);
  }
}

/* Calls it outside any task. */
static inline void do_lua(lua_State *L, const char *source) {
  push_lua(L, source);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    exit(2);
  }
}

static inline long global_int(lua_State *L, const char *name) {
  long value;
  lua_getglobal(L, name);
  value = (long)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

static inline int run_case(const Case *cases, size_t n, int argc, char **argv) {
  size_t i;
  if (argc < 2) {
    for (i = 0; i < n; i++) printf("%s\n", cases[i].name);
    return 0;
  }
  for (i = 0; i < n; i++)
    if (strcmp(cases[i].name, argv[1]) == 0) {
      cases[i].run();
      return failures > 0;
    }
  fprintf(stderr, "no case is called '%s'\n", argv[1]);
  return 2;
}

#define CASES_MAIN(cases) \
  int main(int argc, char **argv) { return run_case(cases, sizeof cases / sizeof *cases, argc, argv); }

#endif
