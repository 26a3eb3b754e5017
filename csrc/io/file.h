/* Files that are open.
 *
 * The descriptor has the position; the file has the bytes that were read ahead of what the program asked for. Each
 * operation is a job (io/job.h), in the lane of its file: operations of several tasks take turns, each whole. While one
 * is under way it has the buffer; what it has read is there afterwards, also when its task was cancelled meanwhile.
 *
 * An idle handle that is never started stands for the file in the uv_loop, so that it is closed with the loop. */
#ifndef LUAWAIT_IO_FILE_H
#define LUAWAIT_IO_FILE_H

#include "io/handle.h"
#include "io/job.h"

typedef struct lw_File {
  lw_IoHandle handle;
  uv_idle_t uv;
  lw_Lane lane;
  lw_Buffer in;
  int fd; /* -1: none, or a job closes it */
  char path[];
} lw_File;

/* What shall be read. */
typedef struct lw_Format {
  char kind;      /* 'l' 'L' 'a' 'n' as in Lua, or '#': a count */
  size_t n;       /* of a count */
  size_t from;    /* bytes of the buffer that formats before this one take */
  size_t scanned; /* so many bytes behind these are no line end */
} lw_Format;

typedef struct lw_FileJob {
  lw_Job job;
  lw_File *file; /* NULL: it is gone */
  int fd;
  int owns_fd; /* closes it in the end */
  lw_Buffer in;
  lw_Format format;
  int at_end;     /* read met the end of the file */
  int argument;   /* of what is read: the index of the format; of seek: where from; of open: flags */
  int mode;       /* of open */
  int64_t offset; /* of seek and truncate, and what seek came to */
  uv_stat_t stat; /* what stat came to */
  size_t length;  /* of what is written */
  char data[];
} lw_FileJob;

/* The descriptor of the File at `arg`; an argument error if it is not open. What was read ahead is given
 * back, so that whoever is given the descriptor goes on where the program is. */
uv_file lw_file_fd(lua_State *L, int arg);

/* Is the value at `index` a File, open or not? */
int lw_is_file(lua_State *L, int index);

/* Pushes a job for the file at index 1, with `extra` bytes of data. Raises RuntimeError unless it is open. */
lw_FileJob *lw_file_job(lua_State *L, const lw_JobClass *cls, size_t extra);

/* Classes of these jobs have these. */
void lw_file_begin(lw_Job *job);
void lw_file_end(lw_Job *job);

/* For `work`: the position becomes where the program is, as if nothing were read ahead. Where the file has no position
 * (a pipe) what was read ahead stays. */
int lw_file_settle(lw_FileJob *job);

/* ---- file_read.c ---- */

int lw_file_read(lua_State *L);

/* Adds open and mkstemp to the table on the top, and the methods of files as `file`. */
void lw_open_file(lua_State *L, int loop_index);

#endif
