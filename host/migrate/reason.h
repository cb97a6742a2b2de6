/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/reason.h: why a migration did not happen, and in which phase one is.
 *
 * Codes 0 to 6 and their texts are those of the reference (spec, migration 11.1); numbers never
 * change, and a code that is not known makes a message unreadable.
 */
#ifndef MIGRATE_REASON_H
#define MIGRATE_REASON_H

#include "base/cursor.h"
#include "berth/status.h"

#include <stdbool.h>

/* X(name, code, word, text, status) */
#define MOVE_REASONS(X)                                                                            \
    X(NOT_READY, 0, "not-ready", "target runtime not ready yet", NOT_READY)                        \
    X(FACTORY_NOT_FOUND, 1, "factory-not-found",                                                   \
      "no factory registered on target for this daemon", KIND_UNKNOWN)                             \
    X(COMPUTE_NOT_SUPPORTED, 2, "compute-not-supported", "target does not run a compute runtime",  \
      UNSUPPORTED)                                                                                 \
    X(STATE_FAILED, 3, "state-failed", "state failed", CORRUPT)                                    \
    X(ALREADY_MIGRATING, 4, "already-migrating", "daemon is already migrating", BUSY)              \
    X(IDENTITY_TRANSPORT_FAILED, 5, "identity-transport-failed",                                   \
      "identity envelope transport failed", SIGNATURE)                                             \
    X(NOT_READY_TIMEOUT, 6, "not-ready-timeout", "source gave up after NotReady retries", TIMEOUT) \
    X(REFUSED, 7, "refused", "not allowed", REFUSED)                                               \
    X(DAEMON_NOT_FOUND, 8, "daemon-not-found", "there is no such daemon on the source", NOT_FOUND) \
    X(TARGET_UNAVAILABLE, 9, "target-unavailable", "the target cannot be reached", NOT_READY)      \
    X(NO_TARGET, 10, "no-target-available", "no node can take the daemon", NOT_FOUND)              \
    X(TIMEOUT, 11, "timeout", "it took too long", TIMEOUT)                                         \
    X(CANCELLED, 12, "cancelled", "cancelled", CANCELLED)                                          \
    X(NOT_CONVERGING, 13, "not-converging", "the state changes faster than it can be sent", BUSY)  \
    X(NO_ROOM, 14, "no-room", "the target has no room for the state", LIMIT)                       \
    X(STATE_VERSION, 15, "state-version", "the target cannot read this state version", VERSION)    \
    X(ALREADY_THERE, 16, "already-there", "the daemon runs there already", EXISTS)                 \
    X(SHUTTING_DOWN, 17, "shutting-down", "the host is shutting down", SHUTTING_DOWN)              \
    X(UNKNOWN_ATTEMPT, 18, "unknown-attempt", "the other side knows nothing of this attempt",      \
      STALE)                                                                                       \
    X(STORE_FAILED, 19, "store-failed", "it could not be put on disk", IO)                         \
    X(TOO_LATE, 20, "too-late", "it is decided already: the daemon goes", BUSY)

typedef enum move_reason {
#define MOVE_REASON_ENUM(name, code, word, text, status) MOVE_##name = (code),
    MOVE_REASONS(MOVE_REASON_ENUM)
#undef MOVE_REASON_ENUM
} move_reason;

/* Codes lie below this, without a gap. */
enum {
#define MOVE_REASON_ONE(name, code, word, text, status) +1
    MOVE_REASON_COUNT = 0 MOVE_REASONS(MOVE_REASON_ONE)
#undef MOVE_REASON_ONE
};

#define MOVE_TEXT_MAX 512 /* of what a reason is explained with; longer ones are cut */

/* Phases, in their order. Ordinals and words are those of the reference. */
#define MOVE_PHASES(X)                                                                             \
    X(SNAPSHOT, "snapshot", 10)                                                                    \
    X(TRANSFER, "transfer", 30)                                                                    \
    X(RESTORE, "restore", 50)                                                                      \
    X(REPLAY, "replay", 70)                                                                        \
    X(CUTOVER, "cutover", 90)                                                                      \
    X(COMPLETE, "complete", 100)

typedef enum move_phase {
#define MOVE_PHASE_ENUM(name, word, percent) MOVE_PHASE_##name,
    MOVE_PHASES(MOVE_PHASE_ENUM)
#undef MOVE_PHASE_ENUM
        MOVE_PHASE_COUNT
} move_phase;

/* "timeout"; NULL for a code that there is not. */
const char *move_reason_word(move_reason reason);
const char *move_reason_text(move_reason reason);
berth_status move_reason_status(move_reason reason);
bool move_reason_known(uint16_t code);
/* Only NOT_READY: a new attempt may succeed without anybody doing anything. */
bool move_reason_retriable(move_reason reason);
const char *move_phase_word(move_phase phase);
/* 10 to 100, strictly rising. */
unsigned move_phase_percent(move_phase phase);

/* How an attempt ended. */
typedef struct move_outcome {
    bool moved;         /* the target runs it, and has said so */
    bool unknown;       /* an orchestrator's, whose source never answered: it may yet be moved */
    move_reason reason; /* if not */
    uint8_t attempts;   /* with NOT_READY_TIMEOUT: how often it was tried */
    char text[MOVE_TEXT_MAX + 1];
} move_outcome;

/* Fill in one that failed; format is printf's. */
void move_failed(move_outcome *out, move_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As much of text as may explain a reason: whole characters, up to the first that is none. */
void move_text_cut(char out[MOVE_TEXT_MAX + 1], slice text);

#endif
