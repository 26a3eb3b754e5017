/* Running a loop: async.run and async.Runner. */
#ifndef LUAWAIT_CORE_RUNNER_H
#define LUAWAIT_CORE_RUNNER_H

#include "core/loop.h"

/* Pushes text that lists the unfinished tasks, each on a line of its own: what it waits for. */
void lw_push_waits(lua_State *L, lw_Loop *loop);

/* Adds run, Runner and set_exception_handler to the table on the top. */
void lw_open_runner(lua_State *L, int loop_index, lw_Loop *loop);

#endif
