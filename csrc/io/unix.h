/* Unix sockets: connecting and listening. */
#ifndef LUAWAIT_IO_UNIX_H
#define LUAWAIT_IO_UNIX_H

#include <lua.h>

/* Adds connect_unix and listen_unix to the table on the top. */
void lw_open_unix(lua_State *L, int loop_index);

#endif
