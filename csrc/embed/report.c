#include <lauxlib.h>

#include "embed/embed.h"

typedef struct Reporter {
  luawait_ReportFn fn;
  void *ud;
} Reporter;

/* Pushes what can be said of the error at `index` without running code of scripts. */
static void push_error_text(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TTABLE && lua_getmetatable(L, index)) {
    lua_pushliteral(L, "name");
    lua_rawget(L, -2);
    lua_pushliteral(L, "message");
    lua_rawget(L, index);
    if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING) {
      lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
      return;
    }
  }
  if (lua_isstring(L, index))
    lua_pushvalue(L, index);
  else
    lua_pushfstring(L, "(a %s)", luaL_typename(L, index));
}

static void add_line(lua_State *L, const char *key) {
  lua_pushstring(L, key);
  if (lua_rawget(L, 1) != LUA_TNIL) {
    push_error_text(L, lua_gettop(L));
    lua_pushfstring(L, "%s\n  %s", lua_tostring(L, 2), lua_tostring(L, -1));
    lua_replace(L, 2);
  }
  lua_settop(L, 2);
}

static int report(lua_State *L) {
  const Reporter *reporter = lua_touserdata(L, lua_upvalueindex(1));
  lua_settop(L, 1);
  lua_pushliteral(L, "message");
  if (lua_rawget(L, 1) != LUA_TSTRING) { /* a handler of a script's had it before */
    lua_pushliteral(L, "?");
    lua_replace(L, 2);
  }
  add_line(L, "error");
  add_line(L, "traceback");
  add_line(L, "created_at");
  reporter->fn(L, lua_tostring(L, 2), reporter->ud);
  return 0;
}

/* The default handler where there are limits: Lua's own would call __tostring of scripts. */
static void write_report(lua_State *L, const char *text, void *ud) {
  (void)L, (void)ud;
  lua_writestringerror("luawait: %s\n", text);
}

static int set_reporter(lua_State *L) {
  Reporter given = *(const Reporter *)lua_touserdata(L, 1);
  lw_Loop *loop = lw_loop_of(L);
  if (given.fn == NULL && loop->guarded) given.fn = write_report;
  if (given.fn != NULL) {
    *(Reporter *)lua_newuserdatauv(L, sizeof given, 0) = given;
    lua_pushcclosure(L, report, 1);
  } else {
    lua_pushnil(L);
  }
  lw_set_ref(L, loop, LW_REF_DEFAULT_HANDLER);
  return 0;
}

/* 1 the message, 2 the error */
static int report_error(lua_State *L) {
  lw_report_error(L, lw_loop_of(L), lua_touserdata(L, 1));
  return 0;
}

void lw_tell_error(lua_State *L, const char *message) {
  if (lw_protect(L, report_error, (void *)message, 1, 0) != LUAWAIT_OK) lua_pop(L, 1); /* no memory: it is lost */
}

int luawait_on_report(lua_State *L, luawait_ReportFn fn, void *ud) {
  Reporter reporter = {fn, ud};
  return lw_embed_of(L) != NULL ? lw_protect(L, set_reporter, &reporter, 0, 0) : LUAWAIT_INVALID;
}
