/* The C module `luawait.core`: calls each opener. What users see of it is lua/luawait/init.lua. */
#include <lauxlib.h>
#include <lua.h>

#include "base/error.h"
#include "core/bridge.h"
#include "core/coroutine.h"
#include "core/failure.h"
#include "core/future.h"
#include "core/handle.h"
#include "core/monitor.h"
#include "core/park.h"
#include "core/runner.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/testing.h"
#include "core/timers.h"
#include "embed/embed.h"
#include "io/fs.h"
#include "io/input.h"
#include "io/luv.h"
#include "io/process.h"
#include "io/signal.h"
#include "io/tcp.h"
#include "io/tty.h"
#include "sync/fan.h"
#include "sync/sync.h"

/* The registry holds the module's table under the address of this: a Lua state has one loop, and its classes are made
 * once, also when package.loaded was cleared in between. */
static const char MODULE = 0;

enum { CALL_FAULTS = 1 };

typedef void Opener(lua_State *L, int loop_index, lw_Loop *loop);

/* Those that add to the table on the top. */
static Opener *const openers[] = {lw_open_failure, lw_open_future,    lw_open_task,      lw_open_handle,
                                  lw_open_timers,  lw_open_coroutine, lw_open_scope,     lw_open_runner,
                                  lw_open_gather,  lw_open_wait,      lw_open_shield,    lw_open_event,
                                  lw_open_lock,    lw_open_semaphore, lw_open_condition, lw_open_barrier,
                                  lw_open_queue,   lw_open_bridge,    lw_open_luv,       lw_open_testing};

/* Those that push a table of their own; net comes first, for what all of io shares. */
static const struct {
  const char *name;
  Opener *open;
} parts[] = {{"net", lw_open_net},         {"fs", lw_open_fs},   {"signal", lw_open_signal},
             {"process", lw_open_process}, {"tty", lw_open_tty}, {"input", lw_open_input}};

int luaopen_luawait_core(lua_State *L) {
  lw_Loop *loop;
  int loop_index;
  size_t i;
  luaL_checkversion(L);
  lua_settop(L, 0);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &MODULE) == LUA_TTABLE) return 1;
  lua_settop(L, 0);
  lw_open_call_faults(L);
  loop = lw_open_loop(L);
  loop_index = lua_gettop(L);
  lw_open_park(loop);
  lw_open_monitor(loop);
  lw_open_embed(L, loop_index, loop);
  lw_open_fan(L, loop_index, loop);
  lua_newtable(L);
  for (i = 0; i < sizeof openers / sizeof *openers; i++) openers[i](L, loop_index, loop);
  for (i = 0; i < sizeof parts / sizeof *parts; i++) {
    parts[i].open(L, loop_index, loop);
    lua_setfield(L, -2, parts[i].name);
  }
  lw_open_errors(L);
  lua_setfield(L, -2, "errors");
  lua_pushvalue(L, CALL_FAULTS);
  lua_setfield(L, -2, "call_faults");
  lua_pushliteral(L, LUAWAIT_VERSION);
  lua_setfield(L, -2, "_VERSION");
  lua_pushstring(L, uv_version_string());
  lua_setfield(L, -2, "libuv");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &MODULE);
  return 1;
}
