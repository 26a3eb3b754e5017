/* Stands between the module and what it calls, so that the n-th call can be made to fail: libuv's functions that return
 * an error, the results that its callbacks are told, malloc and its kin, and the calls for sockets.
 *
 * In a build of its own only, the target `faults` (cmake/Faults.cmake), which makes build/faults/luawait/core.so. There
 * the linker's --wrap sends each call of a name X that stands in this file as FAULT(X, ...) or __wrap_X here; libuv's
 * own calls are not touched. lua/luawait/testing/faults.lua is the way to use it.
 *
 * Without a plan all calls go through. A plan is one thread's, and that of the jobs which it hands to libuv's thread
 * pool: the calls of others are not counted. Besides, the blocks that the module holds are counted, and loops that were
 * closed with a handle still open. The calls for files stand in core/file_faults.c. */
#include "core/testing.h"

#ifndef LUAWAIT_FAULTS

void lw_open_call_faults(lua_State *L) { lua_pushnil(L); }

#else

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <uv.h>

#include "core/call_faults.h"

void *__real_malloc(size_t size);
void __real_free(void *block);
void __real_uv_close(uv_handle_t *handle, uv_close_cb cb);

/* ---- the plan ---- */

typedef struct Plan {
  long nth;          /* call that fails; 0: none does */
  atomic_long calls; /* so far */
  const char *hit;   /* the function that was made to fail */
} Plan;

static _Thread_local Plan plan;
static _Thread_local Plan *followed; /* another thread's, which holds in this one; NULL: its own */
static atomic_long blocks;           /* in use */
static atomic_int busy_loops;
static atomic_int states; /* with the module loaded; its address is a key of the registry */

/* The error with which this call of `name` shall fail (the usual one), or 0. */
static int fault(const char *name, int usual) {
  Plan *current = followed != NULL ? followed : &plan;
  if (atomic_fetch_add(&current->calls, 1) + 1 != current->nth) return 0;
  current->hit = name;
  return usual;
}

int lw_fault(const char *name, int usual) { return fault(name, usual); }

void *lw_fault_plan(void) { return &plan; }

void lw_fault_follow(void *other) { followed = other; }

/* ---- functions of libuv that fail at once ---- */

#define FAULT(name, usual, parameters, arguments)    \
  int __real_##name parameters;                      \
  int __wrap_##name parameters;                      \
  int __wrap_##name parameters {                     \
    int err = fault(#name, usual);                   \
    return err != 0 ? err : __real_##name arguments; \
  }

FAULT(uv_loop_init, UV_EMFILE, (uv_loop_t * loop), (loop))
FAULT(uv_mutex_init, UV_ENOMEM, (uv_mutex_t * mutex), (mutex))
FAULT(uv_thread_create, UV_EAGAIN, (uv_thread_t * thread, uv_thread_cb entry, void *arg), (thread, entry, arg))
FAULT(uv_async_init, UV_EMFILE, (uv_loop_t * loop, uv_async_t *async, uv_async_cb cb), (loop, async, cb))
FAULT(uv_signal_start, UV_EINVAL, (uv_signal_t * handle, uv_signal_cb cb, int signum), (handle, cb, signum))
FAULT(uv_poll_init, UV_EBADF, (uv_loop_t * loop, uv_poll_t *poll, int fd), (loop, poll, fd))
FAULT(uv_poll_start, UV_EBADF, (uv_poll_t * poll, int events, uv_poll_cb cb), (poll, events, cb))
FAULT(uv_fileno, UV_EBADF, (const uv_handle_t *handle, uv_os_fd_t *fd), (handle, fd))
FAULT(uv_cancel, UV_EBUSY, (uv_req_t * req), (req))
FAULT(uv_tcp_init_ex, UV_EMFILE, (uv_loop_t * loop, uv_tcp_t *tcp, unsigned flags), (loop, tcp, flags))
FAULT(uv_tcp_bind, UV_EADDRINUSE, (uv_tcp_t * tcp, const struct sockaddr *address, unsigned flags),
      (tcp, address, flags))
FAULT(uv_tcp_nodelay, UV_EINVAL, (uv_tcp_t * tcp, int enable), (tcp, enable))
FAULT(uv_tcp_keepalive, UV_EINVAL, (uv_tcp_t * tcp, int enable, unsigned delay), (tcp, enable, delay))
FAULT(uv_tcp_getsockname, UV_ENOTCONN, (const uv_tcp_t *tcp, struct sockaddr *name, int *size), (tcp, name, size))
FAULT(uv_tcp_getpeername, UV_ENOTCONN, (const uv_tcp_t *tcp, struct sockaddr *name, int *size), (tcp, name, size))
FAULT(uv_pipe_open, UV_EINVAL, (uv_pipe_t * pipe, uv_file fd), (pipe, fd))

FAULT(uv_udp_init_ex, UV_EMFILE, (uv_loop_t * loop, uv_udp_t *udp, unsigned flags), (loop, udp, flags))
FAULT(uv_udp_bind, UV_EADDRINUSE, (uv_udp_t * udp, const struct sockaddr *address, unsigned flags),
      (udp, address, flags))
FAULT(uv_udp_connect, UV_ENETUNREACH, (uv_udp_t * udp, const struct sockaddr *address), (udp, address))
FAULT(uv_udp_getsockname, UV_ENOBUFS, (const uv_udp_t *udp, struct sockaddr *name, int *size), (udp, name, size))
FAULT(uv_udp_set_broadcast, UV_EINVAL, (uv_udp_t * udp, int on), (udp, on))
FAULT(uv_udp_set_ttl, UV_EINVAL, (uv_udp_t * udp, int ttl), (udp, ttl))
FAULT(uv_udp_set_multicast_ttl, UV_EINVAL, (uv_udp_t * udp, int ttl), (udp, ttl))
FAULT(uv_udp_set_multicast_loop, UV_EINVAL, (uv_udp_t * udp, int on), (udp, on))
FAULT(uv_udp_set_multicast_interface, UV_EINVAL, (uv_udp_t * udp, const char *interface), (udp, interface))
FAULT(uv_udp_set_membership, UV_ENODEV,
      (uv_udp_t * udp, const char *group, const char *interface, uv_membership membership),
      (udp, group, interface, membership))

FAULT(uv_tty_init, UV_EINVAL, (uv_loop_t * loop, uv_tty_t *tty, uv_file fd, int unused), (loop, tty, fd, unused))
FAULT(uv_pipe, UV_EMFILE, (uv_file fds[2], int read_flags, int write_flags), (fds, read_flags, write_flags))

/* The handle is initialised in any case. */
int __real_uv_spawn(uv_loop_t *loop, uv_process_t *handle, const uv_process_options_t *options);
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *handle, const uv_process_options_t *options);
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *handle, const uv_process_options_t *options) {
  int err = fault("uv_spawn", UV_EAGAIN);
  uv_process_options_t none = *options;
  if (err == 0) return __real_uv_spawn(loop, handle, options);
  none.file = "/no such program";
  __real_uv_spawn(loop, handle, &none);
  return err;
}

/* As libuv does it where it can get no further with the new connection: it is dropped. */
int __real_uv_accept(uv_stream_t *server, uv_stream_t *client);
int __wrap_uv_accept(uv_stream_t *server, uv_stream_t *client);
int __wrap_uv_accept(uv_stream_t *server, uv_stream_t *client) {
  int err = fault("uv_accept", UV_EMFILE), done = __real_uv_accept(server, client);
  return err != 0 ? err : done;
}

int __real_uv_loop_close(uv_loop_t *loop);
int __wrap_uv_loop_close(uv_loop_t *loop);
int __wrap_uv_loop_close(uv_loop_t *loop) {
  int err = __real_uv_loop_close(loop);
  if (err != 0) atomic_fetch_add(&busy_loops, 1);
  return err;
}

/* ---- callbacks, which may be told an error ---- */

typedef void (*Callback)(void);

/* The callback that the module gave for a request or a handle. */
typedef struct Pending {
  const void *key;
  Callback callback;
} Pending;

enum { MOST_PENDING = 4096 };
static _Thread_local Pending pending[MOST_PENDING];
static _Thread_local int pending_count;

static Pending *find(const void *key) {
  int i;
  for (i = pending_count - 1; i >= 0; i--)
    if (pending[i].key == key) return &pending[i];
  return NULL;
}

static void remember(const void *key, Callback callback) {
  Pending *entry = find(key);
  if (entry == NULL) {
    if (pending_count == MOST_PENDING) abort();
    entry = &pending[pending_count++];
  }
  *entry = (Pending){key, callback};
}

static Callback recall(const void *key) { return find(key)->callback; }

static void forget(const void *key) {
  Pending *entry = find(key);
  if (entry != NULL) *entry = pending[--pending_count];
}

static Callback recall_once(const void *key) {
  Callback callback = recall(key);
  forget(key);
  return callback;
}

void lw_fault_remember(const void *key, lw_Callback callback) { remember(key, callback); }

lw_Callback lw_fault_recall(const void *key) { return recall(key); }

/* What a callback is told: its own error, or the one of the plan. */
static int told(int status, const char *name, int usual) { return status < 0 ? status : fault(name, usual) + status; }

static void on_connect(uv_connect_t *req, int status) {
  uv_connect_cb cb = (uv_connect_cb)recall_once(req);
  cb(req, told(status, "uv_tcp_connect callback", UV_ECONNREFUSED));
}

int __real_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address, uv_connect_cb cb);
int __wrap_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address, uv_connect_cb cb);
int __wrap_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address, uv_connect_cb cb) {
  int err = fault("uv_tcp_connect", UV_EMFILE);
  if (err == 0) err = __real_uv_tcp_connect(req, tcp, address, on_connect);
  if (err == 0) remember(req, (Callback)cb);
  return err;
}

static void on_gone(uv_handle_t *handle) { __real_free(handle); }

static void on_connection(uv_stream_t *server, int status) {
  uv_connection_cb cb = (uv_connection_cb)recall(server);
  int err = told(status, "uv_listen callback", UV_ECONNABORTED);
  if (err != status) { /* such a connection is no more */
    uv_tcp_t *gone = __real_malloc(sizeof *gone);
    if (gone == NULL || uv_tcp_init(server->loop, gone) != 0 || __real_uv_accept(server, (uv_stream_t *)gone) != 0)
      abort();
    __real_uv_close((uv_handle_t *)gone, on_gone);
  }
  cb(server, err);
}

int __real_uv_listen(uv_stream_t *server, int backlog, uv_connection_cb cb);
int __wrap_uv_listen(uv_stream_t *server, int backlog, uv_connection_cb cb);
int __wrap_uv_listen(uv_stream_t *server, int backlog, uv_connection_cb cb) {
  int err = fault("uv_listen", UV_EADDRINUSE);
  if (err != 0) return err;
  remember(server, (Callback)cb);
  return __real_uv_listen(server, backlog, on_connection);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *block) {
  uv_read_cb cb = (uv_read_cb)recall(stream);
  int err = n > 0 || n == UV_EOF ? fault("uv_read_start callback", UV_ECONNRESET) : 0;
  cb(stream, err != 0 ? err : n, block);
}

int __real_uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb cb);
int __wrap_uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb cb);
int __wrap_uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb cb) {
  int err = fault("uv_read_start", UV_ENOTCONN);
  if (err != 0) return err;
  remember(stream, (Callback)cb);
  return __real_uv_read_start(stream, alloc, on_read);
}

static void on_write(uv_write_t *req, int status) {
  uv_write_cb cb = (uv_write_cb)recall_once(req);
  cb(req, told(status, "uv_write callback", UV_EPIPE));
}

int __real_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t *parts, unsigned count, uv_write_cb cb);
int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t *parts, unsigned count, uv_write_cb cb);
int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t *parts, unsigned count, uv_write_cb cb) {
  int err = fault("uv_write", UV_ENOMEM);
  if (err == 0) err = __real_uv_write(req, stream, parts, count, on_write);
  if (err == 0) remember(req, (Callback)cb);
  return err;
}

static void on_shutdown(uv_shutdown_t *req, int status) {
  uv_shutdown_cb cb = (uv_shutdown_cb)recall_once(req);
  cb(req, told(status, "uv_shutdown callback", UV_ENOTCONN));
}

int __real_uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb cb);
int __wrap_uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb cb);
int __wrap_uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb cb) {
  int err = fault("uv_shutdown", UV_ENOTCONN);
  if (err == 0) err = __real_uv_shutdown(req, stream, on_shutdown);
  if (err == 0) remember(req, (Callback)cb);
  return err;
}

/* Is the system short of room for datagrams? */
static _Thread_local int busy;

int __real_uv_udp_try_send(uv_udp_t *udp, const uv_buf_t *parts, unsigned count, const struct sockaddr *to);
int __wrap_uv_udp_try_send(uv_udp_t *udp, const uv_buf_t *parts, unsigned count, const struct sockaddr *to);
int __wrap_uv_udp_try_send(uv_udp_t *udp, const uv_buf_t *parts, unsigned count, const struct sockaddr *to) {
  int err = busy ? UV_EAGAIN : fault("uv_udp_try_send", UV_EAGAIN);
  return err != 0 ? err : __real_uv_udp_try_send(udp, parts, count, to);
}

static void on_sent(uv_udp_send_t *req, int status) {
  uv_udp_send_cb cb = (uv_udp_send_cb)recall_once(req);
  cb(req, told(status, "uv_udp_send callback", UV_EPERM));
}

int __real_uv_udp_send(uv_udp_send_t *req, uv_udp_t *udp, const uv_buf_t *parts, unsigned count,
                       const struct sockaddr *to, uv_udp_send_cb cb);
int __wrap_uv_udp_send(uv_udp_send_t *req, uv_udp_t *udp, const uv_buf_t *parts, unsigned count,
                       const struct sockaddr *to, uv_udp_send_cb cb);
int __wrap_uv_udp_send(uv_udp_send_t *req, uv_udp_t *udp, const uv_buf_t *parts, unsigned count,
                       const struct sockaddr *to, uv_udp_send_cb cb) {
  int err = fault("uv_udp_send", UV_ENOMEM);
  if (err == 0) err = __real_uv_udp_send(req, udp, parts, count, to, on_sent);
  if (err == 0) remember(req, (Callback)cb);
  return err;
}

/* The datagram is lost then. */
static void on_received(uv_udp_t *udp, ssize_t n, const uv_buf_t *block, const struct sockaddr *from, unsigned flags) {
  uv_udp_recv_cb cb = (uv_udp_recv_cb)recall(udp);
  int err = n > 0 ? fault("uv_udp_recv_start callback", UV_ECONNREFUSED) : 0;
  cb(udp, err != 0 ? err : n, block, err != 0 ? NULL : from, flags);
}

int __real_uv_udp_recv_start(uv_udp_t *udp, uv_alloc_cb alloc, uv_udp_recv_cb cb);
int __wrap_uv_udp_recv_start(uv_udp_t *udp, uv_alloc_cb alloc, uv_udp_recv_cb cb);
int __wrap_uv_udp_recv_start(uv_udp_t *udp, uv_alloc_cb alloc, uv_udp_recv_cb cb) {
  int err = fault("uv_udp_recv_start", UV_ENOMEM);
  if (err != 0) return err;
  remember(udp, (Callback)cb);
  return __real_uv_udp_recv_start(udp, alloc, on_received);
}

static void on_addresses(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  uv_getaddrinfo_cb cb = (uv_getaddrinfo_cb)recall_once(req);
  cb(req, told(status, "uv_getaddrinfo callback", UV_EAI_AGAIN), list);
}

int __real_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb, const char *node,
                          const char *service, const struct addrinfo *hints);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb, const char *node,
                          const char *service, const struct addrinfo *hints);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb, const char *node,
                          const char *service, const struct addrinfo *hints) {
  int err = fault("uv_getaddrinfo", UV_ENOMEM);
  if (err == 0) err = __real_uv_getaddrinfo(loop, req, on_addresses, node, service, hints);
  if (err == 0) remember(req, (Callback)cb);
  return err;
}

static void on_name(uv_getnameinfo_t *req, int status, const char *host, const char *service) {
  uv_getnameinfo_cb cb = (uv_getnameinfo_cb)recall_once(req);
  cb(req, told(status, "uv_getnameinfo callback", UV_EAI_AGAIN), host, service);
}

int __real_uv_getnameinfo(uv_loop_t *loop, uv_getnameinfo_t *req, uv_getnameinfo_cb cb, const struct sockaddr *address,
                          int flags);
int __wrap_uv_getnameinfo(uv_loop_t *loop, uv_getnameinfo_t *req, uv_getnameinfo_cb cb, const struct sockaddr *address,
                          int flags);
int __wrap_uv_getnameinfo(uv_loop_t *loop, uv_getnameinfo_t *req, uv_getnameinfo_cb cb, const struct sockaddr *address,
                          int flags) {
  int err = fault("uv_getnameinfo", UV_ENOMEM);
  if (err == 0) err = __real_uv_getnameinfo(loop, req, on_name, address, flags);
  if (err == 0) remember(req, (Callback)cb);
  return err;
}

/* Fails never; its address may be another handle's after this. */
void __wrap_uv_close(uv_handle_t *handle, uv_close_cb cb);
void __wrap_uv_close(uv_handle_t *handle, uv_close_cb cb) {
  forget(handle);
  __real_uv_close(handle, cb);
}

/* ---- the system ---- */

static int refused(const char *name) { return fault(name, UV_ENOMEM) != 0; }

void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
  void *block = refused("malloc") ? NULL : __real_malloc(size);
  if (block != NULL) atomic_fetch_add(&blocks, 1);
  return block;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
  void *block = refused("calloc") ? NULL : __real_calloc(count, size);
  if (block != NULL) atomic_fetch_add(&blocks, 1);
  return block;
}

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size) {
  void *result = refused("realloc") ? NULL : __real_realloc(block, size);
  if (block == NULL && result != NULL) atomic_fetch_add(&blocks, 1);
  return result;
}

void __wrap_free(void *block);
void __wrap_free(void *block) {
  if (block != NULL) atomic_fetch_sub(&blocks, 1);
  __real_free(block);
}

/* Sets errno to the error of the plan, if this call shall fail. */
static int broken(const char *name, int usual) {
  int err = fault(name, -usual);
  if (err != 0) errno = -err; /* as libuv numbers them on Unix */
  return err != 0;
}

int lw_broken(const char *name, int usual) { return broken(name, usual); }

ssize_t __real_send(int fd, const void *data, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t n, int flags) {
  return broken("send", EPIPE) ? -1 : __real_send(fd, data, n, flags);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags) {
  return broken("sendmsg", EPIPE) ? -1 : __real_sendmsg(fd, message, flags);
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol) {
  return broken("socket", EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size) {
  return broken("bind", EADDRINUSE) ? -1 : __real_bind(fd, address, size);
}

int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size) {
  return broken("connect", EAGAIN) ? -1 : __real_connect(fd, address, size);
}

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  return broken("setsockopt", ENOPROTOOPT) ? -1 : __real_setsockopt(fd, level, name, value, size);
}

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
  return broken("getsockopt", ENOPROTOOPT) ? -1 : __real_getsockopt(fd, level, name, value, size);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
  va_list arguments;
  int argument;
  va_start(arguments, command);
  argument = va_arg(arguments, int);
  va_end(arguments);
  return broken("fcntl", EMFILE) ? -1 : __real_fcntl(fd, command, argument);
}

int __real_tcsetattr(int fd, int when, const struct termios *mode);
int __wrap_tcsetattr(int fd, int when, const struct termios *mode);
int __wrap_tcsetattr(int fd, int when, const struct termios *mode) {
  return broken("tcsetattr", EIO) ? -1 : __real_tcsetattr(fd, when, mode);
}

/* ---- for Lua ---- */

/* plan(nth): the nth call from now on fails, with the error that is usual for the function; 0: none does */
static int set_plan(lua_State *L) {
  plan.nth = (long)luaL_checkinteger(L, 1);
  plan.calls = 0;
  plan.hit = NULL;
  return 0;
}

/* busy(flag): from now on the system takes no datagram at once, or does again. */
static int set_busy(lua_State *L) {
  busy = lua_toboolean(L, 1);
  return 0;
}

/* typeless(flag): from now on directories do not tell the types of their entries, or do again. */
static int set_typeless(lua_State *L) {
  lw_fault_typeless(lua_toboolean(L, 1));
  return 0;
}

/* state(): a table of calls (counted since the plan was made), hit (name of the one that failed, or nil), blocks (of
 * memory that the module holds), busy_loops (closed with a handle open). */
static int get_state(lua_State *L) {
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, plan.calls);
  lua_setfield(L, -2, "calls");
  lua_pushstring(L, plan.hit);
  lua_setfield(L, -2, "hit");
  lua_pushinteger(L, atomic_load(&blocks));
  lua_setfield(L, -2, "blocks");
  lua_pushinteger(L, atomic_load(&busy_loops));
  lua_setfield(L, -2, "busy_loops");
  return 1;
}

/* When the last state in which the module was loaded ends, nothing of the module's may be left. */
static int check_end(lua_State *L) {
  (void)L;
  if (atomic_fetch_sub(&states, 1) > 1 || (atomic_load(&blocks) == 0 && atomic_load(&busy_loops) == 0)) return 0;
  fprintf(stderr, "faults: %ld blocks were not given back, %d loops had handles left\n", atomic_load(&blocks),
          atomic_load(&busy_loops));
  abort();
}

void lw_open_call_faults(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"plan", set_plan}, {"busy", set_busy}, {"typeless", set_typeless}, {"state", get_state}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, check_end);
  lua_setfield(L, -2, "__gc");
  atomic_fetch_add(&states, 1);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &states); /* kept to the end */
}

#endif
