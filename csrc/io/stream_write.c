#include "io/stream.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"

enum {
  HIGH_WATER = 64 * 1024,   /* of the queue: at or above it write waits */
  LONGEST_STREAK = 1 << 20, /* bytes that a task writes without ever waiting, before others have their turn */
  BATCH = 16                /* strings handed to the system at once */
};

#ifdef MSG_NOSIGNAL
enum { SEND_FLAGS = MSG_NOSIGNAL };
#else
enum { SEND_FLAGS = 0 }; /* there is SO_NOSIGPIPE: see lw_stream_connected */
#endif

typedef struct Write {
  uv_write_t req;
  char data[];
} Write;

/* ---- SIGPIPE ----
 *
 * A connection that is gone is an error of write, not a reason to kill the program. What goes out at once to a socket
 * is sent with MSG_NOSIGNAL, but there is no such thing for pipes, nor in libuv for what it has queued: so SIGPIPE is
 * blocked in the thread as long as it has anything queued, and a signal that came meanwhile is taken away. The
 * program's own disposition is never touched.
 */

static void hold_sigpipe(lw_Io *io) {
  sigset_t set, old;
  if (io->writes++ > 0) return;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  io->sigpipe_blocked = sigismember(&old, SIGPIPE);
}

static void release_sigpipe(lw_Io *io) {
  sigset_t set, pending;
  int taken;
  if (--io->writes > 0 || io->sigpipe_blocked) return;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  if (sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE)) sigwait(&set, &taken);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- waiting ---- */

static size_t queued(const lw_Stream *stream) { return uv_stream_get_write_queue_size(&stream->uv.stream); }

static void wake_all(lw_Drain *drain) {
  lw_Link *link;
  while ((link = lw_list_pop(&drain->tasks)) != NULL)
    lw_wake(drain->stream->handle.loop, lw_node_task(LW_CONTAINER(link, lw_Node, link)));
}

void lw_stream_wake_writers(lw_Stream *stream) {
  wake_all(&stream->drained);
  wake_all(&stream->flushed);
  wake_all(&stream->ended);
  wake_all(&stream->leaving);
}

static int wait_for(lua_State *L, lw_Task *task, lw_Drain *drain) {
  drain->stream->streak = 0;
  lw_list_push(&drain->tasks, &lw_task_node(task)->link);
  return lw_park(L, drain->stream->handle.loop, task, LW_WAIT_WRITE, drain);
}

static void close_for_program(lw_Stream *stream) {
  if (stream->handle.state == LW_IO_OPEN) stream->handle.cls->close(&stream->handle);
}

static int write_resumed(lua_State *L, lw_Task *task, void *on, lw_Wake wake) {
  lw_Drain *drain = on;
  lw_Stream *stream = drain->stream;
  (void)task, (void)wake;
  if (drain->closes) {
    close_for_program(stream);
    return 0;
  }
  if (stream->write_status != 0) return lw_stream_raise(L, stream, stream->write_status, "write");
  if (drain == &stream->ended && stream->shut == LW_SHUT) return 0;
  if (stream->handle.state != LW_IO_OPEN) return lw_io_raise_closed(L, &stream->handle);
  return 0;
}

static void write_hand_on(lw_Loop *loop, lw_Task *task, void *on) {
  lw_Drain *drain = on;
  (void)loop, (void)task;
  if (drain->closes) close_for_program(drain->stream);
}

static int write_cancel(lua_State *L, lw_Loop *loop, lw_Task *task, void *on) {
  lw_Drain *drain = on;
  (void)L;
  lw_list_remove(&drain->tasks, &lw_task_node(task)->link);
  write_hand_on(loop, task, on);
  return 0;
}

static void write_describe(lua_State *L, lw_Loop *loop, void *on) {
  lw_Drain *drain = on;
  (void)loop;
  lw_stream_push_peer(L, drain->stream);
  lua_pushfstring(L, "%s to take %I bytes", lua_tostring(L, -1), (lua_Integer)queued(drain->stream));
  lua_remove(L, -2);
}

/* ---- what libuv calls ---- */

/* The queue has become shorter, or writing has failed. */
static void on_progress(lw_Stream *stream) {
  int failed = stream->write_status != 0;
  if (stream->handle.state == LW_IO_ENDING) {
    if (!lw_stream_unsent(stream)) lw_io_close(&stream->handle);
    return;
  }
  if (failed || queued(stream) < HIGH_WATER) wake_all(&stream->drained);
  if (failed || queued(stream) == 0) {
    wake_all(&stream->flushed);
    wake_all(&stream->leaving);
  }
}

static void note_status(lw_Stream *stream, int status) {
  if (status < 0 && status != UV_ECANCELED && stream->write_status == 0) stream->write_status = status;
}

static void on_write(uv_write_t *req, int status) {
  lw_Stream *stream = req->handle->data;
  free(req->data);
  release_sigpipe(stream->handle.io);
  if (stream->handle.state == LW_IO_CLOSING) return;
  note_status(stream, status);
  on_progress(stream);
}

/* What is no socket cannot be shut down: that a pipe is closed is what tells the reader that no more will come. */
static void on_shutdown(uv_shutdown_t *req, int status) {
  lw_Stream *stream = req->handle->data;
  stream->shut = LW_SHUT;
  if (stream->handle.state == LW_IO_CLOSING) return;
  if (status == UV_ENOTSOCK) {
    lw_io_close(&stream->handle);
    return;
  }
  note_status(stream, status);
  wake_all(&stream->ended);
  on_progress(stream);
}

int lw_stream_unsent(const lw_Stream *stream) {
  return stream->write_status == 0 && (queued(stream) > 0 || stream->shut == LW_SHUTTING);
}

/* ---- sending ---- */

/* To a file. Returns the number of bytes; else -1, and errno tells why. */
static ssize_t write_all(int fd, const struct iovec *parts, int count) {
  ssize_t total = 0, n;
  int i;
  for (i = 0; i < count; i++) {
    size_t done = 0;
    while (done < parts[i].iov_len) {
      n = write(fd, (const char *)parts[i].iov_base + done, parts[i].iov_len - done);
      if (n < 0 && errno != EINTR) return -1;
      if (n > 0) done += (size_t)n;
    }
    total += (ssize_t)done;
  }
  return total;
}

/* Returns the number of bytes that were taken; else -1, and errno tells why. */
static ssize_t send_parts(lw_Stream *stream, struct iovec *parts, int count) {
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = (unsigned)count};
  if (LW_UNLIKELY(!stream->socket)) {
    ssize_t n;
    int error;
    if (stream->file) return write_all(stream->fd, parts, count);
    hold_sigpipe(stream->handle.io);
    n = writev(stream->fd, parts, count);
    error = errno;
    release_sigpipe(stream->handle.io);
    errno = error;
    return n;
  }
  if (count > 1) return sendmsg(stream->fd, &message, SEND_FLAGS);
  return send(stream->fd, parts[0].iov_base, parts[0].iov_len, SEND_FLAGS);
}

/* Offers the arguments from `first` on to the system, `count` of them; adds what it took to *sent. Returns an error, or
 * 0. */
static int send_batch(lua_State *L, lw_Stream *stream, int first, int count, size_t *sent, int *all) {
  struct iovec parts[BATCH];
  size_t total = 0;
  ssize_t n;
  int i;
  for (i = 0; i < count; i++) {
    parts[i].iov_base = (void *)lua_tolstring(L, first + i, &parts[i].iov_len);
    total += parts[i].iov_len;
  }
  *all = total == 0;
  if (total == 0) return 0;
  do {
    n = send_parts(stream, parts, count);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : uv_translate_sys_error(errno);
  *all = (size_t)n == total;
  *sent += (size_t)n;
  return 0;
}

/* Sends what the system takes of the arguments from 2 on. Returns how many bytes that is; an error goes to *err. */
static size_t send_now(lua_State *L, lw_Stream *stream, int last, int *err) {
  size_t sent = 0;
  int first, all = 1;
  for (first = 2; all && first <= last; first += BATCH) {
    int count = last - first + 1;
    *err = send_batch(L, stream, first, count < BATCH ? count : BATCH, &sent, &all);
  }
  return sent;
}

/* Copies the arguments from 2 on, but for their first `skip` bytes. */
static void copy_rest(lua_State *L, int last, size_t skip, char *to) {
  int i;
  for (i = 2; i <= last; i++) {
    size_t n;
    const char *data = lua_tolstring(L, i, &n);
    if (skip >= n) {
      skip -= n;
      continue;
    }
    memcpy(to, data + skip, n - skip);
    to += n - skip;
    skip = 0;
  }
}

/* Queues what is left. Returns an error of libuv's, or 0. */
static int queue_rest(lua_State *L, lw_Stream *stream, int last, size_t sent, size_t total) {
  size_t rest = total - sent, offset;
  uv_buf_t parts[4]; /* the length of a part is an unsigned int on some platforms */
  unsigned count = 0;
  Write *write;
  int err;
  if (rest > (size_t)4 * INT32_MAX || (write = malloc(sizeof *write + rest)) == NULL) return UV_ENOMEM;
  copy_rest(L, last, sent, write->data);
  for (offset = 0; offset < rest; offset += INT32_MAX, count++)
    parts[count] = uv_buf_init(write->data + offset, (unsigned)(rest - offset < INT32_MAX ? rest - offset : INT32_MAX));
  write->req.data = write;
  hold_sigpipe(stream->handle.io);
  err = uv_write(&write->req, &stream->uv.stream, parts, count, on_write);
  if (err == 0) return 0;
  release_sigpipe(stream->handle.io);
  free(write);
  return err;
}

/* The bytes in the arguments from 2 on, all of which must be strings or numbers (which become strings). */
static size_t check_strings(lua_State *L, int last) {
  size_t total = 0, n;
  int i;
  for (i = 2; i <= last; i++) {
    lw_check_string(L, i, &n);
    total += n;
  }
  return total;
}

static lw_Stream *check_writable(lua_State *L) {
  lw_Stream *stream = lw_io_open_self(L);
  if (LW_UNLIKELY(stream->write_status != 0)) lw_stream_raise(L, stream, stream->write_status, "write");
  return stream;
}

static int write_failed(lua_State *L, lw_Stream *stream, int err) {
  stream->write_status = err;
  return lw_stream_raise(L, stream, err, "write");
}

/* Has handed over all; waits if there is a reason to. Where nothing can wait, as outside a task, the queue grows. */
static int after_write(lua_State *L, lw_Stream *stream) {
  lw_Loop *loop = stream->handle.loop;
  int is_full = queued(stream) >= HIGH_WATER;
  if (LW_LIKELY(!is_full && stream->streak < LONGEST_STREAK)) return 0;
  if (!lw_can_wait(L, loop)) return 0;
  if (is_full) return wait_for(L, lw_waiter(L, loop), &stream->drained);
  stream->streak = 0;
  return lw_pass(L, loop, lw_waiter(L, loop), LW_WAIT_WRITE, &stream->drained);
}

/* ---- Lua-visible ---- */

/* stream:write(...): writes strings (or numbers), of several tasks never interleaved within a call. Returns at once
 * while less than 65536 bytes are queued, else waits until it is so again. Raises OSError, also for what an earlier
 * write had queued; RuntimeError after shutdown() or close(). A cancelled one has handed over everything: it will be
 * sent. */
static int stream_write(lua_State *L) {
  lw_Stream *stream = check_writable(L);
  int err = 0, last = lua_gettop(L);
  size_t total = check_strings(L, last), sent = 0;
  if (LW_UNLIKELY(stream->shut != LW_NOT_SHUT))
    lw_error_raise(
        L, LW_RUNTIME_ERROR,
        stream->shut == LW_READ_ONLY ? "the stream is for reading only" : "the stream is shut down for writing");
  if (LW_LIKELY(queued(stream) == 0)) sent = send_now(L, stream, last, &err);
  if (err == 0 && sent < total) err = queue_rest(L, stream, last, sent, total);
  if (LW_UNLIKELY(err != 0)) return write_failed(L, stream, err);
  stream->bytes_written += total;
  stream->streak += total;
  return after_write(L, stream);
}

/* stream:flush(): waits until everything written has been handed to the system. Raises OSError when that failed. */
static int stream_flush(lua_State *L) {
  lw_Stream *stream = check_writable(L);
  if (queued(stream) == 0) return 0;
  return wait_for(L, lw_waiter(L, stream->handle.loop), &stream->flushed);
}

/* stream:shutdown(): half-close: waits until everything written has been sent, then tells the peer that no more will
 * come; reading goes on. A pipe that is no socket is closed. Raises OSError. A cancelled one is carried out all the
 * same. */
static int stream_shutdown(lua_State *L) {
  lw_Stream *stream = check_writable(L);
  lw_Task *task;
  int err;
  if (stream->shut >= LW_SHUT) return 0;
  if (stream->file) {
    stream->shut = LW_SHUT;
    lw_io_close(&stream->handle);
    return 0;
  }
  task = lw_waiter(L, stream->handle.loop);
  if (stream->shut == LW_NOT_SHUT) {
    err = uv_shutdown(&stream->req.shutdown, &stream->uv.stream, on_shutdown);
    if (err != 0) return lw_stream_raise(L, stream, err, "shutdown");
    stream->shut = LW_SHUTTING;
  }
  return wait_for(L, task, &stream->ended);
}

int lw_stream_flush_and_close(lua_State *L, lw_Stream *stream) {
  lw_Loop *loop = stream->handle.loop;
  if (queued(stream) > 0 && stream->write_status == 0 && lw_can_wait(L, loop))
    return wait_for(L, lw_waiter(L, loop), &stream->leaving);
  close_for_program(stream);
  return 0;
}

const luaL_Reg lw_stream_write_methods[] = {
    {"write", stream_write}, {"flush", stream_flush}, {"shutdown", stream_shutdown}, {NULL, NULL}};

void lw_open_stream_write(lw_Loop *loop) {
  static const lw_WaitClass write_class = {write_resumed, write_cancel, write_hand_on, write_describe, NULL, NULL};
  loop->waits[LW_WAIT_WRITE] = &write_class;
}
