/* Numeric addresses, and the paths of Unix sockets. */
#ifndef LUAWAIT_IO_ADDRESS_H
#define LUAWAIT_IO_ADDRESS_H

#include <lua.h>
#include <sys/un.h>
#include <uv.h>

typedef union lw_Address {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
} lw_Address;

/* The numeric address at `arg` with the port at `arg` + 1; argument errors for anything else. */
void lw_check_address(lua_State *L, int arg, lw_Address *address);

/* The same for text and port at hand; returns 0 if it is no numeric address. */
int lw_parse_address(const char *host, int port, lw_Address *address);

/* The port at `arg`, 0 to 65535. */
int lw_check_port(lua_State *L, int arg);

int lw_port_of(const lw_Address *address);

/* Pushes "127.0.0.1:80", "[::1]:80", or "?" for no address. */
void lw_push_address(lua_State *L, const lw_Address *address);

/* Pushes the numeric address, as "::1"; with its interface, as "fe80::1%eth0", where it is nothing without (RFC 4007).
 * Returns 0, and pushes nothing, for no address. */
int lw_push_host(lua_State *L, const lw_Address *address);

/* Pushes host and port; returns how many values that are: none for no address. */
int lw_push_host_and_port(lua_State *L, const lw_Address *address);

/* Pushes the path of a Unix socket as messages have it: one that begins with a zero (abstract, see unix(7)) with an "@"
 * in its place. */
void lw_push_path(lua_State *L, const char *path, size_t n);

/* Which end of a connection. */
typedef enum lw_End { LW_THIS_END, LW_OTHER_END } lw_End;

/* Pushes the path of a Unix socket as the program has it. Returns 0, and pushes
 * nothing, if it has none, or the descriptor is none of a Unix socket. */
int lw_push_socket_path(lua_State *L, int fd, lw_End end);

#endif
