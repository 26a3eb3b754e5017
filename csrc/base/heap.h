/* Intrusive min-heap of deadlines; equal keys come out in the order in which they went in.
 *
 * Only the array of (key, node) pairs is the heap's; a node stands inside what waits and knows its
 * place, so that a deadline can be taken back in O(log n). A node out of the heap has index 0. */
#ifndef LUAWAIT_BASE_HEAP_H
#define LUAWAIT_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* Four children to a node: half the levels of a binary heap, and the children share a cache line. The first of the node
 * at i stands at i * LW_HEAP_ARITY + 1. */
enum { LW_HEAP_ARITY = 4 };

typedef struct lw_HeapNode {
  uint32_t index; /* place in the array, from 1; 0: not in the heap */
  uint32_t order; /* decides between equal keys; compared so that it may wrap around */
} lw_HeapNode;

typedef struct lw_HeapEntry {
  uint64_t key;
  lw_HeapNode *node;
} lw_HeapEntry;

typedef struct lw_Heap {
  lw_HeapEntry *entries; /* entries[0] is the smallest */
  uint32_t count, capacity;
  uint32_t order;
} lw_Heap;

/* Returns 0, or -1 when there is no memory (the heap is as it was). */
int lw_heap_push(lw_Heap *heap, uint64_t key, lw_HeapNode *node);
void lw_heap_remove(lw_Heap *heap, lw_HeapNode *node);
/* Takes all nodes out, and frees the array. */
void lw_heap_free(lw_Heap *heap);

static inline int lw_heap_contains(const lw_HeapNode *node) { return node->index != 0; }

static inline uint64_t lw_heap_key(const lw_Heap *heap, const lw_HeapNode *node) {
  return heap->entries[node->index - 1].key;
}

#endif
