#include "core/task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/cancel.h"
#include "core/park.h"

enum { VALUE = 1 };

lw_Task *lw_to_task(lua_State *L, const lw_Loop *loop, int index) {
  return lw_test(L, index, loop->metatables[LW_REF_TASK]);
}

/* ---- a task's coroutine ---- */

/* The body has ended: its results or its error are on the top. */
static int body_end(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (LW_LIKELY(status == LUA_OK || status == LUA_YIELD)) return lua_gettop(L) - 1;
  lw_loop_of(L)->failed = 1;
  return 1;
}

/* What each task's coroutine runs: the stack holds the message handler, the function and its arguments. */
static int task_body(lua_State *L) {
  return body_end(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_end), 0);
}

/* The newest coroutine of the pool, which stays there while its task has its first step: for most it is the last. */
static lua_State *pooled_coroutine(lua_State *L, lw_Loop *loop) {
  lua_State *co = loop->pool[loop->pooled - 1];
  if (LW_UNLIKELY(lua_gethook(co) != lua_gethook(L)))
    lua_sethook(co, lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L));
  return co;
}

/* A fresh coroutine, the value of the task at `index`. Memory errors pass. */
static lua_State *new_coroutine(lua_State *L, int index) {
  lua_State *co = lua_newthread(L);
  lua_setiuservalue(L, index, VALUE);
  return co;
}

/* The newest coroutine of the pool becomes the value of the task at `index`: from now on the task is what keeps it. */
static void keep_coroutine(lua_State *L, lw_Loop *loop, int index) {
  lw_push_ref(L, loop, LW_REF_POOL);
  lua_rawgeti(L, -1, loop->pooled);
  lua_setiuservalue(L, index, VALUE);
  lua_pushnil(L);
  lua_rawseti(L, -2, loop->pooled--);
  lua_pop(L, 1);
}

/* The coroutine of the task at `index` ended well, and can be used again. */
static void give_back_coroutine(lua_State *L, lw_Loop *loop, int index, lua_State *co) {
  if (loop->pooled == LW_POOL_SIZE) return;
  lw_push_ref(L, loop, LW_REF_POOL);
  lua_getiuservalue(L, index, VALUE);
  lua_rawseti(L, -2, loop->pooled + 1);
  lua_pop(L, 1);
  loop->pool[loop->pooled++] = co;
}

/* ---- steps ---- */

enum { TASK = LW_ANCHORS + 1 }; /* where a step has the task in loop->L's frame, if it needs it there */

/* One of those that are awaited together has ended. */
static int is_last(lw_Loop *loop) {
  return loop->last_ending == LW_ALL_TASKS ? loop->unfinished == 0 && loop->stop == 0 : --loop->ending == 0;
}

/* The task, which is on the stack, has ended and is let go by the loop; `anchors` is where the table of anchors is. */
static void settle(lua_State *L, lw_Loop *loop, lw_Task *task, lw_State end, int anchors) {
  lw_Node *node = lw_task_node(task);
  task->co = NULL;
  lua_pushinteger(L, loop->free_slot);
  lua_rawseti(L, anchors, node->slot);
  loop->free_slot = node->slot;
  node->slot = 0;
  loop->unfinished--;
  if (task == loop->main || (task->id <= loop->last_ending && is_last(loop))) loop->stop = LW_STOP_DONE;
  lw_future_finish(loop, &task->future, end);
}

/* The value of a task that is cancelled without having raised anything: the message, see push_cancelled_error. */
static void set_cancelled(lua_State *L, lw_Loop *loop) {
  lw_note_get(L, loop, TASK, LW_NOTE_CANCEL_MESSAGE);
  lua_setiuservalue(L, TASK, VALUE);
}

/* The error on the top of the task's coroutine becomes its failure. */
static lw_State take_error(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lua_xmove(task->co, L, 1);
  if (lw_error_is(L, -1, LW_KEYBOARD_INTERRUPT) && task != loop->main) loop->stop = LW_STOP_INTERRUPTED;
  lw_take_traceback(L, loop, task->co);
  return lw_future_set_error(L, loop, TASK, &task->future);
}

/* The coroutine of the task at TASK returned, with `count` results; `pooled`: it is in the pool still. */
LW_APART static void finish(lua_State *L, lw_Loop *loop, lw_Task *task, int count, int status, int pooled) {
  lua_State *co = task->co;
  lw_State end = LW_DONE;
  if (LW_UNLIKELY(status != LUA_OK)) {
    loop->failed = 0;
    if (pooled) keep_coroutine(L, loop, TASK); /* a dead one: not for the pool */
    end = take_error(L, loop, task);
  } else {
    if (!pooled) give_back_coroutine(L, loop, TASK, co);
    if (LW_UNLIKELY(loop->failed)) {
      loop->failed = 0;
      end = take_error(L, loop, task);
    } else {
      if (count > 1) luaL_checkstack(L, count + 4, "too many results");
      lua_xmove(co, L, count);
      lw_future_set_results(L, TASK, &task->future, count);
      if (LW_UNLIKELY(lw_task_node(task)->flags & (LW_CANCEL_NOW | LW_CANCEL_NEXT))) {
        set_cancelled(L, loop); /* it returned before the cancellation could reach it, as in asyncio */
        end = LW_CANCELLED;
      }
    }
  }
  settle(L, loop, task, end, LW_ANCHORS);
}

/* Raises in a task that called coroutine.yield itself, which nobody would resume. The hook that tasks have comes back.
 */
static void bad_yield(lua_State *L, lua_Debug *ar) {
  lua_State *from = lw_loop_of(L)->L;
  (void)ar;
  lua_sethook(L, lua_gethook(from), lua_gethookmask(from), lua_gethookcount(from));
  lw_error_raise(L, LW_RUNTIME_ERROR,
                 "coroutine.yield in a task, outside a coroutine of its own: use async.sleep(0) "
                 "to let others run");
}

/* Lets the coroutine run until it waits or ends. */
static int resume(lua_State *L, lw_Loop *loop, lw_Task *task, int nargs, int *count) {
  int status;
  lw_task_node(task)->state = LW_RUNNING;
  loop->current = task;
  lw_begin_step(loop, task->co);
  status = lua_resume(task->co, L, nargs, count);
  lw_end_step(loop);
  loop->current = NULL;
  loop->passing = 0;
  return status;
}

/* The coroutine has yielded: because the task is parked, or because the script called coroutine.yield. */
static void after_yield(lw_Loop *loop, lw_Task *task, int count) {
  lw_Node *node = lw_task_node(task);
  if (LW_LIKELY(node->state != LW_RUNNING)) return;
  lua_pop(task->co, count);
  lua_sethook(task->co, bad_yield, LUA_MASKCOUNT, 1);
  node->state = LW_READY;
  lw_ready(loop, node);
}

/* The first step of the task at TASK. */
LW_APART static void start(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lua_State *co;
  int nargs, count, status, pooled = loop->pooled > 0;
  if (lw_task_node(task)->flags & LW_CANCEL_NOW) {
    set_cancelled(L, loop);
    settle(L, loop, task, LW_CANCELLED, LW_ANCHORS);
    return;
  }
  lua_getiuservalue(L, TASK, VALUE);
  co = pooled ? pooled_coroutine(L, loop) : new_coroutine(L, TASK);
  nargs = lw_push_body(L, TASK + 1);
  if (LW_UNLIKELY(nargs + 4 > LUA_MINSTACK && !lua_checkstack(co, nargs + 4)))
    luaL_error(L, "stack overflow (too many arguments)");
  lua_pushcfunction(co, task_body);
  lua_pushcfunction(co, lw_traceback);
  lua_xmove(L, co, nargs + 1);
  task->co = co;
  status = resume(L, loop, task, nargs + 2, &count);
  if (LW_LIKELY(status != LUA_YIELD)) {
    finish(L, loop, task, count, status, pooled);
  } else {
    if (pooled) keep_coroutine(L, loop, TASK);
    after_yield(loop, task, count);
  }
}

enum { MANY_TASKS = 2000 }; /* so many coroutines do not stay in a cache */

static LW_INLINE void prefetch(const void *p, size_t size) {
  for (size_t i = 0; i < size; i += 64) LW_PREFETCH((const char *)p + i);
}

/* The coroutine of the next in the queue is cold, and so is the task behind that. A coroutine of Lua's takes 1200
 * bytes, in one piece if malloc had such a piece. */
static LW_INLINE void prefetch_next(const lw_Loop *loop) {
  const lw_Link *link = loop->ready.first;
  const lw_Task *next = (const lw_Task *)(const void *)link;
  if (link == NULL || next->future.timed.node.type != LW_TASK) return;
  prefetch(next->co, 1200);
  prefetch(link->next, sizeof *next);
}

static LW_INLINE void step(lw_Loop *loop, lw_Node *node) {
  lua_State *L = loop->L;
  lw_Task *task = lw_node_task(node);
  int count, status;
  if (LW_UNLIKELY(task->co == NULL)) {
    lua_rawgeti(L, LW_ANCHORS, node->slot);
    start(L, loop, task);
    lua_settop(L, LW_ANCHORS);
    return;
  }
  if (loop->unfinished > MANY_TASKS) prefetch_next(loop);
  status = resume(L, loop, task, 0, &count);
  if (LW_LIKELY(status == LUA_YIELD)) {
    after_yield(loop, task, count);
  } else {
    lua_rawgeti(L, LW_ANCHORS, node->slot);
    finish(L, loop, task, count, status, 0);
    lua_settop(L, LW_ANCHORS);
  }
}

static void task_run(lw_Loop *loop, lw_Node *node) {
  do {
    step(loop, node);
  } while ((node = lw_next_step(loop, LW_TASK)) != NULL);
}

/* The task fails with a Failure that was made beforehand. */
static void fail_without_memory(lua_State *L, lw_Loop *loop, lw_Task *task) {
  int anchors = lua_gettop(L) + 1;
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  lua_rawgeti(L, anchors, lw_task_node(task)->slot);
  lw_push_ref(L, loop, LW_REF_NO_MEMORY);
  lua_setiuservalue(L, -2, VALUE);
  settle(L, loop, task, LW_FAILED, anchors);
  lua_settop(L, anchors - 1);
}

/* A memory error cut a step short. */
static void task_abort(lw_Loop *loop, lw_Node *node) {
  lua_State *L = loop->L;
  lw_Task *task = lw_node_task(node);
  loop->current = NULL;
  loop->failed = 0;
  if (node->state >= LW_DONE) return;
  if (loop->pooled > 0 && loop->pool[loop->pooled - 1] == task->co) {
    lw_push_anchored(L, loop, node->slot);
    keep_coroutine(L, loop, lua_gettop(L));
    lua_pop(L, 1);
  }
  if (node->state == LW_WAITING || lw_linked(&node->link)) return; /* it has parked */
  fail_without_memory(L, loop, task);
}

void lw_task_drop(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_undo_wait(L, loop, task);
  fail_without_memory(L, loop, task);
}

/* ---- making and ending ---- */

static void note_creation(lua_State *L, lw_Loop *loop) {
  luaL_traceback(L, L, "created at:", 1);
  lw_note_set(L, loop, -2, LW_NOTE_CREATED_AT);
}

lw_Task *lw_task_of_kind(lua_State *L, lw_Loop *loop, int index, lw_Kind kind) {
  lw_Task *task; /* what may raise comes first */
  lw_Node *node;
  task = lua_newuserdatauv(L, sizeof *task, 1);
  *task = (lw_Task){.future.timed.node = {.type = LW_TASK, .state = LW_CREATED}};
  node = lw_task_node(task);
  lw_push_task_body(L, loop, index, kind);
  lua_setiuservalue(L, -2, VALUE);
  lw_push_ref(L, loop, LW_REF_TASK);
  lua_setmetatable(L, -2);
  if (LW_UNLIKELY(loop->debug)) note_creation(L, loop);
  node->slot = lw_anchor(L, loop, lua_gettop(L));
  if (kind == LW_IS_COROUTINE) lw_use_coroutine(L, loop, index);
  task->id = ++loop->last_id;
  loop->unfinished++;
  lw_ready(loop, node);
  return task;
}

lw_Task *lw_task_new(lua_State *L, lw_Loop *loop, int index) {
  lw_Kind kind = lw_kind(L, loop, index);
  if (LW_UNLIKELY(kind == LW_IS_USED)) lw_check_unused(L, loop, index);
  luaL_checkstack(L, 6, NULL);
  return lw_task_of_kind(L, loop, lua_absindex(L, index), kind);
}

lw_Future *lw_ensure_future(lua_State *L, lw_Loop *loop, int index) {
  lw_Future *future = lw_to_future(L, loop, index);
  if (future == NULL) return &lw_task_new(L, loop, index)->future;
  lua_pushvalue(L, index);
  return future;
}

void lw_task_abandon(lua_State *L, lw_Loop *loop, lw_Task *task) {
  lw_State end;
  int index;
  lw_undo_wait(L, loop, task);
  lw_push_anchored(L, loop, lw_task_node(task)->slot);
  lua_insert(L, -2);
  index = lua_gettop(L) - 1;
  if (task->co != NULL) {
    luaL_traceback(L, task->co, NULL, 0);
    lua_resetthread(task->co);
  } else {
    lua_pushnil(L);
  }
  end = lw_future_set_error(L, loop, index, &task->future);
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  lua_insert(L, -2);
  settle(L, loop, task, end, index);
  lua_settop(L, index - 1);
}

/* ---- describing ---- */

void lw_task_push_name(lua_State *L, lw_Loop *loop, int index, lw_Task *task) {
  if (lw_note_get(L, loop, index, LW_NOTE_NAME) == LUA_TSTRING) return;
  lua_pop(L, 1);
  lua_pushfstring(L, "Task-%d", (int)task->id);
}

/* The function at the bottom of a started coroutine, above task_body. */
static int push_bottom_function(lua_State *L, lua_State *co) {
  lua_Debug ar;
  int low = 0, high = 1;
  if (co != L && !lua_checkstack(co, 1)) return 0;
  while (lua_getstack(co, high, &ar)) {
    low = high;
    high *= 2;
  }
  while (low + 1 < high) {
    int middle = (low + high) / 2;
    if (lua_getstack(co, middle, &ar))
      low = middle;
    else
      high = middle;
  }
  if (low == 0 || !lua_getstack(co, low - 1, &ar)) return 0;
  lua_getinfo(co, "f", &ar);
  if (co != L) lua_xmove(co, L, 1);
  return 1;
}

/* Pushes the function that the unfinished task at `index` runs; 0 (and pushes nothing) when that is not known. */
static int push_function(lua_State *L, int index, lw_Task *task) {
  if (task->co != NULL) return push_bottom_function(L, task->co);
  if (lw_future_done(&task->future)) return 0;
  lua_getiuservalue(L, index, VALUE);
  if (lua_isuserdata(L, -1)) {
    lua_getiuservalue(L, -1, 1);
    lua_remove(L, -2);
  }
  return 1;
}

void lw_task_push_description(lua_State *L, lw_Loop *loop, int index, lw_Task *task) {
  static const char *const names[] = {"pending", "pending", "pending", "pending", "finished", "failed", "cancelled"};
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  index = lua_absindex(L, index);
  lw_task_push_name(L, loop, index, task);
  if (push_function(L, index, task)) {
    lw_push_known_name(L, loop, -1);
    lua_pushfstring(L, "<Task %s name='%s' fn=%s>", names[lw_task_node(task)->state], lua_tostring(L, top + 1),
                    lua_tostring(L, -1));
  } else {
    lua_pushfstring(L, "<Task %s name='%s'>", names[lw_task_node(task)->state], lua_tostring(L, top + 1));
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

typedef struct Listed {
  uint32_t id, slot;
} Listed;

static int by_id(const void *a, const void *b) {
  uint32_t x = ((const Listed *)a)->id, y = ((const Listed *)b)->id;
  return x < y ? -1 : x > y;
}

void lw_push_all_tasks(lua_State *L, lw_Loop *loop) {
  Listed *list = lua_newuserdatauv(L, (loop->unfinished + 1) * sizeof *list, 0);
  uint32_t slot, n = 0;
  int anchors, i;
  lw_push_ref(L, loop, LW_REF_ANCHORS);
  anchors = lua_gettop(L);
  for (slot = 1; slot <= loop->slots; slot++) {
    lw_Task *task;
    lua_rawgeti(L, anchors, slot);
    task = lw_to_task(L, loop, -1);
    if (task != NULL) list[n++] = (Listed){task->id, slot};
    lua_pop(L, 1);
  }
  qsort(list, n, sizeof *list, by_id);
  lua_createtable(L, (int)n, 0);
  for (i = 1; i <= (int)n; i++) {
    lua_rawgeti(L, anchors, list[i - 1].slot);
    lua_rawseti(L, -2, i);
  }
  lua_replace(L, anchors - 1);
  lua_settop(L, anchors - 1);
}

lw_Task *lw_task_of(lua_State *L, lw_Loop *loop, const lua_State *co) {
  lw_Task *found = NULL;
  uint32_t slot;
  luaL_checkstack(L, 4, NULL);
  for (slot = 1; found == NULL && slot <= loop->slots; slot++) {
    lw_Task *task;
    lw_push_anchored(L, loop, slot);
    task = lw_to_task(L, loop, -1);
    if (task != NULL && task->co == co) found = task;
    lua_pop(L, 1);
  }
  return found;
}

/* ---- Lua-visible ---- */

static void set_name(lua_State *L, lw_Loop *loop, int task, int name) {
  lua_pushstring(L, lua_tostring(L, name));
  lw_note_set(L, loop, task, LW_NOTE_NAME);
}

/* async.create_task(awaitable, opts?): a task that runs it, from the next turn of the loop on; the loop keeps it alive
 * until it ends. opts.name: a string. After asyncio.create_task. */
static int create_task(lua_State *L) {
  static const char *const known[] = {"name", NULL};
  lw_Loop *loop = lw_running_loop(L);
  int named;
  lua_settop(L, 2);
  lw_check_awaitable(L, loop, 1);
  lw_check_options(L, 2, known);
  named = lw_option(L, 2, "name", LUA_TSTRING) != LUA_TNIL;
  lw_task_new(L, loop, 1);
  if (named) set_name(L, loop, 4, 3);
  return 1;
}

/* async.current_task(): the running task, or nil (in a callback, outside the loop) */
static int current_task(lua_State *L) {
  lw_Loop *loop = lw_loop(L);
  if (loop->current != NULL)
    lw_push_anchored(L, loop, lw_task_node(loop->current)->slot);
  else
    lua_pushnil(L);
  return 1;
}

/* async.all_tasks(): array of the unfinished tasks, oldest first */
static int all_tasks(lua_State *L) {
  lw_push_all_tasks(L, lw_loop(L));
  return 1;
}

/* task:get_name(): its name, "Task-N" by default */
static int task_get_name(lua_State *L) {
  lw_task_push_name(L, lw_loop(L), 1, lw_self(L));
  return 1;
}

/* task:set_name(name): its new name, a string */
static int task_set_name(lua_State *L) {
  lw_self(L);
  lw_check_string(L, 2, NULL);
  set_name(L, lw_loop(L), 1, 2);
  return 0;
}

/* task:state(): "created", "running", "waiting", "done", "failed" or "cancelled" */
static int task_state(lua_State *L) {
  static const char *const names[] = {"created", "waiting", "running", "waiting", "done", "failed", "cancelled"};
  lw_Task *task = lw_self(L);
  lua_pushstring(L, names[lw_task_node(task)->state]);
  return 1;
}

/* task:cancelling(): requests to cancel it, less those taken back */
static int task_cancelling(lua_State *L) {
  lua_pushinteger(L, ((lw_Task *)lw_self(L))->cancelling);
  return 1;
}

/* task:uncancel(): takes one request back; returns how many are left */
static int task_uncancel(lua_State *L) {
  lua_pushinteger(L, lw_task_uncancel(lw_self(L)));
  return 1;
}

/* task:get_stack(): the traceback of where it is, as a string; of a failed one, of where it failed */
static int task_get_stack(lua_State *L) {
  lw_Task *task = lw_self(L);
  if (task->co != NULL) {
    luaL_traceback(L, task->co, NULL, task->co == L ? 1 : 0);
  } else if (lw_task_node(task)->state == LW_FAILED) {
    lua_getiuservalue(L, 1, VALUE);
    if (lua_getfield(L, -1, "traceback") == LUA_TNIL) lua_pushliteral(L, ""); /* for want of memory there is none */
  } else {
    lua_pushliteral(L, "");
  }
  return 1;
}

/* task:print_stack(): writes its description and its stack to stderr */
static int task_print_stack(lua_State *L) {
  lw_Task *task = lw_self(L);
  lua_settop(L, 1);
  lw_task_push_description(L, lw_loop(L), 1, task);
  task_get_stack(L);
  lua_writestringerror("%s\n", lua_tostring(L, 2));
  lua_writestringerror("%s\n", lua_tostring(L, -1));
  return 0;
}

/* task:waiting_on(): what it is parked on, as text; nil when it is not */
static int task_waiting_on(lua_State *L) {
  lw_Task *task = lw_self(L);
  if (lw_task_node(task)->state == LW_WAITING)
    lw_push_waiting_on(L, lw_loop(L), task);
  else
    lua_pushnil(L);
  return 1;
}

static int task_tostring(lua_State *L) {
  lw_task_push_description(L, lw_loop(L), 1, lw_self(L));
  return 1;
}

void lw_open_task(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {
      {"get_name", task_get_name},       {"set_name", task_set_name},     {"state", task_state},
      {"cancelling", task_cancelling},   {"uncancel", task_uncancel},     {"get_stack", task_get_stack},
      {"print_stack", task_print_stack}, {"waiting_on", task_waiting_on}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", task_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {
      {"create_task", create_task}, {"current_task", current_task}, {"all_tasks", all_tasks}, {NULL, NULL}};
  loop->classes[LW_TASK].run = task_run;
  loop->classes[LW_TASK].abort = task_abort;
  lw_class(L, loop_index, "Task", lw_future_methods, meta);
  lw_add_methods(L, loop_index, methods);
  lw_set_metatable_ref(L, loop, LW_REF_TASK);
  lw_setfuncs(L, loop_index, funcs);
}
