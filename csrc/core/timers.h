/* Time as Lua sees it (seconds), and sleeping. The deadlines themselves are the loop's. */
#ifndef LUAWAIT_CORE_TIMERS_H
#define LUAWAIT_CORE_TIMERS_H

#include "core/loop.h"

/* The number of seconds at `arg`; an argument error for NaN and for what is no number. */
double lw_check_seconds(lua_State *L, int arg);

/* The loop's clock in seconds. */
double lw_seconds(const lw_Loop *loop);

/* The fewest nanoseconds that make so many seconds; 0 for the past. */
uint64_t lw_ns(double seconds);

/* What lw_seconds will tell in so many seconds, if it is asked then to the nanosecond: a deadline of that time, and one
 * with that delay, are the same. */
double lw_seconds_after(const lw_Loop *loop, double delay);

/* Sets a deadline `when` seconds on the loop's clock, rounded up to nanoseconds, or `delay` seconds from now. An
 * infinite one sets none. Returns -1 without memory. */
int lw_start_deadline(lw_Loop *loop, lw_Timed *timed, double when);
int lw_start_delay(lw_Loop *loop, lw_Timed *timed, double delay);

/* Adds sleep, time and after to the table on the top. */
void lw_open_timers(lua_State *L, int loop_index, lw_Loop *loop);

#endif
