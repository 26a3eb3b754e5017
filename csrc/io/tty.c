#include "io/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "io/pipe.h"
#include "io/source.h"

/* ---- what has to be put back ----
 *
 * The terminal, and whether a descriptor blocks, are shared with other programs: the shell that started this one. What
 * was changed is put back when the loop is closed: an idle handle that is never started stands for it there. */
typedef struct lw_Terminal {
  lw_IoHandle handle;
  uv_idle_t uv;
  int changed;          /* is the terminal's mode another than `mode`? */
  struct termios mode;  /* that it had before */
  uint8_t unblocked[3]; /* was the descriptor made non-blocking? */
} lw_Terminal;

static void restore_mode(lw_Terminal *terminal) {
  if (terminal->changed) tcsetattr(STDIN_FILENO, TCSANOW, &terminal->mode);
  terminal->changed = 0;
}

static void terminal_leave(lw_IoHandle *handle) {
  lw_Terminal *terminal = (lw_Terminal *)handle;
  int fd, flags;
  restore_mode(terminal);
  for (fd = 0; fd < 3; fd++)
    if (terminal->unblocked[fd] && (flags = fcntl(fd, F_GETFL, 0)) >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  handle->io->terminal = NULL;
}

static const lw_IoClass terminal_class = {"terminal", lw_io_close, terminal_leave};

/* The one of this run. May raise a memory error. */
static lw_Terminal *terminal_of(lua_State *L, lw_Loop *loop) {
  lw_Terminal *terminal = lw_io_new(L, loop, &terminal_class, sizeof *terminal, 0);
  lw_Io *io = terminal->handle.io;
  if (io->terminal == NULL) {
    lw_io_pin(L, &terminal->handle, -1);
    uv_idle_init(loop->uv, &terminal->uv);
    lw_io_opened(&terminal->handle, (uv_handle_t *)&terminal->uv);
    terminal->handle.lasting = 1;
    io->terminal = terminal;
  }
  lua_pop(L, 1);
  return io->terminal;
}

/* ---- streams ----
 *
 * A stream does not block, but others who have the same open file (the shell, or print in this program) expect it to.
 * So a stream has one of its own: libuv opens a terminal anew, Linux can do so with a pipe. Where neither is possible,
 * as for sockets, it is shared, and blocks again after the run. */

/* `flags` are those of the descriptor. */
static int open_anew(int fd, int flags) {
#ifdef __linux__
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
#else
  (void)fd, (void)flags;
  return -1;
#endif
}

static int copy_of(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1); }

static int open_pipe(lw_Stream *stream, lw_Terminal *terminal, int fd, int flags) {
  int own = open_anew(fd, flags);
  if (own >= 0) return lw_pipe_open(stream, own);
  if ((own = copy_of(fd)) < 0) {
    lw_io_close(&stream->handle);
    return uv_translate_sys_error(errno);
  }
  if (!(flags & O_NONBLOCK)) terminal->unblocked[fd] = 1;
  return lw_pipe_open(stream, own);
}

/* libuv opens the terminal anew, and puts that in the place of the descriptor that it is given, too. */
static int open_terminal(lw_Stream *stream, int fd) {
  int own = copy_of(fd), err;
  if (own < 0) return uv_translate_sys_error(errno);
  err = uv_tty_init(stream->handle.loop->uv, &stream->uv.tty, own, 0);
  if (err != 0) {
    close(own);
    return err;
  }
  lw_io_opened(&stream->handle, &stream->uv.handle);
  err = lw_stream_connected(stream);
  if (stream->fd != own) close(own);
  if (err != 0) lw_io_close(&stream->handle);
  return err;
}

static int open_file(lw_Stream *stream, int fd) {
  int own = copy_of(fd), err = own < 0 ? uv_translate_sys_error(errno) : 0;
  if (err == 0) return lw_source_open(stream, own);
  lw_io_close(&stream->handle);
  return err;
}

static int tty_raise(lua_State *L, int err, const char *syscall, const char *path) {
  lw_error_push_os(L, err, syscall, "path", path);
  return lua_error(L);
}

/* open(fd): a Stream on 0, 1 or 2, whatever that is. Raises OSError. */
static int tty_open(lua_State *L) {
  static const char *const names[] = {"stdin", "stdout", "stderr"};
  lw_Loop *loop = lw_running_loop(L);
  int fd = (int)lw_check_integer(L, 1), flags, err;
  lw_Terminal *terminal;
  luaL_argcheck(L, fd >= 0 && fd <= 2, 1, "0, 1 or 2 expected");
  flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0) return tty_raise(L, uv_translate_sys_error(errno), "open", names[fd]);
  switch (uv_guess_handle(fd)) {
    case UV_TTY:
      err = open_terminal(lw_stream_new(L, loop), fd);
      break;
    case UV_FILE:
      err = open_file(lw_pipe_new(L, loop), fd);
      break;
    default:
      terminal = terminal_of(L, loop);
      err = open_pipe(lw_pipe_new(L, loop), terminal, fd, flags);
  }
  if (err != 0) return tty_raise(L, err, "open", names[fd]);
  (*(lw_IoHandle **)lua_touserdata(L, -1))->lasting = 1; /* all share the stream: nobody has to close it */
  return 1;
}

/* ---- the terminal ---- */

/* winsize(): columns, rows of the terminal that stdout, stdin or stderr is. Raises OSError when none of them is one. */
static int tty_winsize(lua_State *L) {
  static const int fds[] = {STDOUT_FILENO, STDIN_FILENO, STDERR_FILENO};
  struct winsize size;
  int i;
  for (i = 0; i < 3; i++) {
    if (ioctl(fds[i], TIOCGWINSZ, &size) != 0) continue;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    return 2;
  }
  return tty_raise(L, UV_ENOTTY, "ioctl", "terminal");
}

/* As cfmakeraw, but for the line ends of what is written, which stay as they are. */
static void make_raw(struct termios *mode) {
  mode->c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | INPCK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  mode->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
  mode->c_cflag = (mode->c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
  mode->c_cc[VMIN] = 1;
  mode->c_cc[VTIME] = 0;
}

/* set_mode(mode): "raw": stdin gives every key at once, Ctrl-C as well, and shows none of them; "cbreak": the same, but
 * Ctrl-C and its like are signals as ever; "normal": as before. At the end of the run it is as before too. Raises
 * OSError when stdin is no terminal. After the functions of Python's module tty. */
static int tty_set_mode(lua_State *L) {
  static const char *const names[] = {"normal", "raw", "cbreak", NULL};
  enum { NORMAL, RAW };
  lw_Loop *loop = lw_running_loop(L);
  int wanted = luaL_checkoption(L, 1, NULL, names);
  lw_Terminal *terminal = terminal_of(L, loop);
  struct termios mode;
  if (!terminal->changed && tcgetattr(STDIN_FILENO, &terminal->mode) != 0)
    return tty_raise(L, uv_translate_sys_error(errno), "tcgetattr", "stdin");
  if (wanted == NORMAL) {
    restore_mode(terminal);
    return 0;
  }
  mode = terminal->mode;
  if (wanted == RAW)
    make_raw(&mode);
  else
    mode.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
  terminal->changed = 1;
  if (tcsetattr(STDIN_FILENO, TCSANOW, &mode) != 0)
    return tty_raise(L, uv_translate_sys_error(errno), "tcsetattr", "stdin");
  return 0;
}

void lw_open_tty(lua_State *L, int loop_index, lw_Loop *loop) {
  static const luaL_Reg funcs[] = {
      {"open", tty_open}, {"winsize", tty_winsize}, {"set_mode", tty_set_mode}, {NULL, NULL}};
  (void)loop;
  lw_io_class(L, loop_index, &terminal_class, NULL, NULL);
  lua_pop(L, 1);
  lua_newtable(L);
  lw_setfuncs(L, loop_index, funcs);
}
