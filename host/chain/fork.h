/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/fork.h: a daemon that begins as a copy of another one: own identity, own chain, and a
 * beginning that says where it comes from. Any thread; nothing blocks.
 */
#ifndef CHAIN_FORK_H
#define CHAIN_FORK_H

#include "berth/identity.h"
#include "chain/chain.h"

#define FORK_RECORD_SIZE 65

typedef struct fork_record {
    uint64_t original;  /* origin that was forked */
    uint64_t forked;    /* origin of the fork */
    uint64_t sequence;  /* of the original, at which it was forked */
    berth_link genesis; /* the fork's first link: sequence 0, parent is the sentinel */
    bool has_snapshot;
    uint64_t snapshot_sequence; /* the state that the fork began with; 0 without */
} fork_record;

/* What the first link of a fork has as its parent. */
uint64_t fork_sentinel(uint64_t original, uint64_t sequence);

/* The record for a fork of `original` at `sequence` with the identity `forked`. INVALID when the
 * two are the same. snapshot_sequence NULL: none. */
berth_status fork_record_make(fork_record *out, uint64_t original, uint64_t sequence,
                              uint64_t forked, const uint64_t *snapshot_sequence,
                              berth_error *error);

/* A whole fork with a fresh identity, which is the caller's to wipe. */
void fork_entity(uint64_t original, uint64_t sequence, const uint64_t *snapshot_sequence,
                 berth_keypair *key, chain *c, fork_record *record);

void fork_record_encode(uint8_t out[FORK_RECORD_SIZE], const fork_record *record);

/* CORRUPT, with *out zeroed, unless length, sentinel, origins and flag are all as they must be. */
berth_status fork_record_decode(fork_record *out, slice bytes, berth_error *error);

#endif
