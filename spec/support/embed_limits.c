/* Tests of luawait.h: limits. Each script tries to keep from being stopped; nothing here may hang. */
#include "embed_check.h"

typedef struct End {
  int calls, status;
  char text[200];
} End;

static void note_end(lua_State *L, int status, int n, void *ud) {
  End *end = ud;
  end->calls++;
  end->status = status;
  if (n > 0) snprintf(end->text, sizeof end->text, "%s", luaL_tolstring(L, 1, NULL));
}

static void note_report(lua_State *L, const char *text, void *ud) {
  (void)L;
  strncat(ud, text, 400);
}

static lua_State *new_limited(unsigned long instructions, size_t memory) {
  lua_State *L = new_open_state();
  luawait_Limits limits = LUAWAIT_LIMITS_INIT;
  limits.instructions = instructions;
  limits.memory = memory;
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_OK);
  return L;
}

static void spawn(lua_State *L, const char *source, End *end) {
  push_lua(L, source);
  CHECK_INT(luawait_spawn(L, 0, note_end, end), LUAWAIT_OK);
  lua_pop(L, 1);
}

/* Runs the script beside one that does as it should. */
static void stop_script(unsigned long instructions, size_t memory, const char *source) {
  lua_State *L = new_limited(instructions, memory);
  End bad = {0}, good = {0};
  luawait_on_report(L, note_report, (char[8000]){0});
  spawn(L, source, &bad);
  spawn(L, "for _ = 1, 50 do async.sleep(0) for _ = 1, 1000 do good = (good or 0) + 1 end end return 'well'", &good);
  CHECK_INT(luawait_run(L), LUAWAIT_OK);
  CHECK_INT(luawait_shutdown(L, 1), LUAWAIT_OK);
  CHECK_INT(bad.calls, 1);
  if (strstr(bad.text, "has exceeded a limit") == NULL) CHECK_INT(bad.status, LUAWAIT_STOPPED);
  if (failures > 0) fprintf(stderr, "%s: %d, %s\n", source, bad.status, bad.text);
  CHECK_INT(good.status, LUAWAIT_OK);
  CHECK_INT(global_int(L, "good"), 50000);
  CHECK_INT(global_int(L, "escaped"), 0);
  end_state(L);
}

static void instructions(void) {
  static const char *const scripts[] = {
      "while true do end",
      "async.sleep(0) while true do end",
      "while true do pcall(function() while true do end end) end",
      "while true do pcall(string.rep, 'x', -1) end",
      "local function f() while true do end end while true do pcall(f) pcall(f) escaped = nil end",
      "while true do xpcall(function() while true do end end, function() while true do end end) end",
      "while true do pcall(async.pcall, function() while true do end end) end",
      "local co = coroutine.wrap(function() while true do end end) while true do pcall(co) end",
      "while true do local co = coroutine.create(function() while true do end end) coroutine.resume(co) end",
      "local std = require 'luawait.std' while true do "
      "  std.coroutine.resume(std.coroutine.create(function() while true do end end)) end",
      "local function f(n) if n > 0 then for _ = 1, 100 do coroutine.wrap(f)(n - 1) end end end f(8)",
      "local function f(n) if n > 0 then for _ = 1, 90 do pcall(coroutine.wrap(f), n - 1) end end end f(9)",
      "local t = setmetatable({}, {__close = function() while true do end end}) "
      "do local x <close> = t while true do end end",
      "local function again() local x <close> = setmetatable({}, {__close = function() again() escaped = 1 end}) "
      "  while true do end end again()",
      "local t = setmetatable({}, {__index = function() while true do end end}) pcall(function() return t.x end) "
      "while true do end",
      "pcall(function() coroutine.yield() local x = 1 end) while true do end",
      "local std = require 'luawait.std' local function forever() while true do end end "
      "std.coroutine.wrap(function() pcall(std.coroutine.wrap(forever)) async.sleep(0) escaped = 1 end)()",
      "pcall(coroutine.wrap(function() while true do end end)) async.sleep(0) escaped = 1",
      "table.sort({3, 2, 1, 5, 4}, function(a, b) pcall(function() while true do end end) return a < b end) escaped = "
      "1",
      "local s = ('x'):rep(100) while true do pcall(string.gsub, s, '.', function() while true do end end) end",
      "async.set_exception_handler(function() while true do end end) async.call_soon(error, 'x') "
      "async.sleep(0) async.sleep(0) while true do end",
      "local function forever() while true do end end "
      "local function cleanup() local x <close> = setmetatable({}, {__close = forever}) forever() end "
      "while true do pcall(coroutine.wrap(cleanup)) end",
      "local function forever() while true do end end "
      "local function cleanup() local x <close> = setmetatable({}, {__close = forever}) forever() end "
      "while true do local co = coroutine.create(cleanup) coroutine.resume(co) coroutine.close(co) end",
      "local function forever() while true do end end "
      "local function cleanup() local x <close> = setmetatable({}, {__close = forever}) forever() end "
      "local std = require 'luawait.std' while true do pcall(std.coroutine.wrap(cleanup)) end",
      "local function forever() while true do end end while true do async.xpcall(forever, forever) end",
      "local function forever() while true do end end require 'luawait.std'.install() "
      "while true do xpcall(forever, forever) pcall(coroutine.wrap(forever)) end",
      "local function forever() while true do end end "
      "local t = {} for i = 1, 100 do t = setmetatable({}, {__close = forever, __index = t}) end "
      "local a <close>, b = t, 1 local c <close> = t forever()",
      "local function f() local x <close> = setmetatable({}, {__close = function() escaped = 1 end}) while true do end "
      "end "
      "while true do pcall(f) end",
      "local load = load while true do pcall(load, function() while true do end end) end",
      "local t = setmetatable({}, {__tostring = function() while true do end end}) while true do pcall(tostring, t) "
      "end",
      "local function tail(n) return tail(n + 1) end tail(1)",
      "local t = async.create_task(function() while true do end end) async.await(t)",
  };
  size_t i;
  for (i = 0; i < sizeof scripts / sizeof *scripts; i++) stop_script(100000, 0, scripts[i]);
}

/* A callback has its own budget; an endless one ends with an error that is reported. */
static void callbacks(void) {
  lua_State *L = new_limited(50000, 0);
  char log[1000] = "";
  CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
  do_lua(L, "async.call_soon(function() while true do pcall(function() while true do end end) end end)");
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  CHECK(strstr(log, "instruction limit exceeded (50000)") != NULL);
  end_state(L);
}

/* A step that is within the limit is not stopped, however many there are; the program's own calls are not counted. */
static void within_limits(void) {
  lua_State *L = new_limited(100000, 0);
  do_lua(L, "for _ = 1, 1e6 do end n = 0");
  push_lua(L, "for _ = 1, 100 do for _ = 1, 20000 do n = n + 1 end async.sleep(0) end return n");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_INT(lua_tointeger(L, -1), 2000000);
  end_state(L);
}

/* Closing runs the scripts' <close> variables, with a limit too. */
static void endless_cleanup(void) {
  lua_State *L = new_limited(100000, 0);
  End ends[2] = {{0}};
  int i;
  luawait_on_report(L, note_report, (char[8000]){0});
  for (i = 0; i < 2; i++)
    spawn(L,
          "local x <close> = setmetatable({}, {__close = function() while true do end end}) "
          "while true do pcall(async.sleep, 100) end",
          &ends[i]);
  CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
  end_state(L);
  CHECK_INT(ends[0].calls, 1);
  CHECK_INT(ends[1].calls, 1);
}

static void finalizers(void) {
  lua_State *L = new_limited(100000, 0);
  push_lua(L,
           "assert(not pcall(setmetatable, {}, {__gc = function() end})) "
           "assert(not pcall(setmetatable, {}, {__gc = true})) "
           "local t = setmetatable({}, {__index = {x = 1}}) assert(t.x == 1 and getmetatable(t)) "
           "assert(select(2, pcall(setmetatable, 1, {})):find('table expected')) "
           "assert(select(2, pcall(setmetatable)):find('table expected')) "
           "assert(getmetatable(setmetatable(t, nil)) == nil)");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_OK);
  end_state(L);
}

/* What stands in the place of Lua's own functions does as they do, where nothing is to be stopped. */
static void as_luas_own(void) {
  static const char *const calls[] = {
      "xpcall(function(...) return select('#', ...), ... end, error, 1, nil, 'x', nil)",
      "xpcall(function() end, error)",
      "xpcall(error, function(...) return select('#', ...) end)",
      "xpcall(error, function(...) return ... end, nil)",
      "xpcall(error, function(e) return e .. '!', 'more' end, 'bad', 0)",
      "xpcall(error, function() end, 'bad')",
      "xpcall(error, function(e) return e.x end, {x = 5})",
      "xpcall(error, function(e) if e == 'again' then return 'caught' end error('again', 0) end, 'bad')",
      "xpcall(error, function(e) error(e, 0) end, 'bad')",
      "xpcall(error, function(e) return xpcall(error, function(n) return n + 1 end, e + 1) and 1 or e end, 5)",
      "xpcall(function() local function f() return 1 + f() end return f() end, "
      "  function(e) return e:match('stack overflow') end)",
      "xpcall(function() local x <close> = setmetatable({}, {__close = function(_, e) log = e end}) error('bad', 0) "
      "end,"
      "  function(e) return e .. '!' end)",
      "xpcall(1, function(e) return e end)",
      "xpcall(setmetatable({}, {__call = function(_, a) return a end}), error, 7)",
      "xpcall()",
      "xpcall(error)",
      "xpcall(error, 1)",
      "xpcall(error, setmetatable({}, {__call = error}), 1)",
      "xpcall(function(...) async.sleep(0) return ... end, error, 1, nil, 'x', nil)",
      "xpcall(function(...) async.sleep(0) end, error)",
      "xpcall(function() async.sleep(0) error() end, function(...) return select('#', ...) end)",
      "xpcall(function() async.sleep(0) error('late', 0) end, function(e) return e .. '!' end)",
      "xpcall(function() async.sleep(0) return 1, xpcall(function() async.sleep(0) error('in', 0) end, "
      "  function(e) return e .. '!' end) end, error)",
      "xpcall(error, function(e) if e ~= 'bad' then return e.name end async.sleep(0) end, 'bad', 0)",
      "wrap(function(...) return xpcall(function(...) return coroutine.yield(...) end, error, ...) end)(1, nil)",
      "select(2, coroutine.resume(create(function(...) return coroutine.yield(...) end), 1, nil))",
      "wrap(function() error('bad') end)()",
      "wrap(function() error() end)()",
      "coroutine.resume(create(error), {}, 2) and 1",
      "coroutine.resume(create(function(...) return select('#', ...), ... end), 1, nil)",
      "create()",
      "wrap(1)",
      "(function() local co = create(function() local x <close> = setmetatable({}, {__close = function(_, e) log = e "
      "  or 'none' error('closing', 0) end}) coroutine.yield() end) "
      "  coroutine.resume(co) return coroutine.status(co), coroutine.close(co) end)()",
      "(function() local co = create(function() coroutine.yield(1) error('bad', 0) end) return coroutine.resume(co), "
      "  coroutine.resume(co), coroutine.status(co), coroutine.resume(co) end)()",
      "(function() local f = wrap(function() for i = 1, 3 do coroutine.yield(i) end end) "
      "  return f(), f(), f(), f(), pcall(f) end)()"};
  lua_State *L = new_open_state();
  luawait_Limits limits = LUAWAIT_LIMITS_INIT;
  size_t i;
  do_lua(
      L,
      "local xpcall, create, wrap = xpcall, coroutine.create, coroutine.wrap "
      "local function results(fn, ...) "
      "  log = nil "
      "  local all = table.pack(pcall(fn, ...)) "
      "  for i = 1, all.n do all[i] = tostring(all[i]) end "
      "  return ('%s, %d: %s'):format(log, all.n, table.concat(all, ' ')) "
      "end "
      "function compare(source) "
      "  local fn = assert(load('local xpcall, create, wrap = ... return ' .. source, '=call')) "
      "  local here, own = results(fn, _G.xpcall, coroutine.create, coroutine.wrap), results(fn, xpcall, create, wrap) "
      "  if here ~= own then return ('%s, not %s'):format(here, own) end "
      "end");
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_OK);
  for (i = 0; i < sizeof calls / sizeof *calls; i++) {
    lua_getglobal(L, "compare");
    lua_pushstring(L, calls[i]);
    CHECK_INT(luawait_call(L, 1, 1), LUAWAIT_OK);
    if (lua_toboolean(L, -1)) CHECK_TOP(L, calls[i]);
    lua_settop(L, 0);
  }
  end_state(L);
}

/* A state with the C part alone: nothing is added to it. */
static void without_libraries(void) {
  static const char *const names[] = {"setmetatable", "xpcall", "coroutine"};
  lua_State *L = luaL_newstate();
  luawait_Limits limits = {sizeof limits, 100000, 0};
  size_t i;
  lua_pushcfunction(L, luaopen_luawait_core);
  lua_call(L, 0, 0);
  CHECK_INT(luawait_open(L, NULL), LUAWAIT_OK);
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_OK);
  for (i = 0; i < sizeof names / sizeof *names; i++) CHECK_INT(lua_getglobal(L, names[i]), LUA_TNIL);
  push_lua(L, "while true do end");
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "instruction limit exceeded");
  push_lua(L, "return 'goes on'");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "goes on");
  end_state(L);
}

/* When a step was stopped, the message handlers of the program's own calls are called again. */
static void own_calls_after_a_stop(void) {
  static const char *const calls[] = {"return xpcall", "return async.xpcall", "return coroutine.wrap(xpcall)"};
  size_t i;
  for (i = 0; i < sizeof calls / sizeof *calls; i++) {
    lua_State *L = new_limited(100000, 0);
    push_lua(L, "while true do end");
    CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
    CHECK_TOP(L, "instruction limit exceeded");
    push_lua(L, calls[i]);
    lua_call(L, 0, 1);
    lua_setglobal(L, "call");
    do_lua(L, "assert(select(2, call(error, function(e) return e + 1 end, 1)) == 2)");
    end_state(L);
  }
}

/* Failures that nobody asks for are reported while Lua collects garbage, when nothing of a script's could be stopped.
 */
static void reports(void) {
  lua_State *L = new_limited(100000, 0);
  int round;
  for (round = 0; round < 2; round++) {
    do_lua(L,
           "local forever = setmetatable({}, {__tostring = function() while true do end end, __name = 'forever'}) "
           "async.create_task(function() error(forever) end) "
           "async.call_soon(function() error(forever) end)");
    CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
    lua_gc(L, LUA_GCCOLLECT);
    CHECK_INT(luawait_on_report(L, NULL, NULL), LUAWAIT_OK);
  }
  end_state(L);
}

/* A script's exception handler, and what it raises, are not called where Lua has no hooks; they are where it has. */
static void handlers_of_scripts(void) {
  static const char *const handlers[] = {
      "function() while true do end end",
      "function(report) report.message = {} report.error = forever error(forever) end",
  };
  size_t i;
  for (i = 0; i < sizeof handlers / sizeof *handlers; i++) {
    lua_State *L = new_limited(100000, 0);
    char log[4000] = "";
    CHECK_INT(luawait_on_report(L, note_report, log), LUAWAIT_OK);
    do_lua(L, "forever = setmetatable({}, {__tostring = function() while true do end end, __name = 'forever'})");
    lua_pushfstring(L, "async.set_exception_handler(%s)", handlers[i]);
    do_lua(L, lua_tostring(L, -1));
    push_lua(L,
             "async.create_task(function() error('collected', 0) end) async.sleep(0) async.sleep(0) "
             "collectgarbage() collectgarbage()");
    CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_OK);
    CHECK(strstr(log, "nobody retrieved its error\n  collected") != NULL);
    log[0] = '\0';
    do_lua(L, "async.call_soon(error, 'in a callback')");
    CHECK_INT(luawait_step(L, 0, 0), LUAWAIT_OK);
    CHECK(strstr(log, "error in the exception handler") != NULL);
    CHECK(strstr(log, i == 0 ? "in a callback" : "?\n  (a table)") != NULL);
    end_state(L);
  }
}

/* Each error that is caught takes time in proportion to the depth of the stack, which Lua then looks through. */
static void deep_stacks(void) {
  static const char *const scripts[] = {
      "local function deep(n) if n > 0 then return 1 + deep(n - 1) end "
      "  while true do caught = caught + 1 pcall(error) end end deep(5000)",
      "local function f() caught = caught + 1 pcall(f) pcall(f) end f()",
  };
  static const long most[] = {6000, 12000}; /* 19,600 and 24,900, if depth were for nothing */
  size_t i;
  for (i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    lua_State *L = new_limited(200000, 0);
    do_lua(L, "caught = 0");
    push_lua(L, scripts[i]);
    CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
    CHECK_TOP(L, "instruction limit exceeded");
    CHECK(global_int(L, "caught") > 100);
    CHECK(global_int(L, "caught") < most[i]);
    end_state(L);
  }
}

static void memory(void) {
  static const char *const scripts[] = {
      "local t = {} while true do t[#t + 1] = {1, 2, 3} end",
      "local s = 'x' while true do s = s .. s end",
      "local t = {} while true do pcall(function() while true do t[#t + 1] = {1, 2, 3} end end) end",
      "while true do pcall(string.rep, 'x', 1e9) end",
      "local t = {} while true do pcall(string.rep, 'x', 1e8) t[#t + 1] = 1 end",
      "local t = {} local function grow() while true do t[#t + 1] = ('x'):rep(1000) .. #t end end "
      "while true do xpcall(grow, grow) pcall(coroutine.wrap(grow)) end",
      "local function deep(n) return 1 + deep(n + 1) end "
      "local t = {} while true do pcall(deep, 1) t[#t + 1] = {} end",
      "local t = {} while true do local f = load('return ' .. #t) t[#t + 1] = f end",
  };
  size_t i;
  for (i = 0; i < sizeof scripts / sizeof *scripts; i++) stop_script(0, 4000000, scripts[i]);
}

/* Memory is given back when the hog has gone, and the limit goes with the loop. */
static void memory_comes_back(void) {
  lua_State *L = new_limited(0, 4000000);
  int round;
  for (round = 0; round < 5; round++) {
    push_lua(L, "local t = {} for i = 1, 1e7 do t[i] = {} end");
    CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
    lua_pop(L, 1);
    push_lua(L, "return #('x'):rep(1000000)");
    CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
    lua_pop(L, 1);
  }
  push_lua(L, "big = ('x'):rep(10000000)"); /* in a call of the program's */
  CHECK_INT(lua_pcall(L, 0, 0, 0), LUA_ERRMEM);
  lua_pop(L, 1);
  push_lua(L, "async.sleep(0) return 'goes on'");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "goes on");
  CHECK_INT(luawait_close(L), LUAWAIT_OK);
  do_lua(L, "big = ('x'):rep(10000000)");
  lua_close(L);
}

static int return_ud(lua_State *L) { return lua_newuserdatauv(L, 1000, 0) != NULL; }

/* A limit below what is in use: nothing more is given, until it is raised. */
static void memory_below_use(void) {
  lua_State *L = new_limited(0, 1);
  luawait_Limits limits = {sizeof limits, 0, 4000000};
  lua_pushcfunction(L, return_ud);
  CHECK_INT(luawait_call(L, 0, 0), LUAWAIT_ERROR);
  CHECK_TOP(L, "not enough memory");
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_OK);
  lua_pushcfunction(L, return_ud);
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK(lua_isuserdata(L, -1));
  end_state(L);
}

static void misuse(void) {
  lua_State *L = new_open_state();
  luawait_Limits limits = LUAWAIT_LIMITS_INIT;
  CHECK_INT(luawait_limit(L, NULL), LUAWAIT_INVALID);
  limits.size = 1;
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_INVALID);
  limits.size = sizeof limits;
  limits.instructions = 1000;
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_OK);
  limits.instructions = 0;
  CHECK_INT(luawait_limit(L, &limits), LUAWAIT_OK);
  push_lua(L, "for _ = 1, 1000000 do end return 'free'");
  CHECK_INT(luawait_call(L, 0, 1), LUAWAIT_OK);
  CHECK_TOP(L, "free");
  end_state(L);
}

static const Case cases[] = {{"instructions", instructions},
                             {"callbacks", callbacks},
                             {"within_limits", within_limits},
                             {"endless_cleanup", endless_cleanup},
                             {"finalizers", finalizers},
                             {"as_luas_own", as_luas_own},
                             {"without_libraries", without_libraries},
                             {"own_calls_after_a_stop", own_calls_after_a_stop},
                             {"deep_stacks", deep_stacks},
                             {"memory", memory},
                             {"reports", reports},
                             {"handlers_of_scripts", handlers_of_scripts},
                             {"memory_comes_back", memory_comes_back},
                             {"memory_below_use", memory_below_use},
                             {"misuse", misuse}};

CASES_MAIN(cases)
