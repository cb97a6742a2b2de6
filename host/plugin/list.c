/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/list.h"

#include <stdlib.h>
#include <string.h>

char *text_dup(slice text)
{
    char *copy = malloc(text.len + 1);

    if (!copy)
        return NULL;
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    return copy;
}

bool list_add(manifest_list *list, slice text)
{
    /* Capacity is the next power of two of the count, so it need not be stored. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t cap = list->count ? list->count * 2 : 1;
        char **items = realloc(list->items, cap * sizeof *items);

        if (!items)
            return false;
        list->items = items;
    }
    list->items[list->count] = text_dup(text);
    if (!list->items[list->count])
        return false;
    list->count++;
    return true;
}

bool list_has(const manifest_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0)
            return true;
    }
    return false;
}

void list_free(manifest_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (manifest_list){0};
}

void list_encode(writer *w, const manifest_list *list)
{
    writer_u32(w, (uint32_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        size_t len = strlen(list->items[i]);

        writer_u32(w, (uint32_t)len);
        writer_bytes(w, list->items[i], len);
    }
}

bool list_decode(reader *r, manifest_list *out, size_t max_items, size_t max_bytes)
{
    uint32_t count = reader_u32(r);

    *out = (manifest_list){0};
    /* Each item takes four bytes at least, which bounds a forged count by the input. */
    if (!reader_ok(r) || count > max_items || count > reader_left(r) / 4)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = reader_u32(r);
        slice text;

        if (!reader_ok(r) || len > max_bytes)
            return false;
        text = reader_bytes(r, len);
        if (!reader_ok(r) || (len && memchr(text.ptr, 0, len)) || !list_add(out, text))
            return false;
    }
    return true;
}

void text_encode(writer *w, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    writer_u8(w, text != NULL);
    if (!text)
        return;
    writer_u32(w, (uint32_t)len);
    writer_bytes(w, text, len);
}

bool text_decode(reader *r, char **out, size_t max_bytes)
{
    uint8_t present = reader_u8(r);
    uint32_t len;
    slice text;

    *out = NULL;
    if (!reader_ok(r) || present > 1)
        return false;
    if (!present)
        return true;
    len = reader_u32(r);
    if (!reader_ok(r) || len > max_bytes)
        return false;
    text = reader_bytes(r, len);
    if (!reader_ok(r) || (len && memchr(text.ptr, 0, len)))
        return false;
    *out = text_dup(text);
    return *out != NULL;
}
