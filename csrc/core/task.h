/* A task: a coroutine that is a future. Only this file's code resumes one. */
#ifndef LUAWAIT_CORE_TASK_H
#define LUAWAIT_CORE_TASK_H

#include "core/coroutine.h"
#include "core/future.h"

/* 64 bytes, which with Lua's header make a 128 byte block: a million parked tasks is the use case, so what few tasks
 * have stands in the loop's notes. The user value holds the body until it starts (a Coroutine or a function), then the
 * coroutine, then the result. An unfinished task is anchored by the loop. */
struct lw_Task {
  lw_Future future;
  lua_State *co;       /* its coroutine; NULL before its first step and after its last */
  void *on;            /* what it is parked on; the meaning is its wait class's */
  uint32_t id;         /* for its default name, and the order of all_tasks() */
  uint16_t cancelling; /* requests to cancel it, less those taken back; no more than UINT16_MAX are counted */
  uint16_t top;        /* of its stack when it parked: see stranger in core/park.c */
};

static inline lw_Node *lw_task_node(lw_Task *task) { return &task->future.timed.node; }
static inline lw_Task *lw_node_task(lw_Node *node) { return LW_CONTAINER(node, lw_Task, future.timed.node); }

/* The unfinished task that this is the coroutine of, or NULL. Slow: looks at them all. */
lw_Task *lw_task_of(lua_State *L, lw_Loop *loop, const lua_State *co);

/* Raises an argument error unless the value at `arg` is awaitable. */
void lw_check_awaitable(lua_State *L, lw_Loop *loop, int arg);

/* As that; but where the value is no argument of its own `position` names it ("list[3]"). NULL if it is awaitable, else
 * the text of the complaint, which is on the stack. */
const char *lw_not_awaitable(lua_State *L, lw_Loop *loop, int index);

/* Pushes a new task that will run the awaitable at `index` (checked before). Raises RuntimeError for a Coroutine that
 * was used before. It starts at the next turn. */
lw_Task *lw_task_new(lua_State *L, lw_Loop *loop, int index);

/* As that for the absolute index `index`, where the kind is known: neither LW_IS_NOTHING nor LW_IS_USED. */
lw_Task *lw_task_of_kind(lua_State *L, lw_Loop *loop, int index, lw_Kind kind);

/* Pushes the awaitable at `index` as a future: itself, or a new task for it. */
lw_Future *lw_ensure_future(lua_State *L, lw_Loop *loop, int index);

/* Is the value at `index` a task? NULL if not. */
lw_Task *lw_to_task(lua_State *L, const lw_Loop *loop, int index);

/* Pushes the task's name / its one line description. The task must be unfinished, or stand at `index`. */
void lw_task_push_name(lua_State *L, lw_Loop *loop, int index, lw_Task *task);
void lw_task_push_description(lua_State *L, lw_Loop *loop, int index, lw_Task *task);

/* Pushes an array of the unfinished tasks, oldest first. */
void lw_push_all_tasks(lua_State *L, lw_Loop *loop);

/* Ends a task by force: its wait is undone, its <close> variables run without being able to wait, it fails with the
 * error on the top of the stack (popped). For shutdown only. */
void lw_task_abandon(lua_State *L, lw_Loop *loop, lw_Task *task);

/* The same without running or allocating anything, and without an error of its own: "not enough memory". */
void lw_task_drop(lua_State *L, lw_Loop *loop, lw_Task *task);

/* Adds create_task, current_task and all_tasks to the table on the top. */
void lw_open_task(lua_State *L, int loop_index, lw_Loop *loop);

#endif
