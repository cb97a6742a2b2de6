/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/certificate_file.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/named_lines.h"
#include "identity/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *certificate_file_format(const realm_certificate *c)
{
    char realm[BERTH_ENTITY_DISPLAY], end[TOKEN_TIME_TEXT], *base64, *text = NULL;
    uint8_t bytes[CERTIFICATE_MAX];

    base64 = base64_encode(slice_of(bytes, certificate_encode(bytes, c)));
    if (!base64 ||
        asprintf(&text,
                 "# %s is a node of realm %s: certificate %" PRIu64 ", until %s\n"
                 "%s: 1\n"
                 "certificate: %s\n",
                 c->name, berth_entity_display(realm, c->realm), c->serial,
                 token_time_text(end, (uint64_t)c->not_after), CERTIFICATE_FILE_WHAT, base64) < 0)
        text = NULL;
    free(base64);
    return text;
}

static berth_status take(const named_lines *l, slice value, realm_certificate *out,
                         berth_error *error)
{
    uint8_t *bytes;
    size_t len;
    berth_status status =
        named_lines_base64(l, "certificate", value, CERTIFICATE_MAX, &bytes, &len, error);

    if (status)
        return status;
    status = certificate_decode(out, slice_of(bytes, len), error);
    free(bytes);
    if (status)
        fail_prefix(error, "line %zu", l->number);
    return status;
}

berth_status certificate_file_parse(slice text, realm_certificate *out, berth_error *error)
{
    named_lines l = named_lines_of(text, CERTIFICATE_FILE_WHAT);
    bool more, there = false;
    berth_status status;
    slice name, value;

    memset(out, 0, sizeof *out);
    while ((status = named_lines_next(&l, &name, &value, &more, error)) == BERTH_OK && more) {
        if (!slice_eq(name, slice_str("certificate")))
            status = named_lines_wrong(&l, "an unknown name; known is 'certificate'", error);
        else
            status = named_lines_once(&l, &there, "certificate", error);
        if (!status)
            status = take(&l, value, out, error);
        if (status)
            break;
    }
    if (!status && !there)
        status = fail(error, BERTH_ERR_INVALID, "there is no 'certificate'");
    if (status)
        memset(out, 0, sizeof *out);
    return status;
}

berth_status certificate_file_write(const char *path, const realm_certificate *c,
                                    berth_error *error)
{
    char *text = certificate_file_format(c);
    berth_status status = text ? file_write_new(path, text, strlen(text), 0644, error)
                               : fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);

    free(text);
    return status;
}

berth_status certificate_file_read(const char *path, realm_certificate *out, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    memset(out, 0, sizeof *out);
    status = file_read(path, CERTIFICATE_FILE_MAX, 0, &text, error);
    if (status)
        return status;
    status = certificate_file_parse(slice_of(text->data, text->len), out, error);
    if (status)
        fail_prefix(error, "%s", path);
    buf_unref(text);
    return status;
}
