#include <lauxlib.h>

#include "base/error.h"
#include "core/task.h"
#include "embed/embed.h"

enum {
  COUNT = 1000, /* instructions between two calls of the hook */
  SWITCH = 100, /* what going on in another coroutine counts, which has its own count: so that none is for nothing */
  DEEP = 1000,  /* levels of a stack from which on instructions count more */
  OF_INSTRUCTIONS = 1, /* lw_Loop.stopping */
  OF_MEMORY = 2,
  MASK = LUA_MASKCOUNT | LUA_MASKCALL
};

static int is_metering(const lw_Embed *embed) { return embed->loop->draining || embed->meter.closing; }

/* ---- instructions ---- */

static void hook(lua_State *L, lua_Debug *ar);

static void stop_at_once(lua_State *L) {
  if (lua_gethookcount(L) != 1) lua_sethook(L, hook, MASK, 1);
}

/* Every instruction raises from now on, in this coroutine and in the task's own; so the task ends. C functions may
 * still be called: that of a lock's <close>, say. Coroutines between the two may go on for as long as their own count
 * lets them, without being able to wait (lw_check_waiter) or to call functions written in Lua. */
static void stop(lua_State *L, lua_Debug *ar, const lw_Embed *embed) {
  if (ar->event != LUA_HOOKCOUNT) {
    lua_getinfo(L, "S", ar);
    if (*ar->what == 'C') return;
  }
  stop_at_once(L);
  if (embed->loop->current != NULL) stop_at_once(embed->loop->current->co);
  lua_rawgeti(L, LUA_REGISTRYINDEX, embed->errors[embed->loop->stopping - 1]);
  lua_error(L);
}

/* What an instruction counts. Whenever an error is caught, Lua looks through the whole stack: what a script could do in
 * no time takes long in a deep recursion. So it counts twice as much with each doubling of the depth. */
static unsigned long weight(lua_State *L) {
  lua_Debug ar;
  int n = 1;
  while (lua_getstack(L, n * DEEP, &ar)) n *= 2;
  return (unsigned long)n;
}

static void count(lua_State *L, const lua_Debug *ar, lw_Embed *embed) {
  lw_Meter *meter = &embed->meter;
  if (ar->event == LUA_HOOKCOUNT)
    meter->used += (unsigned long)lua_gethookcount(L) * weight(L);
  else
    meter->used += L != meter->last ? SWITCH : 1;
  meter->last = L;
  if (meter->used > meter->instructions) embed->loop->stopping = OF_INSTRUCTIONS;
}

/* In each coroutine: what it has used, and whether it has to end. */
static void hook(lua_State *L, lua_Debug *ar) {
  lw_Embed *embed = lw_loop_of(L)->embed;
  lw_Meter *meter = &embed->meter;
  uint32_t step = atomic_load_explicit(&embed->loop->steps, memory_order_relaxed);
  if (!is_metering(embed)) {
    embed->loop->stopping = 0; /* the step was stopped; these are the program's own calls */
    return;
  }
  if (step != meter->step) {
    meter->step = step;
    meter->used = 0;
    embed->loop->stopping = 0;
  }
  if (embed->loop->stopping == 0 && meter->instructions > 0) count(L, ar, embed);
  if (embed->loop->stopping != 0)
    stop(L, ar, embed);
  else if (lua_gethookcount(L) == 1)
    lua_sethook(L, hook, MASK, COUNT); /* a step was stopped in here, and somebody has use for it still */
}

/* ---- memory ---- */

/* Lua asks a second time once it has collected garbage: if that is refused too, the step is over. */
static void *refuse(lw_Embed *embed, void *block, size_t size) {
  lw_Meter *meter = &embed->meter;
  if (meter->refused_size == size && meter->refused == block && is_metering(embed)) {
    embed->loop->stopping = OF_MEMORY;
    meter->step = atomic_load_explicit(&embed->loop->steps, memory_order_relaxed);
  }
  meter->refused = block;
  meter->refused_size = size;
  return NULL;
}

static void *allocate(void *ud, void *block, size_t old_size, size_t size) {
  lw_Embed *embed = ud;
  lw_Meter *meter = &embed->meter;
  size_t old = block != NULL ? old_size : 0;
  void *result;
  if (size > old) {
    if (meter->memory > 0 && (meter->bytes > meter->memory || size - old > meter->memory - meter->bytes))
      return refuse(embed, block, size);
    meter->refused_size = 0;
  }
  result = meter->alloc(meter->alloc_ud, block, old_size, size);
  if (result != NULL || size == 0) meter->bytes += size - old;
  return result;
}

static void meter_memory(lua_State *L, lw_Embed *embed) {
  lw_Meter *meter = &embed->meter;
  if (meter->alloc != NULL) return;
  meter->bytes = (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
  meter->alloc = lua_getallocf(L, &meter->alloc_ud);
  lua_setallocf(L, allocate, embed);
}

/* ---- setting ---- */

static void make_error(lua_State *L, lw_Embed *embed, int which, const char *what, size_t limit) {
  lw_error_push(L, LW_RUNTIME_ERROR, "%s limit exceeded (%I)", what, (LUAI_UACINT)limit);
  if (embed->errors[which - 1] == 0)
    embed->errors[which - 1] = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_rawseti(L, LUA_REGISTRYINDEX, embed->errors[which - 1]);
}

typedef struct Setting {
  lw_Embed *embed;
  const luawait_Limits *limits;
} Setting;

static int set_limits(lua_State *L) {
  const Setting *s = lua_touserdata(L, 1);
  make_error(L, s->embed, OF_INSTRUCTIONS, "instruction", s->limits->instructions);
  make_error(L, s->embed, OF_MEMORY, "memory", s->limits->memory);
  if (!s->embed->loop->guarded) lw_guard(L);
  s->embed->loop->guarded = 1;
  return 0;
}

int luawait_limit(lua_State *L, const luawait_Limits *limits) {
  int status;
  Setting s = {lw_open_embed_of(L, &status), limits};
  size_t memory;
  if (s.embed == NULL) return status;
  if (limits == NULL || limits->size != sizeof *limits) return LUAWAIT_INVALID;
  memory = s.embed->meter.memory;
  s.embed->meter.memory = 0; /* the limit that holds does not hinder its own change */
  status = lw_protect(L, set_limits, &s, 0, 0);
  if (status == LUAWAIT_OK && s.embed->loop->refs[LW_REF_DEFAULT_HANDLER] == LUA_REFNIL)
    status = luawait_on_report(L, NULL, NULL);
  s.embed->meter.memory = memory;
  if (status != LUAWAIT_OK) return status;
  s.embed->meter.instructions = limits->instructions;
  s.embed->meter.memory = limits->memory;
  if (limits->memory > 0) meter_memory(L, s.embed);
  lua_sethook(s.embed->main, hook, MASK, COUNT);
  lua_sethook(L, hook, MASK, COUNT);
  lua_sethook(s.embed->loop->L, hook, MASK, COUNT);
  return LUAWAIT_OK;
}

int lw_is_stop(lua_State *L, const lw_Embed *embed, int index) {
  int i, found = 0;
  index = lua_absindex(L, index);
  for (i = 0; i < 2 && !found; i++) {
    if (embed->errors[i] == 0) continue;
    lua_rawgeti(L, LUA_REGISTRYINDEX, embed->errors[i]);
    found = lua_rawequal(L, -1, index);
    lua_pop(L, 1);
  }
  return found;
}

static void unhook(lua_State *L) {
  if (L != NULL && lua_gethook(L) == hook) lua_sethook(L, NULL, 0, 0);
}

void lw_end_limits(lw_Embed *embed) {
  lw_Meter *meter = &embed->meter;
  if (meter->alloc != NULL) lua_setallocf(embed->main, meter->alloc, meter->alloc_ud);
  meter->alloc = NULL;
  unhook(embed->main);
  unhook(embed->L);
  meter->instructions = 0;
  meter->memory = 0;
}
