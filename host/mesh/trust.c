/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/trust.h"
#include "base/error.h"
#include "base/map.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct realm {
    uint8_t key[BERTH_ENTITY_SIZE];
    revocation_list revoked;
    buf *list; /* its bytes; NULL: none yet */
};

struct trust {
    uint8_t self[BERTH_ENTITY_SIZE];
    strmap by_name, by_static, by_entity; /* trust_peer; by_name owns */
    strmap certified;                     /* entity to realm_certificate, owned */
    struct realm realms[TRUST_REALMS_MAX];
    unsigned realm_count;
    uint64_t counts[TRUST_REASON_COUNT];
};

static slice key_of(const uint8_t key[32])
{
    return slice_of(key, 32);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static const struct {
    uint32_t grant;
    const char *word;
} grants[] = {
#define GRANT_ROW(name, bit, word) {TRUST_MAY_##name, word},
    TRUST_GRANTS(GRANT_ROW)
#undef GRANT_ROW
};

#define GRANT_COUNT (sizeof grants / sizeof *grants)

berth_status trust_grant_add(uint32_t *may, slice word, berth_error *error)
{
    for (size_t i = 0; i < GRANT_COUNT; i++)
        if (slice_eq(word, slice_str(grants[i].word))) {
            *may |= grants[i].grant;
            return BERTH_OK;
        }
    return fail(error, BERTH_ERR_INVALID,
                "'%.*s' is nothing that can be granted: there are migrate-in, migrate-out, "
                "orchestrate, spawn, fetch-plugin and relay",
                (int)(word.len < 32 ? word.len : 32), word.ptr ? (const char *)word.ptr : "");
}

const char *trust_grant_word(uint32_t grant)
{
    for (size_t i = 0; i < GRANT_COUNT; i++)
        if (grants[i].grant == grant)
            return grants[i].word;
    return NULL;
}

const char *trust_reason_word(trust_reason reason)
{
    static const char *const words[] = {
#define REASON_ROW(name, word) word,
        TRUST_REASONS(REASON_ROW)
#undef REASON_ROW
    };

    return (unsigned)reason < TRUST_REASON_COUNT ? words[reason] : "?";
}

/* ---- Life ------------------------------------------------------------------------------------ */

trust *trust_new(const uint8_t self[BERTH_ENTITY_SIZE])
{
    trust *t = calloc(1, sizeof *t);

    if (t)
        memcpy(t->self, self, sizeof t->self);
    return t;
}

static void free_values(strmap *m)
{
    size_t at = 0;
    slice key;
    void *value;

    while (strmap_next(m, &at, &key, &value))
        free(value);
    strmap_fini(m);
}

static void free_realm(struct realm *r)
{
    revocation_free(&r->revoked);
    buf_unref(r->list);
    memset(r, 0, sizeof *r);
}

void trust_free(trust *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < t->realm_count; i++)
        free_realm(&t->realms[i]);
    strmap_fini(&t->by_static);
    strmap_fini(&t->by_entity);
    free_values(&t->by_name);
    free_values(&t->certified);
    free(t);
}

/* ---- Pins ------------------------------------------------------------------------------------ */

static void unlink_keys(trust *t, const trust_peer *p)
{
    if (p->has_static)
        strmap_del(&t->by_static, key_of(p->static_key));
    if (p->has_entity)
        strmap_del(&t->by_entity, key_of(p->entity));
}

/* False when memory is short; then nothing is linked. */
static bool link_keys(trust *t, trust_peer *p)
{
    if (p->has_static && !strmap_put(&t->by_static, key_of(p->static_key), p))
        return false;
    if (p->has_entity && !strmap_put(&t->by_entity, key_of(p->entity), p)) {
        if (p->has_static)
            strmap_del(&t->by_static, key_of(p->static_key));
        return false;
    }
    return true;
}

berth_status trust_pin(trust *t, const trust_peer *peer, berth_error *error)
{
    slice name = slice_of(peer->name, strnlen(peer->name, sizeof peer->name));
    trust_peer *old, *same_static, *same_entity, *p, before;
    berth_status status = certificate_name_check(name, error);

    if (status)
        return status;
    old = strmap_get(&t->by_name, name);
    same_static = peer->has_static ? strmap_get(&t->by_static, key_of(peer->static_key)) : NULL;
    same_entity = peer->has_entity ? strmap_get(&t->by_entity, key_of(peer->entity)) : NULL;
    if ((same_static && same_static != old) || (same_entity && same_entity != old))
        return fail(error, BERTH_ERR_EXISTS, "peer '%s': its %s is that of peer '%s'", peer->name,
                    same_static && same_static != old ? "key" : "entity",
                    (same_static && same_static != old ? same_static : same_entity)->name);
    if (old) {
        before = *old;
        unlink_keys(t, old);
        *old = *peer; /* the name is the same, so the map's key stays right */
        if (link_keys(t, old))
            return BERTH_OK;
        *old = before;
        link_keys(t, old); /* into the places that have just become free */
        return fail(error, BERTH_ERR_NO_MEMORY, "peer '%s': no memory for it", peer->name);
    }
    if (t->by_name.count == TRUST_PEERS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "peer '%s': there are %d peers already", peer->name,
                    TRUST_PEERS_MAX);
    p = malloc(sizeof *p);
    if (p)
        *p = *peer;
    if (!p || !link_keys(t, p)) {
        free(p);
        return fail(error, BERTH_ERR_NO_MEMORY, "peer '%s': no memory for it", peer->name);
    }
    if (!strmap_put(&t->by_name, slice_str(p->name), p)) {
        unlink_keys(t, p);
        free(p);
        return fail(error, BERTH_ERR_NO_MEMORY, "peer '%s': no memory for it", peer->name);
    }
    return BERTH_OK;
}

berth_status trust_unpin(trust *t, slice name)
{
    trust_peer *p = strmap_del(&t->by_name, name);

    if (!p)
        return BERTH_ERR_NOT_FOUND;
    unlink_keys(t, p);
    free(p);
    return BERTH_OK;
}

const trust_peer *trust_pinned(const trust *t, slice name)
{
    return strmap_get(&t->by_name, name);
}

/* ---- Realms ---------------------------------------------------------------------------------- */

static struct realm *find_realm(const trust *t, const uint8_t key[BERTH_ENTITY_SIZE])
{
    for (unsigned i = 0; i < t->realm_count; i++)
        if (memcmp(t->realms[i].key, key, BERTH_ENTITY_SIZE) == 0)
            return (struct realm *)&t->realms[i];
    return NULL;
}

berth_status trust_add_realm(trust *t, const uint8_t realm[BERTH_ENTITY_SIZE], berth_error *error)
{
    char who[BERTH_ENTITY_DISPLAY];

    berth_entity_display(who, realm);
    if (find_realm(t, realm))
        return fail(error, BERTH_ERR_EXISTS, "realm %s is trusted already", who);
    if (t->realm_count == TRUST_REALMS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "realm %s: a node trusts at most %d realms", who,
                    TRUST_REALMS_MAX);
    memcpy(t->realms[t->realm_count++].key, realm, BERTH_ENTITY_SIZE);
    return BERTH_OK;
}

berth_status trust_remove_realm(trust *t, const uint8_t realm[BERTH_ENTITY_SIZE])
{
    struct realm *r = find_realm(t, realm);

    if (!r)
        return BERTH_ERR_NOT_FOUND;
    free_realm(r);
    t->realm_count--;
    memmove(r, r + 1, (size_t)(t->realms + t->realm_count - r) * sizeof *r);
    memset(&t->realms[t->realm_count], 0, sizeof *r);
    return BERTH_OK;
}

/* Where number and realm stand in a list, so that an old one, or a stranger's, costs no signature.
 */
static berth_status worth_reading(const trust *t, slice list, berth_error *error)
{
    reader r = reader_of(list.ptr, list.len);
    uint8_t key[BERTH_ENTITY_SIZE];
    const struct realm *realm;
    char who[BERTH_ENTITY_DISPLAY];
    uint64_t number;

    reader_u8(&r);
    reader_copy(&r, key, sizeof key);
    number = reader_u64(&r);
    if (!reader_ok(&r) || list.len > REVOCATION_MAX)
        return fail(error, BERTH_ERR_CORRUPT, "revocation list: %zu bytes are no list", list.len);
    realm = find_realm(t, key);
    if (!realm)
        return fail(error, BERTH_ERR_REFUSED,
                    "revocation list: of realm %s, which this node does not trust",
                    berth_entity_display(who, key));
    if (realm->list && number <= realm->revoked.number)
        return fail(error, BERTH_ERR_STALE,
                    "revocation list: number %" PRIu64 " is not above %" PRIu64
                    ", which is in force",
                    number, realm->revoked.number);
    return BERTH_OK;
}

berth_status trust_revoke(trust *t, slice list, berth_error *error)
{
    revocation_list got;
    struct realm *realm;
    berth_status status = worth_reading(t, list, error);
    buf *bytes;

    if (status)
        return status;
    status = revocation_read(&got, list, error);
    if (status)
        return status;
    bytes = buf_copy(list.ptr, list.len);
    if (!bytes) {
        revocation_free(&got);
        return fail(error, BERTH_ERR_NO_MEMORY, "revocation list: no memory to keep it");
    }
    realm = find_realm(t, got.realm);
    revocation_free(&realm->revoked);
    buf_unref(realm->list);
    realm->revoked = got;
    realm->list = bytes;
    return BERTH_OK;
}

slice trust_revocations(const trust *t, const uint8_t realm[BERTH_ENTITY_SIZE])
{
    const struct realm *r = find_realm(t, realm);

    return r && r->list ? slice_of(r->list->data, r->list->len) : slice_of(NULL, 0);
}

/* ---- Decisions ------------------------------------------------------------------------------- */

static berth_status refuse(trust_reason *reason, trust_reason what, berth_error *error,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

static berth_status refuse(trust_reason *reason, trust_reason what, berth_error *error,
                           const char *format, ...)
{
    char text[BERTH_ERROR_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *reason = what;
    return fail(error, BERTH_ERR_REFUSED, "%s", text);
}

/* Rules 1 and 2. *pin is what was pinned of it, or NULL: then rule 3 decides. */
static berth_status judge_keys(const trust *t, const peer_identity *peer, const trust_peer **pin,
                               trust_reason *reason, berth_error *error)
{
    const trust_peer *by_static = strmap_get(&t->by_static, key_of(peer->static_key));
    const trust_peer *by_entity = strmap_get(&t->by_entity, key_of(peer->entity));
    const trust_peer *p = by_static ? by_static : by_entity;
    char who[BERTH_ENTITY_DISPLAY];

    *pin = NULL;
    berth_entity_display(who, peer->entity);
    if (memcmp(peer->entity, t->self, sizeof t->self) == 0)
        return refuse(reason, TRUST_SELF, error,
                      "entity %s is this node itself: its address leads back here, or its identity "
                      "was copied",
                      who);
    for (unsigned i = 0; i < t->realm_count; i++)
        if (revocation_has_entity(&t->realms[i].revoked, peer->entity))
            return refuse(reason, TRUST_REVOKED, error, "entity %s was revoked by its realm", who);
    if (!p)
        return BERTH_OK;
    if (by_static && by_entity && by_static != by_entity)
        return refuse(reason, TRUST_MISMATCH, error,
                      "it has the key of peer '%s' and the entity of peer '%s'", by_static->name,
                      by_entity->name);
    if (p->has_static && memcmp(p->static_key, peer->static_key, 32) != 0)
        return refuse(reason, TRUST_MISMATCH, error,
                      "peer '%s' comes with another key than is pinned for it", p->name);
    if (p->has_entity && memcmp(p->entity, peer->entity, 32) != 0)
        return refuse(reason, TRUST_MISMATCH, error,
                      "peer '%s' is entity %s and not the one that is pinned for it", p->name, who);
    *pin = p;
    *reason = TRUST_PINNED;
    return BERTH_OK;
}

/* Rule 3 without the signature, which is verified once. */
static berth_status judge_certificate(const trust *t, const realm_certificate *c, int64_t now_s,
                                      trust_reason *reason, berth_error *error)
{
    const struct realm *realm = find_realm(t, c->realm);
    const trust_peer *named = strmap_get(&t->by_name, slice_str(c->name));
    char who[BERTH_ENTITY_DISPLAY];
    berth_status status;

    if (!realm)
        return refuse(reason, TRUST_REALM, error,
                      "the certificate of '%s' is of realm %s, which this node does not trust",
                      c->name, berth_entity_display(who, c->realm));
    if (revocation_has_serial(&realm->revoked, c->serial))
        return refuse(reason, TRUST_REVOKED, error, "certificate %" PRIu64 " of '%s' was revoked",
                      c->serial, c->name);
    if (named && (named->has_static || named->has_entity))
        return refuse(reason, TRUST_NAME, error,
                      "its certificate says '%s', but peer '%s' is pinned with other keys", c->name,
                      c->name);
    status = certificate_in_time(c, now_s, TRUST_CLOCK_TOLERANCE_S, error);
    *reason = status ? TRUST_TIME : TRUST_CERTIFIED;
    return status;
}

/* Room for one more; certificates that have run out make it. */
static bool make_room(trust *t, int64_t now_s)
{
    size_t at = 0;
    slice key;
    void *value;

    if (t->certified.count < TRUST_CERTIFIED_MAX)
        return true;
    while (strmap_next(&t->certified, &at, &key, &value))
        if (certificate_in_time(value, now_s, TRUST_CLOCK_TOLERANCE_S, NULL) != BERTH_OK) {
            free(strmap_del(&t->certified, key));
            return true;
        }
    return false;
}

static bool remember(trust *t, const realm_certificate *c, int64_t now_s)
{
    realm_certificate *kept = strmap_get(&t->certified, key_of(c->entity));

    if (kept) {
        *kept = *c;
        return true;
    }
    kept = make_room(t, now_s) ? malloc(sizeof *kept) : NULL;
    if (!kept)
        return false;
    *kept = *c;
    if (strmap_put(&t->certified, key_of(kept->entity), kept))
        return true;
    free(kept);
    return false;
}

static berth_status admit_certified(trust *t, peer_identity *peer, slice bytes, int64_t now_s,
                                    trust_reason *reason, berth_error *error)
{
    char who[BERTH_ENTITY_DISPLAY];
    realm_certificate c;
    berth_status status;

    if (!bytes.len)
        return refuse(reason, TRUST_UNKNOWN, error,
                      "entity %s is not pinned and has no certificate: add a peer section, or sign "
                      "one for it with 'berth realm sign'",
                      berth_entity_display(who, peer->entity));
    *reason = TRUST_CERTIFICATE;
    if (certificate_decode(&c, bytes, error) != BERTH_OK)
        return BERTH_ERR_REFUSED;
    if (memcmp(c.entity, peer->entity, sizeof c.entity) != 0)
        return refuse(reason, TRUST_CERTIFICATE, error,
                      "the certificate of '%s' is of another entity than %s", c.name,
                      berth_entity_display(who, peer->entity));
    status = judge_certificate(t, &c, now_s, reason, error);
    if (status)
        return status;
    if (certificate_verify(&c, error) != BERTH_OK) {
        *reason = TRUST_CERTIFICATE;
        return BERTH_ERR_REFUSED;
    }
    if (!remember(t, &c, now_s))
        return refuse(reason, TRUST_FULL, error, "no room to remember the certificate of '%s'",
                      c.name);
    memcpy(peer->name, c.name, sizeof c.name);
    peer->expires_wall_s = c.not_after;
    return BERTH_OK;
}

berth_status trust_admit(trust *t, peer_identity *peer, slice certificate, int64_t now_s,
                         trust_reason *reason, berth_error *error)
{
    trust_reason why = TRUST_UNKNOWN;
    const trust_peer *pin;
    berth_status status = judge_keys(t, peer, &pin, &why, error);

    if (!status && pin) {
        memcpy(peer->name, pin->name, sizeof pin->name);
        peer->expires_wall_s = INT64_MAX;
    } else if (!status) {
        status = admit_certified(t, peer, certificate, now_s, &why, error);
    }
    if (status && error)
        error->code = status;
    t->counts[why]++;
    if (reason)
        *reason = why;
    return status;
}

/* What trust_still and trust_grants share. *section: the operator's, or NULL. */
static berth_status review(const trust *t, const peer_identity *peer, int64_t now_s,
                           const trust_peer **section, trust_reason *reason, berth_error *error)
{
    berth_status status = judge_keys(t, peer, section, reason, error);
    const realm_certificate *c;

    if (status || *section)
        return status;
    c = strmap_get(&t->certified, key_of(peer->entity));
    if (!c)
        return refuse(reason, TRUST_UNKNOWN, error, "peer '%s' is no longer pinned", peer->name);
    status = judge_certificate(t, c, now_s, reason, error);
    if (!status)
        *section = strmap_get(&t->by_name, slice_str(c->name));
    return status;
}

berth_status trust_still(const trust *t, const peer_identity *peer, int64_t now_s,
                         trust_reason *reason, berth_error *error)
{
    trust_reason why = TRUST_UNKNOWN;
    const trust_peer *section;
    berth_status status = review(t, peer, now_s, &section, &why, error);

    if (reason)
        *reason = why;
    return status;
}

size_t trust_review(const trust *t, const peer_identity *const *live, size_t count, int64_t now_s,
                    void (*close)(void *ctx, const peer_identity *peer, const char *why), void *ctx)
{
    size_t closed = 0;

    for (size_t i = 0; i < count; i++) {
        berth_error error = {0};

        if (trust_still(t, live[i], now_s, NULL, &error) == BERTH_OK)
            continue;
        close(ctx, live[i], error.text);
        closed++;
    }
    return closed;
}

uint32_t trust_grants(const trust *t, const peer_identity *peer, int64_t now_s)
{
    const trust_peer *section = NULL;
    trust_reason why;

    if (review(t, peer, now_s, &section, &why, NULL) != BERTH_OK || !section)
        return 0;
    return section->may;
}

uint64_t trust_count(const trust *t, trust_reason reason)
{
    return (unsigned)reason < TRUST_REASON_COUNT ? t->counts[reason] : 0;
}
