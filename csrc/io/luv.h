/* lua-luv on our loop: for luawait.luv. */
#ifndef LUAWAIT_IO_LUV_H
#define LUAWAIT_IO_LUV_H

#include "core/loop.h"

/* Adds attach_luv to the table on the top. */
void lw_open_luv(lua_State *L, int loop_index, lw_Loop *loop);

#endif
