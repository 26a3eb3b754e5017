#include "io/udp.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { HIGH_WATER = 256 * 1024 /* bytes of the queue while nobody receives */ };

typedef struct Datagram {
  lw_Link link;
  lw_Address from;
  int truncated;
  size_t size;
  char data[];
} Datagram;

/* ---- the queue ---- */

static Datagram *first_of(const lw_Udp *udp) { return LW_CONTAINER(udp->queue.first, Datagram, link); }

static void drop_first(lw_Udp *udp) {
  Datagram *datagram = first_of(udp);
  lw_list_remove(&udp->queue, &datagram->link);
  udp->available--;
  udp->held -= sizeof *datagram + datagram->size;
  free(datagram);
}

static void note_error(lw_Udp *udp, int status) {
  if (udp->recv_status == 0) udp->available++;
  udp->recv_status = status;
}

static void keep(lw_Udp *udp, const char *data, size_t n, const lw_Address *from, int truncated) {
  Datagram *datagram = malloc(sizeof *datagram + n);
  if (datagram == NULL) {
    note_error(udp, UV_ENOMEM);
    return;
  }
  *datagram = (Datagram){.truncated = truncated, .size = n};
  memcpy(&datagram->from, from, from->any.sa_family == AF_INET6 ? sizeof from->in6 : sizeof from->in);
  memcpy(datagram->data, data, n);
  lw_list_push(&udp->queue, &datagram->link);
  udp->available++;
  udp->held += sizeof *datagram + n;
  udp->received++;
}

static void wake_receivers(lw_Udp *udp) {
  while (udp->receivers.first != NULL && udp->available > udp->promised) {
    lw_Link *link = lw_list_pop(&udp->receivers);
    udp->promised++;
    lw_wake(udp->handle.loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
  }
}

void lw_udp_leave_recv(lw_Udp *udp) {
  lw_Link *link;
  while (udp->queue.first != NULL) drop_first(udp);
  while ((link = lw_list_pop(&udp->receivers)) != NULL)
    lw_wake(udp->handle.loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
}

/* ---- what libuv calls ---- */

/* In a batch each datagram has room for the largest one: see net_udp. */
size_t lw_udp_batch(const lw_Udp *udp) { return uv_udp_using_recvmmsg(&udp->uv.udp) ? LW_BATCH : 1; }

/* The block that all sockets of the loop receive into: what was received is copied before the next one does. */
static char *shared_block(lw_Io *io) {
  if (io->datagrams == NULL && !io->slabs.closed) io->datagrams = malloc((size_t)LW_BATCH * LW_LARGEST_DATAGRAM);
  return io->datagrams;
}

static void on_alloc(uv_handle_t *uv, size_t suggested, uv_buf_t *block) {
  lw_Udp *udp = uv->data;
  size_t size = lw_udp_batch(udp) * udp->max_size;
  char *base = shared_block(udp->handle.io);
  (void)suggested;
  *block = uv_buf_init(base, base != NULL ? (unsigned)size : 0);
}

static void stop_receiving(lw_Udp *udp) {
  udp->receiving = 0;
  uv_udp_recv_stop(&udp->uv.udp);
}

/* libuv forgets the rest of a batch when it is stopped in its midst: that is left for the end of the batch. */
static void on_recv(uv_udp_t *uv, ssize_t n, const uv_buf_t *block, const struct sockaddr *from, unsigned flags) {
  lw_Udp *udp = uv->data;
  if (n < 0)
    note_error(udp, n == UV_ENOBUFS ? UV_ENOMEM : (int)n);
  else if (from != NULL)
    keep(udp, block->base, (size_t)n, (const lw_Address *)from, (flags & UV_UDP_PARTIAL) != 0);
  wake_receivers(udp);
  if (flags & UV_UDP_MMSG_CHUNK) return;
  if (n == UV_ENOBUFS || (udp->receivers.first == NULL && udp->held >= HIGH_WATER)) stop_receiving(udp);
}

static int start_receiving(lw_Udp *udp) {
  int err;
  if (udp->receiving) return 0;
  err = uv_udp_recv_start(&udp->uv.udp, on_alloc, on_recv);
  udp->receiving = err == 0;
  return err;
}

/* ---- the wait ---- */

static int raise_noted(lua_State *L, lw_Udp *udp) {
  int status = udp->recv_status;
  udp->recv_status = 0;
  udp->available--;
  return lw_udp_raise(L, udp, NULL, status, "recv");
}

static int raise_truncated(lua_State *L, lw_Udp *udp) {
  const Datagram *datagram = first_of(udp);
  lw_push_address(L, &datagram->from);
  lw_error_push_os(L, UV_EMSGSIZE, "recv", "address", lua_tostring(L, -1));
  lua_pushlstring(L, datagram->data, datagram->size);
  lua_setfield(L, -2, "partial");
  drop_first(udp);
  return lua_error(L);
}

/* Takes the first datagram, or the error that is to be told. */
static int take(lua_State *L, lw_Udp *udp) {
  const Datagram *datagram;
  int results;
  if (udp->recv_status != 0) return raise_noted(L, udp);
  datagram = first_of(udp);
  if (datagram->truncated) return raise_truncated(L, udp);
  lua_pushlstring(L, datagram->data, datagram->size);
  results = 1 + lw_push_host_and_port(L, &datagram->from);
  drop_first(udp);
  return results;
}

static int recv_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  lw_Udp *udp = on;
  (void)task, (void)wake;
  if (udp->handle.state != LW_IO_OPEN) return lw_io_raise_closed(L, &udp->handle);
  udp->promised--;
  return take(L, udp);
}

static int recv_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  lw_Udp *udp = on;
  (void)L, (void)loop;
  lw_list_remove(&udp->receivers, &lw_task_node(task)->link);
  return 0;
}

static void recv_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  lw_Udp *udp = on;
  (void)loop, (void)task;
  if (udp->handle.state != LW_IO_OPEN) return;
  udp->promised--;
  wake_receivers(udp);
}

static void recv_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop, (void)on;
  lua_pushliteral(L, "a datagram");
}

/* ---- Lua-visible ---- */

/* socket:recv(): data, host, port: the next datagram (which may be empty) and where it came from; waits for it. Several
 * tasks may wait, the first one gets the first. Raises OSError: EMSGSIZE for a datagram that is longer than the
 * socket's max_size, with what fits as `partial`; on a connected socket also what the network told of earlier sends, as
 * ECONNREFUSED; the socket goes on after either. A cancelled one loses nothing. */
static int udp_recv(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  lw_Loop *loop = udp->handle.loop;
  lw_Task *task;
  int err;
  if (udp->available > udp->promised) return take(L, udp);
  task = lw_waiter(L, loop);
  err = start_receiving(udp);
  if (err != 0) return lw_udp_raise(L, udp, NULL, err, "recv");
  udp->streak = 0;
  lw_list_push(&udp->receivers, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_RECV, udp);
}

const luaL_Reg lw_udp_recv_methods[] = {{"recv", udp_recv}, {NULL, NULL}};

void lw_open_udp_recv(lw_Loop *loop) {
  static const lw_WaitClass recv_class = {recv_resumed, recv_cancel, recv_hand_on, recv_describe, NULL, NULL};
  loop->waits[LW_WAIT_RECV] = &recv_class;
}
