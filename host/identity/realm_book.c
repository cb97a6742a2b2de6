/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/realm_book.h"
#include "base/error.h"
#include "base/file.h"
#include "identity/entity.h"
#include "identity/named_lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHAT "berth-realm-book"

char *realm_book_format(const realm_book *book)
{
    char display[BERTH_ENTITY_DISPLAY], realm[BERTH_ENTITY_TEXT], *text = NULL;

    if (asprintf(&text,
                 "# what realm %s has used up; belongs to its key, wherever that goes\n"
                 "%s: 1\n"
                 "realm: %s\n"
                 "serial: %" PRIu64 "\n"
                 "list: %" PRIu64 "\n",
                 berth_entity_display(display, book->realm), WHAT,
                 berth_entity_text(realm, book->realm), book->serial, book->list) < 0)
        return NULL;
    return text;
}

struct seen {
    bool realm, serial, list;
};

static berth_status take(const named_lines *l, slice name, slice value, struct seen *seen,
                         realm_book *out, berth_error *error)
{
    berth_status status;

    if (slice_eq(name, slice_str("realm"))) {
        status = named_lines_once(l, &seen->realm, "realm", error);
        return status ? status
                      : named_lines_hex(l, "realm", value, out->realm, sizeof out->realm, error);
    }
    if (slice_eq(name, slice_str("serial"))) {
        status = named_lines_once(l, &seen->serial, "serial", error);
        return status ? status : named_lines_u64(l, "serial", value, &out->serial, error);
    }
    if (slice_eq(name, slice_str("list"))) {
        status = named_lines_once(l, &seen->list, "list", error);
        return status ? status : named_lines_u64(l, "list", value, &out->list, error);
    }
    return named_lines_wrong(l, "an unknown name; known are 'realm', 'serial' and 'list'", error);
}

berth_status realm_book_parse(slice text, realm_book *out, berth_error *error)
{
    named_lines l = named_lines_of(text, WHAT);
    struct seen seen = {0};
    berth_status status;
    slice name, value;
    bool more;

    memset(out, 0, sizeof *out);
    while ((status = named_lines_next(&l, &name, &value, &more, error)) == BERTH_OK && more) {
        status = take(&l, name, value, &seen, out, error);
        if (status)
            break;
    }
    if (!status && (!seen.realm || !seen.serial || !seen.list))
        status = fail(error, BERTH_ERR_INVALID, "'realm', 'serial' and 'list' must all be there");
    if (status)
        memset(out, 0, sizeof *out);
    return status;
}

berth_status realm_book_read(const char *path, const uint8_t realm[BERTH_ENTITY_SIZE],
                             realm_book *out, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    memset(out, 0, sizeof *out);
    status = file_read(path, REALM_BOOK_MAX, FILE_SAFE, &text, error);
    if (status)
        return status;
    status = realm_book_parse(slice_of(text->data, text->len), out, error);
    if (!status && !entity_eq(out->realm, realm)) {
        char display[BERTH_ENTITY_DISPLAY];

        status =
            fail(error, BERTH_ERR_INVALID, "belongs to another realm, %s: put back this key's own",
                 berth_entity_display(display, out->realm));
        memset(out, 0, sizeof *out);
    }
    if (status)
        fail_prefix(error, "%s", path);
    buf_unref(text);
    return status;
}

berth_status realm_book_write(const char *path, const realm_book *book, berth_error *error)
{
    char *text = realm_book_format(book);
    berth_status status = text ? file_write(path, text, strlen(text), 0600, error)
                               : fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);

    free(text);
    return status;
}
