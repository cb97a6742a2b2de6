/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/fault.h: mistakes that tests/sim/moves makes on purpose, to prove that it would find
 * them; as mesh/fault.h, and 0 everywhere else. Those of the second part are the simulated host's.
 */
#ifndef MIGRATE_FAULT_H
#define MIGRATE_FAULT_H

/* X(name, what goes wrong) */
#define MOVE_FAULT_TABLE(X)                                                                        \
    X(RELEASE_UNPREPARED, "release when the target has the stream, not when it has prepared")      \
    X(COMMIT_BEFORE_DURABLE, "send COMMIT before RELEASED is on disk")                             \
    X(RESUME_AFTER_RELEASE, "released, but silent for long: open the gate again")                  \
    X(ABORT_AFTER_RELEASE, "let an abort through while RELEASED is put on disk")                   \
    X(REFUSAL_NOT_FINAL, "after RELEASE believe a refusal that is not on disk")                    \
    X(FINISH_ON_COMMIT, "wipe as soon as COMMIT is sent")                                          \
    X(OWN_ON_TIMEOUT, "a prepared target without an answer opens its gate")                        \
    X(COMMIT_FROM_ANYONE, "believe a COMMIT of any node")                                          \
    X(ABORT_FROM_ANYONE, "believe an ABORT of any node")                                           \
    X(NO_HASH, "do not compare the hash of the stream")                                            \
    X(PREPARED_BEFORE_DURABLE, "acknowledge PREPARED before it is on disk")                        \
    X(OWNED_BEFORE_DURABLE, "acknowledge OWNED before it is on disk")                              \
    X(FINAL_BEFORE_DURABLE, "refuse for good before that is on disk")                              \
    X(SILENCE_IS_FAILURE, "an orchestrator takes silence for an end")                              \
    X(FORGET_PREPARED, "PREPARED is forgotten at restart")                                         \
    X(REOPEN_AT_RESTART, "at restart run what was released")                                       \
    X(TWO_AT_ONCE, "begin an attempt while another one runs")                                      \
    X(DROP_HELD, "the stream has no held events")                                                  \
    X(DROP_EXECUTED, "the last piece lacks what was run since the one before")                     \
    X(DROP_CURSORS, "the stream has no cursors")                                                   \
    X(KEEP_EPOCH, "open at the target at the epoch before")                                        \
    X(ANY_ORDER, "believe an order whoever signed it")                                             \
    X(REUSE_ATTEMPT, "forget which attempts were used")                                            \
    X(GATE_STAYS_OPEN, "take the last piece without closing the gate")

enum move_fault {
    MOVE_FAULT_NONE,
#define MOVE_FAULT_ENUM(name, text) MOVE_FAULT_##name,
    MOVE_FAULT_TABLE(MOVE_FAULT_ENUM)
#undef MOVE_FAULT_ENUM
        MOVE_FAULT_COUNT
};

#ifdef MOVE_FAULTS
extern enum move_fault move_fault_now;
#define FAULT(name) (move_fault_now == MOVE_FAULT_##name)
#else
#define FAULT(name) 0
#endif

#endif
