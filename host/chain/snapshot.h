/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/snapshot.h: `CDS1` version 2: a daemon's state and the head of its chain, as every node of
 * the mesh reads it (compute-core 7, byte-exact).
 *
 * A struct snapshot borrows all its bytes: filled by decode, they lie in the input. Any thread;
 * nothing blocks. What this format cannot carry is in chain/container.h.
 */
#ifndef CHAIN_SNAPSHOT_H
#define CHAIN_SNAPSHOT_H

#include "base/cursor.h"
#include "berth/chain.h"
#include "identity/envelope.h"

#define SNAPSHOT_MIN 94

typedef struct snapshot {
    uint8_t entity[BERTH_ENTITY_SIZE];
    berth_link link;     /* the head; its sequence is the snapshot's through_seq */
    uint64_t created_at; /* wall clock, ns since the epoch */
    slice state;         /* at most 2^32 - 1 bytes */
    slice bindings;      /* chain/ledger.h; an empty ledger is no bytes */
    bool has_envelope;
    envelope envelope;
    /*
     * The parent hash for the next output. Not in the format: unknown after decode. Known and "hash
     * of an empty payload" are different from unknown.
     */
    bool has_next_parent;
    uint64_t next_parent;
} snapshot;

/* The exact length of the encoding. LIMIT, naming both lengths, when state or bindings do not fit
 * in 32 bits; computed before anything is allocated. */
berth_status snapshot_size(const snapshot *s, size_t *size, berth_error *error);

/* LIMIT as above; NO_MEMORY. Nothing aborts (compute-core K26). */
berth_status snapshot_encode(writer *w, const snapshot *s, berth_error *error);

/* The same in two parts, for a state that stays where it is: what stands before its bytes, and what
 * behind them. The head's errors are those of snapshot_encode; a failed writer is the caller's to
 * find. */
berth_status snapshot_encode_head(writer *w, const snapshot *s, berth_error *error);
void snapshot_encode_tail(writer *w, const snapshot *s);

/*
 * The whole of bytes, or CORRUPT (VERSION for another version of the format) with *out zeroed. The
 * link is checked against sequence and entity. Whether entity is the one you hold a key of is yours
 * to check, by all 32 bytes (compute-core K25).
 */
berth_status snapshot_decode(snapshot *out, slice bytes, berth_error *error);

/* Put the identity into the snapshot, sealed for target over this link. key must be the entity's:
 * IDENTITY_MISMATCH otherwise. */
berth_status snapshot_seal_identity(snapshot *s, const berth_keypair *key, const uint8_t target[32],
                                    envelope_fault *fault, berth_error *error);

/*
 * Take the identity out. *found false: there is none, which is no error. An envelope that is there
 * and does not open is final: never go on with another key (compute-core K24). The caller wipes
 * *out.
 */
berth_status snapshot_open_identity(const snapshot *s, const uint8_t target_secret[32],
                                    berth_keypair *out, bool *found, envelope_fault *fault,
                                    berth_error *error);

/*
 * The parent hash with which the chain goes on after a restore. Known: that. Unknown at sequence 0:
 * of an empty payload, which is right. Unknown after that: of the state's bytes, as the reference
 * does; right only if the last output happened to be the state, so *guessed says that it should be
 * logged.
 */
uint64_t snapshot_next_parent(const snapshot *s, bool *guessed);

/* Whole seconds since it was made; 0 if that lies in the future. */
uint64_t snapshot_age_seconds(const snapshot *s, int64_t now_wall_ns);

#endif
