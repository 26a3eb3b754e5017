#include "sync/items.h"

#include <lauxlib.h>
#include <stdint.h>

#include "base/error.h"
#include "base/udata.h"

enum { FIRST_CAPACITY = 8, KEPT_CAPACITY = 4096 /* a larger ring is given up when it is empty */ };

static void drop_table(lua_State *L, int owner, lw_Items *items) {
  lua_pushnil(L);
  lua_setiuservalue(L, owner, LW_ITEMS);
  items->capacity = items->head = 0;
}

/* ---- the ring ---- */

static lua_Integer ring_slot(const lw_Items *items, lua_Integer i) {
  return ((items->head + i) & (items->capacity - 1)) + 1;
}

/* A ring of twice the size: pushes it. */
static void ring_grow(lua_State *L, int owner, lw_Items *items) {
  lua_Integer i, capacity = items->capacity == 0 ? FIRST_CAPACITY : 2 * items->capacity;
  if (capacity > INT32_MAX / 2) luaL_error(L, "queue overflow");
  lua_getiuservalue(L, owner, LW_ITEMS);
  lua_createtable(L, (int)capacity, 0);
  for (i = 0; i < items->count; i++) {
    lua_rawgeti(L, -2, ring_slot(items, i));
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, owner, LW_ITEMS);
  items->capacity = capacity;
  items->head = 0;
}

static void ring_add(lua_State *L, int owner, lw_Items *items, int item) {
  if (LW_UNLIKELY(items->count == items->capacity))
    ring_grow(L, owner, items);
  else
    lua_getiuservalue(L, owner, LW_ITEMS);
  lua_pushvalue(L, item);
  lua_rawseti(L, -2, ring_slot(items, items->count));
}

/* Takes the value in a slot of the table on the top. */
static void take_slot(lua_State *L, lua_Integer slot) {
  lua_rawgeti(L, -1, slot);
  lua_pushnil(L);
  lua_rawseti(L, -3, slot);
}

static void ring_take(lua_State *L, int owner, lw_Items *items) {
  lua_Integer slot = ring_slot(items, 0);
  lua_getiuservalue(L, owner, LW_ITEMS);
  take_slot(L, slot);
  items->head = slot & (items->capacity - 1);
  if (LW_UNLIKELY(items->count == 1 && items->capacity > KEPT_CAPACITY)) drop_table(L, owner, items);
}

/* ---- stack and heap: a table that Lua lets grow ---- */

static void push_table(lua_State *L, int owner) {
  if (lua_getiuservalue(L, owner, LW_ITEMS) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_createtable(L, FIRST_CAPACITY, 0);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, owner, LW_ITEMS);
}

static void stack_add(lua_State *L, int owner, lw_Items *items, int item) {
  push_table(L, owner);
  lua_pushvalue(L, item);
  lua_rawseti(L, -2, items->count + 1);
}

static void stack_take(lua_State *L, int owner, lw_Items *items) {
  lua_getiuservalue(L, owner, LW_ITEMS);
  take_slot(L, items->count);
}

/* Is the value at `a` to come out before that at `b`? May raise. */
static int less(lua_State *L, int owner, lw_Items *items, int a, int b) {
  lua_Integer before = items->changes;
  int result;
  if (lua_getiuservalue(L, owner, LW_LESS) == LUA_TNIL) {
    lua_pop(L, 1);
    result = lua_compare(L, a, b, LUA_OPLT);
  } else {
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    result = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  if (items->changes != before)
    lw_error_raise(L, LW_RUNTIME_ERROR, "the queue was changed while its items were compared");
  return result;
}

static lua_Integer number_of(lua_State *L, int table, lua_Integer i) {
  lua_Integer number;
  lua_rawgeti(L, table, 2 * i);
  number = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return number;
}

static void copy_entry(lua_State *L, int table, lua_Integer from, lua_Integer to) {
  lua_rawgeti(L, table, 2 * from - 1);
  lua_rawseti(L, table, 2 * to - 1);
  lua_rawgeti(L, table, 2 * from);
  lua_rawseti(L, table, 2 * to);
}

/* All comparisons come first, so that one that raises finds nothing changed: the place for the item at `item`, which
 * is the newest and so comes after its equals. */
static lua_Integer find_place(lua_State *L, int owner, lw_Items *items, int table, int item) {
  lua_Integer i = items->count + 1;
  while (i > 1) {
    int before;
    lua_rawgeti(L, table, 2 * (i / 2) - 1);
    before = less(L, owner, items, item, lua_gettop(L));
    lua_pop(L, 1);
    if (!before) break;
    i /= 2;
  }
  return i;
}

static void heap_add(lua_State *L, int owner, lw_Items *items, int item) {
  int table = lua_gettop(L) + 1;
  lua_Integer i = items->count + 1, place;
  luaL_checkstack(L, 8, NULL);
  push_table(L, owner);
  place = find_place(L, owner, items, table, item);
  lua_pushboolean(L, 0); /* what allocates comes before the first change */
  lua_rawseti(L, table, 2 * i - 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, table, 2 * i);
  for (; i > place; i /= 2) copy_entry(L, table, i / 2, i);
  lua_pushvalue(L, item);
  lua_rawseti(L, table, 2 * i - 1);
  lua_pushinteger(L, items->changes);
  lua_rawseti(L, table, 2 * i);
}

/* Does the entry i come out before the entry j? */
static int entry_before(lua_State *L, int owner, lw_Items *items, int table, lua_Integer i, lua_Integer j) {
  int a = lua_gettop(L) + 1, older = number_of(L, table, i) < number_of(L, table, j), result;
  lua_rawgeti(L, table, 2 * i - 1);
  lua_rawgeti(L, table, 2 * j - 1);
  result = older ? !less(L, owner, items, a + 1, a) : less(L, owner, items, a, a + 1);
  lua_settop(L, a - 1);
  return result;
}

/* The last entry is to sink from the root: a bit of the result for each level, 1: to the right; `depth` of them. */
static uint64_t find_path(lua_State *L, int owner, lw_Items *items, int table, int *depth) {
  lua_Integer i = 1, last = items->count;
  uint64_t path = 0;
  for (*depth = 0; 2 * i < last; ++*depth) {
    lua_Integer child = 2 * i;
    if (child + 1 < last && entry_before(L, owner, items, table, child + 1, child)) child++;
    if (entry_before(L, owner, items, table, last, child)) break;
    path |= (uint64_t)(child & 1) << *depth;
    i = child;
  }
  return path;
}

static void heap_take(lua_State *L, int owner, lw_Items *items) {
  int table = lua_gettop(L) + 1, depth, level;
  lua_Integer i = 1, last = items->count;
  uint64_t path;
  luaL_checkstack(L, 8, NULL);
  lua_getiuservalue(L, owner, LW_ITEMS);
  path = find_path(L, owner, items, table, &depth);
  lua_rawgeti(L, table, 1);
  for (level = 0; level < depth; level++) {
    lua_Integer child = 2 * i + (lua_Integer)(path >> level & 1);
    copy_entry(L, table, child, i);
    i = child;
  }
  copy_entry(L, table, last, i);
  lua_pushnil(L);
  lua_rawseti(L, table, 2 * last - 1);
  lua_pushnil(L);
  lua_rawseti(L, table, 2 * last);
}

/* ---- */

void lw_items_add(lua_State *L, int owner, lw_Items *items, int item) {
  switch (items->order) {
    case LW_FIFO:
      ring_add(L, owner, items, item);
      break;
    case LW_LIFO:
      stack_add(L, owner, items, item);
      break;
    default:
      heap_add(L, owner, items, item);
  }
  items->count++;
  items->changes++;
}

void lw_items_take(lua_State *L, int owner, lw_Items *items) {
  switch (items->order) {
    case LW_FIFO:
      ring_take(L, owner, items);
      break;
    case LW_LIFO:
      stack_take(L, owner, items);
      break;
    default:
      heap_take(L, owner, items);
  }
  items->count--;
  items->changes++;
}

void lw_items_clear(lua_State *L, int owner, lw_Items *items) {
  drop_table(L, owner, items);
  items->count = 0;
  items->changes++;
}
