/* uvserver.c - the TCP servers that the network workloads compare with.
 *
 *   uvserver echo|bulk PORT        plain C on libuv: the floor
 *   uvserver echo|bulk PORT lua    one Lua coroutine per connection, "floor-co": read() yields and gets
 *                                  a string, write() tries the socket first; no features. What is
 *                                  between the two is the price of coroutines and strings alone.
 *
 * echo sends back what it gets, bulk discards it. Both listen on 127.0.0.1 until they are killed.
 */
#define _GNU_SOURCE /* uv.h needs it */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static uv_loop_t *loop;
static char slab[65536]; /* every read goes here: what is read is used before the next one */
static int is_echo;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "uvserver: %s: %s\n", what, why);
  exit(1);
}

static void check(int status, const char *what) {
  if (status < 0) fail(what, uv_strerror(status));
}

static void *allocate(size_t size) {
  void *block = calloc(1, size);
  if (!block) fail("allocate", "out of memory");
  return block;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)handle, (void)suggested;
  *buf = uv_buf_init(slab, sizeof slab);
}

struct write {
  uv_write_t req;
  char data[];
};

static void on_written(uv_write_t *req, int status) {
  (void)status; /* the read side sees a broken connection too */
  free(req);
}

/* writes at once what the socket takes, and queues a copy of the rest */
static void send_all(uv_stream_t *stream, char *data, size_t size) {
  uv_buf_t buf = uv_buf_init(data, (unsigned)size);
  int n = uv_try_write(stream, &buf, 1);
  size_t taken = n > 0 ? (size_t)n : 0, left = size - taken;
  if (left == 0) return;
  struct write *w = allocate(sizeof *w + left);
  memcpy(w->data, data + taken, left);
  buf = uv_buf_init(w->data, (unsigned)left);
  if (uv_write(&w->req, stream, &buf, 1, on_written)) free(w);
}

/* accepts into handle, which is not initialised yet */
static void accept_into(uv_tcp_t *handle, uv_stream_t *listener, int status, uv_read_cb on_read) {
  check(status, "listen");
  check(uv_tcp_init(loop, handle), "init");
  check(uv_accept(listener, (uv_stream_t *)handle), "accept");
  uv_tcp_nodelay(handle, 1);
  check(uv_read_start((uv_stream_t *)handle, on_alloc, on_read), "read");
}

/* ---- plain C ---- */

static void plain_closed(uv_handle_t *handle) { free(handle); }

static void plain_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  if (n < 0)
    uv_close((uv_handle_t *)stream, plain_closed);
  else if (n > 0 && is_echo)
    send_all(stream, buf->base, (size_t)n);
}

static void plain_connection(uv_stream_t *listener, int status) {
  accept_into(allocate(sizeof(uv_tcp_t)), listener, status, plain_read);
}

/* ---- a coroutine per connection ---- */

static lua_State *M;

struct conn {
  uv_tcp_t tcp; /* first: a stream of libuv is its connection */
  lua_State *reader;
  int ref; /* anchors the coroutine */
};

static void resume(lua_State *co, int nargs) {
  int nresults, status = lua_resume(co, M, nargs, &nresults);
  if (status != LUA_OK && status != LUA_YIELD) fail("handler", lua_tostring(co, -1));
}

static void lua_closed(uv_handle_t *handle) {
  struct conn *c = (struct conn *)handle;
  luaL_unref(M, LUA_REGISTRYINDEX, c->ref);
  free(c);
}

static void lua_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct conn *c = (struct conn *)stream;
  lua_State *co = c->reader;
  if (n == 0) return;
  if (!co) fail("handler", "does not read"); /* it always reads again at once */
  c->reader = NULL;
  if (n > 0)
    lua_pushlstring(co, buf->base, (size_t)n);
  else
    lua_pushnil(co);
  resume(co, 1);
}

static struct conn *self(lua_State *L) { return *(struct conn **)luaL_checkudata(L, 1, "conn"); }

static int conn_read(lua_State *L) {
  self(L)->reader = L;
  return lua_yield(L, 0);
}

static int conn_write(lua_State *L) {
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  send_all((uv_stream_t *)&self(L)->tcp, (char *)data, size);
  return 0;
}

static int conn_close(lua_State *L) {
  uv_close((uv_handle_t *)&self(L)->tcp, lua_closed);
  return 0;
}

static void lua_connection(uv_stream_t *listener, int status) {
  struct conn *c = allocate(sizeof *c);
  accept_into(&c->tcp, listener, status, lua_read);
  lua_State *co = lua_newthread(M);
  c->ref = luaL_ref(M, LUA_REGISTRYINDEX);
  lua_getglobal(co, "handler");
  *(struct conn **)lua_newuserdatauv(co, sizeof c, 0) = c;
  luaL_setmetatable(co, "conn");
  resume(co, 1);
}

static void open_lua(void) {
  static const luaL_Reg methods[] = {{"read", conn_read}, {"write", conn_write}, {"close", conn_close}, {NULL, NULL}};
  static const char echo_handler[] =
      "function handler(conn) "
      "  while true do "
      "    local data = conn:read() "
      "    if not data then return conn:close() end "
      "    conn:write(data) "
      "  end "
      "end";
  static const char bulk_handler[] =
      "function handler(conn) "
      "  while conn:read() do end "
      "  conn:close() "
      "end";
  M = luaL_newstate();
  if (!M) fail("lua", "out of memory");
  luaL_openlibs(M);
  lua_gc(M, LUA_GCGEN, 0, 0);
  luaL_newmetatable(M, "conn");
  luaL_newlib(M, methods);
  lua_setfield(M, -2, "__index");
  if (luaL_dostring(M, is_echo ? echo_handler : bulk_handler)) fail("lua", lua_tostring(M, -1));
  lua_settop(M, 0);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: uvserver echo|bulk PORT [lua]\n");
    return 2;
  }
  int in_lua = argc > 3 && !strcmp(argv[3], "lua");
  struct sockaddr_in address;
  uv_tcp_t listener;
  is_echo = !strcmp(argv[1], "echo");
  if (in_lua) open_lua();
  loop = uv_default_loop();
  check(uv_tcp_init(loop, &listener), "init");
  check(uv_ip4_addr("127.0.0.1", atoi(argv[2]), &address), "address");
  check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "bind");
  check(uv_listen((uv_stream_t *)&listener, 1024, in_lua ? lua_connection : plain_connection), "listen");
  return uv_run(loop, UV_RUN_DEFAULT);
}
