/* Names and addresses. */
#ifndef LUAWAIT_IO_DNS_H
#define LUAWAIT_IO_DNS_H

#include "io/stream.h"

/* The numeric address at `arg` with the port at `arg` + 1; argument errors for anything else. */
void lw_check_address(lua_State *L, int arg, lw_Address *address);

/* The same for text and port at hand; returns 0 if it is no numeric address. */
int lw_parse_address(const char *host, int port, lw_Address *address);

/* Adds resolve and reverse to the table on the top. */
void lw_open_dns(lua_State *L, int loop_index);

#endif
