/* SPDX-License-Identifier: Apache-2.0 */
/* Files of certificates, revocation lists, realm keys and their books. What is read is written and
 * read as the same. */
#include "identity/certificate_file.h"
#include "identity/realm_book.h"
#include "identity/realm_key.h"
#include "identity/revocation_file.h"

#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void certificate(slice text)
{
    realm_certificate c, again;
    berth_error error = {0};
    char *written;

    if (certificate_file_parse(text, &c, &error) != BERTH_OK) {
        must(!c.name[0] && error.text[0]);
        return;
    }
    written = certificate_file_format(&c);
    must(written && strlen(written) <= CERTIFICATE_FILE_MAX);
    must(certificate_file_parse(slice_str(written), &again, NULL) == BERTH_OK);
    must(memcmp(&c, &again, sizeof c) == 0);
    free(written);
}

static void revocations(slice text)
{
    revocation_list list, again;
    berth_error error = {0};
    char *once, *twice;

    if (revocation_file_parse(text, &list, &error) != BERTH_OK) {
        must(!list.serials && !list.entities && error.text[0]);
        return;
    }
    once = revocation_file_format(&list);
    must(once && revocation_file_parse(slice_str(once), &again, NULL) == BERTH_OK);
    twice = revocation_file_format(&again);
    must(twice && strcmp(once, twice) == 0);
    free(once);
    free(twice);
    revocation_free(&list);
    revocation_free(&again);
}

static void key(slice text)
{
    char written[REALM_KEY_TEXT];
    berth_error error = {0};
    realm_key k, again;
    size_t len;

    if (realm_key_parse(text, &k, &error) != BERTH_OK) {
        must(!k.pair.full && error.text[0]);
        return;
    }
    must(realm_key_format(written, &len, &k, NULL) == BERTH_OK && len < sizeof written);
    must(realm_key_parse(slice_of(written, len), &again, NULL) == BERTH_OK);
    must(memcmp(&k, &again, sizeof k) == 0);
}

static void book(slice text)
{
    berth_error error = {0};
    realm_book b, again;
    char *written;

    if (realm_book_parse(text, &b, &error) != BERTH_OK) {
        must(!b.serial && !b.list && error.text[0]);
        return;
    }
    written = realm_book_format(&b);
    must(written && realm_book_parse(slice_str(written), &again, NULL) == BERTH_OK);
    must(memcmp(&b, &again, sizeof b) == 0);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice text = slice_of(data, size);

    certificate(text);
    revocations(text);
    key(text);
    book(text);
    return 0;
}
