/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/continuity.h: a daemon that cannot go on exactly where it stopped says so.
 *
 * After a crash without a journal the last outputs may be known to others and lost to us; using
 * their sequences again would make two histories. So the daemon raises its incarnation, leaves a
 * gap in the sequences, and signs a record: "my last link that I know of is this; I go on from that
 * one". Someone who checks the chain accepts ... last, [lost outputs], record, base + 1, ... and
 * knows of the loss.
 *
 * Record, 169 bytes: version u8 (1), entity 32, incarnation u64, last link 32, base link 32,
 * signature 64 by the entity over a domain tag and all before it. Any thread; nothing blocks.
 */
#ifndef CHAIN_CONTINUITY_H
#define CHAIN_CONTINUITY_H

#include "berth/identity.h"
#include "chain/chain.h"

#define DISCONTINUITY_SIZE 169

typedef struct discontinuity {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t incarnation; /* the new one, above 0 */
    berth_link last;      /* what the daemon knows of its chain */
    berth_link base; /* where it goes on: the next output follows this one, without a payload */
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} discontinuity;

/*
 * Make and sign the record of a new incarnation that goes on from base_sequence, which the caller
 * chose above every sequence that may have left. INVALID when it is not above last, when
 * incarnation is 0 or last is of another origin; READ_ONLY without a seed.
 */
berth_status discontinuity_make(discontinuity *out, const berth_keypair *key,
                                const berth_link *last, uint64_t incarnation,
                                uint64_t base_sequence, berth_error *error);

/* The base link alone: origin, horizon 0, the sequence, and as parent the XXH3 of origin, previous
 * sequence, incarnation and "discontinuity". */
void discontinuity_base(berth_link *out, uint64_t origin, uint64_t previous_sequence,
                        uint64_t incarnation, uint64_t base_sequence);

/* The chain of the new incarnation. */
void discontinuity_chain(chain *out, const discontinuity *record);

void discontinuity_encode(uint8_t out[DISCONTINUITY_SIZE], const discontinuity *record);

/* Form, base link and signature: CORRUPT, VERSION or SIGNATURE, with *out zeroed. */
berth_status discontinuity_decode(discontinuity *out, slice bytes, berth_error *error);

/* What someone who checks a chain remembers of it. */
typedef struct chain_verifier {
    uint8_t entity[BERTH_ENTITY_SIZE];
    chain seen; /* the head that was accepted last */
    uint64_t incarnation;
} chain_verifier;

/* From the beginning of the chain, incarnation 0; or set the members to go on from somewhere. */
void chain_verifier_init(chain_verifier *v, const uint8_t entity[BERTH_ENTITY_SIZE]);

/* The next output. CORRUPT with the fault, and nothing changed, when it does not follow. */
berth_status chain_verifier_event(chain_verifier *v, const berth_link *link, slice payload,
                                  berth_chain_fault *fault);

/*
 * A decoded record. Refused, with nothing changed: IDENTITY_MISMATCH for another entity, STALE for
 * an incarnation that is not above the present one, CORRUPT for a base at or below what was seen
 * already, or for a `last` that contradicts what was seen. *lost (may be NULL): outputs that were
 * seen here and that the daemon itself no longer knows.
 */
berth_status chain_verifier_discontinuity(chain_verifier *v, const discontinuity *record,
                                          uint64_t *lost, berth_error *error);

#endif
