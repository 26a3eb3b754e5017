/* This program's own stdin, stdout and stderr, and the terminal. */
#ifndef LUAWAIT_IO_TTY_H
#define LUAWAIT_IO_TTY_H

#include "core/loop.h"

/* Pushes the table of C functions on which luawait.tty stands. */
void lw_open_tty(lua_State *L, int loop_index, lw_Loop *loop);

#endif
