/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

bool emit_room(writer *w, size_t n)
{
    size_t cap;
    uint8_t *data;

    if (w->failed)
        return false;
    if (n <= w->cap - w->len)
        return true;
    if (n > SIZE_MAX / 2 - w->len) {
        w->failed = true;
        return false;
    }
    cap = w->cap > 512 ? w->cap : 512;
    while (cap < w->len + n)
        cap *= 2;
    data = realloc(w->data, cap);
    if (!data) {
        w->failed = true;
        return false;
    }
    w->data = data;
    w->cap = cap;
    return true;
}

static void put(writer *w, const void *ptr, size_t n)
{
    if (n && emit_room(w, n)) {
        memcpy(w->data + w->len, ptr, n);
        w->len += n;
    }
}

void emit_text(writer *w, const char *text)
{
    put(w, text, strlen(text));
}

void emit_next(writer *w)
{
    if (w->len && !w->failed) {
        uint8_t last = w->data[w->len - 1];

        if (last != '{' && last != '[' && last != '\n')
            put(w, ",", 1);
    }
}

void emit_key(writer *w, const char *name)
{
    emit_next(w);
    put(w, "\"", 1);
    emit_text(w, name);
    put(w, "\":", 2);
}

/* Write one byte that may not stand in a string as it is. */
static uint8_t *escape(uint8_t *to, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char shorts[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    *to++ = '\\';
    if (byte == '"' || byte == '\\') {
        *to++ = byte;
    } else if (byte < 32 && shorts[byte]) {
        *to++ = (uint8_t)shorts[byte];
    } else {
        memcpy(to, "u00", 3);
        to[3] = (uint8_t)digits[byte >> 4];
        to[4] = (uint8_t)digits[byte & 15];
        to += 5;
    }
    return to;
}

static bool plain(uint8_t byte)
{
    return byte >= 32 && byte != '"' && byte != '\\' && byte != 127;
}

/* text is UTF-8. Runs that need no escape are copied whole. */
static void put_string(writer *w, slice text)
{
    size_t at = 0;

    put(w, "\"", 1);
    while (at < text.len) {
        size_t run = at;

        while (run < text.len && plain(text.ptr[run]))
            run++;
        put(w, text.ptr + at, run - at);
        /* a stretch of bytes to escape: room for all of a small block at once */
        at = run;
        while (at < text.len && !plain(text.ptr[at])) {
            if (!emit_room(w, 6))
                return;
            w->len = (size_t)(escape(w->data + w->len, text.ptr[at++]) - w->data);
        }
    }
    put(w, "\"", 1);
}

void emit_string(writer *w, slice text)
{
    writer clean = {0};

    if (utf8_valid(text)) {
        put_string(w, text);
        return;
    }
    while (text.len) {
        size_t n = utf8_length(text);

        if (n)
            put(&clean, text.ptr, n);
        else
            put(&clean, "\xef\xbf\xbd", 3);
        n = n ? n : 1;
        text = slice_of(text.ptr + n, text.len - n);
    }
    w->failed |= clean.failed;
    put_string(w, slice_of(clean.data, clean.len));
    writer_free(&clean);
}

void emit_cstring(writer *w, const char *text)
{
    if (text)
        emit_string(w, slice_str(text));
    else
        put(w, "null", 4);
}

void emit_u64(writer *w, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put(w, digits + at, sizeof digits - at);
}

void emit_bool(writer *w, bool value)
{
    emit_text(w, value ? "true" : "false");
}

void emit_id(writer *w, uint64_t id)
{
    char text[ID_TEXT];

    put(w, "\"", 1);
    emit_text(w, id_encode(text, id));
    put(w, "\"", 1);
}

void emit_hex(writer *w, slice bytes)
{
    if (!emit_room(w, 2 * bytes.len + 3))
        return;
    w->data[w->len++] = '"';
    hex_encode((char *)w->data + w->len, bytes);
    w->len += 2 * bytes.len;
    w->data[w->len++] = '"';
}

/* Standard base64, written in place: the hot stream does without a copy of its own. */
static void put_base64(writer *w, slice bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *to;
    size_t at = 0;

    if (!emit_room(w, (bytes.len + 2) / 3 * 4))
        return;
    to = w->data + w->len;
    for (; at < bytes.len; at += 3) {
        size_t left = bytes.len - at;
        uint32_t group = (uint32_t)bytes.ptr[at] << 16;

        if (left > 1)
            group |= (uint32_t)bytes.ptr[at + 1] << 8;
        if (left > 2)
            group |= bytes.ptr[at + 2];
        *to++ = (uint8_t)alphabet[group >> 18];
        *to++ = (uint8_t)alphabet[group >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)alphabet[group & 63] : '=';
    }
    w->len = (size_t)(to - w->data);
}

void emit_bytes(writer *w, slice bytes)
{
    if (utf8_valid(bytes)) {
        emit_text(w, "{\"text\":");
        put_string(w, bytes);
        put(w, "}", 1);
    } else {
        emit_text(w, "{\"base64\":\"");
        put_base64(w, bytes);
        put(w, "\"}", 2);
    }
}

void emit_time(writer *w, int64_t wall_ns)
{
    int64_t ns = wall_ns % 1000000000;
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm tm;
    char text[64];

    if (ns < 0) {
        ns += 1000000000;
        seconds--;
    }
    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "\"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ\"", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ns);
    emit_text(w, text);
}

void emit_member_string(writer *w, const char *name, const char *text)
{
    emit_key(w, name);
    emit_cstring(w, text);
}

void emit_member_u64(writer *w, const char *name, uint64_t value)
{
    emit_key(w, name);
    emit_u64(w, value);
}

void emit_member_bool(writer *w, const char *name, bool value)
{
    emit_key(w, name);
    emit_bool(w, value);
}

void emit_member_id(writer *w, const char *name, uint64_t id)
{
    emit_key(w, name);
    emit_id(w, id);
}

void emit_member_hex(writer *w, const char *name, slice bytes)
{
    emit_key(w, name);
    emit_hex(w, bytes);
}

void emit_member_time(writer *w, const char *name, int64_t wall_ns)
{
    emit_key(w, name);
    emit_time(w, wall_ns);
}
