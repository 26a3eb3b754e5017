/* Streams on what cannot be polled: files, and devices such as /dev/null. libuv knows no descriptor of such a stream.
 * It is read by the thread pool, one read at a time, from where the descriptor stands; it is written to at once. */
#ifndef LUAWAIT_IO_SOURCE_H
#define LUAWAIT_IO_SOURCE_H

#include "io/stream.h"

/* Makes an open stream without a descriptor (lw_pipe_new) one on `fd`, which is the stream's from here on. Returns 0;
 * or an error of libuv's, and then both are closed. */
int lw_source_open(lw_Stream *stream, int fd);

/* Reads until stream->reading is unset. Returns an error of libuv's, or 0. */
int lw_source_start(lw_Source *source);

/* The stream is closed. */
void lw_source_leave(lw_Stream *stream);

#endif
