/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/change.h: one change on its way to disk: everything it needs copied or referenced, so that
 * the one who handed it in may go. Made by any thread, then owned by the queue. For this room only.
 */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "store/snapfile.h"
#include "store/store.h"

typedef enum change_type {
    CHANGE_ADD,
    CHANGE_UPDATE,
    CHANGE_REMOVE,
    CHANGE_SNAPSHOT,
    CHANGE_FACT,
    CHANGE_BARRIER, /* changes nothing: answers when all before it have been answered */
} change_type;

typedef struct change {
    struct change *next;
    store_done *done;
    void *ctx;
    change_type type;
    berth_status status;
    bool refused;  /* before it was handed in: status says why, and it is not applied */
    char *text;    /* explains status; malloc'd; NULL: status explains itself */
    size_t weight; /* bytes it brings to the database */
    union {
        struct {
            store_daemon row; /* its strings and slices lie behind this struct */
            unsigned set;
        } daemon;           /* ADD, UPDATE */
        uint8_t entity[32]; /* REMOVE */
        struct {
            uint8_t entity[32];
            uint64_t incarnation, sequence;
            int64_t taken;
            buf *container; /* one reference */
            bool clean;
        } snapshot;
        struct {
            const char *key;
            slice value;
        } fact;
    };
    /* While it is in a transaction: the file it wrote, the file its row named before. */
    char new_file[SNAPFILE_NAME], old_file[SNAPFILE_NAME];
} change;

/* NULL when memory is short. A value past its limit makes a change that is refused. */
change *change_add(const store_daemon *row);
change *change_update(const store_daemon *row, unsigned set);
change *change_remove(const uint8_t entity[32]);
change *change_snapshot(const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean);
change *change_fact(const char *key, slice value);
change *change_barrier(void);
void change_free(change *c);

/* Set or clear why it failed. */
void change_fail(change *c, const berth_error *error);
void change_clear(change *c);

/* For messages about a daemon of which only the entity is known: all 64 digits. */
#define ENTITY_TEXT 65

#endif
