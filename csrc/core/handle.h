/* A callback that the loop will run: call_soon, call_later, call_at, add_done_callback. */
#ifndef LUAWAIT_CORE_HANDLE_H
#define LUAWAIT_CORE_HANDLE_H

#include "core/future.h"

/* Anchored until it has run or was cancelled. User value 1 is the function, the others are its arguments. */
typedef struct lw_Handle {
  lw_Timed timed;
  double when;       /* seconds of the loop's clock; NAN without a deadline */
  lw_Future *future; /* in whose list it stands, or NULL; that future is its argument, and so alive */
} lw_Handle;

/* Pushes a handle, in the state LW_WAITING, for the function at `fn` and the `nargs` values above it. */
lw_Handle *lw_handle_new(lua_State *L, lw_Loop *loop, int fn, int nargs);

/* Lets it go: out of whatever queue it stands in. */
void lw_handle_cancel(lua_State *L, lw_Loop *loop, lw_Handle *handle);

/* Cancels all that are left, when the loop is closed. */
void lw_cancel_handles(lua_State *L, lw_Loop *loop);

/* Adds call_soon, call_later and call_at to the table on the top. */
void lw_open_handle(lua_State *L, int loop_index, lw_Loop *loop);

#endif
