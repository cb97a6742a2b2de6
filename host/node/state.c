/* SPDX-License-Identifier: Apache-2.0 */
#include "node/state.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/random.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX  256
#define KEY_NAME      "host.key"
#define IDENTITY_FACT "node.identity" /* entity id, then the seed sealed under the host key */
#define PURPOSE       "node"
#define BOOT_FACT     "node.boot"         /* u64 */
#define VERSION_FACT  "node.announcement" /* u64 */

/* ---- The directory
 * ------------------------------------------------------------------------------- */

static char *join(const char *dir, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static berth_status no_memory(berth_error *error)
{
    return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static berth_status open_dir(const config *c, node_state *s, berth_error *error)
{
    char usual[PATHS_MAX];
    const char *path = c->state_dir;
    struct stat st;
    berth_status status;

    if (!path) {
        status = paths_state_dir(usual, sizeof usual, error);
        if (status != BERTH_OK)
            return status;
        path = usual;
    }
    status = file_mkdirs(path, error);
    if (status == BERTH_OK)
        status = file_check_safe(path, error);
    if (status != BERTH_OK)
        return fail_prefix(error, "state directory");
    if (stat(path, &st) == 0 && st.st_mode & 0055)
        log_warn("node", "state directory %s: others may look into it: chmod 700 %s", path, path);
    s->dir = realpath(path, NULL);
    return s->dir ? BERTH_OK : fail_errno(error, errno, "state directory %s", path);
}

/* ---- The host key
 * -------------------------------------------------------------------------------- */

berth_status state_key_parse(slice text, const char *path, uint8_t out[HOST_KEY_SIZE],
                             berth_error *error)
{
    if (text.len == HOST_KEY_SIZE) {
        memcpy(out, text.ptr, HOST_KEY_SIZE);
    } else {
        if (text.len == 2 * HOST_KEY_SIZE + 1 && text.ptr[2 * HOST_KEY_SIZE] == '\n')
            text.len--;
        if (!hex_decode(out, HOST_KEY_SIZE, text))
            return fail(error, BERTH_ERR_INVALID,
                        "%s: is no host key, which is 32 bytes or 64 hex digits: make one with "
                        "`(umask 077; head -c 32 /dev/urandom > %s)`",
                        path, path);
    }
    if (sodium_is_zero(out, HOST_KEY_SIZE))
        return fail(error, BERTH_ERR_INVALID, "%s: a host key of zeros protects nothing", path);
    return BERTH_OK;
}

static berth_status key_from(const char *path, unsigned flags, node_state *s, berth_error *error)
{
    buf *text = NULL;
    berth_status status = file_read(path, KEY_FILE_MAX, flags, &text, error);

    if (status == BERTH_OK)
        status = state_key_parse(slice_of(text->data, text->len), path, s->host_key, error);
    if (text)
        sodium_memzero(text->data, text->len);
    buf_unref(text);
    return status;
}

static berth_status new_key(const char *path, node_state *s, berth_error *error)
{
    char text[2 * HOST_KEY_SIZE + 2];
    berth_status status;

    random_bytes(s->host_key, sizeof s->host_key);
    hex_encode(text, slice_of(s->host_key, sizeof s->host_key));
    text[2 * HOST_KEY_SIZE] = '\n';
    status = file_write_new(path, text, 2 * HOST_KEY_SIZE + 1, 0600, error);
    sodium_memzero(text, sizeof text);
    if (status == BERTH_OK)
        log_warn("node",
                 "made the host key %s: beside the data that it seals it protects nothing against "
                 "theft of the directory; keep it elsewhere with key_file, or in a credential of "
                 "systemd",
                 path);
    return status;
}

/* sealed: the directory holds something that some key has sealed before. */
static berth_status find_key(const config *c, node_state *s, bool sealed, berth_error *error)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    char *path = NULL;
    berth_status status = BERTH_OK;

    if (c->key_file) {
        status = key_from(c->key_file, FILE_PRIVATE, s, error);
        return status == BERTH_OK ? status : fail_prefix(error, "host key");
    }
    if (credentials && credentials[0] == '/') {
        path = join(credentials, STATE_CREDENTIAL);
        if (!path)
            return no_memory(error);
        /* systemd gives access to the service's user alone, in ways that its mode does not show. */
        if (access(path, F_OK) == 0) {
            status = key_from(path, FILE_SAFE, s, error);
            goto out;
        }
        free(path);
    }
    path = join(s->dir, KEY_NAME);
    if (!path)
        return no_memory(error);
    if (access(path, F_OK) == 0)
        status = key_from(path, FILE_PRIVATE | FILE_NOFOLLOW, s, error);
    else if (sealed)
        status = fail(error, BERTH_ERR_NOT_FOUND,
                      "%s: is missing, and %s was sealed with it: put it back, or name where it is "
                      "now with key_file",
                      path, s->dir);
    else
        status = new_key(path, s, error);
out:
    if (status != BERTH_OK)
        fail_prefix(error, "host key");
    free(path);
    return status;
}

/* ---- The node's identity
 * ------------------------------------------------------------------------- */

static berth_status new_identity(node_state *s, berth_error *error)
{
    uint8_t fact[BERTH_ENTITY_SIZE + SEAL_SIZE];
    berth_status status;

    berth_keypair_generate(&s->identity);
    memcpy(fact, s->identity.entity, BERTH_ENTITY_SIZE);
    status = seal_identity(fact + BERTH_ENTITY_SIZE, &s->identity, s->host_key, PURPOSE, 0, error);
    if (status == BERTH_OK)
        status = store_put_fact(s->store, IDENTITY_FACT, slice_of(fact, sizeof fact), error);
    return status;
}

static berth_status damaged_identity(const char *dir, berth_error *error)
{
    return fail(error, BERTH_ERR_CORRUPT, "state directory %s: the node's identity is damaged",
                dir);
}

static berth_status known_identity(node_state *s, const buf *fact, berth_error *error)
{
    berth_status status;

    if (fact->len != BERTH_ENTITY_SIZE + SEAL_SIZE)
        return damaged_identity(s->dir, error);
    status = unseal_identity(&s->identity, slice_of(fact->data + BERTH_ENTITY_SIZE, SEAL_SIZE),
                             fact->data, s->host_key, PURPOSE, 0, error);
    if (status == BERTH_ERR_SIGNATURE)
        return fail(error, status,
                    "state directory %s: was sealed with another host key: start with that one "
                    "(key_file, or %s in the directory)",
                    s->dir, KEY_NAME);
    return status;
}

/* ---- For the mesh
 * -------------------------------------------------------------------------------- */

static void derive(uint8_t out[32], const uint8_t key[32], const char *label)
{
    crypto_generichash(out, 32, (const uint8_t *)label, strlen(label), key, 32);
}

/*
 * Both are derived, so that there is no secret more to keep, to seal and to lose, and a restored
 * directory is the same node to its peers. Keyed BLAKE2b is a pseudo-random function: what is
 * derived tells nothing about the key, and is independent of what else is made of it, for the seed
 * the SHA-512 of Ed25519, for the host key the sealing. Who has the seed is the node in any case.
 * Any 32 bytes are an X25519 secret. The price: another static key takes another identity.
 */
static void mesh_secrets(node_state *s)
{
    derive(s->mesh_static, s->identity.seed, "berth mesh static key v1");
    derive(s->mesh_reset, s->host_key, "berth mesh reset key v1");
}

/* *out is 0 when there is none. */
static berth_status number_get(const node_state *s, const char *fact, uint64_t *out,
                               berth_error *error)
{
    buf *value = NULL;
    berth_status status = store_get_fact(s->store, fact, &value, error);

    *out = 0;
    if (status == BERTH_ERR_NOT_FOUND)
        return BERTH_OK;
    if (status == BERTH_OK && value && value->len != sizeof *out)
        status = fail(error, BERTH_ERR_CORRUPT, "state directory %s: the fact '%s' is damaged",
                      s->dir, fact);
    if (status == BERTH_OK && value)
        *out = load_u64(value->data);
    buf_unref(value);
    return status;
}

static berth_status number_put(const node_state *s, const char *fact, uint64_t number,
                               berth_error *error)
{
    uint8_t value[sizeof number];

    store_u64(value, number);
    return store_put_fact(s->store, fact, slice_of(value, sizeof value), error);
}

/* In milliseconds of the wall clock, so that a directory from a backup does not count again what
 * was counted since; and above the last, whatever the clock says. */
static berth_status count_start(node_state *s, berth_error *error)
{
    int64_t wall_ms = clock_wall_ns() / 1000000;
    uint64_t last = 0;
    berth_status status = s->store ? number_get(s, BOOT_FACT, &last, error) : BERTH_OK;

    if (status != BERTH_OK)
        return status;
    if (last == UINT64_MAX)
        return fail(error, BERTH_ERR_CORRUPT, "state directory %s: the fact '%s' is damaged",
                    s->dir, BOOT_FACT);
    s->boot = wall_ms > 0 && (uint64_t)wall_ms > last ? (uint64_t)wall_ms : last + 1;
    return s->store ? number_put(s, BOOT_FACT, s->boot, error) : BERTH_OK;
}

berth_status state_keep_announcement(node_state *s, uint64_t version, berth_error *error)
{
    berth_status status = BERTH_OK;

    if (version <= s->announcement_version)
        return BERTH_OK;
    if (s->store)
        status = number_put(s, VERSION_FACT, version, error);
    if (status == BERTH_OK)
        s->announcement_version = version;
    return status;
}

/* ---- The offered functions
 * ------------------------------------------------------------------------ */

berth_status state_open(const config *c, node_state *s, berth_error *error)
{
    berth_error unread = {0};
    buf *fact = NULL;
    berth_status status;

    if (!error)
        error = &unread;
    sodium_ready();
    if (c->ephemeral) {
        random_bytes(s->host_key, sizeof s->host_key);
        berth_keypair_generate(&s->identity);
        mesh_secrets(s);
        return count_start(s, error);
    }
    status = open_dir(c, s, error);
    if (status == BERTH_OK)
        status = store_open(s->dir, &s->store, error);
    if (status == BERTH_OK) {
        status = store_get_fact(s->store, IDENTITY_FACT, &fact, error);
        if (status == BERTH_ERR_NOT_FOUND)
            status = BERTH_OK;
    }
    if (status == BERTH_OK)
        status = find_key(c, s, fact != NULL, error);
    if (status == BERTH_OK)
        status = fact ? known_identity(s, fact, error) : new_identity(s, error);
    if (status == BERTH_OK)
        status = number_get(s, VERSION_FACT, &s->announcement_version, error);
    if (status == BERTH_OK)
        status = count_start(s, error);
    if (status == BERTH_OK)
        mesh_secrets(s);
    buf_unref(fact);
    if (status != BERTH_OK)
        state_close(s);
    return status;
}

berth_status state_entity(const char *dir, uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error)
{
    buf *fact = NULL;
    berth_status status = store_peek_fact(dir, IDENTITY_FACT, &fact, error);

    if (status == BERTH_ERR_NOT_FOUND || (!status && !fact))
        status = fail(error, BERTH_ERR_NOT_FOUND,
                      "state directory %s: no host has run there, so there is no identity yet: "
                      "start one with 'berth run --state %s'",
                      dir, dir);
    else if (!status && fact->len != BERTH_ENTITY_SIZE + SEAL_SIZE)
        status = damaged_identity(dir, error);
    else if (!status)
        memcpy(entity, fact->data, BERTH_ENTITY_SIZE);
    buf_unref(fact);
    return status;
}

void state_close(node_state *s)
{
    if (s->store)
        store_close(s->store);
    sodium_memzero(s->host_key, sizeof s->host_key);
    sodium_memzero(s->mesh_static, sizeof s->mesh_static);
    sodium_memzero(s->mesh_reset, sizeof s->mesh_reset);
    berth_keypair_wipe(&s->identity);
    free(s->dir);
    *s = (node_state){0};
}
