/* The openers of this folder: each adds its functions to the table on the top. */
#ifndef LUAWAIT_SYNC_SYNC_H
#define LUAWAIT_SYNC_SYNC_H

#include "core/loop.h"

void lw_open_gather(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_wait(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_shield(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_event(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_lock(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_semaphore(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_condition(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_barrier(lua_State *L, int loop_index, lw_Loop *loop);
void lw_open_queue(lua_State *L, int loop_index, lw_Loop *loop);

#endif
