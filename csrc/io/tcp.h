/* TCP: connecting and listening. */
#ifndef LUAWAIT_IO_TCP_H
#define LUAWAIT_IO_TCP_H

#include "core/loop.h"

/* Pushes the table of C functions on which luawait.net stands. */
void lw_open_net(lua_State *L, int loop_index, lw_Loop *loop);

#endif
