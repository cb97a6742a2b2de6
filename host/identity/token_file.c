/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/token_file.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/named_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *token_file_format(const token_file *f)
{
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    char scope[TOKEN_SCOPE_TEXT], who[BERTH_ENTITY_DISPLAY], end[TOKEN_TIME_TEXT];
    size_t len = berth_token_chain_encode(bytes, &f->chain);
    const berth_token *leaf;
    char *base64, *text = NULL;

    if (!f->chain.count)
        return NULL;
    leaf = &f->chain.links[f->chain.count - 1];
    base64 = base64_encode(slice_of(bytes, len));
    if (!base64 ||
        asprintf(&text,
                 "# leave for %s: %s; until %s\n"
                 "berth-token: 1\n"
                 "%s%s%s"
                 "chain: %s\n",
                 berth_entity_display(who, leaf->subject), token_scope_text(scope, leaf->scope),
                 token_time_text(end, berth_token_chain_end(&f->chain)),
                 f->channel[0] ? "channel: " : "", f->channel, f->channel[0] ? "\n" : "",
                 base64) < 0)
        text = NULL;
    free(base64);
    return text;
}

static berth_status take_chain(const named_lines *l, slice value, token_file *out,
                               berth_error *error)
{
    berth_status status;
    uint8_t *bytes;
    size_t len;

    if (out->chain.count)
        return named_lines_wrong(l, "'chain' is there twice", error);
    if (value.len > 4 * (BERTH_TOKEN_CHAIN_SIZE / 3 + 1) || !base64_decode(value, &bytes, &len))
        return named_lines_wrong(l, "'chain' must be base64 of a chain of tokens", error);
    status = berth_token_chain_decode(&out->chain, bytes, len, NULL, error);
    free(bytes);
    if (status)
        fail_prefix(error, "line %zu", l->number);
    return status;
}

static berth_status take_channel(const named_lines *l, slice value, token_file *out,
                                 berth_error *error)
{
    if (out->channel[0])
        return named_lines_wrong(l, "'channel' is there twice", error);
    if (!value.len || value.len >= sizeof out->channel || memchr(value.ptr, 0, value.len))
        return named_lines_wrong(l, "'channel' must be the name of a channel", error);
    memcpy(out->channel, value.ptr, value.len);
    return BERTH_OK;
}

berth_status token_file_parse(slice text, token_file *out, berth_error *error)
{
    named_lines l = named_lines_of(text, "berth-token");
    berth_status status;
    slice name, value;
    bool more;

    memset(out, 0, sizeof *out);
    while ((status = named_lines_next(&l, &name, &value, &more, error)) == BERTH_OK && more) {
        if (slice_eq(name, slice_str("chain")))
            status = take_chain(&l, value, out, error);
        else if (slice_eq(name, slice_str("channel")))
            status = take_channel(&l, value, out, error);
        else
            status =
                named_lines_wrong(&l, "an unknown name; known are 'channel' and 'chain'", error);
        if (status)
            break;
    }
    if (!status && !out->chain.count)
        status = fail(error, BERTH_ERR_INVALID, "there is no 'chain'");
    if (status)
        memset(out, 0, sizeof *out);
    return status;
}

berth_status token_file_write(const char *path, const token_file *f, berth_error *error)
{
    char *text = token_file_format(f);
    berth_status status = text ? file_write_new(path, text, strlen(text), 0644, error)
                               : fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);

    free(text);
    return status;
}

berth_status token_file_read(const char *path, token_file *out, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    memset(out, 0, sizeof *out);
    status = file_read(path, TOKEN_FILE_MAX, 0, &text, error);
    if (status)
        return status;
    status = token_file_parse(slice_of(text->data, text->len), out, error);
    if (status)
        fail_prefix(error, "%s", path);
    buf_unref(text);
    return status;
}
