/* SPDX-License-Identifier: Apache-2.0 */
#include "words.h"

#include <stdlib.h>
#include <string.h>

/*
 * A place is block << 24 | offset. An entry is its count (8 bytes), its length as a varint, its
 * bytes. Blocks have 1 MiB, except the first, which is small (most daemons see few words), and
 * those that hold one word that is longer.
 */
enum {
    OFFSET_BITS = 24,
    FIRST_BLOCK = 4096,
    BLOCK = 1 << 20,
    ENTRY_HEAD = 8 + 5, /* at most */
    FIRST_CAP = 64,
    MOVES = 4, /* words moved per word added: more than the 1.5 that would be just enough */
};
#define PLACE_MASK ((UINT64_C(1) << 48) - 1)

static uint64_t load64(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = n; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012): the variant meant for hash tables. */
static uint64_t hash_of(const uint64_t key[2], const uint8_t *text, uint64_t len)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t left = len, m;

    for (; left >= 8; left -= 8, text += 8) {
        m = load64(text, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = len << 56 | load64(text, (unsigned)left);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

unsigned words_varint_size(uint64_t value)
{
    unsigned n = 1;
    while (value >>= 7)
        n++;
    return n;
}

/* ---- The arena ---- */

static uint8_t *entry_at(const words *w, uint64_t place)
{
    return w->blocks[place >> OFFSET_BITS].bytes + (place & ((1u << OFFSET_BITS) - 1));
}

static uint64_t entry_count(const uint8_t *entry)
{
    uint64_t count;
    memcpy(&count, entry, sizeof count);
    return count;
}

static const uint8_t *entry_text(const uint8_t *entry, uint64_t *len)
{
    const uint8_t *p = entry + 8;
    unsigned shift = 0;

    for (*len = 0; *p & 0x80; shift += 7)
        *len |= (uint64_t)(*p++ & 0x7f) << shift;
    *len |= (uint64_t)*p++ << shift;
    return p;
}

/* Room for an entry in the last block, which may be a new one. */
static bool reserve_entry(words *w, uint64_t size)
{
    words_block *last = w->block_count ? &w->blocks[w->block_count - 1] : NULL;
    uint64_t want = w->block_count ? BLOCK : FIRST_BLOCK;

    if (last && size <= last->size - last->used)
        return true;
    if (w->block_count == w->block_cap) {
        uint64_t cap = w->block_cap ? w->block_cap * 2 : 4;
        words_block *grown = realloc(w->blocks, cap * sizeof *grown);
        if (!grown)
            return false;
        w->blocks = grown;
        w->block_cap = cap;
    }
    if (size > want)
        want = size;
    uint8_t *bytes = malloc(want);
    if (!bytes)
        return false;
    w->blocks[w->block_count++] = (words_block){bytes, (uint32_t)want, 0};
    return true;
}

/* After reserve_entry. */
static uint64_t append_entry(words *w, const void *text, uint64_t len)
{
    words_block *block = &w->blocks[w->block_count - 1];
    uint64_t place = (w->block_count - 1) << OFFSET_BITS | block->used;
    uint8_t *p = block->bytes + block->used;
    uint64_t rest = len;

    memset(p, 0, 8);
    p += 8;
    for (; rest >= 0x80; rest >>= 7)
        *p++ = (uint8_t)(rest | 0x80);
    *p++ = (uint8_t)rest;
    memcpy(p, text, len);
    block->used = (uint32_t)(p + len - block->bytes);
    w->stored++;
    return place;
}

/* The place behind an entry; w->block_count << OFFSET_BITS when it is the last one. */
static uint64_t entry_behind(const words *w, uint64_t place)
{
    uint64_t block = place >> OFFSET_BITS, len;
    const uint8_t *text = entry_text(entry_at(w, place), &len);
    uint64_t offset = (uint64_t)(text + len - w->blocks[block].bytes);

    return offset < w->blocks[block].used ? block << OFFSET_BITS | offset
                                          : (block + 1) << OFFSET_BITS;
}

/* ---- The table ---- */

static bool table_init(words_table *t, uint64_t cap)
{
    t->slots = calloc(cap, sizeof *t->slots);
    if (!t->slots)
        return false;
    t->cap = cap;
    return true;
}

/* The slot of the word, or the free one where it would go. */
static uint64_t *table_slot(const words *w, const words_table *t, uint64_t hash, const void *text,
                            uint64_t len)
{
    uint64_t tag = hash >> 48;

    for (uint64_t i = hash;; i++) {
        uint64_t *slot = &t->slots[i & (t->cap - 1)];
        if (*slot == 0)
            return slot;
        if (*slot >> 48 == tag) {
            uint64_t l;
            const uint8_t *have = entry_text(entry_at(w, (*slot & PLACE_MASK) - 1), &l);
            if (l == len && memcmp(have, text, len) == 0)
                return slot;
        }
    }
}

/* A word that is not in the table yet. */
static void table_insert(words_table *t, uint64_t hash, uint64_t place)
{
    uint64_t i = hash;
    while (t->slots[i & (t->cap - 1)] != 0)
        i++;
    t->slots[i & (t->cap - 1)] = (hash >> 48) << 48 | (place + 1);
}

static void move_some(words *w)
{
    for (int i = 0; i < MOVES && w->old.cap; i++) {
        if (w->move_place >> OFFSET_BITS < w->block_count) {
            uint64_t len;
            const uint8_t *text = entry_text(entry_at(w, w->move_place), &len);
            uint64_t hash = hash_of(w->key, text, len);
            uint64_t *slot = table_slot(w, &w->table, hash, text, len);
            /* Words that came since the growth began are there already. */
            if (*slot == 0)
                *slot = (hash >> 48) << 48 | (w->move_place + 1);
            w->move_place = entry_behind(w, w->move_place);
        }
        if (w->move_place >> OFFSET_BITS >= w->block_count) {
            free(w->old.slots);
            w->old = (words_table){NULL, 0};
        }
    }
}

/* Make room for one more word. */
static bool reserve_slot(words *w)
{
    words_table bigger;

    if (w->table.cap && w->stored < w->table.cap / 4 * 3)
        return true;
    /* MOVES sees to it that the last growth has ended long ago. */
    if (!table_init(&bigger, w->table.cap ? w->table.cap * 2 : FIRST_CAP))
        return false;
    w->old = w->table;
    w->table = bigger;
    w->move_place = 0;
    return true;
}

static uint8_t *find(const words *w, uint64_t hash, const void *text, uint64_t len)
{
    const words_table *tables[] = {&w->table, &w->old};

    for (int i = 0; i < 2; i++) {
        if (tables[i]->cap) {
            uint64_t slot = *table_slot(w, tables[i], hash, text, len);
            if (slot)
                return entry_at(w, (slot & PLACE_MASK) - 1);
        }
    }
    return NULL;
}

/* ---- Words ---- */

void words_init(words *w, const uint64_t key[2])
{
    memset(w, 0, sizeof *w);
    w->key[0] = key[0];
    w->key[1] = key[1];
}

void words_free(words *w)
{
    for (uint64_t i = 0; i < w->block_count; i++)
        free(w->blocks[i].bytes);
    free(w->blocks);
    free(w->table.slots);
    free(w->old.slots);
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t entry_size(uint64_t len, uint64_t count)
{
    return count ? words_varint_size(len) + len + words_varint_size(count) : 0;
}

static void set_count(words *w, uint8_t *entry, uint64_t len, uint64_t count)
{
    uint64_t before = entry_count(entry);

    /* Sizes change where a varint grows; everywhere else the sum stays as it is. */
    if (before == 0 || count == 0 || ((before ^ count) >> 7) != 0) {
        w->text_bytes += entry_size(len, count) - entry_size(len, before);
        w->distinct += (count != 0) - (uint64_t)(before != 0);
    }
    memcpy(entry, &count, sizeof count);
}

bool words_add(words *w, const void *text, uint64_t len, uint64_t count)
{
    uint64_t hash = hash_of(w->key, text, len);
    uint8_t *entry = find(w, hash, text, len);

    if (!entry) {
        /* In this order: an empty block at the end would be taken for a word. */
        if (!reserve_slot(w) || !reserve_entry(w, ENTRY_HEAD + len))
            return false;
        uint64_t place = append_entry(w, text, len);
        table_insert(&w->table, hash, place);
        move_some(w);
        entry = entry_at(w, place);
    }
    set_count(w, entry, len, add_saturating(entry_count(entry), count));
    w->total = add_saturating(w->total, count);
    return true;
}

void words_undo(words *w, const void *text, uint64_t len)
{
    uint8_t *entry = find(w, hash_of(w->key, text, len), text, len);
    uint64_t count = entry ? entry_count(entry) : 0;

    if (count == 0)
        return;
    if (count != UINT64_MAX)
        set_count(w, entry, len, count - 1);
    if (w->total != UINT64_MAX)
        w->total--;
}

uint64_t words_count(const words *w, const void *text, uint64_t len)
{
    const uint8_t *entry = len ? find(w, hash_of(w->key, text, len), text, len) : NULL;
    return entry ? entry_count(entry) : 0;
}

/* The first word with a count at this place or behind it. */
static uint64_t skip_ghosts(const words *w, uint64_t place)
{
    while (place >> OFFSET_BITS < w->block_count) {
        if (entry_count(entry_at(w, place)) != 0)
            return place;
        place = entry_behind(w, place);
    }
    return WORDS_END;
}

uint64_t words_first(const words *w)
{
    return skip_ghosts(w, 0);
}

uint64_t words_next(const words *w, uint64_t place)
{
    return skip_ghosts(w, entry_behind(w, place));
}

word words_at(const words *w, uint64_t place)
{
    const uint8_t *entry = entry_at(w, place);
    word found;

    found.count = entry_count(entry);
    found.text = entry_text(entry, &found.len);
    return found;
}
