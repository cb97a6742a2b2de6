/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/change.h: one change on its way to disk: everything it needs copied or referenced, so that
 * the one who handed it in may go. Made by any thread, then owned by the queue. For this room only.
 */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "store/attempts.h"
#include "store/snapfile.h"
#include "store/staging.h"

typedef enum change_type {
    CHANGE_ADD,
    CHANGE_UPDATE,
    CHANGE_REMOVE,
    CHANGE_SNAPSHOT,
    CHANGE_FACT,
    CHANGE_PREPARE, /* from here to EXPIRE: of an attempt */
    CHANGE_DROP,
    CHANGE_REFUSE,
    CHANGE_OWN,
    CHANGE_RELEASE,
    CHANGE_HAND_OVER,
    CHANGE_TAKE_BACK,
    CHANGE_EXPIRE,
    CHANGE_BARRIER, /* changes nothing: answers when all before it have been answered */
} change_type;

/* What is to be a daemon's latest snapshot. */
typedef struct new_snapshot {
    uint8_t entity[32];
    uint64_t incarnation, sequence;
    int64_t taken;
    buf *container; /* one reference */
    bool clean;
} new_snapshot;

/* What a change of an attempt takes. */
typedef struct attempt_change {
    store_attempt row;    /* its record lies behind the change; most need the id only. TAKE_BACK:
                             its epoch; EXPIRE: its not_after_s is now */
    buf *state;           /* PREPARE, RELEASE: one reference, or NULL */
    staged *base;         /* PREPARE: claimed, until it is answered; or NULL */
    store_daemon *daemon; /* OWN: behind the change */
    slice identity;       /* TAKE_BACK: behind the change, or empty */
    new_snapshot
        snapshot; /* OWN, TAKE_BACK: its container may be NULL. HAND_OVER: how far it came */
} attempt_change;

typedef struct change {
    struct change *next;
    store_done *done;
    void *ctx;
    change_type type;
    berth_status status;
    bool refused;  /* before it was handed in: status says why, and it is not applied */
    bool unknown;  /* it failed, but may be found after a crash */
    char *text;    /* explains status; malloc'd; NULL: status explains itself */
    size_t weight; /* bytes it brings to the database */
    union {
        struct {
            store_daemon row; /* its strings and slices lie behind this struct */
            unsigned set;
        } daemon;           /* ADD, UPDATE */
        uint8_t entity[32]; /* REMOVE */
        new_snapshot snapshot;
        attempt_change attempt;
        struct {
            const char *key;
            slice value;
        } fact;
    };
    /* While it is in a transaction: the file it wrote, the files that rows named before, of a
     * daemon and of an attempt. */
    char new_file[SNAPFILE_NAME], old_file[SNAPFILE_NAME];
    char old_state[SNAPFILE_NAME], old_base[SNAPFILE_NAME];
} change;

/* NULL when memory is short. A value past its limit makes a change that is refused. */
change *change_add(const store_daemon *row);
change *change_update(const store_daemon *row, unsigned set);
change *change_remove(const uint8_t entity[32]);
change *change_snapshot(const uint8_t entity[32], uint64_t incarnation, uint64_t sequence,
                        buf *container, bool clean);
change *change_fact(const char *key, slice value);
change *change_barrier(void);

/* PREPARE, RELEASE, and REFUSE, which has no state. */
change *change_attempt(change_type type, const store_attempt *a, buf *state);
/* DROP, HAND_OVER. */
change *change_attempt_end(change_type type, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                           uint64_t incarnation, uint64_t sequence);
change *change_own(const uint8_t attempt[STORE_ATTEMPT_SIZE], const store_daemon *row,
                   uint64_t incarnation, uint64_t sequence, buf *container);
change *change_take_back(const uint8_t attempt[STORE_ATTEMPT_SIZE], uint64_t epoch, slice identity,
                         uint64_t incarnation, uint64_t sequence, buf *container);
change *change_expire(int64_t now_s);

void change_free(change *c);

/* The snapshot that it brings; NULL: none. */
const buf *change_container(const change *c);

/* For the makers above. A change with `extra` bytes behind it, its weight. */
change *change_new(change_type type, size_t extra);
/* It is not to be applied. */
void change_refuse(change *c, const berth_error *error);
/* Copies at *at and moves it on. */
slice change_put(uint8_t **at, slice from);
/* own becomes a copy of row with its strings and slices at *at, change_row_size bytes. False: a
 * value is past its limit, and c is refused. */
size_t change_row_size(const store_daemon *row);
bool change_put_row(change *c, const store_daemon *row, store_daemon *own, uint8_t **at);
/* A reference to container, and what it weighs in a row. */
void change_put_container(change *c, new_snapshot *to, const uint8_t entity[32],
                          uint64_t incarnation, uint64_t sequence, buf *container);
/* Bytes that become a row or a file of this room: one reference. */
buf *change_put_body(change *c, buf *body, const char *what);

/* Set or clear why it failed. */
void change_fail(change *c, const berth_error *error);
void change_clear(change *c);

/* For messages about a daemon of which only the entity is known: all 64 digits. */
#define ENTITY_TEXT 65

#endif
