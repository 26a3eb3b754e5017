/* Bytes that arrived and were not read yet, and the blocks that reads go into (no lua.h). */
#ifndef LUAWAIT_IO_BUFFER_H
#define LUAWAIT_IO_BUFFER_H

#include <stddef.h>

enum {
  LW_SLAB = 65536,   /* what one read takes in at most */
  LW_SPARE_SLABS = 4 /* kept for reuse */
};

/* Spare blocks of LW_SLAB bytes. */
typedef struct lw_Slabs {
  char *spare[LW_SPARE_SLABS];
  int count;
  int closed; /* keeps none any more */
} lw_Slabs;

char *lw_slab_take(lw_Slabs *slabs); /* NULL without memory */
void lw_slab_give(lw_Slabs *slabs, char *slab);
void lw_slabs_close(lw_Slabs *slabs);

/* The bytes are base[start .. end). A block of LW_SLAB bytes may have been a slab, and becomes one again; `slabs` is
 * NULL for a buffer that has nothing to do with them. */
typedef struct lw_Buffer {
  char *base;
  size_t start, end, size;
} lw_Buffer;

static inline size_t lw_buffer_length(const lw_Buffer *buffer) { return buffer->end - buffer->start; }

/* The first byte; of a buffer that is not empty. */
static inline const char *lw_buffer_data(const lw_Buffer *buffer) { return buffer->base + buffer->start; }

/* Makes room for `room` bytes behind the end. Returns -1 without memory; the buffer is then as it was. */
int lw_buffer_reserve(lw_Buffer *buffer, lw_Slabs *slabs, size_t room);
int lw_buffer_append(lw_Buffer *buffer, lw_Slabs *slabs, const char *data, size_t n);

/* An empty buffer takes over a slab that holds `n` bytes, without a copy. */
void lw_buffer_adopt(lw_Buffer *buffer, lw_Slabs *slabs, char *slab, size_t n);

/* Drops the first `n` bytes. An empty buffer keeps a small block only, so that idle streams stay small. */
void lw_buffer_consume(lw_Buffer *buffer, lw_Slabs *slabs, size_t n);
void lw_buffer_free(lw_Buffer *buffer, lw_Slabs *slabs);

enum { LW_NOT_FOUND = -1 };

/* Where `what` (n > 0 bytes) stands first at or after `from`, both counted from the first byte; or LW_NOT_FOUND. */
ptrdiff_t lw_buffer_find(const lw_Buffer *buffer, size_t from, const char *what, size_t n);

#endif
