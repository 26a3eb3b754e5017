/* A listener accepts connections, and calls a function of luawait.net with the stream of each; or with nil and an error
 * when it cannot accept, for want of descriptors (it is paused then) or another reason. It is pinned while it is open.
 */
#ifndef LUAWAIT_IO_LISTENER_H
#define LUAWAIT_IO_LISTENER_H

#include <sys/un.h>

#include "io/stream.h"

typedef struct lw_Listener {
  lw_IoHandle handle;
  lw_UvStream uv;
  lw_Stream *(*make)(lua_State *L, lw_Loop *loop); /* pushes the stream that a connection is accepted into */
  int paused;                                      /* a connection that comes is left to wait */
  int waiting;       /* one does: libuv holds it, and looks for no further ones until it is accepted */
  lw_Stream *handed; /* a connection that is being handed to the function */
  int errors;        /* failures of the system's accept in a row */

  char path[sizeof((struct sockaddr_un *)0)->sun_path]; /* the file of a Unix socket, and which one; or "" */
  dev_t dev;
  ino_t ino;
} lw_Listener;

/* Pushes a listener, which libuv does not know yet; the function at the index `accepted` is what it will call. May
 * raise. */
lw_Listener *lw_listener_new(lua_State *L, lw_Loop *loop, int accepted, lw_Stream *(*make)(lua_State *, lw_Loop *));

/* The listener on the top, which is bound, begins to accept. Returns 0 or an error of libuv's. May raise. */
int lw_listener_listen(lua_State *L, lw_Listener *listener, int backlog);

/* The positive integer at `arg`; an argument error for anything else. */
int lw_check_backlog(lua_State *L, int arg);

void lw_open_listener(lua_State *L, int loop_index);

#endif
