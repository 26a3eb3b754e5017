#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/udp.h"

enum { LONGEST_STREAK = 256 /* datagrams that are sent without ever waiting, before others have their turn */ };

typedef struct Send {
  uv_udp_send_t req;
  char data[];
} Send;

/* ---- waiting ---- */

void lw_udp_wake_senders(lw_Udp *udp) {
  lw_Link *link;
  while ((link = lw_list_pop(&udp->senders)) != NULL)
    lw_wake(udp->handle.loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
}

static int raise_noted(lua_State *L, lw_Udp *udp) {
  int status = udp->send_status;
  udp->send_status = 0;
  return lw_udp_raise(L, udp, NULL, status, "send");
}

static int send_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  lw_Udp *udp = on;
  (void)task, (void)wake;
  if (udp->handle.state != LW_IO_OPEN) return lw_io_raise_closed(L, &udp->handle);
  return udp->send_status != 0 ? raise_noted(L, udp) : 0;
}

static int send_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  lw_Udp *udp = on;
  (void)L, (void)loop;
  lw_list_remove(&udp->senders, &lw_task_node(task)->link);
  return 0;
}

static void send_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Udp *udp = on;
  (void)loop;
  lua_pushfstring(L, "%I datagrams to be sent", (lua_Integer)uv_udp_get_send_queue_count(&udp->uv.udp));
}

static void on_send(uv_udp_send_t *req, int status) {
  lw_Udp *udp = req->handle->data;
  free(req->data);
  if (udp->handle.state != LW_IO_OPEN) return;
  if (status < 0) udp->send_status = status;
  if (status < 0 || uv_udp_get_send_queue_count(&udp->uv.udp) == 0) lw_udp_wake_senders(udp);
}

/* ---- sending ---- */

/* Leaves it to libuv. Returns 0 or an error. */
static int queue(lw_Udp *udp, const char *data, size_t n, const lw_Address *to) {
  Send *send = malloc(sizeof *send + n);
  uv_buf_t part;
  int err;
  if (send == NULL) return UV_ENOMEM;
  memcpy(send->data, data, n);
  part = uv_buf_init(send->data, (unsigned)n);
  send->req.data = send;
  err = uv_udp_send(&send->req, &udp->uv.udp, &part, 1, to != NULL ? &to->any : NULL, on_send);
  if (err != 0) free(send);
  return err;
}

/* Waits, where that is possible, until libuv has sent what was queued. */
static int wait_for_all(lua_State *L, lw_Udp *udp) {
  lw_Loop *loop = udp->handle.loop;
  lw_Task *task;
  if (!lw_can_wait(L, loop)) return 0;
  task = lw_waiter(L, loop);
  lw_list_push(&udp->senders, &lw_task_node(task)->link);
  return lw_park(L, loop, task, LW_WAIT_SEND, udp);
}

/* Sent at once; lets others have their turn now and then. */
static int after_send(lua_State *L, lw_Udp *udp) {
  lw_Loop *loop = udp->handle.loop;
  if (udp->streak < LONGEST_STREAK) udp->streak++;
  if (udp->streak < LONGEST_STREAK || !lw_can_wait(L, loop)) return 0;
  udp->streak = 0;
  return lw_pass(L, loop, lw_waiter(L, loop), LW_WAIT_SEND, udp);
}

/* ---- Lua-visible ---- */

/* socket:send(data, host?, port?): sends one datagram to a numeric address and port, or, without these, to the address
 * that the socket is connected to. Waits only while the system takes no more. Raises OSError: EMSGSIZE for one that is
 * too long; on a connected socket also what the network told of earlier ones, as ECONNREFUSED. A cancelled one is sent
 * all the same. Where nothing can wait, as in a callback of the loop, it returns at once. */
static int udp_send(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  lw_Address address = {0}, *to = NULL;
  size_t n;
  const char *data = lw_check_string(L, 2, &n);
  uv_buf_t part;
  int err;
  if (!lua_isnoneornil(L, 3)) {
    lw_check_address(L, 3, &address);
    to = &address;
  }
  if (udp->send_status != 0) return raise_noted(L, udp);
  if (n > LW_LARGEST_DATAGRAM) return lw_udp_raise(L, udp, to, UV_EMSGSIZE, "send");
  part = uv_buf_init((char *)data, (unsigned)n);
  err = uv_udp_try_send(&udp->uv.udp, &part, 1, to != NULL ? &to->any : NULL);
  if (err >= 0) {
    udp->sent++;
    return after_send(L, udp);
  }
  if (err == UV_EAGAIN) err = queue(udp, data, n, to);
  if (err != 0) return lw_udp_raise(L, udp, to, err, "send");
  udp->sent++;
  return wait_for_all(L, udp);
}

const luaL_Reg lw_udp_send_methods[] = {{"send", udp_send}, {NULL, NULL}};

void lw_open_udp_send(lw_Loop *loop) {
  static const lw_WaitClass send_class = {send_resumed, send_cancel, NULL, send_describe, NULL, NULL};
  loop->waits[LW_WAIT_SEND] = &send_class;
}
