/* Streams on the ends of pipes, and what Unix sockets share with them. */
#ifndef LUAWAIT_IO_PIPE_H
#define LUAWAIT_IO_PIPE_H

#include "io/stream.h"

/* Pushes a stream that is open, and has no descriptor yet: for uv_spawn, as the parent's end of a UV_CREATE_PIPE, or
 * for what opens or connects it. When it has one, lw_stream_connected is due. May raise a memory error. */
lw_Stream *lw_pipe_new(lua_State *L, lw_Loop *loop);

/* The same to the Unix socket with a path of `n` bytes. */
lw_Stream *lw_pipe_new_to(lua_State *L, lw_Loop *loop, const char *path, size_t n);

/* Gives such a stream a descriptor: of a pipe, a FIFO or a socket, whose access mode says which ways it goes. It is
 * made non-blocking, and is the stream's. Returns 0; or an error of libuv's, and then both are closed. */
int lw_pipe_open(lw_Stream *stream, uv_file fd);

/* Adds open_pipe to the table on the top. */
void lw_open_pipe(lua_State *L, int loop_index);

#endif
