/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "base/cursor.h"
#include "base/random.h"

#include <sodium.h>
#include <stdlib.h>

static bool is_tail(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

size_t utf8_length(slice text)
{
    const uint8_t *p = text.ptr;
    size_t n;

    if (!text.len)
        return 0;
    if (p[0] < 0x80)
        return 1;
    n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || text.len < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if (!is_tail(p[i]))
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0)     /* overlong */
        || (p[0] == 0xED && p[1] > 0x9F)  /* surrogate */
        || (p[0] == 0xF0 && p[1] < 0x90)  /* overlong */
        || (p[0] == 0xF4 && p[1] > 0x8F)) /* beyond the last plane */
        return 0;
    return n;
}

bool utf8_valid(slice text)
{
    while (text.len) {
        size_t n = utf8_length(text);

        if (!n)
            return false;
        text.ptr += n;
        text.len -= n;
    }
    return true;
}

char *hex_encode(char *out, slice bytes)
{
    if (!bytes.len) {
        out[0] = 0;
        return out;
    }
    return sodium_bin2hex(out, 2 * bytes.len + 1, bytes.ptr, bytes.len);
}

bool hex_decode(void *out, size_t n, slice text)
{
    size_t got = 0;
    const char *end = NULL;

    if (text.len == 2 * n && (n == 0 || (sodium_hex2bin(out, n, (const char *)text.ptr, text.len,
                                                        NULL, &got, &end) == 0 &&
                                         got == n && end == (const char *)text.ptr + text.len)))
        return true;
    if (n)
        memset(out, 0, n);
    return false;
}

char *id_encode(char out[ID_TEXT], uint64_t id)
{
    uint8_t raw[8];

    for (int i = 0; i < 8; i++)
        raw[i] = (uint8_t)(id >> (56 - 8 * i));
    return hex_encode(out, slice_of(raw, sizeof raw));
}

bool id_decode(uint64_t *id, slice text)
{
    uint8_t raw[8];
    uint64_t v = 0;

    if (!hex_decode(raw, sizeof raw, text))
        return false;
    for (int i = 0; i < 8; i++)
        v = v << 8 | raw[i];
    *id = v;
    return true;
}

char *base64_encode(slice bytes)
{
    size_t cap;
    char *out;

    if (bytes.len > SIZE_MAX / 4 * 3 - 8)
        return NULL;
    cap = sodium_base64_ENCODED_LEN(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    out = malloc(cap);
    if (!out)
        return NULL;
    sodium_bin2base64(out, cap, bytes.ptr ? bytes.ptr : (const uint8_t *)"", bytes.len,
                      sodium_base64_VARIANT_ORIGINAL);
    return out;
}

bool base64_decode(slice text, uint8_t **out, size_t *len)
{
    size_t cap = text.len / 4 * 3 + 3;
    const char *end = NULL;
    uint8_t *raw = malloc(cap);

    *out = NULL;
    *len = 0;
    if (!raw)
        return false;
    if (text.len % 4 != 0 ||
        (text.len && (sodium_base642bin(raw, cap, (const char *)text.ptr, text.len, NULL, len, &end,
                                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
                      end != (const char *)text.ptr + text.len))) {
        free(raw);
        *len = 0;
        return false;
    }
    *out = raw;
    return true;
}
