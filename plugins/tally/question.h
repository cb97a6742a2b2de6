/* SPDX-License-Identifier: Apache-2.0 */
/* question.h: events that start with '?': one line of JSON as the answer (README.md has the forms).
 */
#ifndef TALLY_QUESTION_H
#define TALLY_QUESTION_H

#include "berth/plugin.h"
#include "words.h"

/* Emits the answer. REJECT with a text for what is no question of ours or has an answer longer than
 * max_answer bytes; changes nothing in w. */
berth_code question_answer(const words *w, berth_call *call, berth_bytes text, uint64_t max_answer);

static inline bool tally_is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
