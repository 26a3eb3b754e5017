#include "io/address.h"

#include <lauxlib.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/udata.h"

int lw_parse_address(const char *host, int port, lw_Address *address) {
  return uv_ip4_addr(host, port, &address->in) == 0 || uv_ip6_addr(host, port, &address->in6) == 0;
}

int lw_check_port(lua_State *L, int arg) {
  lua_Integer port = lw_check_integer(L, arg);
  if (port < 0 || port > 65535) lw_argerror(L, arg, lua_pushfstring(L, "port from 0 to 65535 expected, got %I", port));
  return (int)port;
}

void lw_check_address(lua_State *L, int arg, lw_Address *address) {
  const char *host = lw_check_text(L, arg, NULL);
  int port = lw_check_port(L, arg + 1);
  if (!lw_parse_address(host, port, address))
    lw_argerror(L, arg, lua_pushfstring(L, "numeric address expected, got '%s'", host));
}

int lw_port_of(const lw_Address *address) {
  return ntohs(address->any.sa_family == AF_INET6 ? address->in6.sin6_port : address->in.sin_port);
}

int lw_push_host(lua_State *L, const lw_Address *address) {
  char host[INET6_ADDRSTRLEN], interface[IF_NAMESIZE];
  if (uv_ip_name(&address->any, host, sizeof host) != 0) return 0;
  if (address->any.sa_family == AF_INET6 && address->in6.sin6_scope_id != 0 &&
      if_indextoname(address->in6.sin6_scope_id, interface) != NULL)
    lua_pushfstring(L, "%s%%%s", host, interface);
  else
    lua_pushstring(L, host);
  return 1;
}

void lw_push_address(lua_State *L, const lw_Address *address) {
  luaL_checkstack(L, 4, NULL);
  if (!lw_push_host(L, address)) {
    lua_pushliteral(L, "?");
    return;
  }
  lua_pushfstring(L, address->any.sa_family == AF_INET6 ? "[%s]:%d" : "%s:%d", lua_tostring(L, -1),
                  lw_port_of(address));
  lua_remove(L, -2);
}

int lw_push_host_and_port(lua_State *L, const lw_Address *address) {
  if (!lw_push_host(L, address)) return 0;
  lua_pushinteger(L, lw_port_of(address));
  return 2;
}

void lw_push_path(lua_State *L, const char *path, size_t n) {
  if (n > 0 && path[0] == '\0') {
    lua_pushliteral(L, "@");
    lua_pushlstring(L, path + 1, n - 1);
    lua_concat(L, 2);
  } else {
    lua_pushlstring(L, path, n);
  }
}

int lw_push_socket_path(lua_State *L, int fd, lw_End end) {
  struct sockaddr_un name = {0};
  socklen_t size = sizeof name, head = offsetof(struct sockaddr_un, sun_path);
  int failed = end == LW_THIS_END ? getsockname(fd, (struct sockaddr *)&name, &size)
                                  : getpeername(fd, (struct sockaddr *)&name, &size);
  if (failed || name.sun_family != AF_UNIX || size <= head) return 0;
  size = size - head < sizeof name.sun_path ? size - head : sizeof name.sun_path;
  lua_pushlstring(L, name.sun_path, name.sun_path[0] == '\0' ? size : strnlen(name.sun_path, size));
  return 1;
}
