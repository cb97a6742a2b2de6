/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/trust.h: who is let in, and what it may ask for.
 *
 * A peer is let in because the operator pinned its keys, or because a realm that the operator
 * trusts has signed a certificate for its entity. Nothing else counts: not the pre-shared key, not
 * an address. Rules, in this order:
 *
 *   1. an entity that a trusted realm has taken back is refused, also when it is pinned;
 *   2. a peer whose static key or entity is pinned is let in if everything pinned of it is right,
 *      and refused if anything is not: no certificate helps;
 *   3. everybody else needs a certificate of a trusted realm: for its own entity, in time, not
 *      taken back, under a name that is not that of another, pinned peer.
 *
 * What a peer may ask for (`may`) stands in the operator's section for it and nowhere else; a
 * section without keys names a certified node. The default is nothing.
 *
 * A machine without clock or input and output: times are seconds since 1970, given by the caller.
 * One thread at a time. After every change the caller asks trust_review which of its live peers
 * have to be closed.
 */
#ifndef MESH_TRUST_H
#define MESH_TRUST_H

#include "identity/certificate.h"
#include "identity/revocation.h"
#include "mesh/transport.h"

/* How far the clocks of two machines may be apart: certificates count this much before and after
 * their time. */
#define TRUST_CLOCK_TOLERANCE_S 300

#define TRUST_PEERS_MAX     65536
#define TRUST_REALMS_MAX    8
#define TRUST_CERTIFIED_MAX 65536 /* entities whose certificate is remembered */

/* X(name, bit, word) */
#define TRUST_GRANTS(X)                                                                            \
    X(MIGRATE_IN, 0, "migrate-in")                                                                 \
    X(MIGRATE_OUT, 1, "migrate-out")                                                               \
    X(ORCHESTRATE, 2, "orchestrate")                                                               \
    X(SPAWN, 3, "spawn")                                                                           \
    X(FETCH_PLUGIN, 4, "fetch-plugin")                                                             \
    X(RELAY, 5, "relay")

typedef enum trust_grant {
#define TRUST_GRANT_ENUM(name, bit, word) TRUST_MAY_##name = 1 << (bit),
    TRUST_GRANTS(TRUST_GRANT_ENUM)
#undef TRUST_GRANT_ENUM
} trust_grant;

/* Add the grant of this word to *may. INVALID, naming those there are. */
berth_status trust_grant_add(uint32_t *may, slice word, berth_error *error);
/* "relay"; NULL for what is not one bit of the table. */
const char *trust_grant_word(uint32_t grant);

/* X(name, word): decisions, for counters and for people. */
#define TRUST_REASONS(X)                                                                           \
    X(PINNED, "pinned")           /* let in */                                                     \
    X(CERTIFIED, "certified")     /* let in */                                                     \
    X(UNKNOWN, "unknown")         /* not pinned, no certificate */                                 \
    X(MISMATCH, "mismatch")       /* pinned with other keys */                                     \
    X(CERTIFICATE, "certificate") /* malformed, not of its entity, not signed by its realm */      \
    X(REALM, "realm")             /* of a realm that is not trusted */                             \
    X(NAME, "name")               /* under the name of a peer pinned with keys */                  \
    X(TIME, "time")               /* not yet or no longer */                                       \
    X(REVOKED, "revoked")                                                                          \
    X(SELF, "self") /* this node's own entity: a loop, or a copied key */                          \
    X(FULL, "full") /* no room to remember it */

typedef enum trust_reason {
#define TRUST_REASON_ENUM(name, word) TRUST_##name,
    TRUST_REASONS(TRUST_REASON_ENUM)
#undef TRUST_REASON_ENUM
        TRUST_REASON_COUNT
} trust_reason;

const char *trust_reason_word(trust_reason reason);

/* An operator's section about a peer. */
typedef struct trust_peer {
    char name[CERTIFICATE_NAME_MAX + 1];
    bool has_static, has_entity; /* neither: grants for the certified node of this name */
    uint8_t static_key[32], entity[BERTH_ENTITY_SIZE];
    uint32_t may; /* TRUST_MAY_* */
} trust_peer;

typedef struct trust trust;

/* self: this node's entity. NULL when memory is short. */
trust *trust_new(const uint8_t self[BERTH_ENTITY_SIZE]);
void trust_free(trust *t);

/* Replaces the section of the same name. INVALID: the name; EXISTS: a key of it is pinned under
 * another name; LIMIT, NO_MEMORY. On error nothing changes. */
berth_status trust_pin(trust *t, const trust_peer *peer, berth_error *error);
berth_status trust_unpin(trust *t, slice name); /* NOT_FOUND */
const trust_peer *trust_pinned(const trust *t, slice name);

/* A realm whose certificates count. EXISTS, LIMIT. */
berth_status trust_add_realm(trust *t, const uint8_t realm[BERTH_ENTITY_SIZE], berth_error *error);
berth_status trust_remove_realm(trust *t, const uint8_t realm[BERTH_ENTITY_SIZE]); /* NOT_FOUND */

/*
 * Take a realm's revocation list, from a file or from a peer: it does not matter who brings it.
 * STALE: the number is not above that of the list in force; REFUSED: of no trusted realm; and the
 * errors of revocation_read. On success the bytes are worth keeping and passing on.
 */
berth_status trust_revoke(trust *t, slice list, berth_error *error);
/* The list in force of this realm, as it was signed, borrowed until the next change; empty if there
 * is none. */
slice trust_revocations(const trust *t, const uint8_t realm[BERTH_ENTITY_SIZE]);

/*
 * Decide about a peer whose keys have been proven. OK, with name and expires_wall_s set; REFUSED
 * with the reason for people in error and, when it is not NULL, in *reason.
 */
berth_status trust_admit(trust *t, peer_identity *peer, slice certificate, int64_t now_s,
                         trust_reason *reason, berth_error *error);

/* The same question about a peer that was let in before, under the rules of now. */
berth_status trust_still(const trust *t, const peer_identity *peer, int64_t now_s,
                         trust_reason *reason, berth_error *error);

/* Name those of the live peers that are to be closed, with why; answers how many. close may not
 * change the trust. */
size_t trust_review(const trust *t, const peer_identity *const *live, size_t count, int64_t now_s,
                    void (*close)(void *ctx, const peer_identity *peer, const char *why),
                    void *ctx);

/* Grants of a peer that is let in, as of now; 0 for everybody else. */
uint32_t trust_grants(const trust *t, const peer_identity *peer, int64_t now_s);
static inline bool trust_may(const trust *t, const peer_identity *peer, trust_grant grant,
                             int64_t now_s)
{
    return (trust_grants(t, peer, now_s) & (uint32_t)grant) != 0;
}

/* How often trust_admit has decided so. */
uint64_t trust_count(const trust *t, trust_reason reason);

#endif
