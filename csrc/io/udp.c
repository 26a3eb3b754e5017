#include "io/udp.h"

#include <lauxlib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/error.h"

/* ---- life ---- */

static void udp_leave(lw_IoHandle *handle) {
  lw_udp_leave_recv((lw_Udp *)handle);
  lw_udp_wake_senders((lw_Udp *)handle);
}

static const lw_IoClass udp_class = {"datagram socket", lw_io_close, udp_leave};

int lw_udp_raise(lua_State *L, const lw_Udp *udp, const lw_Address *address, int status, const char *syscall) {
  if (address == NULL) address = &udp->peer;
  if (address->any.sa_family != AF_UNSPEC)
    lw_push_address(L, address);
  else
    lua_pushnil(L);
  lw_error_push_os(L, status, syscall, "address", lua_tostring(L, -1));
  return lua_error(L);
}

/* Closes the socket that could not be made as it was asked for. */
static int make_raise(lua_State *L, lw_Udp *udp, const lw_Address *address, int status, const char *syscall) {
  lw_io_close(&udp->handle);
  return lw_udp_raise(L, udp, address, status, syscall);
}

/* The option `key`, a numeric address, with the port that is the option `port_key`; AF_UNSPEC without. */
static lw_Address address_option(lua_State *L, const char *key, const char *port_key) {
  lw_Address address = {0};
  if (lw_option(L, 1, key, LUA_TSTRING) != LUA_TNIL) {
    lw_option(L, 1, port_key, LUA_TNUMBER);
    lw_check_address(L, lua_gettop(L) - 1, &address);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return address;
}

static int flag_option(lua_State *L, const char *key) {
  int value = lw_option(L, 1, key, LUA_TBOOLEAN) != LUA_TNIL && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static size_t max_size_option(lua_State *L) {
  size_t size = LW_LARGEST_DATAGRAM;
  if (lw_option(L, 1, "max_size", LUA_TNUMBER) != LUA_TNIL) size = (size_t)lw_check_integer(L, lua_gettop(L));
  lua_pop(L, 1);
  return size < LW_LARGEST_DATAGRAM ? size : LW_LARGEST_DATAGRAM;
}

/* udp(opts): a DatagramSocket. opts, which luawait.net has looked at: ipv6 (boolean); address and port to bind to,
 * numeric; peer and peer_port to connect to; reuseaddr, broadcast; max_size. Raises OSError. */
static int net_udp(lua_State *L) {
  lw_Loop *loop = lw_running_loop(L);
  lw_Address local, peer;
  lw_Udp *udp;
  unsigned flags;
  int err;
  lw_check_type(L, 1, LUA_TTABLE);
  local = address_option(L, "address", "port");
  peer = address_option(L, "peer", "peer_port");
  udp = lw_io_new(L, loop, &udp_class, sizeof *udp, 0);
  udp->max_size = max_size_option(L);
  flags = flag_option(L, "ipv6") ? AF_INET6 : AF_INET;
  if (udp->max_size == LW_LARGEST_DATAGRAM) flags |= UV_UDP_RECVMMSG; /* whose blocks are always that long */
  err = uv_udp_init_ex(loop->uv, &udp->uv.udp, flags);
  if (err != 0) return lw_udp_raise(L, udp, NULL, err, "socket");
  lw_io_opened(&udp->handle, &udp->uv.handle);
  if (flag_option(L, "broadcast") && (err = uv_udp_set_broadcast(&udp->uv.udp, 1)) != 0)
    return make_raise(L, udp, NULL, err, "setsockopt");
  flags = flag_option(L, "reuseaddr") ? UV_UDP_REUSEADDR : 0;
  if (local.any.sa_family != AF_UNSPEC && (err = uv_udp_bind(&udp->uv.udp, &local.any, flags)) != 0)
    return make_raise(L, udp, &local, err, "bind");
  if (peer.any.sa_family != AF_UNSPEC && (err = uv_udp_connect(&udp->uv.udp, &peer.any)) != 0)
    return make_raise(L, udp, &peer, err, "connect");
  udp->peer = peer;
  return 1;
}

/* ---- options ---- */

static int done(lua_State *L, const lw_Udp *udp, int err) {
  return err != 0 ? lw_udp_raise(L, udp, NULL, err, "setsockopt") : 0;
}

static int check_boolean(lua_State *L, int arg) {
  lw_check_type(L, arg, LUA_TBOOLEAN);
  return lua_toboolean(L, arg);
}

static int check_hops(lua_State *L, int arg, lua_Integer least) {
  lua_Integer hops = lw_check_integer(L, arg);
  if (hops < least || hops > 255)
    lw_argerror(L, arg, lua_pushfstring(L, "hops from %I to 255 expected, got %I", least, hops));
  return (int)hops;
}

/* The numeric address at `arg`, as text; NULL where there may be none and is none. */
static const char *check_numeric(lua_State *L, int arg, int optional) {
  lw_Address address = {0};
  const char *text;
  if (optional && lua_isnoneornil(L, arg)) return NULL;
  text = lw_check_text(L, arg, NULL);
  if (!lw_parse_address(text, 0, &address))
    lw_argerror(L, arg, lua_pushfstring(L, "numeric address expected, got '%s'", text));
  return text;
}

/* socket:set_broadcast(enable): lets it send to broadcast addresses. Raises OSError, as all of these. */
static int set_broadcast(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  return done(L, udp, uv_udp_set_broadcast(&udp->uv.udp, check_boolean(L, 2)));
}

/* socket:set_ttl(hops): how many routers a datagram may pass, 1 to 255. */
static int set_ttl(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  return done(L, udp, uv_udp_set_ttl(&udp->uv.udp, check_hops(L, 2, 1)));
}

/* socket:set_multicast_ttl(hops): the same for multicast, 0 to 255 (1). */
static int set_multicast_ttl(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  return done(L, udp, uv_udp_set_multicast_ttl(&udp->uv.udp, check_hops(L, 2, 0)));
}

/* socket:set_multicast_loop(enable): whether what it sends to a group comes to members on this machine (it does). */
static int set_multicast_loop(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  return done(L, udp, uv_udp_set_multicast_loop(&udp->uv.udp, check_boolean(L, 2)));
}

/* socket:set_multicast_interface(address): the interface, by a numeric address that it has ("::%eth0" for IPv6),
 * through which multicast is sent. */
static int set_multicast_interface(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  return done(L, udp, uv_udp_set_multicast_interface(&udp->uv.udp, check_numeric(L, 2, 0)));
}

/* Linux gives to a socket what any socket of the machine has joined, unless it is told not to: ip(7). */
static void only_own_groups(const lw_Udp *udp) {
#ifdef IP_MULTICAST_ALL
  uv_os_fd_t fd;
  if (uv_fileno(&udp->uv.handle, &fd) == 0) setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &(int){0}, sizeof(int));
#else
  (void)udp;
#endif
}

static int set_membership(lua_State *L, uv_membership membership) {
  lw_Udp *udp = lw_io_open_self(L);
  const char *group = check_numeric(L, 2, 0), *interface = check_numeric(L, 3, 1);
  only_own_groups(udp);
  return done(L, udp, uv_udp_set_membership(&udp->uv.udp, group, interface, membership));
}

/* socket:join(group, interface?): becomes a member of a multicast group, on an interface told by its numeric address
 * (the system chooses one). */
static int udp_join(lua_State *L) { return set_membership(L, UV_JOIN_GROUP); }

/* socket:leave(group, interface?) */
static int udp_leave_group(lua_State *L) { return set_membership(L, UV_LEAVE_GROUP); }

/* ---- names ---- */

/* socket:peername(): host, port that it is connected to; nothing if it is not. */
static int udp_peername(lua_State *L) {
  lw_Udp *udp = lw_io_self(L);
  return lw_push_host_and_port(L, &udp->peer);
}

static int get_sockname(const lw_Udp *udp, lw_Address *address) {
  int size = sizeof *address;
  return uv_udp_getsockname(&udp->uv.udp, &address->any, &size);
}

/* socket:sockname(): host, port of this end; the port is 0 until it is bound, or has sent. Raises OSError. */
static int udp_sockname(lua_State *L) {
  lw_Udp *udp = lw_io_open_self(L);
  lw_Address address = {0};
  int err = get_sockname(udp, &address);
  return err != 0 ? lw_udp_raise(L, udp, NULL, err, "getsockname") : lw_push_host_and_port(L, &address);
}

static void set_count(lua_State *L, const char *key, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, key);
}

/* socket:statistics(): a table of received and sent (datagrams), buffered (received, not asked for yet), queued (sent,
 * not taken by the system yet), receivers and senders (tasks that wait), batch (datagrams that one call of the system
 * may receive). */
static int udp_statistics(lua_State *L) {
  lw_Udp *udp = lw_io_self(L);
  lua_createtable(L, 0, 7);
  set_count(L, "received", udp->received);
  set_count(L, "sent", udp->sent);
  set_count(L, "buffered", udp->available - (udp->recv_status != 0));
  set_count(L, "queued", udp->handle.state == LW_IO_OPEN ? uv_udp_get_send_queue_count(&udp->uv.udp) : 0);
  set_count(L, "receivers", lw_list_count(&udp->receivers));
  set_count(L, "senders", lw_list_count(&udp->senders));
  set_count(L, "batch", lw_udp_batch(udp));
  return 1;
}

static int udp_tostring(lua_State *L) {
  lw_Udp *udp = lw_io_self(L);
  lw_Address address = {0};
  if (udp->handle.state != LW_IO_OPEN) {
    lua_pushliteral(L, "<DatagramSocket closed>");
    return 1;
  }
  get_sockname(udp, &address);
  lw_push_address(L, &address);
  if (udp->peer.any.sa_family == AF_UNSPEC) {
    lua_pushfstring(L, "<DatagramSocket %s open>", lua_tostring(L, -1));
  } else {
    lw_push_address(L, &udp->peer);
    lua_pushfstring(L, "<DatagramSocket %s -> %s open>", lua_tostring(L, -2), lua_tostring(L, -1));
  }
  return 1;
}

void lw_open_udp(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg methods[] = {
      {"close", lw_io_close_method},
      {"is_closing", lw_io_is_closing},
      {"peername", udp_peername},
      {"sockname", udp_sockname},
      {"set_broadcast", set_broadcast},
      {"set_ttl", set_ttl},
      {"set_multicast_ttl", set_multicast_ttl},
      {"set_multicast_loop", set_multicast_loop},
      {"set_multicast_interface", set_multicast_interface},
      {"join", udp_join},
      {"leave", udp_leave_group},
      {"statistics", udp_statistics},
      {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__close", lw_io_close_method}, {"__tostring", udp_tostring}, {NULL, NULL}};
  static const luaL_Reg funcs[] = {{"udp", net_udp}, {NULL, NULL}};
  lw_open_udp_recv(loop);
  lw_open_udp_send(loop);
  lw_io_class(L, loop_index, &udp_class, methods, meta);
  lw_add_methods(L, loop_index, lw_udp_recv_methods);
  lw_add_methods(L, loop_index, lw_udp_send_methods);
  lua_pop(L, 1);
  lw_setfuncs(L, loop_index, funcs);
}
