/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/fault.h: mistakes that the simulator makes on purpose, to prove that it would find them.
 *
 * Only the simulator's own build of the machines defines MESH_FAULTS (tests/sim). Everywhere else
 * FAULT() is the constant 0, and nothing of this is in what is installed.
 */
#ifndef MESH_FAULT_H
#define MESH_FAULT_H

/* X(name, what goes wrong) */
#define MESH_FAULT_TABLE(X)                                                                        \
    X(ACK_BEFORE_COMMIT, "acknowledge what has been taken, not what is durable")                   \
    X(ACK_FROM_ANYONE, "believe an acknowledgement from any node")                                 \
    X(ACK_OF_OLD_LIFE, "believe an acknowledgement of a flow that was closed")                     \
    X(NO_DEDUPE, "apply what has been applied")                                                    \
    X(SKIP_GAP, "apply what comes next, whatever its number")                                      \
    X(KEEP_ON_INCARNATION, "do not begin anew with a higher incarnation")                          \
    X(OLD_INCARNATION, "begin anew with a lower incarnation")                                      \
    X(OLD_GENERATION, "open a flow for any event that comes late")                                 \
    X(EVICT_LIVE, "forget a live cursor when the table is full")                                   \
    X(LOSE_CURSORS, "a snapshot has no cursors")                                                   \
    X(LOSE_OUTBOX, "a snapshot has no unacknowledged events")                                      \
    X(FORGET_ON_SEND, "forget an event when it has been sent")                                     \
    X(NEVER_RESEND, "send each event once")                                                        \
    X(PARK_FOR_EVER, "park without a bound")                                                       \
    X(FORWARD_SIDEWAYS, "forward to an epoch that is not higher")                                  \
    X(LOWER_EPOCH, "believe a record of an older epoch")                                           \
    X(UNSIGNED, "believe records whatever their signatures")                                       \
    X(ANY_CARRIER, "take an origin's events from any node")                                        \
    X(IGNORE_CONFLICT, "two owners at one epoch are nothing special")

enum mesh_fault {
    FAULT_NONE,
#define MESH_FAULT_ENUM(name, text) FAULT_##name,
    MESH_FAULT_TABLE(MESH_FAULT_ENUM)
#undef MESH_FAULT_ENUM
        FAULT_COUNT
};

#ifdef MESH_FAULTS
extern enum mesh_fault mesh_fault_now;
#define FAULT(name) (mesh_fault_now == FAULT_##name)
#else
#define FAULT(name) 0
#endif

#endif
