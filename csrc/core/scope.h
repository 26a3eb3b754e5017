/* Timeout scopes. */
#ifndef LUAWAIT_CORE_SCOPE_H
#define LUAWAIT_CORE_SCOPE_H

#include "core/loop.h"

/* Adds timeout_scope and timeout_scope_at to the table on the top: what async.timeout and async.timeout_at are made of.
 */
void lw_open_scope(lua_State *L, int loop_index, lw_Loop *loop);

#endif
