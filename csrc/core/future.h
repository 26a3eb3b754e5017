/* A result that is not there yet: a slot, and the list of those who wait for it. */
#ifndef LUAWAIT_CORE_FUTURE_H
#define LUAWAIT_CORE_FUTURE_H

#include "core/loop.h"

/* Flags of a future; those from LW_CANCEL_NOW on are a task's. */
enum {
  LW_ONE = 1,          /* the user value holds the one result */
  LW_PACKED = 2,       /* ... a table of results with n; without either there is no result */
  LW_RETRIEVED = 4,    /* a failure need not be reported */
  LW_NAMED = 8,        /* of a plain future: the block goes on with the text of what it stands for */
  LW_CANCEL_NOW = 8,   /* the wait that the task is in, or its next one, raises CancelledError */
  LW_CANCEL_NEXT = 16, /* only its next one does: the wait it is in has been granted already */
  LW_GRANTED = 32,     /* what the task waited for has happened, and what was handed over is its */
  LW_TIMED_OUT = 64,   /* the wait's own deadline came first, or there was nothing to wait for: see lw_pass */
  LW_SWALLOWED = 128   /* a cancellation was raised in the task (debug mode reports a wait after it) */
};

/* The value of a finished one is its user value 1: results as the flags say, a Failure, or for LW_CANCELLED the
 * CancelledError (or nil or its message, until somebody asks). */
struct lw_Future {
  lw_Timed timed; /* of a task: its place in a queue, its timer */
  lw_List waiters;
};

static inline lw_Node *lw_future_node(lw_Future *future) { return &future->timed.node; }
static inline int lw_future_done(const lw_Future *future) { return future->timed.node.state >= LW_DONE; }

/* Is the value at `index` a Future or a Task? NULL if not. */
lw_Future *lw_to_future(lua_State *L, const lw_Loop *loop, int index);

/* Pushes a new pending Future; one that is described by `name` (any text, copied) to those who ask what a task waits
 * for. */
lw_Future *lw_future_new(lua_State *L, lw_Loop *loop);
lw_Future *lw_future_new_named(lua_State *L, lw_Loop *loop, const char *name);

/* What the plain future is described by. */
const char *lw_future_name(const lw_Future *future);

/* Sets the `count` values on the top as results of the future at absolute index `index` (pops them), without finishing
 * it. May raise a memory error; the future is then as before. */
void lw_future_set_results(lua_State *L, int index, lw_Future *future, int count);

/* Pops a traceback (a string or nil) and below it an error, and makes them the failure of the future at absolute index
 * `index`, without finishing it. Returns the state to finish with: LW_FAILED, or LW_CANCELLED for a CancelledError. */
lw_State lw_future_set_error(lua_State *L, lw_Loop *loop, int index, lw_Future *future);

/* Ends it and wakes everyone in its list. Its value must have been set. Never fails. */
void lw_future_finish(lw_Loop *loop, lw_Future *future, lw_State state);

/* Completing from C, for requests: pops `count` results, or an error. Does nothing to a future that is done. */
void lw_future_resolve(lua_State *L, lw_Loop *loop, int index, int count);
void lw_future_reject(lua_State *L, lw_Loop *loop, int index);

/* Pushes the results of the finished future at absolute index `index` and returns their number; raises its error. */
int lw_future_push_results(lua_State *L, lw_Loop *loop, int index, lw_Future *future);

/* Pushes the first result, or nil. Only for LW_DONE. */
void lw_future_push_first(lua_State *L, int index, lw_Future *future);

/* Pushes its Failure; for a cancelled one a new Failure. Marks it as retrieved. */
void lw_future_push_failure(lua_State *L, lw_Loop *loop, int index, lw_Future *future);

/* Pushes the error value of a failed or cancelled one. Marks it as retrieved. */
void lw_future_push_error(lua_State *L, lw_Loop *loop, int index, lw_Future *future);

/* What a Future and a Task have in common. */
extern const luaL_Reg lw_future_methods[];

/* Adds Future to the table on the top. */
void lw_open_future(lua_State *L, int loop_index, lw_Loop *loop);

#endif
