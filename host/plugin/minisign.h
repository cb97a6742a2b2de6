/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/minisign.h: signatures, keys and files of the program minisign, in both directions.
 *
 * Only the prehashed form is known: what is signed is the BLAKE2b-512 of the file. The older form
 * (the file itself) is refused, because a signature of one form can be relabelled as the other for
 * a file that holds the hash. No I/O; any thread; secrets are wiped by whoever holds them
 * (minisign_wipe). Texts are whole files as the program writes them, CR before LF allowed.
 */
#ifndef PLUGIN_MINISIGN_H
#define PLUGIN_MINISIGN_H

#include "base/buf.h"
#include "berth/status.h"

#include <sodium.h>
#include <stdbool.h>

#define MINISIGN_ID_BYTES    8
#define MINISIGN_ID_TEXT     17 /* 16 upper-case digits, as the program prints it, and a zero */
#define MINISIGN_HASH_BYTES  64
#define MINISIGN_COMMENT_MAX 1024 /* bytes of the untrusted comment */
#define MINISIGN_TRUSTED_MAX 8192 /* bytes of the trusted comment */
#define MINISIGN_FILE_MAX    16384

typedef struct minisign_public {
    uint8_t id[MINISIGN_ID_BYTES];
    uint8_t key[32];
} minisign_public;

typedef struct minisign_secret {
    uint8_t id[MINISIGN_ID_BYTES];
    uint8_t key[64]; /* seed, then public key */
} minisign_secret;

typedef struct minisign_signature {
    uint8_t id[MINISIGN_ID_BYTES];
    uint8_t signature[64]; /* of the hash */
    uint8_t global[64];    /* of signature and trusted comment */
    char trusted_comment[MINISIGN_TRUSTED_MAX + 1];
} minisign_signature;

/* How the id of a key is written. */
char *minisign_id_text(char out[MINISIGN_ID_TEXT], const uint8_t id[MINISIGN_ID_BYTES]);

/* ---- Verifying */

/* The file, or only its base64 line. INVALID, saying what was expected. */
berth_status minisign_public_parse(slice text, minisign_public *out, berth_error *error);

/* A .minisig file. SIGNATURE when it is malformed or of the older form. */
berth_status minisign_signature_parse(slice text, minisign_signature *out, berth_error *error);

/* Both signatures. SIGNATURE, telling a changed file from a changed comment and from another key.
 */
berth_status minisign_verify(const minisign_signature *s, const minisign_public *key,
                             const uint8_t hash[MINISIGN_HASH_BYTES], berth_error *error);

/* The hash of what is signed, piece by piece. */
typedef struct minisign_hash {
    crypto_generichash_state state;
} minisign_hash;

void minisign_hash_init(minisign_hash *h);
void minisign_hash_update(minisign_hash *h, const void *ptr, size_t len);
void minisign_hash_final(minisign_hash *h, uint8_t out[MINISIGN_HASH_BYTES]);

/* ---- Signing */

/*
 * The bytes of a .minisig file; *out has one reference. The comment is one line of at most
 * MINISIGN_TRUSTED_MAX bytes; the program writes "timestamp:N\tfile:NAME\thashed".
 */
berth_status minisign_sign(const minisign_secret *key, const uint8_t hash[MINISIGN_HASH_BYTES],
                           const char *trusted_comment, buf **out, berth_error *error);

/* A new key pair. */
void minisign_keygen(minisign_secret *secret, minisign_public *public);
void minisign_public_of(const minisign_secret *secret, minisign_public *public);

/* Whether this key file needs a password; INVALID when it is no key file. */
berth_status minisign_secret_sealed(slice text, bool *sealed, berth_error *error);

/*
 * password is ignored by a key file without one. REFUSED for a wrong password; NO_MEMORY when the
 * derivation cannot have the memory that the file asks for (1 GiB, as the program writes them;
 * files that ask for more are INVALID). Takes seconds, by design.
 */
berth_status minisign_secret_parse(slice text, slice password, minisign_secret *out,
                                   berth_error *error);

/* The bytes of a key file; *out has one reference, and holds a secret. Without a password (ptr
 * NULL) it is as minisign -W writes it. */
berth_status minisign_secret_format(const minisign_secret *key, slice password, buf **out,
                                    berth_error *error);

/* The bytes of a public key file, and its base64 line alone (57 bytes with the zero). */
#define MINISIGN_PUBLIC_LINE 57
berth_status minisign_public_format(const minisign_public *key, buf **out, berth_error *error);
char *minisign_public_line(char out[MINISIGN_PUBLIC_LINE], const minisign_public *key);

void minisign_wipe(void *secret, size_t len);

#endif
