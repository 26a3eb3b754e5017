/* Running a loop: async.run and async.Runner. */
#ifndef LUAWAIT_CORE_RUNNER_H
#define LUAWAIT_CORE_RUNNER_H

#include "core/loop.h"

/* Turns the loop until something sets loop->stop, which is returned, or nothing can happen any more: 0. */
int lw_turn(lw_Loop *loop);

/* Raises why the loop has stopped, other than LW_STOP_DONE: KeyboardInterrupt, DeadlockError, LW_REF_ERROR. */
int lw_raise_stop(lua_State *L, lw_Loop *loop, int stop);

/* Cancels all tasks and waits for them, at most `timeout` seconds; then they go by force. Cancels the callbacks that
 * are left, reports failures. Returns as lua_pcall does. */
int lw_end_all(lua_State *L, lw_Loop *loop, double timeout);

/* That, and closes the loop. A memory error on the way is dropped, the closing is not. */
void lw_close_loop(lua_State *L, lw_Loop *loop, double timeout);

/* Pushes text that lists the unfinished tasks, each on a line of its own: what it waits for. */
void lw_push_waits(lua_State *L, lw_Loop *loop);

/* Adds run, Runner and set_exception_handler to the table on the top. */
void lw_open_runner(lua_State *L, int loop_index, lw_Loop *loop);

#endif
