/* Signals of the system: their names, watching them, and what they did before. */
#ifndef LUAWAIT_IO_SIGNAL_H
#define LUAWAIT_IO_SIGNAL_H

#include <signal.h>

#include "io/handle.h"

/* What a signal did before this Lua state began to watch it. libuv sets a signal to its default when nobody watches it
 * any more; a program that was started with it ignored, or a host that handles it, shall have it back as it was. */
typedef struct lw_Disposition {
  struct lw_Disposition *next; /* of another signal */
  int signum;
  unsigned users;
  int ours; /* was it anything but libuv's handler, for a loop of another state? */
  struct sigaction before;
} lw_Disposition;

/* Call hold before a use of the signal begins (NULL without memory), held when it has begun, and release when it is
 * over: the last one restores. */
lw_Disposition *lw_disposition_hold(lw_Io *io, int signum);
void lw_disposition_held(lw_Disposition *disposition);
void lw_disposition_release(lw_Io *io, lw_Disposition *disposition);

/* Pushes the name of a signal ("SIGTERM"; "signal 64" for one that has none). */
void lw_push_signal_name(lua_State *L, int signum);

/* Pushes the table of C functions on which luawait.signal stands. */
void lw_open_signal(lua_State *L, int loop_index, lw_Loop *loop);

#endif
