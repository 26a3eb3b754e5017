/* The life of what stands around a uv_handle_t: a stream, a listening socket.
 *
 * Its block is shared by two owners: the userdata that Lua sees, and libuv, from the opening of the uv_handle_t to its
 * close callback. Whoever is last frees it. It is closed once, by the program, by __gc, or by the loop when that is
 * closed. */
#ifndef LUAWAIT_IO_HANDLE_H
#define LUAWAIT_IO_HANDLE_H

#include "base/list.h"
#include "core/loop.h"
#include "io/buffer.h"

/* What the io of one loop shares; lives as long as the Lua state. */
typedef struct lw_Io {
  lua_State *main;     /* the main coroutine: for work on the registry where no other state is at hand */
  lw_Slabs slabs;      /* blocks that streams read into */
  char *datagrams;     /* the block that datagrams are received into; NULL: none yet */
  unsigned writes;     /* uv_write_t in flight */
  lw_List watches;     /* of files and directories, that are open */
  unsigned events;     /* of all of these, that the program has not asked for yet */
  int sigpipe_blocked; /* was SIGPIPE blocked before the first of them? */
  struct lw_Disposition *dispositions; /* of the signals in use: io/signal.h */
  struct lw_Terminal *terminal;        /* io/tty.c's, while it is open */
} lw_Io;

typedef enum lw_IoState {
  LW_IO_CLOSED, /* libuv does not know the handle: not yet, or no more */
  LW_IO_OPEN,
  LW_IO_ENDING, /* closed for the program; libuv sends what was written before */
  LW_IO_CLOSING /* uv_close was called, its callback will come */
} lw_IoState;

typedef struct lw_IoHandle lw_IoHandle;

typedef struct lw_IoClass {
  const char *name;
  void (*close)(lw_IoHandle *handle); /* closes it for the program; open handles only */
  void (*leave)(
      lw_IoHandle *handle); /* it is being closed: wakes who waits, frees what it holds. May be called twice */
} lw_IoClass;

/* The first member of every block. `uv` points into the block, and uv->data to this. OPEN and ENDING handles stand in
 * an open uv_loop_t. */
struct lw_IoHandle {
  const lw_IoClass *cls;
  lw_Link link; /* in the loop's `handles`, while OPEN or ENDING */
  lw_Loop *loop;
  lw_Io *io;
  uv_handle_t *uv;
  void (*closed)(lw_IoHandle *handle); /* uv_close was called; NULL: nothing to do */
  uint32_t slot;                       /* of the userdata, if the loop keeps it alive, else 0 */
  uint8_t state;                       /* lw_IoState */
  uint8_t owned;                       /* by a userdata */
  uint8_t lasting;                     /* it may stay until the loop is closed: nobody has left it behind */
};

/* Makes the metatable of a class, with __gc and the given functions, and pushes it. */
void lw_io_class(lua_State *L, int loop_index, const lw_IoClass *cls, const luaL_Reg *methods, const luaL_Reg *meta);

/* Pushes a new userdata of the class, with `values` user values, around a zeroed block of `size` bytes. May raise. */
void *lw_io_new(lua_State *L, lw_Loop *loop, const lw_IoClass *cls, size_t size, int values);

/* libuv owns the block as well from here on: `uv` has been initialised. */
void lw_io_opened(lw_IoHandle *handle, uv_handle_t *uv);

/* Closes it now, whatever is under way. Nothing happens when that was done before. Runs no Lua code. */
void lw_io_close(lw_IoHandle *handle);

/* The block of a method's `self`, whatever its state; or of an open one (RuntimeError if it is not). */
void *lw_io_self(lua_State *L);
void *lw_io_open_self(lua_State *L);

int lw_io_raise_closed(lua_State *L, const lw_IoHandle *handle);

/* The loop keeps the userdata at `index` alive until it is closed (or, if it never is opened, unpinned). */
void lw_io_pin(lua_State *L, lw_IoHandle *handle, int index);
void lw_io_unpin(lw_IoHandle *handle);

/* handle:close(), handle:is_closing() */
int lw_io_close_method(lua_State *L);
int lw_io_is_closing(lua_State *L);

/* Makes what the io of this loop shares. */
void lw_open_io(lua_State *L, lw_Loop *loop);

#endif
