/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/revocation_file.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/named_lines.h"
#include "identity/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *revocation_file_format(const revocation_list *list)
{
    char realm[BERTH_ENTITY_DISPLAY], when[TOKEN_TIME_TEXT], *base64 = NULL, *text = NULL;
    writer bytes = {0};

    revocation_encode(&bytes, list);
    if (!bytes.failed)
        base64 = base64_encode(slice_of(bytes.data, bytes.len));
    if (!base64 ||
        asprintf(&text,
                 "# what realm %s has taken back: list %" PRIu64 " of %s\n"
                 "%s: 1\n"
                 "list: %s\n",
                 berth_entity_display(realm, list->realm), list->number,
                 token_time_text(when, (uint64_t)list->issued), REVOCATION_FILE_WHAT, base64) < 0)
        text = NULL;
    free(base64);
    writer_free(&bytes);
    return text;
}

static berth_status take(const named_lines *l, slice value, revocation_list *out,
                         berth_error *error)
{
    uint8_t *bytes;
    size_t len;
    berth_status status = named_lines_base64(l, "list", value, REVOCATION_MAX, &bytes, &len, error);

    if (status)
        return status;
    status = revocation_read(out, slice_of(bytes, len), error);
    free(bytes);
    if (status)
        fail_prefix(error, "line %zu", l->number);
    return status;
}

berth_status revocation_file_parse(slice text, revocation_list *out, berth_error *error)
{
    named_lines l = named_lines_of(text, REVOCATION_FILE_WHAT);
    bool more, there = false;
    berth_status status;
    slice name, value;

    memset(out, 0, sizeof *out);
    while ((status = named_lines_next(&l, &name, &value, &more, error)) == BERTH_OK && more) {
        if (!slice_eq(name, slice_str("list")))
            status = named_lines_wrong(&l, "an unknown name; known is 'list'", error);
        else
            status = named_lines_once(&l, &there, "list", error);
        if (!status)
            status = take(&l, value, out, error);
        if (status)
            break;
    }
    if (!status && !there)
        status = fail(error, BERTH_ERR_INVALID, "there is no 'list'");
    if (status)
        revocation_free(out);
    return status;
}

berth_status revocation_file_write(const char *path, const revocation_list *list,
                                   berth_error *error)
{
    char *text = revocation_file_format(list);
    berth_status status = text ? file_write(path, text, strlen(text), 0644, error)
                               : fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);

    free(text);
    return status;
}

berth_status revocation_file_read(const char *path, revocation_list *out, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    memset(out, 0, sizeof *out);
    status = file_read(path, REVOCATION_FILE_SIZE, 0, &text, error);
    if (status)
        return status;
    status = revocation_file_parse(slice_of(text->data, text->len), out, error);
    if (status)
        fail_prefix(error, "%s", path);
    buf_unref(text);
    return status;
}
