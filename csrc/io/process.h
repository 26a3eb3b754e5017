/* Child processes. */
#ifndef LUAWAIT_IO_PROCESS_H
#define LUAWAIT_IO_PROCESS_H

#include "core/loop.h"

/* Pushes the table of C functions on which luawait.process stands. */
void lw_open_process(lua_State *L, int loop_index, lw_Loop *loop);

#endif
