/* A stream of bytes on a uv_stream_t: what TCP connections, pipes and terminals share. uv.handle.type tells which it
 * is. Most go both ways; a pipe may go one way only.
 *
 * Reading (stream_read.c): libuv reads into the stream's buffer from the first read on, whether or not anybody waits,
 * and is stopped only while the buffer is full and nobody does. A task that reads states its wish; the callback looks
 * at the buffer and wakes the task once the wish can be granted, or never can be. So a cancelled read leaves every byte
 * in the buffer.
 *
 * Writing (stream_write.c): what the socket takes at once never touches the heap; the rest is copied once and queued.
 */
#ifndef LUAWAIT_IO_STREAM_H
#define LUAWAIT_IO_STREAM_H

#include "io/address.h"
#include "io/handle.h"
#include "io/request.h"

typedef enum lw_WishKind {
  LW_SOME,    /* what there is, `n` bytes at most */
  LW_EXACTLY, /* `n` bytes */
  LW_UNTIL,   /* to the end of the first `sep`, which comes after `n` bytes at most */
  LW_LINE,    /* to a line end, after `n` bytes at most */
  LW_ALL      /* to the end of the stream, `n` bytes at most */
} lw_WishKind;

typedef struct lw_Wish {
  lw_WishKind kind;
  size_t n;
  const char *sep; /* of LW_UNTIL and LW_LINE; stands in the frame of the reader */
  size_t sep_length;
  size_t scanned; /* so many bytes of the buffer cannot begin a `sep` */
  size_t found;   /* bytes before the `sep`; valid once there is one */
} lw_Wish;

/* Tasks that wait for the same thing. */
typedef struct lw_Drain {
  lw_List tasks;
  struct lw_Stream *stream;
  int closes; /* the stream is closed when the wait ends, however it ends */
} lw_Drain;

typedef enum lw_Shut { LW_NOT_SHUT, LW_SHUTTING, LW_SHUT, LW_READ_ONLY } lw_Shut;

typedef struct lw_Source lw_Source;

typedef union lw_UvStream {
  uv_handle_t handle;
  uv_stream_t stream;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
  uv_tty_t tty;
} lw_UvStream;

typedef struct lw_Stream {
  lw_IoHandle handle;
  lw_UvStream uv;
  uv_os_fd_t fd;     /* -1 until connected */
  lw_Source *source; /* reads what cannot be polled: io/source.h; else NULL */
  lw_Address peer;   /* of a TCP connection */
  lw_Request connecting;
  union {
    uv_connect_t connect;
    uv_shutdown_t shutdown;
  } req;

  lw_Buffer in;
  lw_Wish wish;    /* of the reader */
  lw_Task *reader; /* from when it parks until it goes on; NULL: nobody */
  uint8_t woken;   /* the wish is settled, the reader is on its way */
  uint8_t reading; /* libuv reads */
  uint8_t direct;  /* the block of the read under way is the free end of the buffer */
  uint8_t shut;    /* lw_Shut */
  uint8_t socket;  /* the descriptor is a socket, not a pipe or a terminal */
  uint8_t file;    /* it has or had a source */
  int read_status; /* why no more will come: UV_EOF or an error; 0: it may */

  int write_status; /* the first error in writing, or 0 */
  size_t streak;    /* bytes written since the writer last waited */
  lw_Drain drained; /* wait until the queue is short */
  lw_Drain flushed; /* ... empty */
  lw_Drain ended;   /* ... and this side is shut down */
  lw_Drain leaving; /* left a <close> scope: as flushed */

  uint64_t bytes_read, bytes_written;
  uint8_t path_length;
  char path[]; /* of the Unix socket to which it was connected; or nothing */
} lw_Stream;

/* Pushes a new stream, which libuv does not know yet. May raise. */
lw_Stream *lw_stream_new(lua_State *L, lw_Loop *loop);

/* The same to the Unix socket with a path of `n` bytes. */
lw_Stream *lw_stream_new_to(lua_State *L, lw_Loop *loop, const char *path, size_t n);

/* It has a connection, or a descriptor, now. Returns 0 or an error of libuv's. */
int lw_stream_connected(lw_Stream *stream);

/* Pushes what messages call the other end: an address, or "a pipe". */
void lw_stream_push_peer(lua_State *L, const lw_Stream *stream);

/* Raises an OSError about the peer. */
int lw_stream_raise(lua_State *L, const lw_Stream *stream, int status, const char *syscall);

/* ---- stream_read.c ---- */

void lw_stream_stop_reading(lw_Stream *stream);

/* `n` bytes have come in a slab, or an error of libuv's (such as UV_EOF): takes the slab over. */
void lw_stream_take_in(lw_Stream *stream, ssize_t n, const uv_buf_t *slab);

/* The reader, if there is one, goes on: the stream is closed. */
void lw_stream_wake_reader(lw_Stream *stream);

extern const luaL_Reg lw_stream_read_methods[];

/* ---- stream_write.c ---- */

/* Is there anything that libuv has to send before it may close? */
int lw_stream_unsent(const lw_Stream *stream);

/* Whoever waits in order to write goes on: the stream is closed. */
void lw_stream_wake_writers(lw_Stream *stream);

/* Waits for what was written, then closes: for __close. */
int lw_stream_flush_and_close(lua_State *L, lw_Stream *stream);

extern const luaL_Reg lw_stream_write_methods[];

void lw_open_stream_read(lw_Loop *loop);
void lw_open_stream_write(lw_Loop *loop);
void lw_open_stream(lua_State *L, int loop_index, lw_Loop *loop);

#endif
