/* An application on libuv: an echo server and a timer in C, and beside them a script, on one uv_loop_t. The script is
 * the server's client; when it has ended, the application closes what is its own.
 *
 *   host_loop */
#include <lauxlib.h>
#include <lualib.h>
#include <luawait.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

typedef struct App {
  uv_loop_t loop;
  uv_tcp_t server;
  uv_timer_t timer;
  int ticks, failed;
} App;

/* ---- the echo server ---- */

static void on_closed(uv_handle_t *handle) { free(handle); }

static void on_written(uv_write_t *request, int status) {
  (void)status;
  free(request->data);
  free(request);
}

static void give_block(uv_handle_t *handle, size_t size, uv_buf_t *block) {
  (void)handle;
  block->base = malloc(size);
  block->len = block->base != NULL ? size : 0;
}

static void on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *block) {
  uv_write_t *request = n > 0 ? malloc(sizeof *request) : NULL;
  uv_buf_t bytes = uv_buf_init(block->base, n > 0 ? (unsigned)n : 0);
  if (request != NULL) request->data = block->base;
  if (request == NULL || uv_write(request, client, &bytes, 1, on_written) != 0) {
    free(request);
    free(block->base);
  }
  if (n < 0) uv_close((uv_handle_t *)client, on_closed);
}

static void on_connection(uv_stream_t *server, int status) {
  uv_tcp_t *client = status == 0 ? malloc(sizeof *client) : NULL;
  if (client == NULL) return;
  uv_tcp_init(server->loop, client);
  if (uv_accept(server, (uv_stream_t *)client) == 0)
    uv_read_start((uv_stream_t *)client, give_block, on_read);
  else
    uv_close((uv_handle_t *)client, on_closed);
}

static int start_server(App *app) {
  struct sockaddr_in address;
  int size = sizeof address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(&app->loop, &app->server);
  if (uv_tcp_bind(&app->server, (struct sockaddr *)&address, 0) != 0 ||
      uv_listen((uv_stream_t *)&app->server, 16, on_connection) != 0)
    return -1;
  uv_tcp_getsockname(&app->server, (struct sockaddr *)&address, &size);
  return ntohs(address.sin_port);
}

/* ---- the timer, and the script ---- */

static void on_tick(uv_timer_t *timer) { ((App *)timer->data)->ticks++; }

/* The script has ended, well or not: nothing of the application's keeps the loop running any more. */
static void script_ended(lua_State *L, int status, int n, void *ud) {
  App *app = ud;
  if (status != LUAWAIT_OK) {
    fprintf(stderr, "%s\n", n > 0 ? luaL_tolstring(L, 1, NULL) : luawait_status_text(status));
    app->failed = 1;
  }
  uv_close((uv_handle_t *)&app->server, NULL);
  uv_close((uv_handle_t *)&app->timer, NULL);
}

static const char script[] =
    "local async, net = require 'luawait', require 'luawait.net'\n"
    "local port = ...\n"
    "local function client(n)\n"
    "  local stream <close> = net.connect('127.0.0.1', port)\n"
    "  stream:write('hello ', n, '\\n')\n"
    "  async.sleep(0.02)\n"
    "  return stream:read_line()\n"
    "end\n"
    "print(async.gather(function() return client(1) end, function() return client(2) end))\n";

int main(void) {
  App app = {.ticks = 0};
  luawait_Options options = LUAWAIT_OPTIONS_INIT;
  lua_State *L = luaL_newstate();
  int port;
  uv_loop_init(&app.loop);
  port = start_server(&app);
  uv_timer_init(&app.loop, &app.timer);
  app.timer.data = &app;
  uv_timer_start(&app.timer, on_tick, 1, 1);

  luaL_openlibs(L);
  luaL_requiref(L, "luawait", luaopen_luawait, 0);
  options.loop = &app.loop;
  if (port < 0 || luawait_open(L, &options) != LUAWAIT_OK || luaL_loadstring(L, script) != LUA_OK) return 2;
  lua_pushinteger(L, port);
  if (luawait_spawn(L, 1, script_ended, &app) != LUAWAIT_OK) return 2;

  uv_run(&app.loop, UV_RUN_DEFAULT);

  luawait_close(L);
  lua_close(L);
  printf("%s, %s\n", app.ticks > 0 ? "the timer ticked" : "the timer never ticked",
         uv_loop_close(&app.loop) == 0 ? "the loop is empty" : "the loop is busy");
  return app.failed;
}
