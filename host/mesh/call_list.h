/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/call_list.h: lists through the things that are listed; of call_client.c and call_server.c.
 */
#ifndef MESH_CALL_LIST_H
#define MESH_CALL_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A list is a ring through its head. Of something in no list both are NULL. */
typedef struct call_link {
    struct call_link *prev, *next;
} call_link;

#define CALL_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void call_list_init(call_link *head)
{
    head->prev = head->next = head;
}

static inline bool call_list_empty(const call_link *head)
{
    return head->next == head;
}

static inline bool call_listed(const call_link *l)
{
    return l->next != NULL;
}

static inline void call_list_insert(call_link *before, call_link *l)
{
    l->prev = before->prev;
    l->next = before;
    before->prev->next = l;
    before->prev = l;
}

static inline void call_list_append(call_link *head, call_link *l)
{
    call_list_insert(head, l);
}

/* Nothing if it is in no list. */
static inline void call_list_remove(call_link *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}

/* All of `from`, in front of all of `to`. */
static inline void call_list_prepend_all(call_link *to, call_link *from)
{
    if (call_list_empty(from))
        return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    call_list_init(from);
}

#endif
