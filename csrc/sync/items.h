/* What a queue holds, in the order in which it gives it out. Knows nothing of tasks. */
#ifndef LUAWAIT_SYNC_ITEMS_H
#define LUAWAIT_SYNC_ITEMS_H

#include <lua.h>

typedef enum lw_Order {
  LW_FIFO,    /* the table is a ring of `capacity` slots, the oldest item in slot `head` */
  LW_LIFO,    /* it is a stack: slots 1 to count */
  LW_PRIORITY /* it is a binary heap: item i in slot 2i - 1, and the number of its put, which decides between equals,
                 in slot 2i */
} lw_Order;

/* User value LW_ITEMS of the userdata that this is part of is the table, nil while there is none; LW_LESS is the
 * function that compares, nil for Lua's `<`. */
typedef struct lw_Items {
  lw_Order order;
  lua_Integer count;
  lua_Integer capacity, head; /* of the ring; the capacity is a power of two, or 0 */
  lua_Integer changes;        /* made so far */
} lw_Items;

enum { LW_ITEMS = 1, LW_LESS = 2 };

/* In these, the owner is at the absolute index `owner`. They leave more on the stack than they say: their callers
 * return anyway. What raises (memory, a comparison) leaves the items as they were; so does a comparison that itself
 * changes them, which is a RuntimeError. */

/* Adds the value at the absolute index `item`. */
void lw_items_add(lua_State *L, int owner, lw_Items *items, int item);

/* Takes the next one out; it is on the top then. There must be one. */
void lw_items_take(lua_State *L, int owner, lw_Items *items);

/* Throws all away. Never raises. */
void lw_items_clear(lua_State *L, int owner, lw_Items *items);

#endif
