/* Datagram sockets.
 *
 * Receiving (udp_recv.c): from the first recv that waits on, libuv receives into the socket's queue, several datagrams
 * at a time where the system can, and is stopped only while the queue is full and nobody waits. So a cancelled recv
 * leaves every datagram in the queue. A task that is woken has been promised one.
 *
 * Sending (udp_send.c): what the system takes at once never touches the heap; the rest is copied and queued.
 */
#ifndef LUAWAIT_IO_UDP_H
#define LUAWAIT_IO_UDP_H

#include "core/park.h"
#include "io/address.h"
#include "io/handle.h"

enum {
  LW_LARGEST_DATAGRAM = 65536, /* bytes; none is as long */
  LW_BATCH = 16                /* datagrams received at once, where the system can */
};

typedef struct lw_Udp {
  lw_IoHandle handle;
  union {
    uv_handle_t handle;
    uv_udp_t udp;
  } uv;
  lw_Address peer; /* of a connected socket */
  size_t max_size; /* longer datagrams are an error */

  lw_List receivers; /* tasks that wait for a datagram */
  lw_List queue;     /* datagrams that came and were not taken yet */
  size_t held;       /* bytes that these take */
  size_t available;  /* how many they are; one more if there is an error to be told */
  size_t promised;   /* to receivers that are on their way */
  int recv_status;   /* the error, or 0 */
  int receiving;     /* libuv receives */

  lw_List senders; /* tasks that wait for libuv to have sent all it has queued */
  int send_status; /* an error of what was queued, not told yet, or 0 */
  int streak;      /* datagrams sent since somebody last waited */

  uint64_t received, sent; /* datagrams */
} lw_Udp;

/* Raises an OSError about this address, or the peer if it is NULL. */
int lw_udp_raise(lua_State *L, const lw_Udp *udp, const lw_Address *address, int status, const char *syscall);

/* ---- udp_recv.c ---- */

/* It is being closed: drops what was not taken, wakes who waits. */
void lw_udp_leave_recv(lw_Udp *udp);

/* How many datagrams it may receive at once. */
size_t lw_udp_batch(const lw_Udp *udp);

extern const luaL_Reg lw_udp_recv_methods[];
void lw_open_udp_recv(lw_Loop *loop);

/* ---- udp_send.c ---- */

void lw_udp_wake_senders(lw_Udp *udp);

extern const luaL_Reg lw_udp_send_methods[];
void lw_open_udp_send(lw_Loop *loop);

/* Adds udp to the table on the top. */
void lw_open_udp(lua_State *L, int loop_index, lw_Loop *loop);

#endif
