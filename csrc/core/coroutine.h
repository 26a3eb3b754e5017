/* Coroutines as asyncio means them: what calling an async function returns. A function and its arguments, not started,
 * to be awaited (a call in the awaiting task) or made a task, once. */
#ifndef LUAWAIT_CORE_COROUTINE_H
#define LUAWAIT_CORE_COROUTINE_H

#include "core/loop.h"

/* What a value is to await. */
typedef enum lw_Kind {
  LW_IS_NOTHING,
  LW_IS_FUNCTION,
  LW_IS_FUTURE, /* or a task */
  LW_IS_COROUTINE,
  LW_IS_USED,  /* a Coroutine that was awaited or made a task before */
  LW_IS_OBJECT /* with __await */
} lw_Kind;

lw_Kind lw_kind(lua_State *L, const lw_Loop *loop, int index);

/* Raises RuntimeError if the value at `index` is a Coroutine that was used before. */
void lw_check_unused(lua_State *L, lw_Loop *loop, int index);

/* The unused Coroutine at the absolute index `index` is used from now on. */
void lw_use_coroutine(lua_State *L, lw_Loop *loop, int index);

/* Pushes what a task for the awaitable at the absolute index `index` runs: a function without arguments or a Coroutine.
 */
void lw_push_task_body(lua_State *L, lw_Loop *loop, int index, lw_Kind kind);

/* Pushes the function of such a body, at absolute index `index`, and its arguments; returns their number. */
int lw_push_body(lua_State *L, int index);

/* Pushes "fetch@file.lua:3" for the function at `index`, with the name that its async function was called by. */
void lw_push_known_name(lua_State *L, lw_Loop *loop, int index);

/* Pushes a description of the future `on` that is awaited; for wait classes. */
void lw_describe_await(lua_State *L, lw_Loop *loop, void *on);

/* Adds async, begin and define_await to the table on the top. */
void lw_open_coroutine(lua_State *L, int loop_index, lw_Loop *loop);

#endif
