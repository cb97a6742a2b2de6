/* SPDX-License-Identifier: Apache-2.0 */
#include "question.h"
#include "sort.h"

#include <stdlib.h>
#include <string.h>

/* ---- JSON into a buffer, or, with at NULL, only its length ---- */

typedef struct json {
    uint8_t *at;
    uint64_t len;
} json;

static void put(json *j, const void *ptr, uint64_t len)
{
    if (j->at)
        memcpy(j->at + j->len, ptr, len);
    j->len += len;
}

static void put_str(json *j, const char *text)
{
    put(j, text, strlen(text));
}

static void put_u64(json *j, uint64_t value)
{
    char digits[20];
    char *at = digits + sizeof digits;

    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    put(j, at, (uint64_t)(digits + sizeof digits - at));
}

/* Well-formed UTF-8 as in table 3-7 of the Unicode standard: nothing overlong, no surrogates. */
static bool is_utf8(const uint8_t *p, uint64_t len)
{
    const uint8_t *end = p + len;

    while (p < end) {
        uint8_t lead = *p++;
        uint8_t low = 0x80, high = 0xbf;
        int more;

        if (lead < 0x80)
            continue;
        if (lead >= 0xc2 && lead <= 0xdf)
            more = 1;
        else if (lead >= 0xe0 && lead <= 0xef)
            more = 2;
        else if (lead >= 0xf0 && lead <= 0xf4)
            more = 3;
        else
            return false;
        if (lead == 0xe0)
            low = 0xa0;
        else if (lead == 0xed)
            high = 0x9f;
        else if (lead == 0xf0)
            low = 0x90;
        else if (lead == 0xf4)
            high = 0x8f;
        for (; more > 0; more--, low = 0x80, high = 0xbf) {
            if (p == end || *p < low || *p > high)
                return false;
            p++;
        }
    }
    return true;
}

static void put_escaped(json *j, const uint8_t *text, uint64_t len)
{
    static const char hex[] = "0123456789abcdef";

    for (uint64_t i = 0; i < len; i++) {
        uint8_t c = text[i];
        if (c == '"' || c == '\\') {
            char pair[2] = {'\\', (char)c};
            put(j, pair, 2);
        } else if (c < 0x20) {
            char code[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            put(j, code, 6);
        } else {
            put(j, &text[i], 1);
        }
    }
}

static void put_base64(json *j, const uint8_t *text, uint64_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (uint64_t i = 0; i < len; i += 3) {
        uint64_t n = len - i;
        uint32_t b = (uint32_t)text[i] << 16;
        if (n > 1)
            b |= (uint32_t)text[i + 1] << 8;
        if (n > 2)
            b |= text[i + 2];
        char four[4] = {digits[b >> 18], digits[b >> 12 & 63], n > 1 ? digits[b >> 6 & 63] : '=',
                        n > 2 ? digits[b & 63] : '='};
        put(j, four, 4);
    }
}

static void put_word(json *j, const uint8_t *text, uint64_t len, uint64_t count)
{
    if (is_utf8(text, len)) {
        put_str(j, "{\"word\":\"");
        put_escaped(j, text, len);
    } else {
        put_str(j, "{\"base64\":\"");
        put_base64(j, text, len);
    }
    put_str(j, "\",\"count\":");
    put_u64(j, count);
    put_str(j, "}");
}

static void put_list(json *j, const words *w, const sort_item *items, uint64_t n)
{
    put_str(j, "[");
    for (uint64_t i = 0; i < n; i++) {
        word found = words_at(w, items[i].place);
        if (i > 0)
            put_str(j, ",");
        put_word(j, found.text, found.len, found.count);
    }
    put_str(j, "]");
}

/* ---- The questions ---- */

/* Memory of the host for the answer, or NULL with *code to return. */
static uint8_t *reserve_answer(berth_call *call, uint64_t len, uint64_t max_answer,
                               berth_code *code)
{
    uint8_t *room = len <= max_answer ? call->api->reserve(call, len) : NULL;
    if (!room)
        *code = berth_fail(call, BERTH_E_REJECT, "the answer is longer than an output may be");
    return room;
}

static berth_code answer_number(berth_call *call, const char *name, uint64_t value)
{
    uint8_t line[64];
    json j = {line, 0};

    put_str(&j, "{\"");
    put_str(&j, name);
    put_str(&j, "\":");
    put_u64(&j, value);
    put_str(&j, "}");
    return berth_emit(call, line, j.len);
}

static berth_code answer_count(const words *w, berth_call *call, berth_bytes what, uint64_t max)
{
    const uint8_t *text = what.ptr;
    uint64_t count;
    berth_code code;
    json j = {NULL, 0};

    for (uint64_t i = 0; i < what.len; i++) {
        if (tally_is_space(text[i]))
            return berth_fail(call, BERTH_E_REJECT, "?count takes one word");
    }
    count = words_count(w, text, what.len);
    put_word(&j, text, what.len, count);
    j.at = reserve_answer(call, j.len, max, &code);
    if (!j.at)
        return code;
    j.len = 0;
    put_word(&j, text, what.len, count);
    return call->api->commit(call, j.len);
}

static berth_code answer_top(const words *w, berth_call *call, berth_bytes what, uint64_t max)
{
    const uint8_t *digits = what.ptr;
    uint64_t n = 0, found;
    berth_code code;
    json j = {NULL, 0};

    for (uint64_t i = 0; i < what.len; i++) {
        uint64_t digit = (uint64_t)digits[i] - '0';
        if (digit > 9)
            return berth_fail(call, BERTH_E_REJECT, "?top takes a number, as in ?top 10");
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    sort_item *items = sort_most_frequent(w, n, &found);
    if (!items && n && w->distinct)
        return BERTH_E_MEMORY;
    put_list(&j, w, items, found);
    j.at = reserve_answer(call, j.len, max, &code);
    if (j.at) {
        j.len = 0;
        put_list(&j, w, items, found);
        code = call->api->commit(call, j.len);
    }
    free(items);
    return code;
}

/* If text starts with this word and white space: true, and what follows that. */
static bool takes(berth_bytes text, const char *name, berth_bytes *operand)
{
    uint64_t len = strlen(name);
    const uint8_t *p = text.ptr;

    if (text.len <= len || memcmp(p, name, len) != 0 || !tally_is_space(p[len]))
        return false;
    while (len < text.len && tally_is_space(p[len]))
        len++;
    *operand = berth_bytes_of(p + len, text.len - len);
    return true;
}

berth_code question_answer(const words *w, berth_call *call, berth_bytes text, uint64_t max_answer)
{
    berth_bytes operand;

    while (text.len && tally_is_space(((const uint8_t *)text.ptr)[text.len - 1]))
        text.len--;
    if (berth_bytes_equal(text, BERTH_LIT("?total")))
        return answer_number(call, "total", w->total);
    if (berth_bytes_equal(text, BERTH_LIT("?distinct")))
        return answer_number(call, "distinct", w->distinct);
    if (takes(text, "?count", &operand))
        return answer_count(w, call, operand, max_answer);
    if (takes(text, "?top", &operand))
        return answer_top(w, call, operand, max_answer);
    return berth_fail(call, BERTH_E_REJECT,
                      "unknown question; there are ?total, ?distinct, ?count WORD and ?top N");
}
