/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pass over the text before json-c sees it. json-c takes several things that are not JSON, lets
 * the last of two equal keys win, and clamps numbers; what passes here means the same to every
 * reader.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 512

struct key {
    slice name;        /* escapes resolved */
    const uint8_t *at; /* where it stands in the text */
};

struct scan {
    const uint8_t *start, *at, *end;
    int depth;
    struct key *keys; /* a stack: the keys of all objects that are open */
    size_t key_count, key_cap;
    uint8_t *names, *names_end; /* resolved names; never longer than the text itself */
    berth_error *error;
};

static berth_status value(struct scan *s);

/* An error at a place, with its line and column (in characters of one byte, from 1). */
static berth_status fail_at(struct scan *s, const uint8_t *at, berth_status code, const char *what)
{
    size_t line = 1, column = 1;

    for (const uint8_t *p = s->start; p < at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return fail(s->error, code, "JSON line %zu, column %zu: %s", line, column, what);
}

static berth_status invalid(struct scan *s, const char *what)
{
    return fail_at(s, s->at, BERTH_ERR_INVALID, s->at == s->end ? "the text ends too early" : what);
}

static void space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* The next byte if it is `byte`. */
static bool take(struct scan *s, char byte)
{
    if (s->at < s->end && *s->at == (uint8_t)byte) {
        s->at++;
        return true;
    }
    return false;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* \uXXXX, after the u; UINT32_MAX if these are not four hex digits. */
static uint32_t unicode_unit(struct scan *s)
{
    uint8_t raw[2];

    if (s->end - s->at < 4 || !hex_decode(raw, 2, slice_of(s->at, 4)))
        return UINT32_MAX;
    s->at += 4;
    return (uint32_t)raw[0] << 8 | raw[1];
}

static size_t put_utf8(uint8_t *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xC0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xE0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (point & 0x3F));
    return 4;
}

/* After a backslash. Appends the character to out, if there is one. */
static berth_status escape(struct scan *s, uint8_t **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *start = s->at - 1;
    uint32_t point, low;
    const char *known;

    if (take(s, 'u')) {
        point = unicode_unit(s);
        if (point >= 0xD800 && point < 0xDC00 && take(s, '\\') && take(s, 'u')) {
            low = unicode_unit(s);
            if (low >= 0xDC00 && low < 0xE000)
                point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        }
        if (point == UINT32_MAX)
            return fail_at(s, start, BERTH_ERR_INVALID, "\\u needs four hex digits");
        if (point >= 0xD800 && point < 0xE000)
            return fail_at(s, start, BERTH_ERR_INVALID, "half a surrogate pair");
        if (out)
            *out += put_utf8(*out, point);
        return BERTH_OK;
    }
    known = s->at < s->end && *s->at ? strchr(from, *s->at) : NULL;
    if (!known)
        return invalid(s, "an unknown escape");
    s->at++;
    if (out)
        *(*out)++ = (uint8_t)to[known - from];
    return BERTH_OK;
}

/* A string, after its opening quote. With name, its resolved bytes. */
static berth_status string(struct scan *s, slice *name)
{
    uint8_t *first = s->names_end, **out = name ? &s->names_end : NULL;
    berth_status status;
    size_t n;

    while (!take(s, '"')) {
        if (s->at < s->end && *s->at < 0x20)
            return invalid(s, "a control character in a string: write it as an escape");
        if (take(s, '\\')) {
            status = escape(s, out);
            if (status)
                return status;
            continue;
        }
        n = utf8_length(slice_of(s->at, (size_t)(s->end - s->at)));
        if (!n)
            return invalid(s, "not UTF-8");
        if (out) {
            memcpy(*out, s->at, n);
            *out += n;
        }
        s->at += n;
    }
    if (name)
        *name = slice_of(first, (size_t)(s->names_end - first));
    return BERTH_OK;
}

/* json-c would clamp an integer and turn a large double into infinity. */
static bool holds(const char *text, bool integer)
{
    errno = 0;
    if (integer && text[0] == '-')
        (void)strtoll(text, NULL, 10);
    else if (integer)
        (void)strtoull(text, NULL, 10);
    else
        return isfinite(strtod(text, NULL));
    return errno != ERANGE;
}

static berth_status number(struct scan *s)
{
    const uint8_t *start = s->at;
    char text[NUMBER_MAX];
    bool integer = true;
    size_t len;

    take(s, '-');
    if (!take(s, '0')) {
        if (!is_digit(s))
            return invalid(s, "expected a value");
        while (is_digit(s))
            s->at++;
    }
    if (take(s, '.')) {
        integer = false;
        if (!is_digit(s))
            return invalid(s, "a fraction needs digits");
        while (is_digit(s))
            s->at++;
    }
    if (take(s, 'e') || take(s, 'E')) {
        integer = false;
        if (!take(s, '+'))
            take(s, '-');
        if (!is_digit(s))
            return invalid(s, "an exponent needs digits");
        while (is_digit(s))
            s->at++;
    }
    len = (size_t)(s->at - start);
    if (len >= sizeof text)
        return fail_at(s, start, BERTH_ERR_INVALID, "a number of too many digits");
    memcpy(text, start, len);
    text[len] = 0;
    if (!holds(text, integer))
        return fail_at(s, start, BERTH_ERR_INVALID, "a number that does not fit in 64 bits");
    return BERTH_OK;
}

static berth_status word(struct scan *s, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, text, n) != 0)
        return invalid(s, "expected a value");
    s->at += n;
    return BERTH_OK;
}

static berth_status push_key(struct scan *s, struct key key)
{
    if (s->key_count == s->key_cap) {
        size_t cap = s->key_cap ? 2 * s->key_cap : 32;
        struct key *keys = realloc(s->keys, cap * sizeof *keys);

        if (!keys)
            return fail(s->error, BERTH_ERR_NO_MEMORY, "JSON: out of memory");
        s->keys = keys;
        s->key_cap = cap;
    }
    s->keys[s->key_count++] = key;
    return BERTH_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = n ? memcmp(x->name.ptr, y->name.ptr, n) : 0;

    if (order == 0)
        order = (x->name.len > y->name.len) - (x->name.len < y->name.len);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* The keys of one object, from index first on, are pairwise different; then they are forgotten. */
static berth_status close_keys(struct scan *s, size_t first)
{
    struct key *keys = s->keys + first;
    size_t count = s->key_count - first;
    char what[200], name[128];

    s->key_count = first;
    if (count < 2)
        return BERTH_OK;
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (!slice_eq(keys[i - 1].name, keys[i].name))
            continue;
        text_escape(name, sizeof name, (const char *)keys[i].name.ptr, keys[i].name.len);
        snprintf(what, sizeof what, "the key \"%s\" is there twice", name);
        return fail_at(s, keys[i].at, BERTH_ERR_INVALID, what);
    }
    return BERTH_OK;
}

static berth_status object(struct scan *s)
{
    size_t first = s->key_count;
    struct key key = {0};
    berth_status status;

    space(s);
    if (take(s, '}'))
        return BERTH_OK;
    do {
        space(s);
        key.at = s->at;
        if (!take(s, '"'))
            return invalid(s, "expected a key in double quotes");
        status = string(s, &key.name);
        if (status)
            return status;
        if (key.name.len && memchr(key.name.ptr, 0, key.name.len))
            return fail_at(s, key.at, BERTH_ERR_INVALID, "a key with a zero byte");
        status = push_key(s, key);
        if (status)
            return status;
        space(s);
        if (!take(s, ':'))
            return invalid(s, "expected ':' after the key");
        status = value(s);
        if (status)
            return status;
        space(s);
    } while (take(s, ','));
    if (!take(s, '}'))
        return invalid(s, "expected ',' or '}'");
    return close_keys(s, first);
}

static berth_status array(struct scan *s)
{
    berth_status status;

    space(s);
    if (take(s, ']'))
        return BERTH_OK;
    do {
        status = value(s);
        if (status)
            return status;
        space(s);
    } while (take(s, ','));
    return take(s, ']') ? BERTH_OK : invalid(s, "expected ',' or ']'");
}

static berth_status value(struct scan *s)
{
    berth_status status;

    space(s);
    if (s->at == s->end)
        return invalid(s, "expected a value");
    switch (*s->at) {
    case '{':
    case '[':
        if (s->depth == JSON_MAX_DEPTH)
            return fail_at(s, s->at, BERTH_ERR_LIMIT, "nested too deeply");
        s->depth++;
        status = *s->at++ == '{' ? object(s) : array(s);
        s->depth--;
        return status;
    case '"':
        s->at++;
        return string(s, NULL);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    default:
        return number(s);
    }
}

berth_status json_scan(slice text, size_t max_bytes, berth_error *error)
{
    struct scan s = {.start = text.ptr, .at = text.ptr, .end = text.ptr + text.len, .error = error};
    berth_status status;

    if (text.len > max_bytes)
        return fail(error, BERTH_ERR_LIMIT, "JSON: %zu bytes, at most %zu are allowed", text.len,
                    max_bytes);
    if (!text.len)
        return fail(error, BERTH_ERR_INVALID, "JSON: the text is empty");
    s.names = s.names_end = malloc(text.len);
    if (!s.names)
        return fail(error, BERTH_ERR_NO_MEMORY, "JSON: out of memory");
    status = value(&s);
    space(&s);
    if (!status && s.at != s.end)
        status = invalid(&s, "something follows the end of the document");
    free(s.names);
    free(s.keys);
    return status;
}
