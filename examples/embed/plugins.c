/* Scripts that are not trusted, each in a Lua state of its own with quotas, all on one loop. One never ends a step, one
 * takes all the memory it can get, one fails; the others do their work.
 *
 *   plugins */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

typedef struct Plugin {
  const char *name, *source;
  lua_State *L;
  int ended;
} Plugin;

static Plugin plugins[] = {
    {.name = "worker", .source = "for i = 1, 20 do async.sleep(0.002) end return 'worked 20 times'"},
    {.name = "endless", .source = "while true do pcall(function() while true do end end) end"},
    {.name = "hog", .source = "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end) end"},
    {.name = "crash", .source = "async.sleep(0.001) local nothing = nil return nothing.field"},
    {.name = "forever", .source = "while true do async.sleep(0.001) end"},
    {.name = "friend",
     .source = "local q = async.Queue() async.create_task(function() for i = 1, 10 do q:put(i) async.sleep(0) end end) "
               "local sum = 0 for _ = 1, 10 do sum = sum + q:get() end return 'the sum is ' .. sum"},
};
enum { PLUGINS = sizeof plugins / sizeof *plugins };

/* What a plugin sees: no files, no processes, no debug library, no binary chunks, no way around the limits. */
static const char *const taken[] = {"io",     "os",       "debug", "package",        "require",
                                    "dofile", "loadfile", "load",  "collectgarbage", NULL};

static void restrict_globals(lua_State *L) {
  const char *const *name;
  for (name = taken; *name != NULL; name++) {
    lua_pushnil(L);
    lua_setglobal(L, *name);
  }
  lua_getglobal(L, "async");
  lua_pushnil(L);
  lua_setfield(L, -2, "set_exception_handler");
  lua_pop(L, 1);
}

static void on_end(lua_State *L, int status, int n, void *ud) {
  Plugin *plugin = ud;
  plugin->ended = 1;
  printf("%-8s %s: %s\n", plugin->name, luawait_status_text(status), n > 0 ? luaL_tolstring(L, 1, NULL) : "");
}

static int start(Plugin *plugin, uv_loop_t *loop) {
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  luawait_Limits limits = LUAWAIT_LIMITS_INIT;
  lua_State *L = plugin->L = luaL_newstate();
  if (L == NULL) return 0;
  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  lua_setglobal(L, "async");
  options.loop = loop;
  limits.instructions = 1000000;
  limits.memory = 8000000;
  if (luawait_open(L, &options) != LUAWAIT_OK || luawait_limit(L, &limits) != LUAWAIT_OK) return 0;
  restrict_globals(L);
  if (luaL_loadbufferx(L, plugin->source, strlen(plugin->source), plugin->name, "t") != LUA_OK) return 0;
  return luawait_spawn(L, 0, on_end, plugin) == LUAWAIT_OK;
}

static int all_ended(const uv_loop_t *loop) {
  int i, left = 0;
  (void)loop;
  for (i = 0; i < PLUGINS; i++) left += !plugins[i].ended && strcmp(plugins[i].name, "forever") != 0;
  return left == 0;
}

int main(void) {
  uv_loop_t loop;
  int i;
  setvbuf(stdout, NULL, _IOLBF, 0);
  uv_loop_init(&loop);
  for (i = 0; i < PLUGINS; i++)
    if (!start(&plugins[i], &loop)) return 2;
  while (!all_ended(&loop)) uv_run(&loop, UV_RUN_ONCE);
  for (i = 0; i < PLUGINS; i++) {
    luawait_close(plugins[i].L); /* "forever" is cancelled now */
    lua_close(plugins[i].L);
  }
  return uv_loop_close(&loop) != 0;
}
