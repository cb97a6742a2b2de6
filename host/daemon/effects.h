/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/effects.h: what one call recorded, until it is committed or dropped.
 *
 * Whoever runs plugin code (inline, or a worker process) fills this; the daemon's runner commits
 * it. One thread at a time. The first limit that is passed sticks: from then on nothing is
 * recorded, and the whole call fails with its name.
 */
#ifndef DAEMON_EFFECTS_H
#define DAEMON_EFFECTS_H

#include "base/buf.h"
#include "berth/abi.h"

#include <stdbool.h>

/* Free bytes before an output's payload: its causal link is written there, so that link and payload
 * are hashed, kept and sent as one piece. */
#define EFFECT_HEAD 32

typedef enum effect_op {
    EFFECT_OUTPUT,
    EFFECT_SUBSCRIBE,
    EFFECT_UNSUBSCRIBE,
    EFFECT_SPAWN,
    EFFECT_RECORD /* none of a plugin's: a discontinuity record (commit.c) */
} effect_op;

typedef struct effect {
    uint16_t op, to; /* written together, so that reading both does not wait for two writes */
    uint16_t flags;
    buf *bytes; /* output: EFFECT_HEAD bytes, then the payload. spawn: its configuration, a 0 behind
                 */
    buf *name;  /* channel; spawn: the kind */
    buf *label; /* spawn: the daemon's name, or NULL */
    uint64_t peer; /* output: the receiver's origin. subscription: the publisher */
    uint64_t request;
    int64_t delay_ns;
    berth_ref reply_to;
} effect;

/* An output that becomes a link of the chain. */
static inline bool effect_is_chained(const effect *e)
{
    return e->op == EFFECT_OUTPUT && e->to != BERTH_TO_SELF;
}

typedef struct effect_limits {
    uint64_t outputs, output_bytes;
} effect_limits;

typedef struct effects {
    effect *items;
    uint32_t count, cap;
    uint64_t bytes;
    const char *limit; /* name of the limit that was passed, or NULL */
    effect_limits limits;
} effects;

/* The hot one: an output to the caller. */
berth_code effects_emit(effects *e, const void *ptr, uint64_t len);
/* The same with bytes that are in place already: takes over the reference, EFFECT_HEAD included. */
berth_code effects_emit_buf(effects *e, buf *bytes);

/* What a kind can be sent, and which request numbers are taken: what makes an argument senseless.
 */
typedef struct effect_context {
    bool has_timer, has_reply;
    bool (*request_in_use)(void *ctx, uint64_t request);
    void *ctx;
} effect_context;

/* Check and copy; sizes as the plugin's header had them: unknown non-zero bytes are E_NEWER. */
berth_code effects_output(effects *e, const effect_context *c, const berth_output *output);
berth_code effects_subscribe(effects *e, const berth_subscription *what, bool on);
berth_code effects_spawn(effects *e, const effect_context *c, const berth_spawn *spawn);

/* Drop everything recorded, and the limit. */
void effects_clear(effects *e);
void effects_fini(effects *e);

#endif
