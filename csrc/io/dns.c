#include "io/dns.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/address.h"
#include "io/request.h"

/* A look-up on libuv's thread pool. Shared by a userdata, which stands in the frame of the function that waits, and
 * libuv: freed by the one that is done with it last. One that runs already cannot be stopped: its answer is dropped
 * when it comes. */
typedef struct Lookup {
  lw_Request request;
  union {
    uv_req_t any;
    uv_getaddrinfo_t addresses;
    uv_getnameinfo_t name;
  } uv;
  lw_Loop *loop;
  const char *what; /* is looked up; stands in the frame of the function that waits */
  int dropped;      /* the userdata is gone */
} Lookup;

/* ---- look-ups ---- */

static void lookup_abandon(lw_Request *request) {
  Lookup *lookup = LW_CONTAINER(request, Lookup, request);
  if (!request->done) uv_cancel(&lookup->uv.any);
}

static void lookup_describe(lua_State *L, const lw_Request *request) {
  const Lookup *lookup = LW_CONTAINER(request, Lookup, request);
  lua_pushfstring(L, "the look-up of %s", lookup->what);
}

static void lookup_free(Lookup *lookup) {
  if (lookup->uv.any.type == UV_GETADDRINFO) uv_freeaddrinfo(lookup->uv.addresses.addrinfo);
  free(lookup);
}

static void lookup_done(Lookup *lookup, int status) {
  lookup->loop->in_uv--;
  if (lookup->dropped)
    lookup_free(lookup);
  else
    lw_request_done(lookup->loop, &lookup->request, status);
}

static void on_addresses(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  (void)list; /* is in the request as well */
  lookup_done(req->data, status);
}

static void on_name(uv_getnameinfo_t *req, int status, const char *host, const char *service) {
  (void)host, (void)service; /* are in the request as well */
  lookup_done(req->data, status);
}

static int lookup_gc(lua_State *L) {
  Lookup **box = lua_touserdata(L, 1), *lookup = *box;
  if (lookup == NULL) return 0;
  *box = NULL;
  lookup_abandon(&lookup->request);
  lookup->dropped = 1;
  if (lookup->request.done) lookup_free(lookup);
  return 0;
}

/* Pushes a look-up that is not under way yet: `done`, so that __gc frees it. */
static Lookup *new_lookup(lua_State *L, lw_Loop *loop, const lw_RequestClass *cls, const char *what) {
  Lookup **box = lua_newuserdatauv(L, sizeof *box, 0), *lookup;
  *box = NULL;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  *box = lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) luaL_error(L, "not enough memory");
  lookup->request.cls = cls;
  lookup->request.done = 1;
  lookup->loop = loop;
  lookup->what = what;
  lookup->uv.any.data = lookup;
  return lookup;
}

static int lookup_wait(lua_State *L, lw_Task *task, Lookup *lookup) {
  lookup->request.done = 0;
  lookup->loop->in_uv++;
  return lw_request_wait(L, task, &lookup->request);
}

static int raise_lookup(lua_State *L, int status, const char *syscall, const char *what) {
  lw_error_push_os(L, status, syscall, "address", what);
  return lua_error(L);
}

/* ---- resolve ---- */

/* Appends {address=, family=, port=} to the array on the top. */
static void add_address(lua_State *L, lua_Integer at, const lw_Address *address) {
  lua_createtable(L, 0, 3);
  lw_push_host(L, address);
  lua_setfield(L, -2, "address");
  lua_pushstring(L, address->any.sa_family == AF_INET6 ? "inet6" : "inet");
  lua_setfield(L, -2, "family");
  lua_pushinteger(L, lw_port_of(address));
  lua_setfield(L, -2, "port");
  lua_rawseti(L, -2, at);
}

static int resolve_finish(lua_State *L, lw_Request *request) {
  Lookup *lookup = LW_CONTAINER(request, Lookup, request);
  const struct addrinfo *info;
  lua_Integer n = 0;
  if (request->status != 0) return raise_lookup(L, request->status, "getaddrinfo", lookup->what);
  lua_newtable(L);
  for (info = lookup->uv.addresses.addrinfo; info != NULL; info = info->ai_next)
    if (info->ai_family == AF_INET || info->ai_family == AF_INET6) {
      lw_Address address = {0};
      memcpy(&address, info->ai_addr, info->ai_addrlen < sizeof address ? info->ai_addrlen : sizeof address);
      add_address(L, ++n, &address);
    }
  return 1;
}

/* The option `family` at `arg` as an AF_. */
static int check_family(lua_State *L, int arg) {
  static const char *const known[] = {"family", NULL};
  const char *family;
  lw_check_options(L, arg, known);
  if (lw_option(L, arg, "family", LUA_TSTRING) == LUA_TNIL) return AF_UNSPEC;
  family = lua_tostring(L, -1);
  if (strlen(family) != lua_rawlen(L, -1)) lw_argerror(L, arg, "option 'family': string without zeros expected");
  if (strcmp(family, "inet") == 0) return AF_INET;
  if (strcmp(family, "inet6") == 0) return AF_INET6;
  return lw_argerror(L, arg, lua_pushfstring(L, "option 'family': \"inet\" or \"inet6\" expected, got \"%s\"", family));
}

/* A numeric address with a numeric port needs no look-up: pushes the answer, or returns 0. */
static int resolve_numeric(lua_State *L, const char *host, int port, int family) {
  lw_Address address = {0};
  if (!lw_parse_address(host, port, &address)) return 0;
  if (family != AF_UNSPEC && family != address.any.sa_family) return 0;
  lua_createtable(L, 1, 0);
  add_address(L, 1, &address);
  return 1;
}

/* net.resolve(host, service?, opts?): array of {address=, family="inet"|"inet6", port=} for a name (or numeric
 * address), in the order of preference of the system. `service` is a port (0) or the name of one; opts.family restricts
 * the answer. Waits, except for numeric addresses. Raises OSError ("EAI_NONAME" for an unknown name). A cancelled one
 * is dropped. */
static int net_resolve(lua_State *L) {
  static const lw_RequestClass cls = {resolve_finish, lookup_abandon, lookup_describe};
  lw_Loop *loop = lw_loop(L);
  const char *host = lw_check_text(L, 1, NULL), *service = NULL;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  Lookup *lookup;
  lw_Task *task;
  int err, port = 0;
  lua_settop(L, 3);
  if (lua_type(L, 2) == LUA_TSTRING) service = lw_check_text(L, 2, NULL);
  if (service != NULL && service[strspn(service, "0123456789")] == '\0' && *service != '\0') service = NULL;
  if (service == NULL && !lua_isnil(L, 2)) port = lw_check_port(L, 2); /* (getaddrinfo would cut it to 16 bits) */
  hints.ai_family = check_family(L, 3);
  if (service == NULL && resolve_numeric(L, host, port, hints.ai_family)) return 1;
  if (service == NULL) service = lua_pushfstring(L, "%d", port);
  task = lw_waiter(L, loop);
  lookup = new_lookup(L, loop, &cls, host);
  err = uv_getaddrinfo(loop->uv, &lookup->uv.addresses, on_addresses, host, service, &hints);
  if (err != 0) return raise_lookup(L, err, "getaddrinfo", host);
  return lookup_wait(L, task, lookup);
}

/* ---- reverse ---- */

static int reverse_finish(lua_State *L, lw_Request *request) {
  Lookup *lookup = LW_CONTAINER(request, Lookup, request);
  if (request->status != 0) return raise_lookup(L, request->status, "getnameinfo", lookup->what);
  lua_pushstring(L, lookup->uv.name.host);
  return 1;
}

/* net.reverse(address): the name of a numeric address. Waits. Raises OSError ("EAI_NONAME" where there is none). A
 * cancelled one is dropped. */
static int net_reverse(lua_State *L) {
  static const lw_RequestClass cls = {reverse_finish, lookup_abandon, lookup_describe};
  lw_Loop *loop = lw_loop(L);
  lw_Address address = {0};
  Lookup *lookup;
  lw_Task *task;
  int err;
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  lw_check_address(L, 1, &address);
  task = lw_waiter(L, loop);
  lookup = new_lookup(L, loop, &cls, lua_tostring(L, 1));
  err = uv_getnameinfo(loop->uv, &lookup->uv.name, on_name, &address.any, NI_NAMEREQD);
  if (err != 0) return raise_lookup(L, err, "getnameinfo", lua_tostring(L, 1));
  return lookup_wait(L, task, lookup);
}

void lw_open_dns(lua_State *L, int loop_index) {
  static const luaL_Reg funcs[] = {{"resolve", net_resolve}, {"reverse", net_reverse}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", lookup_gc}, {NULL, NULL}};
  lua_pushvalue(L, loop_index);
  lw_class(L, loop_index, "Lookup", NULL, meta);
  luaL_setfuncs(L, funcs, 2);
}
