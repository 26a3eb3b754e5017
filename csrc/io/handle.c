#include "io/handle.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/error.h"

/* The registry holds the lw_Io under the address of this, and metatables under the addresses of their classes. */
static const char IO = 0;

void *lw_io_new(lua_State *L, lw_Loop *loop, const lw_IoClass *cls, size_t size, int values) {
  lw_IoHandle **box = lua_newuserdatauv(L, sizeof *box, values), *handle;
  *box = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, cls);
  lua_setmetatable(L, -2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &IO);
  *box = handle = calloc(1, size);
  if (handle == NULL) luaL_error(L, "not enough memory");
  *handle = (lw_IoHandle){.cls = cls, .loop = loop, .io = lua_touserdata(L, -1), .state = LW_IO_CLOSED, .owned = 1};
  lua_pop(L, 1);
  return handle;
}

void lw_io_opened(lw_IoHandle *handle, uv_handle_t *uv) {
  handle->uv = uv;
  uv->data = handle;
  handle->state = LW_IO_OPEN;
  lw_list_push(&handle->loop->handles, &handle->link);
  handle->loop->in_uv++;
}

static void on_close(uv_handle_t *uv) {
  lw_IoHandle *handle = uv->data;
  handle->state = LW_IO_CLOSED;
  handle->loop->in_uv--;
  if (!handle->owned) free(handle);
}

void lw_io_unpin(lw_IoHandle *handle) {
  lua_State *L = handle->io->main;
  if (handle->slot == 0 || !lua_checkstack(L, 4)) return;
  lw_unanchor(L, handle->loop, handle->slot);
  handle->slot = 0;
}

void lw_io_close(lw_IoHandle *handle) {
  if (handle->state != LW_IO_OPEN && handle->state != LW_IO_ENDING) return;
  handle->state = LW_IO_CLOSING;
  lw_list_remove(&handle->loop->handles, &handle->link);
  handle->cls->leave(handle);
  lw_io_unpin(handle);
  uv_close(handle->uv, on_close);
  if (handle->closed != NULL) handle->closed(handle);
}

/* For the loop that is being closed: a handle that is open in it. */
static void close_handle(lw_Link *link) { lw_io_close(LW_CONTAINER(link, lw_IoHandle, link)); }

/* Those that are not ours, but luv's say, have data of their own. */
static const char *handle_name(const lw_Loop *loop, const uv_handle_t *uv) {
  const lw_Link *link;
  for (link = loop->handles.first; link != NULL; link = lw_list_next(&loop->handles, link)) {
    const lw_IoHandle *handle = LW_CONTAINER(link, lw_IoHandle, link);
    if (handle->uv != uv) continue;
    if (handle->lasting) return NULL;
    if (uv->type == UV_IDLE) return handle->cls->name; /* it stands for something else, such as an open file */
  }
  return uv_handle_type_name(uv->type);
}

void *lw_io_self(lua_State *L) {
  lw_IoHandle **box = lw_self(L);
  if (LW_UNLIKELY(*box == NULL)) lw_error_raise(L, LW_RUNTIME_ERROR, "the object has been collected");
  return *box;
}

int lw_io_raise_closed(lua_State *L, const lw_IoHandle *handle) {
  return lw_error_raise(L, LW_RUNTIME_ERROR, "%s is closed", handle->cls->name);
}

void *lw_io_open_self(lua_State *L) {
  lw_IoHandle *handle = lw_io_self(L);
  if (LW_UNLIKELY(handle->state != LW_IO_OPEN)) lw_io_raise_closed(L, handle);
  return handle;
}

void lw_io_pin(lua_State *L, lw_IoHandle *handle, int index) {
  handle->slot = lw_anchor(L, handle->loop, lua_absindex(L, index));
}

/* close(): see each class. Nothing happens when it is closed already. */
int lw_io_close_method(lua_State *L) {
  lw_IoHandle *handle = lw_io_self(L);
  if (handle->state == LW_IO_OPEN) handle->cls->close(handle);
  return 0;
}

/* is_closing(): boolean; true once it is closed for the program */
int lw_io_is_closing(lua_State *L) {
  lw_IoHandle *handle = lw_io_self(L);
  lua_pushboolean(L, handle->state != LW_IO_OPEN);
  return 1;
}

static void report_dropped(lua_State *L, lw_Loop *loop) {
  lua_createtable(L, 0, 1);
  luaL_tolstring(L, 1, NULL);
  lua_pushfstring(L, "%s was dropped without being closed", lua_tostring(L, -1));
  lua_setfield(L, -3, "message");
  lua_pop(L, 1);
  lw_report(L, loop);
}

/* What the program dropped is closed as close() does it; in debug mode with a report. */
static int io_gc(lua_State *L) {
  lw_IoHandle **box = lw_self(L), *handle = *box;
  if (handle == NULL) return 0;
  if (handle->state == LW_IO_OPEN && handle->loop->debug && handle->loop->L != NULL) report_dropped(L, handle->loop);
  *box = NULL;
  handle->owned = 0;
  if (handle->state == LW_IO_OPEN) handle->cls->close(handle);
  if (handle->state == LW_IO_CLOSED) free(handle);
  return 0;
}

void lw_io_class(lua_State *L, int loop_index, const lw_IoClass *cls, const luaL_Reg *methods, const luaL_Reg *meta) {
  lw_class(L, loop_index, cls->name, methods, meta);
  lua_pushvalue(L, loop_index);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, io_gc, 2);
  lua_setfield(L, -2, "__gc");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, cls);
}

/* Streams that libuv still closes after this give their blocks back to the allocator. */
static int shared_gc(lua_State *L) {
  lw_Io *io = lua_touserdata(L, 1);
  lw_slabs_close(&io->slabs);
  free(io->datagrams);
  io->datagrams = NULL;
  return 0;
}

void lw_open_io(lua_State *L, lw_Loop *loop) {
  lw_Io *io = lua_newuserdatauv(L, sizeof *io, 0);
  *io = (lw_Io){0};
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  io->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, shared_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &IO);
  loop->close_handle = close_handle;
  loop->handle_name = handle_name;
}
