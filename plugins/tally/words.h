/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.h: how often each word was seen, for millions of distinct words.
 *
 * Words lie one after the other in an arena, each with its count; an open hash table of 8-byte
 * slots points into it. The hash is SipHash under a key of the daemon's own, so that nobody who
 * sends words can choose which of them collide. The table grows in small steps, a few words moving
 * with each new word, so that no single event pays for all of it. Nothing is ever removed: a word
 * whose count went back to 0 (words_undo) stays as a ghost and is skipped everywhere.
 *
 * One thread at a time. Counts are exact up to 2^64 - 1 and stay there.
 */
#ifndef TALLY_WORDS_H
#define TALLY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct words_table {
    uint64_t *slots; /* 16 bits of the hash, 48 bits of the word's place + 1; 0: free */
    uint64_t cap;    /* 0 or a power of two */
} words_table;

typedef struct words_block {
    uint8_t *bytes;
    uint32_t size, used;
} words_block;

typedef struct words {
    uint64_t key[2];
    uint64_t total;      /* of all counts; saturates */
    uint64_t distinct;   /* words whose count is not 0 */
    uint64_t text_bytes; /* what their entries take in a snapshot */
    uint64_t stored;     /* words in the arena, ghosts included */
    words_table table;
    words_table old;     /* the smaller table that words still move from; cap 0: none */
    uint64_t move_place; /* the next word to move: those before it are in table */
    words_block *blocks;
    uint64_t block_count, block_cap;
} words;

/* A word in the arena; text is valid until words_free. */
typedef struct word {
    const uint8_t *text;
    uint64_t len;
    uint64_t count;
} word;

/* The places of words: words_first, then words_next until it is WORDS_END. */
#define WORDS_END UINT64_MAX

/* The key only spreads words over the table; no result depends on it. */
void words_init(words *w, const uint64_t key[2]);
void words_free(words *w);

/* len is at least 1 and below 4 GiB. False, with nothing changed, when memory is short. */
bool words_add(words *w, const void *text, uint64_t len, uint64_t count);

/* Take back one words_add of count 1; the word must have been added. */
void words_undo(words *w, const void *text, uint64_t len);

/* 0 for a word never seen. */
uint64_t words_count(const words *w, const void *text, uint64_t len);

/* In the order in which words were first seen; without ghosts. */
uint64_t words_first(const words *w);
uint64_t words_next(const words *w, uint64_t place);
word words_at(const words *w, uint64_t place);

/* Bytes of a varint, as berth_write_varint writes it. */
unsigned words_varint_size(uint64_t value);

#endif
