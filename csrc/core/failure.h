/* A failed result: the error, and where it was raised. What gather puts into a slot with return_exceptions, and what a
 * failed future holds, so that one nobody asks for can be reported when it is collected or when the loop ends. */
#ifndef LUAWAIT_CORE_FAILURE_H
#define LUAWAIT_CORE_FAILURE_H

#include "core/loop.h"

/* Pops a traceback (a string or nil) and below it an error; pushes a Failure of the task or future at absolute index
 * `owner`. Unless `retrieved`, it will be reported once. */
void lw_failure_push(lua_State *L, lw_Loop *loop, int owner, int retrieved);

/* The Failure at `index` need not be reported any more. */
void lw_failure_retrieve(lua_State *L, lw_Loop *loop, int index);

/* Pushes the error of the Failure at `index`. */
void lw_failure_push_error(lua_State *L, int index);

/* Reports all that nobody has retrieved, oldest first. */
void lw_report_failures(lua_State *L, lw_Loop *loop);

/* Adds is_failure to the table on the top. */
void lw_open_failure(lua_State *L, int loop_index, lw_Loop *loop);

#endif
