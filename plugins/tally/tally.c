/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally: counts the words of the texts it gets, and answers questions about them (README.md).
 *
 * State, version 1: total u64, distinct u64, then each word in byte order as a blob with its count
 * as a varint. There is one encoding of each state, and nothing else is accepted.
 */
#include "berth/plugin.h"

#include "question.h"
#include "sort.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

enum { STATE_VERSION = 1, STATE_HEAD = 16 };
/* A word in a state is at least its length, one byte, and its count. */
enum { STATE_WORD_MIN = 3 };
#define WORD_MAX (UINT32_MAX - 64)

typedef struct tally {
    words words;
    uint64_t max_state;
    uint64_t max_answer;
} tally;

/* ---- Life ---- */

static bool has_space(berth_bytes text)
{
    const uint8_t *p = text.ptr;
    for (uint64_t i = 0; i < text.len; i++) {
        if (tally_is_space(p[i]))
            return true;
    }
    return false;
}

static int compare(berth_bytes a, berth_bytes b)
{
    uint64_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static berth_code damaged(berth_call *call, const char *how)
{
    return berth_fail(call, BERTH_E_STATE, how);
}

static berth_code read_state(words *w, berth_call *call, berth_bytes from)
{
    berth_reader state = berth_reader_of(from);
    uint64_t total = berth_read_u64(&state);
    uint64_t distinct = berth_read_u64(&state);
    berth_bytes last = berth_nothing();

    if (!berth_reader_ok(&state) || distinct > berth_reader_left(&state) / STATE_WORD_MIN)
        return damaged(call, "the state is cut off");
    for (uint64_t i = 0; i < distinct; i++) {
        berth_bytes text = berth_read_blob(&state);
        uint64_t count = berth_read_varint(&state);
        if (!berth_reader_ok(&state))
            return damaged(call, "the state is cut off");
        if (text.len == 0 || text.len > WORD_MAX || has_space(text))
            return damaged(call, "the state has a word that is none");
        if (count == 0)
            return damaged(call, "the state has a word without a count");
        if (i > 0 && compare(last, text) >= 0)
            return damaged(call, "the state has words out of order");
        if (!words_add(w, text.ptr, text.len, count))
            return BERTH_E_MEMORY;
        last = text;
    }
    if (!berth_reader_done(&state))
        return damaged(call, "the state has bytes left over");
    if (w->total != total)
        return damaged(call, "the total of the state is not the sum of its counts");
    return BERTH_OK;
}

static berth_code tally_create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_random random = berth_random_from(birth->seed);
    uint64_t key[2];
    berth_code code = BERTH_OK;
    tally *t;

    if (birth->state.ptr && birth->state_version != STATE_VERSION)
        return berth_fail(call, BERTH_E_VERSION, "tally reads state version 1 only");
    t = malloc(sizeof *t);
    if (!t)
        return BERTH_E_MEMORY;
    key[0] = berth_random_u64(&random);
    key[1] = berth_random_u64(&random);
    words_init(&t->words, key);
    t->max_state = birth->max_state;
    t->max_answer = birth->max_output_bytes;
    if (birth->state.ptr)
        code = read_state(&t->words, call, birth->state);
    if (code != BERTH_OK) {
        words_free(&t->words);
        free(t);
        return code;
    }
    *self = t;
    return BERTH_OK;
}

static void tally_destroy(void *self, berth_call *call)
{
    tally *t = self;

    (void)call;
    words_free(&t->words);
    free(t);
}

/* ---- Events ---- */

/* The next word at or after *at, which moves behind it; false at the end. */
static bool next_word(const uint8_t **at, const uint8_t *end, berth_bytes *found)
{
    const uint8_t *p = *at;
    const uint8_t *begin;

    while (p < end && tally_is_space(*p))
        p++;
    begin = p;
    while (p < end && !tally_is_space(*p))
        p++;
    *at = p;
    *found = berth_bytes_of(begin, (uint64_t)(p - begin));
    return p > begin;
}

static uint64_t state_size(const tally *t)
{
    return STATE_HEAD + t->words.text_bytes;
}

static berth_code count_words(tally *t, berth_call *call, berth_bytes text)
{
    const uint8_t *begin = text.ptr;
    const uint8_t *end = begin + text.len;
    const uint8_t *at = begin;
    berth_code code = BERTH_OK;
    uint64_t added = 0;
    berth_bytes found;

    while (next_word(&at, end, &found)) {
        if (found.len > WORD_MAX)
            code = berth_fail(call, BERTH_E_REJECT, "a word is longer than 4 GiB");
        else if (!words_add(&t->words, found.ptr, found.len, 1))
            code = BERTH_E_MEMORY;
        else
            added++;
        if (code != BERTH_OK)
            break;
    }
    if (code == BERTH_OK && state_size(t) > t->max_state)
        code = berth_fail(call, BERTH_E_REJECT, "the words would no longer fit into a snapshot");
    if (code == BERTH_OK)
        return BERTH_OK;

    /* Refused: the state is to be as before. */
    for (at = begin; added > 0 && next_word(&at, end, &found); added--)
        words_undo(&t->words, found.ptr, found.len);
    return code;
}

static berth_code tally_process(void *self, berth_call *call, const berth_event *event)
{
    tally *t = self;

    if (event->data.len == 0)
        return BERTH_OK;
    if (*(const uint8_t *)event->data.ptr == '?')
        return question_answer(&t->words, call, event->data, t->max_answer);
    return count_words(t, call, event->data);
}

/* ---- State and status ---- */

static berth_code tally_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const tally *t = self;
    const words *w = &t->words;
    berth_writer state;

    if (want_version != STATE_VERSION)
        return BERTH_E_VERSION;
    sort_item *items = sort_by_bytes(w);
    if (!items && w->distinct)
        return BERTH_E_MEMORY;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, w->total);
    berth_write_u64(&state, w->distinct);
    for (uint64_t i = 0; i < w->distinct && state.code == BERTH_OK; i++) {
        word found = words_at(w, items[i].place);
        berth_write_blob(&state, berth_bytes_of(found.text, found.len));
        berth_write_varint(&state, found.count);
    }
    free(items);
    return berth_writer_end(&state);
}

static berth_code tally_status(void *self, berth_call *call, berth_daemon_status *out)
{
    const tally *t = self;
    uint64_t size = state_size(t);

    (void)call;
    out->health = BERTH_HEALTHY;
    out->state_bytes = size;
    if (t->max_state)
        out->saturation_ppm =
            size < t->max_state ? (uint32_t)((double)size / (double)t->max_state * 1e6) : 1000000;
    return BERTH_OK;
}

static const berth_kind tally_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("tally"),
    .create = tally_create,
    .destroy = tally_destroy,
    .process = tally_process,
    .snapshot = tally_snapshot,
    .status = tally_status,
};

static const berth_kind *const tally_kinds[] = {&tally_kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = tally_kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
