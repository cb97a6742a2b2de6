/* SPDX-License-Identifier: Apache-2.0 */
/* Files of minisign: signatures, public keys, secret keys without a password. None that comes from
 * here verifies. */
#include "plugin/minisign.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t hash[MINISIGN_HASH_BYTES] = {1};
    slice text = slice_of(data, size);
    berth_error error = {0};
    minisign_signature s;
    minisign_public key = {0};
    minisign_secret secret;
    bool sealed;

    if (minisign_signature_parse(text, &s, &error) == BERTH_OK) {
        if (strlen(s.trusted_comment) > MINISIGN_TRUSTED_MAX)
            abort();
        key.key[0] = 0x58; /* any key */
        memcpy(key.id, s.id, sizeof key.id);
        if (minisign_verify(&s, &key, hash, &error) == BERTH_OK)
            abort();
    } else if (!error.text[0]) {
        abort();
    }
    if (minisign_public_parse(text, &key, &error) == BERTH_OK) {
        char line[MINISIGN_PUBLIC_LINE];
        minisign_public again;

        if (minisign_public_parse(slice_str(minisign_public_line(line, &key)), &again, &error) ||
            memcmp(&key, &again, sizeof key) != 0)
            abort();
    }
    /* A sealed one would take seconds to derive its key. */
    if (minisign_secret_sealed(text, &sealed, &error) == BERTH_OK && !sealed)
        (void)minisign_secret_parse(text, slice_of(NULL, 0), &secret, &error);
    return 0;
}
