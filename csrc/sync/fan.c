#include "sync/fan.h"

#include <lauxlib.h>

#include "base/error.h"
#include "core/coroutine.h"

static const char METATABLE = 0; /* of a fan, in the registry under the address of this */

lw_Fan *lw_fan_new(lua_State *L, int futures, uint32_t capacity) {
  lw_Fan *fan = lua_newuserdatauv(L, sizeof *fan + capacity * sizeof *fan->children, 1);
  *fan = (lw_Fan){0};
  lua_pushvalue(L, futures);
  lua_setiuservalue(L, -2, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &METATABLE);
  lua_setmetatable(L, -2);
  return fan;
}

void lw_fan_add(lw_Fan *fan, lw_Future *future) {
  lw_Node *child = &fan->children[fan->count];
  *child = (lw_Node){.type = LW_CHILD, .slot = fan->count};
  fan->count++;
  if (lw_future_done(future)) return;
  fan->left++;
  lw_list_push(&future->waiters, &child->link);
}

void lw_fan_wake(lw_Loop *loop, lw_Fan *fan) {
  lw_Task *owner = fan->owner;
  fan->owner = NULL;
  if (owner != NULL) lw_wake(loop, owner);
}

void lw_fan_release(lua_State *L, lw_Fan *fan, int futures) {
  uint32_t i;
  fan->owner = NULL;
  for (i = 0; i < fan->count; i++) {
    lw_Future *future;
    if (!lw_linked(&fan->children[i].link)) continue;
    lua_rawgeti(L, futures, i + 1);
    future = lua_touserdata(L, -1);
    lw_list_remove(&future->waiters, &fan->children[i].link);
    lua_pop(L, 1);
  }
}

int lw_fan_push_futures(lua_State *L, const lw_Fan *fan) {
  if (lua_touserdata(fan->L, LW_FAN) != fan) return 0;
  lua_pushvalue(fan->L, LW_FUTURES);
  if (fan->L != L) lua_xmove(fan->L, L, 1);
  return 1;
}

void lw_fan_undo(lw_Loop *loop, lw_Task *task, void *on) {
  lua_State *L = loop->L;
  lw_Fan *fan = on;
  (void)task;
  fan->owner = NULL;
  if (!lw_fan_push_futures(L, fan)) return; /* __gc will do it */
  lw_fan_release(L, fan, lua_gettop(L));
  lua_pop(L, 1);
}

int lw_fan_park(lua_State *L, lw_Loop *loop, lw_Task *task, lw_WaitKind kind) {
  lw_Fan *fan = lua_touserdata(L, LW_FAN);
  fan->owner = task;
  fan->L = L;
  return lw_park(L, loop, task, kind, fan);
}

static int fan_gc(lua_State *L) {
  lw_Fan *fan = lua_touserdata(L, 1);
  if (lw_linked(&fan->link)) lw_list_remove(&lw_loop(L)->passing_on, &fan->link);
  if (fan->owner != NULL) fan->owner->on = NULL; /* the frame is gone without its having been woken: see lw_orphan */
  lua_getiuservalue(L, 1, 1);
  lw_fan_release(L, fan, 2);
  return 0;
}

static void child_notify(lw_Loop *loop, lw_Node *node, lw_Future *finished) {
  lw_Fan *fan = LW_CONTAINER(node - node->slot, lw_Fan, children);
  fan->left--;
  fan->finished(loop, fan, node, finished);
}

/* ---- what comes in ---- */

void lw_check_entry(lua_State *L, lw_Loop *loop, int key_index) {
  const char *complaint, *key;
  lw_check_unused(L, loop, -1);
  complaint = lw_not_awaitable(L, loop, -1);
  if (LW_LIKELY(complaint == NULL)) return;
  key = luaL_tolstring(L, key_index, NULL);
  lw_argerror(L, 1, lua_pushfstring(L, "entry [%s]: %s", key, complaint));
}

uint32_t lw_check_list(lua_State *L, lw_Loop *loop) {
  lua_Integer i, n;
  int top = lua_gettop(L);
  lw_check_type(L, 1, LUA_TTABLE);
  n = luaL_len(L, 1);
  if (n < 0 || n >= INT32_MAX) lw_argerror(L, 1, "list of awaitables expected, its length is out of range");
  for (i = 1; i <= n; i++) {
    lw_Kind kind;
    lua_geti(L, 1, i);
    kind = lw_kind(L, loop, top + 1);
    if (LW_UNLIKELY(kind == LW_IS_USED || kind == LW_IS_NOTHING)) {
      lua_pushinteger(L, i);
      lua_insert(L, -2);
      lw_check_entry(L, loop, top + 1);
    }
    lua_settop(L, top);
  }
  return (uint32_t)n;
}

/* Is the value on the top that of the list's place i? */
static int is_entry(lua_State *L, int list, lua_Integer i) {
  int same;
  lua_geti(L, list, i);
  same = lua_rawequal(L, -1, -2);
  lua_pop(L, 1);
  return same;
}

/* The entry i, on the top, is a Coroutine that was used: by an earlier entry, since the list was checked. Pushes that
 * one's future. */
static lw_Future *push_twin(lua_State *L, lw_Loop *loop, int list, int futures, lua_Integer i) {
  lua_Integer j = 1;
  while (j < i && !is_entry(L, list, j)) j++;
  if (j == i) lw_check_unused(L, loop, -1);
  lua_rawgeti(L, futures, j);
  return lua_touserdata(L, -1);
}

lw_Future *lw_push_entry_future(lua_State *L, lw_Loop *loop, int list, int futures, lua_Integer i) {
  lw_Future *future;
  lw_Kind kind;
  int index = lua_gettop(L) + 1;
  lua_geti(L, list, i);
  kind = lw_kind(L, loop, index);
  if (kind == LW_IS_FUTURE) return lua_touserdata(L, index);
  if (LW_LIKELY(kind != LW_IS_USED))
    future = &lw_task_of_kind(L, loop, index, kind)->future;
  else
    future = push_twin(L, loop, list, futures, i);
  lua_replace(L, index);
  return future;
}

void lw_open_fan(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg meta[] = {{"__gc", fan_gc}, {NULL, NULL}};
  loop->classes[LW_CHILD].notify = child_notify;
  lw_class(L, loop_index, "Fan", NULL, meta);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &METATABLE);
}
