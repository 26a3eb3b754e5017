#include <lauxlib.h>

#include "sync/sync.h"
#include "sync/waiters.h"

typedef struct Event {
  lw_Head head;
  lw_List waiters; /* tasks */
  int set;
} Event;

static const char EVENT[] = "Event";

static int event_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)task, (void)on, (void)wake;
  lua_pushboolean(L, 1);
  return 1;
}

static void event_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  lua_pushfstring(L, "event (%d waiting)", (int)lw_list_count(on));
}

/* async.Event(): not set. After asyncio.Event. */
static int new_event(lua_State *L) {
  lw_new_object(L, EVENT, sizeof(Event), 0);
  return 1;
}

/* event:wait(): returns true once the event is set; at once if it is */
static int event_wait(lua_State *L) {
  Event *event = lw_self_of(L, EVENT, sizeof *event);
  if (!event->set) return lw_wait_in(L, event->head.loop, &event->waiters, LW_WAIT_EVENT);
  lua_pushboolean(L, 1);
  return 1;
}

/* event:set(): wakes all who wait, in the order in which they came; they go on even if it is cleared again at once */
static int event_set(lua_State *L) {
  Event *event = lw_self(L);
  event->set = 1;
  lw_wake_all(lw_loop(L), &event->waiters);
  return 0;
}

/* event:clear(): waits block again */
static int event_clear(lua_State *L) {
  ((Event *)lw_self(L))->set = 0;
  return 0;
}

/* event:is_set() */
static int event_is_set(lua_State *L) {
  lua_pushboolean(L, ((Event *)lw_self(L))->set);
  return 1;
}

/* event:statistics(): {is_set=, waiters=} */
static int event_statistics(lua_State *L) {
  Event *event = lw_self(L);
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, event->set);
  lua_setfield(L, -2, "is_set");
  lw_set_count(L, "waiters", &event->waiters);
  return 1;
}

static int event_gc(lua_State *L) {
  Event *event = lua_touserdata(L, 1);
  lw_end_object(&event->head);
  lw_orphan(&event->waiters);
  return 0;
}

static int event_tostring(lua_State *L) {
  Event *event = lw_self(L);
  lua_pushfstring(L, "<Event %s waiters=%d>", event->set ? "set" : "unset", (int)lw_list_count(&event->waiters));
  return 1;
}

void lw_open_event(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass event_class = {event_resumed, lw_leave, NULL, event_describe, NULL, NULL};
  static const luaL_Reg methods[] = {{"wait", event_wait},
                                     {"set", event_set},
                                     {"clear", event_clear},
                                     {"is_set", event_is_set},
                                     {"statistics", event_statistics},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", event_gc}, {"__tostring", event_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_EVENT] = &event_class;
  lw_class(L, loop_index, EVENT, methods, meta);
  lw_add_constructor(L, loop_index, "Event", new_event);
  lua_pop(L, 1);
}
