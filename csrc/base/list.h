/* Intrusive FIFO: a circular doubly linked list that is one pointer when empty or idle.
 *
 * The links stand inside what is listed, so nothing here allocates or fails. A link is in at most
 * one list at a time; one that is in none has next == NULL. */
#ifndef LUAWAIT_BASE_LIST_H
#define LUAWAIT_BASE_LIST_H

#include <assert.h>
#include <stddef.h>

typedef struct lw_Link {
  struct lw_Link *prev, *next;
} lw_Link;

typedef struct lw_List {
  lw_Link *first; /* the last one is first->prev */
} lw_List;

#define LW_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline int lw_linked(const lw_Link *link) { return link->next != NULL; }

static inline void lw_list_push(lw_List *list, lw_Link *link) {
  lw_Link *first = list->first;
  assert(!lw_linked(link));
  if (first == NULL) {
    link->prev = link->next = list->first = link;
  } else {
    link->prev = first->prev;
    link->next = first;
    first->prev->next = link;
    first->prev = link;
  }
}

static inline void lw_list_remove(lw_List *list, lw_Link *link) {
  assert(lw_linked(link));
  if (link->next == link) {
    list->first = NULL;
  } else {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    if (list->first == link) list->first = link->next;
  }
  link->prev = link->next = NULL;
}

/* Takes the oldest one out; NULL from an empty list. */
static inline lw_Link *lw_list_pop(lw_List *list) {
  lw_Link *first = list->first;
  if (first != NULL) lw_list_remove(list, first);
  return first;
}

/* The one after `link`, or NULL at the end. */
static inline lw_Link *lw_list_next(const lw_List *list, const lw_Link *link) {
  return link->next == list->first ? NULL : link->next;
}

static inline size_t lw_list_count(const lw_List *list) {
  size_t n = 0;
  for (const lw_Link *link = list->first; link != NULL; link = lw_list_next(list, link)) n++;
  return n;
}

#endif
