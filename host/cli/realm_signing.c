/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/realm_signing.h"

#include "cli/input.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *realm_book_beside(const char *key_path)
{
    char *path = NULL;

    return asprintf(&path, "%s.book", key_path) < 0 ? NULL : path;
}

void realm_signing_end(realm_signing *s)
{
    realm_key_wipe(&s->key);
    free(s->book_path);
    lock_drop(s->lock);
    *s = (realm_signing){.lock = -1};
}

static berth_status read_book(realm_signing *s, berth_error *error)
{
    berth_status status = realm_book_read(s->book_path, s->key.pair.entity, &s->book, error);

    s->has_book = status == BERTH_OK;
    if (status != BERTH_ERR_NOT_FOUND)
        return status;
    memcpy(s->book.realm, s->key.pair.entity, BERTH_ENTITY_SIZE);
    *error = (berth_error){0};
    return BERTH_OK;
}

berth_status realm_signing_begin(realm_signing *s, const char *key_path, berth_error *error)
{
    /* By whatever name the key is called, it has one book. */
    char *real = realpath(key_path, NULL);
    berth_status status;

    *s = (realm_signing){.lock = -1};
    if (!real)
        return fail_errno(error, errno, "%s", key_path);
    s->book_path = realm_book_beside(real);
    status = s->book_path ? lock_beside(real, &s->lock, error)
                          : fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", key_path);
    if (!status)
        status = realm_key_read(key_path, &s->key, error);
    if (!status)
        status = read_book(s, error);
    free(real);
    if (status)
        realm_signing_end(s);
    return status;
}
