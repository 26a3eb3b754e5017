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
  lw_Child *child = &fan->children[fan->count];
  *child = (lw_Child){.node = {.type = LW_CHILD, .slot = fan->count}, .future = future};
  fan->count++;
  if (lw_future_done(future)) return;
  fan->left++;
  lw_list_push(&future->waiters, &child->node.link);
}

void lw_fan_wake(lw_Loop *loop, lw_Fan *fan) {
  lw_Task *owner = fan->owner;
  fan->owner = NULL;
  if (owner != NULL) lw_wake(loop, owner);
}

void lw_fan_release(lw_Fan *fan) {
  uint32_t i;
  fan->owner = NULL;
  for (i = 0; i < fan->count; i++) {
    lw_Child *child = &fan->children[i];
    if (lw_linked(&child->node.link)) lw_list_remove(&child->future->waiters, &child->node.link);
  }
}

static int fan_gc(lua_State *L) {
  lw_fan_release(lua_touserdata(L, 1));
  return 0;
}

static void child_notify(lw_Loop *loop, lw_Node *node, lw_Future *finished) {
  lw_Child *child = LW_CONTAINER(node, lw_Child, node);
  lw_Fan *fan = LW_CONTAINER(child - node->slot, lw_Fan, children);
  (void)finished;
  fan->left--;
  fan->finished(loop, fan, child);
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
  lw_check_type(L, 1, LUA_TTABLE);
  n = luaL_len(L, 1);
  if (!(n < INT32_MAX)) lw_argerror(L, 1, "too many entries");
  for (i = 1; i <= n; i++) {
    lua_pushinteger(L, i);
    lua_geti(L, 1, i);
    lw_check_entry(L, loop, lua_gettop(L) - 1);
    lua_pop(L, 2);
  }
  return (uint32_t)n;
}

/* The entry on the top is a Coroutine that was used: by an earlier entry, since the list was checked. Pushes that one's
 * future. */
static lw_Future *push_twin(lua_State *L, lw_Loop *loop, int list, int futures, lua_Integer i) {
  lua_Integer j;
  for (j = 1; j < i; j++) {
    int same;
    lua_geti(L, list, j);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    if (same) {
      lua_rawgeti(L, futures, j);
      return lua_touserdata(L, -1);
    }
  }
  lw_check_unused(L, loop, -1);
  return NULL;
}

lw_Future *lw_push_entry_future(lua_State *L, lw_Loop *loop, int list, int futures, lua_Integer i) {
  lw_Future *future;
  lua_geti(L, list, i);
  future = lw_is_used_coroutine(L, loop, -1) ? push_twin(L, loop, list, futures, i) : lw_ensure_future(L, loop, -1);
  lua_remove(L, -2);
  return future;
}

void lw_open_fan(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg meta[] = {{"__gc", fan_gc}, {NULL, NULL}};
  loop->classes[LW_CHILD].notify = child_notify;
  lw_class(L, loop_index, "Fan", NULL, meta);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &METATABLE);
}
