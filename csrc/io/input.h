/* A descriptor that others read, a terminal above all: waiting until there is something to read. For the command's
 * prompt; programs have streams. */
#ifndef LUAWAIT_IO_INPUT_H
#define LUAWAIT_IO_INPUT_H

#include "core/loop.h"

/* Pushes the table of its functions: is_terminal, ready, read. After lw_open_net. */
void lw_open_input(lua_State *L, int loop_index, lw_Loop *loop);

#endif
