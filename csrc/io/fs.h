/* The file system: what luawait.fs stands on. */
#ifndef LUAWAIT_IO_FS_H
#define LUAWAIT_IO_FS_H

#include "core/loop.h"

/* Pushes the table of C functions. After lw_open_net, which opens what they share. */
void lw_open_fs(lua_State *L, int loop_index, lw_Loop *loop);

/* Add theirs to it. */
void lw_open_fs_content(lua_State *L, int loop_index); /* whole files */
void lw_open_fs_tree(lua_State *L, int loop_index);    /* directories */
void lw_open_fs_watch(lua_State *L, int loop_index);

#endif
