/* What libFuzzer calls: hands each input to the function that the Lua file spec/fuzz/TARGET.lua returns. TARGET and the
 * top of the repository, in FUZZ_TARGET and FUZZ_ROOT, come from scripts/fuzz.sh. An error in that function is a finding.
 *
 * The module is linked in, and libFuzzer sees where its C code goes; and where Lua code goes, by a line hook that counts.
 * A Lua file gets at the bytes of streams and at addresses by the global `fuzz`:
 *
 *   fuzz.stream()             a Stream without a socket: what it reads is what feed gives it
 *   fuzz.feed(stream, data)   as libuv does when `data` has arrived: returns how many bytes were taken
 *   fuzz.finish(stream, code) the stream ends; with an error, if `code` is not 0
 *   fuzz.address(host, port)  "host:port" as the library writes it, nil if `host` is no numeric address */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "io/dns.h"
#include "io/stream.h"

int luaopen_luawait_core(lua_State *L);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lua_State *fuzz_state; /* one for all inputs; the function of the target is its only value */

/* ---- a stream that is fed by hand ---- */

int __wrap_uv_read_start(uv_stream_t *uv, uv_alloc_cb alloc, uv_read_cb read);
int __wrap_uv_read_start(uv_stream_t *uv, uv_alloc_cb alloc, uv_read_cb read) {
  uv->alloc_cb = alloc;
  uv->read_cb = read;
  return 0;
}

int __wrap_uv_read_stop(uv_stream_t *uv);
int __wrap_uv_read_stop(uv_stream_t *uv) {
  uv->alloc_cb = NULL;
  uv->read_cb = NULL;
  return 0;
}

/* The socket that there is not would be open for both. */
int __wrap_uv_is_readable(const uv_stream_t *uv);
int __wrap_uv_is_readable(const uv_stream_t *uv) {
  (void)uv;
  return 1;
}

static int new_stream(lua_State *L) {
  lw_Loop *loop = lw_loop_of(L);
  lw_Stream *stream = lw_stream_new(L, loop);
  uv_tcp_init(loop->uv, &stream->uv.tcp);
  lw_io_opened(&stream->handle, &stream->uv.handle);
  return 1;
}

static lw_Stream *check_stream(lua_State *L) {
  luaL_checktype(L, 1, LUA_TUSERDATA);
  return *(lw_Stream **)lua_touserdata(L, 1);
}

static int feed(lua_State *L) {
  uv_stream_t *uv = &check_stream(L)->uv.stream;
  size_t size, taken = 0;
  const char *data = luaL_checklstring(L, 2, &size);
  while (taken < size && uv->read_cb != NULL) {
    uv_buf_t block = uv_buf_init(NULL, 0);
    size_t n = size - taken;
    uv->alloc_cb((uv_handle_t *)uv, 65536, &block);
    if (block.base == NULL || block.len == 0) {
      uv->read_cb(uv, UV_ENOBUFS, &block);
      break;
    }
    if (n > block.len) n = block.len;
    memcpy(block.base, data + taken, n);
    taken += n;
    uv->read_cb(uv, (ssize_t)n, &block);
  }
  lua_pushinteger(L, (lua_Integer)taken);
  return 1;
}

static int finish(lua_State *L) {
  uv_stream_t *uv = &check_stream(L)->uv.stream;
  int code = (int)luaL_checkinteger(L, 2);
  uv_buf_t block = uv_buf_init(NULL, 0);
  if (uv->read_cb == NULL) return 0;
  uv->alloc_cb((uv_handle_t *)uv, 65536, &block);
  uv->read_cb(uv, block.base == NULL ? UV_ENOBUFS : code != 0 ? code : UV_EOF, &block);
  return 0;
}

static int address(lua_State *L) {
  const char *host = luaL_checkstring(L, 1);
  lw_Address parsed = {0};
  if (lw_parse_address(host, (int)luaL_checkinteger(L, 2), &parsed))
    lw_push_address(L, &parsed);
  else
    lua_pushnil(L);
  return 1;
}

/* ---- where Lua code goes ---- */

/* libFuzzer counts these as it does its own. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t lines[1 << 14];

static void on_line(lua_State *L, lua_Debug *ar) {
  size_t place;
  lua_getinfo(L, "S", ar);
  if (ar->source[0] != '@' || strstr(ar->source, "/spec/fuzz/") != NULL) return;
  place = (size_t)ar->currentline * 31 + strlen(ar->source) * 1009;
  lines[place % sizeof lines]++;
}

/* ---- the state ---- */

static void must(lua_State *L, int status) {
  if (status == LUA_OK) return;
  fprintf(stderr, "fuzz: %s\n", luaL_tolstring(L, -1, NULL));
  abort();
}

static int traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

static const char *variable(const char *name) {
  const char *value = getenv(name);
  if (value != NULL) return value;
  fprintf(stderr, "fuzz: %s is not set; use scripts/fuzz.sh\n", name);
  exit(2);
}

static void close_state(void) { lua_close(fuzz_state); }

static void open_state(void) {
  static const luaL_Reg functions[] = {
      {"stream", new_stream}, {"feed", feed}, {"finish", finish}, {"address", address}, {NULL, NULL}};
  const char *root = variable("FUZZ_ROOT");
  lua_State *L = fuzz_state = luaL_newstate();
  if (L == NULL) abort();
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_luawait_core);
  lua_setfield(L, -2, "luawait.core");
  lua_getglobal(L, "package");
  lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;%s/examples/?.lua", root, root, root,
                  root);
  lua_setfield(L, -2, "path");
  luaL_newlib(L, functions);
  lua_setglobal(L, "fuzz");
  lua_settop(L, 0);
  lua_sethook(L, on_line, LUA_MASKLINE, 0);
  lua_pushcfunction(L, traceback);
  must(L, luaL_loadfile(L, lua_pushfstring(L, "%s/spec/fuzz/%s.lua", root, variable("FUZZ_TARGET"))));
  lua_remove(L, -2);
  must(L, lua_pcall(L, 0, 1, 1));
  atexit(close_state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (fuzz_state == NULL) open_state();
  lua_pushvalue(fuzz_state, 2);
  lua_pushlstring(fuzz_state, (const char *)data, size);
  must(fuzz_state, lua_pcall(fuzz_state, 1, 0, 1));
  return 0;
}
