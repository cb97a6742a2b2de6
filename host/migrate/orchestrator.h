/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/orchestrator.h: whoever wants a daemon moved: here, at the source, at the target or on a
 * third node. It starts attempts, one after the other while the target is only not ready yet, asks
 * how they go, and knows one outcome that does not change any more.
 *
 * A machine as migrate/source.h.
 */
#ifndef MIGRATE_ORCHESTRATOR_H
#define MIGRATE_ORCHESTRATOR_H

#include "base/buf.h"
#include "mesh/transport.h"
#include "migrate/wire.h"

typedef struct orchestrator orchestrator;

typedef struct orchestrator_config {
    uint64_t origin;
    uint64_t source;            /* node */
    bool local;                 /* the source is this node */
    int64_t resend_ns;          /* [500 ms], doubled up to 8 times that */
    int64_t look_ns;            /* how often the source is asked [1 s] */
    int64_t silence_ns;         /* a source that never answered at all [10 s] */
    int64_t retry_not_ready_ns; /* for so long NOT_READY is tried again; 0: not [30 s is usual] */
} orchestrator_config;

typedef enum orchestrator_need_kind {
    ORCHESTRATOR_NONE,
    ORCHESTRATOR_SEND,  /* message to the source, LANE_CALL */
    ORCHESTRATOR_BEGIN, /* make an order with a new attempt id; answer with orchestrator_begun */
    ORCHESTRATOR_OVER
} orchestrator_need_kind;

typedef struct orchestrator_need {
    orchestrator_need_kind kind;
    uint64_t node;
    buf *message; /* SEND: one reference, the caller's */
} orchestrator_need;

orchestrator *orchestrator_new(const orchestrator_config *config, int64_t now_ns);
void orchestrator_free(orchestrator *o);

/* The order, as move_order; or why there is none (then it is over, or tried again later if the
 * reason is NOT_READY). Of a local source the driver has begun the attempt itself, and nothing is
 * sent but ABORT, to ourselves: hand it to the source as any other. */
void orchestrator_begun(orchestrator *o, berth_status status, const move_order *given,
                        const move_outcome *why, int64_t now_ns);
/* STATE or REFUSED of the source. */
bool orchestrator_message(orchestrator *o, uint64_t node, slice message, int64_t now_ns);
/* A local source: the same. */
void orchestrator_state(orchestrator *o, const move_state *state, int64_t now_ns);
void orchestrator_source_up(orchestrator *o, int64_t now_ns);
/* Ask the source to stop. What comes of it is the outcome: CANCELLED, or that it was too late. */
void orchestrator_cancel(orchestrator *o, int64_t now_ns);

bool orchestrator_next(orchestrator *o, orchestrator_need *out, int64_t now_ns);
int64_t orchestrator_deadline(const orchestrator *o);
void orchestrator_expire(orchestrator *o, int64_t now_ns);

typedef struct orchestrator_view {
    bool over;
    unsigned attempts;
    uint8_t attempt[ATTEMPT_SIZE]; /* the present one */
    move_state state;              /* the last word; text is borrowed until the next input */
} orchestrator_view;
void orchestrator_look(const orchestrator *o, orchestrator_view *out);
const move_outcome *orchestrator_outcome(const orchestrator *o);

#endif
