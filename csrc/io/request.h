/* One-shot requests of libuv: a task starts one and is parked until its callback comes.
 *
 * The block around the uv_req_t must live until the callback whatever becomes of the task: its owner sees to that. */
#ifndef LUAWAIT_IO_REQUEST_H
#define LUAWAIT_IO_REQUEST_H

#include "core/park.h"

typedef struct lw_Request lw_Request;

typedef struct lw_RequestClass {
  int (*finish)(lua_State *L, lw_Request *request); /* runs in the task: pushes results, or raises */
  void (*abandon)(lw_Request *request);             /* the task was cancelled; the callback came or will come */
  void (*describe)(lua_State *L, const lw_Request *request); /* pushes what is waited for */
} lw_RequestClass;

struct lw_Request {
  const lw_RequestClass *cls;
  lw_Task *task; /* that waits; NULL: nobody */
  int status;    /* what the callback was told */
  int done;      /* the callback came */
};

/* Waits for a request that was started. Call as `return lw_request_wait(...)`. */
int lw_request_wait(lua_State *L, lw_Task *task, lw_Request *request);

/* For the callback: it is done, the task goes on. */
void lw_request_done(lw_Loop *loop, lw_Request *request, int status);

void lw_open_request(lw_Loop *loop);

#endif
