#define _GNU_SOURCE /* memmem */

#include "io/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  LEAST = 512,      /* size of the smallest block */
  KEPT_EMPTY = 4096 /* size of the largest that an empty buffer keeps */
};

char *lw_slab_take(lw_Slabs *slabs) { return slabs->count > 0 ? slabs->spare[--slabs->count] : malloc(LW_SLAB); }

void lw_slab_give(lw_Slabs *slabs, char *slab) {
  if (slabs->count < LW_SPARE_SLABS && !slabs->closed)
    slabs->spare[slabs->count++] = slab;
  else
    free(slab);
}

void lw_slabs_close(lw_Slabs *slabs) {
  slabs->closed = 1;
  while (slabs->count > 0) free(slabs->spare[--slabs->count]);
}

static void release(lw_Buffer *buffer, lw_Slabs *slabs) {
  if (buffer->size == LW_SLAB && slabs != NULL)
    lw_slab_give(slabs, buffer->base);
  else
    free(buffer->base);
}

/* At least twice the size, so that growing byte by byte stays linear. 0 when it cannot be told in a size_t. */
static size_t grown(size_t size, size_t needed) {
  size_t target = size < LEAST / 2 ? LEAST : size * 2;
  if (needed > SIZE_MAX / 4) return 0;
  while (target < needed) target *= 2;
  return target;
}

int lw_buffer_reserve(lw_Buffer *buffer, lw_Slabs *slabs, size_t room) {
  size_t length = lw_buffer_length(buffer), size;
  char *base;
  if (buffer->size - buffer->end >= room) return 0;
  if (buffer->start >= length && buffer->size - length >= room) { /* each byte is moved once at most */
    if (length > 0) memcpy(buffer->base, buffer->base + buffer->start, length);
    buffer->start = 0;
    buffer->end = length;
    return 0;
  }
  size = grown(buffer->size, length + room);
  base = size > 0 ? malloc(size) : NULL;
  if (base == NULL) return -1;
  if (length > 0) memcpy(base, buffer->base + buffer->start, length);
  release(buffer, slabs);
  *buffer = (lw_Buffer){base, 0, length, size};
  return 0;
}

int lw_buffer_append(lw_Buffer *buffer, lw_Slabs *slabs, const char *data, size_t n) {
  if (lw_buffer_reserve(buffer, slabs, n) != 0) return -1;
  memcpy(buffer->base + buffer->end, data, n);
  buffer->end += n;
  return 0;
}

void lw_buffer_adopt(lw_Buffer *buffer, lw_Slabs *slabs, char *slab, size_t n) {
  release(buffer, slabs);
  *buffer = (lw_Buffer){slab, 0, n, LW_SLAB};
}

void lw_buffer_consume(lw_Buffer *buffer, lw_Slabs *slabs, size_t n) {
  buffer->start += n;
  if (buffer->start < buffer->end) return;
  buffer->start = buffer->end = 0;
  if (buffer->size > KEPT_EMPTY) lw_buffer_free(buffer, slabs);
}

void lw_buffer_free(lw_Buffer *buffer, lw_Slabs *slabs) {
  release(buffer, slabs);
  *buffer = (lw_Buffer){NULL, 0, 0, 0};
}

ptrdiff_t lw_buffer_find(const lw_Buffer *buffer, size_t from, const char *what, size_t n) {
  size_t length = lw_buffer_length(buffer);
  const char *data, *at;
  if (from >= length) return LW_NOT_FOUND;
  data = lw_buffer_data(buffer);
  at = n == 1 ? memchr(data + from, *what, length - from) : memmem(data + from, length - from, what, n);
  return at != NULL ? at - data : LW_NOT_FOUND;
}
