#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

enum { ARITY = LW_HEAP_ARITY, FIRST_CAPACITY = 64 };

static int before(const lw_HeapEntry *a, const lw_HeapEntry *b) {
  if (a->key != b->key) return a->key < b->key;
  return (int32_t)(a->node->order - b->node->order) < 0;
}

static void place(lw_Heap *heap, uint32_t i, lw_HeapEntry entry) {
  heap->entries[i] = entry;
  entry.node->index = i + 1;
}

static void sift_up(lw_Heap *heap, uint32_t i, lw_HeapEntry entry) {
  while (i > 0) {
    uint32_t parent = (i - 1) / ARITY;
    if (!before(&entry, &heap->entries[parent])) break;
    place(heap, i, heap->entries[parent]);
    i = parent;
  }
  place(heap, i, entry);
}

static void sift_down(lw_Heap *heap, uint32_t i, lw_HeapEntry entry) {
  for (;;) {
    uint32_t child = i * ARITY + 1, least = child, end;
    if (child >= heap->count) break;
    end = child + ARITY < heap->count ? child + ARITY : heap->count;
    while (++child < end)
      if (before(&heap->entries[child], &heap->entries[least])) least = child;
    if (!before(&heap->entries[least], &entry)) break;
    place(heap, i, heap->entries[least]);
    i = least;
  }
  place(heap, i, entry);
}

static int grow(lw_Heap *heap) {
  uint32_t capacity = heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY;
  lw_HeapEntry *entries;
  if (capacity <= heap->capacity) return -1;
  entries = realloc(heap->entries, (size_t)capacity * sizeof *entries);
  if (entries == NULL) return -1;
  heap->entries = entries;
  heap->capacity = capacity;
  return 0;
}

int lw_heap_push(lw_Heap *heap, uint64_t key, lw_HeapNode *node) {
  lw_HeapEntry entry = {key, node};
  assert(!lw_heap_contains(node));
  if (heap->count == heap->capacity && grow(heap) != 0) return -1;
  node->order = heap->order++;
  sift_up(heap, heap->count++, entry);
  return 0;
}

void lw_heap_remove(lw_Heap *heap, lw_HeapNode *node) {
  uint32_t i = node->index - 1;
  lw_HeapEntry last = heap->entries[--heap->count];
  assert(lw_heap_contains(node) && i <= heap->count);
  node->index = 0;
  if (last.node == node) return;
  if (i > 0 && before(&last, &heap->entries[(i - 1) / ARITY]))
    sift_up(heap, i, last);
  else
    sift_down(heap, i, last);
}

void lw_heap_free(lw_Heap *heap) {
  uint32_t i;
  for (i = 0; i < heap->count; i++) heap->entries[i].node->index = 0;
  free(heap->entries);
  *heap = (lw_Heap){0};
}
