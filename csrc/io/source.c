#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Shared by the stream and the thread: freed by the one that is done with it last. */
struct lw_Source {
  uv_work_t work;
  lw_Stream *stream; /* NULL: it is closed */
  lw_Loop *loop;
  lw_Io *io;
  int fd;
  int busy; /* a thread has, or will have, the block */
  char *block;
  ssize_t result; /* bytes read, or an error of libuv's */
};

int lw_source_open(lw_Stream *stream, int fd) {
  lw_Source *source = calloc(1, sizeof *source);
  if (source == NULL) {
    close(fd);
    lw_io_close(&stream->handle);
    return UV_ENOMEM;
  }
  *source = (lw_Source){.stream = stream, .loop = stream->handle.loop, .io = stream->handle.io, .fd = fd};
  source->work.data = source;
  stream->source = source;
  stream->file = 1;
  stream->fd = fd;
  if ((fcntl(fd, F_GETFL, 0) & O_ACCMODE) == O_RDONLY) stream->shut = LW_READ_ONLY;
  return 0;
}

static void free_source(lw_Source *source) {
  close(source->fd);
  free(source);
}

void lw_source_leave(lw_Stream *stream) {
  lw_Source *source = stream->source;
  if (source == NULL) return;
  stream->source = NULL;
  source->stream = NULL;
  if (source->busy)
    uv_cancel((uv_req_t *)&source->work);
  else
    free_source(source);
}

/* In a thread: */
static void read_block(uv_work_t *work) {
  lw_Source *source = work->data;
  do {
    source->result = read(source->fd, source->block, LW_SLAB);
  } while (source->result < 0 && errno == EINTR);
  if (source->result < 0) source->result = uv_translate_sys_error(errno);
}

/* Hands the block to the stream. (Only leaving it cancels the work: `status` tells no more than that.) */
static void on_block(uv_work_t *work, int status) {
  lw_Source *source = work->data;
  lw_Stream *stream = source->stream;
  uv_buf_t block = uv_buf_init(source->block, LW_SLAB);
  int err;
  (void)status;
  source->busy = 0;
  source->loop->in_uv--;
  if (stream == NULL) {
    lw_slab_give(&source->io->slabs, source->block);
    free_source(source);
    return;
  }
  lw_stream_take_in(stream, source->result == 0 ? UV_EOF : source->result, &block);
  if (!stream->reading || (err = lw_source_start(source)) == 0) return;
  block = uv_buf_init(NULL, 0);
  lw_stream_take_in(stream, err, &block);
}

int lw_source_start(lw_Source *source) {
  int err;
  source->block = lw_slab_take(&source->io->slabs);
  if (source->block == NULL) return UV_ENOMEM;
  err = uv_queue_work(source->loop->uv, &source->work, read_block, on_block);
  source->busy = err == 0;
  if (err == 0)
    source->loop->in_uv++;
  else
    lw_slab_give(&source->io->slabs, source->block);
  return err;
}
