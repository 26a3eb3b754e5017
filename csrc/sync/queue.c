#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "sync/items.h"
#include "sync/sync.h"
#include "sync/waiters.h"

/* An item that is put while tasks wait to get one is promised to the first of these, and a slot that becomes free while
 * tasks wait to put is promised to the first of those: it is taken when that task runs, and nobody else's until then.
 * So a newcomer overtakes nobody, and a woken task that is cancelled has nothing to give back but the promise. */
typedef struct Queue {
  lw_Head head;
  lw_Items items;
  lw_List getters, putters, joiners; /* tasks */
  lua_Integer maxsize;               /* 0 or less: unbounded */
  lua_Integer promised_items, promised_slots;
  lua_Integer unfinished; /* items put and not reported as done */
  int shut_down;
  const char *purpose; /* of a queue that serves another object: what its getters wait for; else NULL */
} Queue;

static const char QUEUE_CLASS[] = "Queue";

/* The frame of a wait: */
enum { QUEUE = 1, ITEM = 2 /* to put */, QUIET = 2 /* to get: true if nil is to tell that there are no more */ };

static const char *const names[] = {"Queue", "LifoQueue", "PriorityQueue"}; /* by lw_Order */

static Queue *self(lua_State *L) { return lw_self_of(L, QUEUE_CLASS, sizeof(Queue)); }

static lua_Integer size(const Queue *queue) {
  lua_Integer free_items = queue->items.count - queue->promised_items;
  return free_items > 0 ? free_items : 0;
}

/* A promised item takes its slot until it is taken: it comes back if its getter is cancelled. */
static int is_full(const Queue *queue) {
  return queue->maxsize > 0 && queue->items.count + queue->promised_slots >= queue->maxsize;
}

static void wake_waiters(Queue *queue) {
  lw_Loop *loop = queue->head.loop;
  while (queue->getters.first != NULL && (size(queue) > 0 || (queue->shut_down && queue->items.count == 0))) {
    queue->promised_items++;
    lw_wake_first(loop, &queue->getters);
  }
  while (queue->putters.first != NULL && (queue->shut_down || !is_full(queue))) {
    queue->promised_slots++;
    lw_wake_first(loop, &queue->putters);
  }
  if (queue->unfinished == 0) lw_wake_all(loop, &queue->joiners);
}

/* Nobody waits for what is there: called after every change. */
static inline void settle(Queue *queue) {
  if (queue->getters.first != NULL || queue->putters.first != NULL || queue->joiners.first != NULL) wake_waiters(queue);
}

static int raise_shut_down(lua_State *L) { return lw_error_raise(L, LW_QUEUE_SHUT_DOWN, "the queue is shut down"); }

/* ---- put ---- */

/* Adds the item of the frame. What raises leaves the queue as it was. */
static void add(lua_State *L, Queue *queue) {
  lw_items_add(L, QUEUE, &queue->items, ITEM);
  queue->unfinished++;
}

static int protected_add(lua_State *L) {
  add(L, lua_touserdata(L, QUEUE));
  return 0;
}

/* If adding raises, the slot is for the next. */
static int put_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  Queue *queue = lua_touserdata(L, QUEUE);
  int status;
  (void)task, (void)on, (void)wake;
  queue->promised_slots--;
  if (queue->shut_down) return raise_shut_down(L);
  lua_pushcfunction(L, protected_add);
  lua_pushvalue(L, QUEUE);
  lua_pushvalue(L, ITEM);
  status = lua_pcall(L, 2, 0, 0);
  settle(queue);
  return status == LUA_OK ? 0 : lua_error(L);
}

static void put_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  Queue *queue = LW_CONTAINER(on, Queue, putters);
  (void)loop, (void)task;
  queue->promised_slots--;
  settle(queue);
}

static Queue *check_put(lua_State *L) {
  Queue *queue = self(L);
  if (LW_UNLIKELY(lua_isnoneornil(L, ITEM))) lw_typeerror(L, ITEM, "item other than nil");
  if (LW_UNLIKELY(queue->shut_down)) raise_shut_down(L);
  return queue;
}

/* queue:put(item): adds an item, any value but nil; waits while the queue is full. QueueShutDown if it is shut down, or
 * is meanwhile. Cancelled, it has added nothing. A PriorityQueue passes on what comparing raises. */
static int queue_put(lua_State *L) {
  Queue *queue = check_put(L);
  if (is_full(queue)) {
    lua_settop(L, ITEM);
    return lw_wait_in(L, queue->head.loop, &queue->putters, LW_WAIT_PUT);
  }
  add(L, queue);
  settle(queue);
  return 0;
}

/* queue:put_nowait(item): the same without waiting: QueueFull if it is full */
static int queue_put_nowait(lua_State *L) {
  Queue *queue = check_put(L);
  if (is_full(queue)) return lw_error_raise(L, LW_QUEUE_FULL, "the queue is full");
  add(L, queue);
  settle(queue);
  return 0;
}

/* ---- get ---- */

static int protected_take(lua_State *L) {
  Queue *queue = lua_touserdata(L, QUEUE);
  lw_items_take(L, QUEUE, &queue->items);
  return 1;
}

/* The queue is shut down, and has no more. */
static int no_more(lua_State *L) {
  if (!lua_toboolean(L, QUIET)) return raise_shut_down(L);
  lua_pushnil(L);
  return 1;
}

/* If taking raises, the item is for the next. */
static int get_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  Queue *queue = lua_touserdata(L, QUEUE);
  int status;
  (void)task, (void)on, (void)wake;
  queue->promised_items--;
  if (queue->items.count == 0) return no_more(L);
  lua_pushcfunction(L, protected_take);
  lua_pushvalue(L, QUEUE);
  status = lua_pcall(L, 1, 1, 0);
  settle(queue);
  return status == LUA_OK ? 1 : lua_error(L);
}

static void get_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  Queue *queue = LW_CONTAINER(on, Queue, getters);
  (void)loop, (void)task;
  queue->promised_items--;
  settle(queue);
}

static int take(lua_State *L, Queue *queue) {
  lw_items_take(L, QUEUE, &queue->items);
  settle(queue);
  return 1;
}

static int get(lua_State *L, Queue *queue, int quiet) {
  if (size(queue) > 0) return take(L, queue);
  lua_settop(L, QUEUE);
  lua_pushboolean(L, quiet);
  if (queue->shut_down && queue->items.count == 0) return no_more(L);
  return lw_wait_in(L, queue->head.loop, &queue->getters, LW_WAIT_GET);
}

/* queue:get(): takes an item out and returns it; waits while there is none. QueueShutDown once the queue is shut down
 * and has no more. Cancelled, it has taken nothing. */
static int queue_get(lua_State *L) { return get(L, self(L), 0); }

/* queue:get_nowait(): the same without waiting: QueueEmpty if there is none */
static int queue_get_nowait(lua_State *L) {
  Queue *queue = self(L);
  if (size(queue) > 0) return take(L, queue);
  return queue->shut_down ? raise_shut_down(L) : lw_error_raise(L, LW_QUEUE_EMPTY, "the queue is empty");
}

/* What queue:iter() returns. */
static int queue_next(lua_State *L) { return get(L, self(L), 1); }

/* queue:iter(): for a loop over the items as they come, each taken as by get, until the queue is shut down and has no
 * more */
static int queue_iter(lua_State *L) {
  self(L);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushcclosure(L, queue_next, 2);
  lua_insert(L, 1);
  return 2;
}

/* ---- finishing ---- */

/* queue:task_done(): one item that was got has been dealt with. ValueError if that is more than were put. */
static int queue_task_done(lua_State *L) {
  Queue *queue = self(L);
  if (queue->unfinished == 0) return lw_error_raise(L, LW_VALUE_ERROR, "task_done called too many times");
  queue->unfinished--;
  settle(queue);
  return 0;
}

static int join_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  (void)L, (void)task, (void)on, (void)wake;
  return 0;
}

/* queue:join(): waits until task_done was called for every item that was put */
static int queue_join(lua_State *L) {
  Queue *queue = self(L);
  lua_settop(L, QUEUE);
  if (queue->unfinished == 0) return 0;
  return lw_wait_in(L, queue->head.loop, &queue->joiners, LW_WAIT_JOIN);
}

/* queue:shutdown(immediate = false): nothing more can be put, and get raises QueueShutDown once the items are gone;
 * with `immediate` they are thrown away now, and count as done. Whoever waits is woken. After asyncio.Queue.shutdown.
 */
static int queue_shutdown(lua_State *L) {
  Queue *queue = self(L);
  queue->shut_down = 1;
  if (lua_toboolean(L, 2)) {
    queue->unfinished -= queue->unfinished < queue->items.count ? queue->unfinished : queue->items.count;
    lw_items_clear(L, QUEUE, &queue->items);
  }
  settle(queue);
  return 0;
}

/* ---- making and asking ---- */

static int new_queue_of(lua_State *L, lw_Order order) {
  lua_Integer maxsize = lua_isnoneornil(L, 1) ? 0 : lw_check_integer(L, 1);
  Queue *queue = lw_new_object(L, QUEUE_CLASS, sizeof *queue, order == LW_PRIORITY ? LW_LESS : LW_ITEMS);
  queue->items.order = order;
  queue->maxsize = maxsize;
  return 1;
}

/* async.Queue(maxsize = 0): first in, first out; no bound if maxsize is 0 or less. After asyncio.Queue. */
static int new_queue(lua_State *L) { return new_queue_of(L, LW_FIFO); }

/* async.LifoQueue(maxsize = 0): the newest first */
static int new_lifo_queue(lua_State *L) { return new_queue_of(L, LW_LIFO); }

/* async.PriorityQueue(maxsize = 0, less?): the least first, as less(a, b) or `a < b` tells; of equal ones that which
 * was put first */
static int new_priority_queue(lua_State *L) {
  int compares = !lua_isnoneornil(L, 2);
  if (compares && !lw_callable(L, 2)) return lw_typeerror(L, 2, "function");
  new_queue_of(L, LW_PRIORITY);
  if (compares) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, LW_LESS);
  }
  return 1;
}

/* queue_for(purpose): a Queue that serves another object; a task that gets from it is said to wait for `purpose`. */
static int new_queue_for(lua_State *L) {
  size_t n;
  const char *purpose = lw_check_string(L, 1, &n);
  Queue *queue = lw_new_object(L, QUEUE_CLASS, sizeof *queue + n + 1, LW_ITEMS);
  queue->items.order = LW_FIFO;
  queue->purpose = memcpy(queue + 1, purpose, n + 1);
  return 1;
}

/* queue:qsize(): the number of items in it, without those promised to tasks that are about to run */
static int queue_qsize(lua_State *L) {
  lua_pushinteger(L, size(self(L)));
  return 1;
}

/* queue:empty(): would get_nowait raise QueueEmpty? */
static int queue_empty(lua_State *L) {
  lua_pushboolean(L, size(self(L)) == 0);
  return 1;
}

/* queue:full(): would put_nowait raise QueueFull? */
static int queue_full(lua_State *L) {
  lua_pushboolean(L, is_full(self(L)));
  return 1;
}

/* queue:maxsize(): as it was given, 0 by default */
static int queue_maxsize(lua_State *L) {
  lua_pushinteger(L, ((Queue *)self(L))->maxsize);
  return 1;
}

/* queue:statistics(): {size=, maxsize=, unfinished=, waiters= (to get or put), getters=, putters=, joiners=,
 * shut_down=} */
static int queue_statistics(lua_State *L) {
  Queue *queue = self(L);
  lua_createtable(L, 0, 8);
  lua_pushinteger(L, size(queue));
  lua_setfield(L, -2, "size");
  lua_pushinteger(L, queue->maxsize);
  lua_setfield(L, -2, "maxsize");
  lua_pushinteger(L, queue->unfinished);
  lua_setfield(L, -2, "unfinished");
  lua_pushinteger(L, (lua_Integer)(lw_list_count(&queue->getters) + lw_list_count(&queue->putters)));
  lua_setfield(L, -2, "waiters");
  lw_set_count(L, "getters", &queue->getters);
  lw_set_count(L, "putters", &queue->putters);
  lw_set_count(L, "joiners", &queue->joiners);
  lua_pushboolean(L, queue->shut_down);
  lua_setfield(L, -2, "shut_down");
  return 1;
}

/* Pushes "2" or "2 of 3". */
static const char *push_size(lua_State *L, const Queue *queue) {
  if (queue->maxsize <= 0) return lua_pushfstring(L, "%I", (LUAI_UACINT)size(queue));
  return lua_pushfstring(L, "%I of %I", (LUAI_UACINT)size(queue), (LUAI_UACINT)queue->maxsize);
}

static void describe(lua_State *L, const char *what, const Queue *queue, const lw_List *waiters) {
  const char *text = push_size(L, queue);
  lua_pushfstring(L, "%s a %s (size %s, %I unfinished, %d waiting)", what, names[queue->items.order], text,
                  (LUAI_UACINT)queue->unfinished, (int)lw_list_count(waiters));
  lua_remove(L, -2);
}

static void get_describe(lua_State *L, lw_Loop *loop, void *on) {
  const Queue *queue = LW_CONTAINER(on, Queue, getters);
  (void)loop;
  if (queue->purpose != NULL)
    lua_pushstring(L, queue->purpose);
  else
    describe(L, "get from", queue, on);
}

static void put_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  describe(L, "put into", LW_CONTAINER(on, Queue, putters), on);
}

static void join_describe(lua_State *L, lw_Loop *loop, void *on) {
  (void)loop;
  describe(L, "join of", LW_CONTAINER(on, Queue, joiners), on);
}

static int queue_gc(lua_State *L) {
  Queue *queue = lua_touserdata(L, 1);
  lw_end_object(&queue->head);
  lw_orphan(&queue->getters);
  lw_orphan(&queue->putters);
  lw_orphan(&queue->joiners);
  return 0;
}

static int queue_tostring(lua_State *L) {
  Queue *queue = self(L);
  const char *text = push_size(L, queue);
  lua_pushfstring(L, "<%s size=%s getters=%d putters=%d%s>", names[queue->items.order], text,
                  (int)lw_list_count(&queue->getters), (int)lw_list_count(&queue->putters),
                  queue->shut_down ? " shut down" : "");
  return 1;
}

void lw_open_queue(lua_State *L, int loop_index, lw_Loop *loop) {
  static const lw_WaitClass get_class = {get_resumed, lw_leave, get_hand_on, get_describe, NULL, NULL};
  static const lw_WaitClass put_class = {put_resumed, lw_leave, put_hand_on, put_describe, NULL, NULL};
  static const lw_WaitClass join_class = {join_resumed, lw_leave, NULL, join_describe, NULL, NULL};
  static const luaL_Reg methods[] = {
      {"put", queue_put},
      {"put_nowait", queue_put_nowait},
      {"get", queue_get},
      {"get_nowait", queue_get_nowait},
      {"iter", queue_iter},
      {"task_done", queue_task_done},
      {"join", queue_join},
      {"shutdown", queue_shutdown},
      {"qsize", queue_qsize},
      {"empty", queue_empty},
      {"full", queue_full},
      {"maxsize", queue_maxsize},
      {"statistics", queue_statistics},
      {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__gc", queue_gc}, {"__tostring", queue_tostring}, {NULL, NULL}};
  loop->waits[LW_WAIT_GET] = &get_class;
  loop->waits[LW_WAIT_PUT] = &put_class;
  loop->waits[LW_WAIT_JOIN] = &join_class;
  lw_class(L, loop_index, QUEUE_CLASS, methods, meta);
  lw_add_constructor(L, loop_index, "Queue", new_queue);
  lw_add_constructor(L, loop_index, "LifoQueue", new_lifo_queue);
  lw_add_constructor(L, loop_index, "PriorityQueue", new_priority_queue);
  lw_add_constructor(L, loop_index, "queue_for", new_queue_for);
  lua_pop(L, 1);
}
