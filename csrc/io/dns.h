/* Looking up names and addresses. */
#ifndef LUAWAIT_IO_DNS_H
#define LUAWAIT_IO_DNS_H

#include <lua.h>

/* Adds resolve and reverse to the table on the top. */
void lw_open_dns(lua_State *L, int loop_index);

#endif
