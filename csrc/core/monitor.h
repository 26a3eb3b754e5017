/* A helper thread beside the loop, for what must work while a step holds it: the watchdog, and the second SIGINT.
 *
 * It has a uv_loop of its own, so libuv tells it of SIGINT too, and a step that never yields cannot keep it from
 * acting. It acts by setting a hook on the running lua_State, as the standalone interpreter does on SIGINT. That state
 * must not be freed meanwhile: the thread raises `pause`, gives the loop's thread time to see it, and only then looks
 * which state is active; a step that ends from then on waits in lw_end_step until the hook is set. So a step costs two
 * relaxed stores and a load. */
#ifndef LUAWAIT_CORE_MONITOR_H
#define LUAWAIT_CORE_MONITOR_H

#include "core/loop.h"

/* Starts what is asked for: `signals`: SIGINT cancels the main task, then stops the loop (unless SIGINT is ignored);
 * `watchdog`: seconds after which a step's Lua stack is written to stderr, 0: none. Raises OSError. The loop must be
 * open. */
void lw_monitor_start(lua_State *L, lw_Loop *loop, int signals, double watchdog);

/* Ends the thread. The handle in the loop itself is closed with the loop; free the rest after that. */
void lw_monitor_stop(lw_Loop *loop);
void lw_monitor_free(lw_Loop *loop);

void lw_open_monitor(lw_Loop *loop);

#endif
