#include "io/request.h"

int lw_request_wait(lua_State *L, lw_Task *task, lw_Request *request) {
  request->task = task;
  return lw_park(L, lw_loop(L), task, LW_WAIT_REQUEST, request);
}

void lw_request_done(lw_Loop *loop, lw_Request *request, int status) {
  request->status = status;
  request->done = 1;
  if (request->task != NULL) lw_wake(loop, request->task);
}

static int request_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  lw_Request *request = on;
  (void)task, (void)wake;
  request->task = NULL;
  return request->cls->finish(L, request);
}

static void request_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  lw_Request *request = on;
  (void)loop, (void)task;
  request->task = NULL;
  request->cls->abandon(request);
}

static int request_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  (void)L;
  request_hand_on(loop, task, on);
  return 0;
}

static void request_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Request *request = on;
  (void)loop;
  request->cls->describe(L, request);
}

void lw_open_request(lw_Loop *loop) {
  static const lw_WaitClass request_class = {request_resumed,  request_cancel, request_hand_on,
                                             request_describe, NULL,           NULL};
  loop->waits[LW_WAIT_REQUEST] = &request_class;
}
