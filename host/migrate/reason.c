/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate/reason.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct reason_row {
    const char *word, *text;
    berth_status status;
} reason_row;

static const reason_row rows[] = {
#define MOVE_REASON_ROW(name, code, word, text, status) [code] = {word, text, BERTH_ERR_##status},
    MOVE_REASONS(MOVE_REASON_ROW)
#undef MOVE_REASON_ROW
};
_Static_assert(sizeof rows / sizeof *rows == MOVE_REASON_COUNT, "codes without a gap");

static const char *const phase_words[] = {
#define MOVE_PHASE_WORD(name, word, percent) word,
    MOVE_PHASES(MOVE_PHASE_WORD)
#undef MOVE_PHASE_WORD
};

static const uint8_t phase_percents[] = {
#define MOVE_PHASE_PERCENT(name, word, percent) percent,
    MOVE_PHASES(MOVE_PHASE_PERCENT)
#undef MOVE_PHASE_PERCENT
};

bool move_reason_known(uint16_t code)
{
    return code < sizeof rows / sizeof *rows && rows[code].word;
}

const char *move_reason_word(move_reason reason)
{
    return move_reason_known((uint16_t)reason) ? rows[reason].word : NULL;
}

const char *move_reason_text(move_reason reason)
{
    return move_reason_known((uint16_t)reason) ? rows[reason].text : NULL;
}

berth_status move_reason_status(move_reason reason)
{
    return move_reason_known((uint16_t)reason) ? rows[reason].status : BERTH_ERR_INTERNAL;
}

bool move_reason_retriable(move_reason reason)
{
    return reason == MOVE_NOT_READY;
}

const char *move_phase_word(move_phase phase)
{
    return (unsigned)phase < MOVE_PHASE_COUNT ? phase_words[phase] : NULL;
}

unsigned move_phase_percent(move_phase phase)
{
    return (unsigned)phase < MOVE_PHASE_COUNT ? phase_percents[phase] : 0;
}

void move_text_cut(char out[MOVE_TEXT_MAX + 1], slice text)
{
    size_t len = 0, next;

    /* At a character's end, and before what is no text. */
    while (len < text.len && text.ptr[len] &&
           (next = utf8_length(slice_of(text.ptr + len, text.len - len))) != 0 &&
           len + next <= MOVE_TEXT_MAX)
        len += next;
    if (len)
        memcpy(out, text.ptr, len);
    out[len] = 0;
}

void move_failed(move_outcome *out, move_reason reason, const char *format, ...)
{
    char text[2 * MOVE_TEXT_MAX];
    va_list args;

    *out = (move_outcome){.reason = reason};
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    move_text_cut(out->text, slice_str(text));
}
