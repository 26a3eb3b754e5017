/* pcall, xpcall and coroutines that get along with tasks: what luawait.std is made of. */
#ifndef LUAWAIT_CORE_BRIDGE_H
#define LUAWAIT_CORE_BRIDGE_H

#include "core/loop.h"

/* Adds pcall, xpcall and coroutine to the table on the top. */
void lw_open_bridge(lua_State *L, int loop_index, lw_Loop *loop);

#endif
