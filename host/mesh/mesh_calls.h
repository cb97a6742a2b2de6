/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/mesh_calls.h: what mesh_calls*.c share: batches on their way, and the lines they stand in.
 */
#ifndef MESH_MESH_CALLS_H
#define MESH_MESH_CALLS_H

#include "mesh/mesh_private.h"

/* A batch on its way. */
struct outcall {
    call_user user;              /* first */
    struct outcall *prev, *next; /* in its line */
    calls_line *line;
    batch *b;
    uint64_t id; /* 0: not begun */
    uint64_t bytes;
    bool asked; /* its node has it; else it waits here */
};

/* Those for one daemon. All under calls_lock; only the loop begins and ends any. */
struct calls_line {
    uint64_t origin;
    struct outcall *head, *tail;
    unsigned count, asked;
    uint64_t node, epoch; /* where those that are asked for were sent */
    bool settling;        /* one of them came back */
    bool room;            /* the daemon is here, and says when it has room */
    bool due;             /* among those that are looked at next */
    bool pinned;          /* being looked at */
    calls_line *due_next;
    int64_t until_ns; /* its place is looked for so long; 0: it is not */
};

/* Under calls_lock: a new line has nobody in it; NULL when memory is short. */
calls_line *line_of(mesh *m, uint64_t origin);
/* Under calls_lock: free it if nobody is in it, or looks at it. */
void line_done(mesh *m, calls_line *l);
/* Under calls_lock: it is looked at next. True: calls_post follows, once the lock is let go. */
bool line_due(mesh *m, calls_line *l);
void calls_post(mesh *m);
/* Under calls_lock: the next that is to be looked at, pinned. */
calls_line *line_next_due(mesh *m);
/* Its place is looked for so long; 0: it is not. */
void line_search(mesh *m, calls_line *l, int64_t until_ns);
/* Out of its line, whose next may be begun now, and freed. */
void outcall_drop(mesh *m, struct outcall *c);
/* The results of its batch are complete. */
void outcall_tell(batch *b);
/* One of all that there are; NULL: none. */
struct outcall *calls_any(mesh *m);
/* In mesh_calls.c: look at what is due; all that is left fails, closed. */
bool outcall_moved(mesh *m, call_user *u, const call_moved *moved);
void outcall_done(mesh *m, call_user *u, const call_outcome *o);
void calls_look(mesh *m);

#endif
