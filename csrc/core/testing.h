/* What luawait.testing puts in place of a loop's clock and order, until the loop is closed.
 *
 * Time: the clock stands still while tasks run. When a poll has shown that nothing else can happen, it jumps to the
 * next deadline. While I/O is pending (anything that keeps libuv's loop alive: a request in flight, a listening socket,
 * a stream that reads) it goes on by as much as each poll takes. Order: what is ready is run in batches, one for each
 * turn; with a seed the tasks of a batch are shuffled, and so are deadlines that are equal. */
#ifndef LUAWAIT_CORE_TESTING_H
#define LUAWAIT_CORE_TESTING_H

#include "core/loop.h"

/* Adds the table `testing` to the table on the top. */
void lw_open_testing(lua_State *L, int loop_index, lw_Loop *loop);

/* For that: adds what tells of things left over (core/leaks.c), and what makes memory fail (core/faults.c). */
void lw_open_leaks(lua_State *L, int loop_index);
void lw_open_faults(lua_State *L, int loop_index, lw_Loop *loop);

/* Pushes the table of what makes other calls fail (core/call_faults.c); nil in a build that cannot. Before anything
 * else is made: its finalizer is called after all the others, and looks at what they have left. */
void lw_open_call_faults(lua_State *L);

/* Remembers the new future on the top, while a test runs. */
void lw_leaks_note_future(lua_State *L);

#endif
