/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/capability_tag.h"
#include "base/error.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const char *const reserved[] = {"causal:", "dataforts:", "fork-of:", "heat:", "scope:"};
static const char *const axes[] = {"hardware.", "software.", "devices.", "dataforts."};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Take prefix off the front of text. */
static bool skip(slice *text, const char *prefix)
{
    size_t n = strlen(prefix);

    if (text->len < n || memcmp(text->ptr, prefix, n) != 0)
        return false;
    *text = slice_of(text->ptr + n, text->len - n);
    return true;
}

/* The key and value of an axis tag: whichever separator stands first splits. */
static void split(tag_parts *t, slice rest)
{
    t->key = rest;
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] != '=' && rest.ptr[i] != ':')
            continue;
        t->separator = (char)rest.ptr[i];
        t->key = slice_of(rest.ptr, i);
        t->value = slice_of(rest.ptr + i + 1, rest.len - i - 1);
        return;
    }
}

berth_status tag_parse(tag_parts *out, slice text, berth_error *error)
{
    slice rest = text;

    *out = (tag_parts){.form = TAG_LEGACY, .key = text};
    if (!text.len)
        return fail(error, BERTH_ERR_INVALID, "tag: is empty");
    if (!utf8_valid(text))
        return fail(error, BERTH_ERR_INVALID, "tag: is not UTF-8");
    for (size_t i = 0; i < COUNT(reserved); i++) {
        if (!skip(&rest, reserved[i]))
            continue;
        out->form = TAG_RESERVED;
        out->prefix = slice_of(text.ptr, text.len - rest.len);
        out->key = rest;
        return BERTH_OK;
    }
    for (size_t i = 0; i < COUNT(axes); i++) {
        if (!skip(&rest, axes[i]))
            continue;
        out->form = TAG_AXIS;
        out->axis = (tag_axis)i;
        split(out, rest);
        return BERTH_OK;
    }
    return BERTH_OK;
}

bool tag_same(slice a, slice b)
{
    tag_parts x, y;

    if (slice_eq(a, b))
        return true;
    if (a.len != b.len || tag_parse(&x, a, NULL) || tag_parse(&y, b, NULL))
        return false;
    return x.form == TAG_AXIS && y.form == TAG_AXIS && x.axis == y.axis && x.separator &&
           y.separator && slice_eq(x.key, y.key) && slice_eq(x.value, y.value);
}

bool tag_value(slice text, tag_axis axis, const char *key, slice *value)
{
    tag_parts t = {0};

    if (!skip(&text, axes[axis]))
        return false;
    split(&t, text);
    if (!t.separator || !slice_eq(t.key, slice_str(key)))
        return false;
    *value = t.value;
    return true;
}

bool tag_is_number(slice value)
{
    size_t i = 0;

    while (i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9')
        i++;
    return i && i == value.len;
}

uint64_t tag_number(slice value)
{
    uint64_t n = 0;

    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned)value.ptr[i] - '0';

        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return 0;
        n = 10 * n + digit;
    }
    return n;
}

/* 16 hex digits off the front. */
static bool take_id(slice *text, uint64_t *id)
{
    if (text->len < 16 || !id_decode(id, slice_of(text->ptr, 16)))
        return false;
    *text = slice_of(text->ptr + 16, text->len - 16);
    return true;
}

bool tag_causal(slice text, uint64_t *chain)
{
    uint64_t id;

    if (!skip(&text, "causal:") || !take_id(&text, &id))
        return false;
    if (text.len && text.ptr[0] != ':' && text.ptr[0] != '[')
        return false;
    *chain = id;
    return true;
}

tag_heat tag_heat_of(slice text, uint64_t *chain)
{
    uint64_t id;

    if (!skip(&text, "heat:"))
        return TAG_HEAT_NONE;
    if (skip(&text, "blob:"))
        return TAG_HEAT_BLOB;
    if (!take_id(&text, &id) || !text.len || text.ptr[0] != '=')
        return TAG_HEAT_NONE;
    *chain = id;
    return TAG_HEAT_CHAIN;
}

char *tag_subprotocol(char out[TAG_SUBPROTOCOL], uint16_t id)
{
    snprintf(out, TAG_SUBPROTOCOL, "subprotocol:0x%04x", id);
    return out;
}
