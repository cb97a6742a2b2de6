/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/token.h: permission tokens: signed leave to publish on a channel or to subscribe to it, and
 * chains in which one who has leave passes part of it on.
 *
 * A token is 169 bytes, made by the issuer's key for one subject. Whoever guards a channel names
 * the roots it trusts, and asks berth_token_chain_verify; nothing else has to be asked of anybody.
 *
 * Nothing here blocks, allocates or keeps state; any thread may call it. No clock is read: times
 * are seconds since 1970 that the caller gives. Where a function takes a fault and an error, both
 * may be NULL; they are set on failure only. Since 0.2.
 */
#ifndef BERTH_TOKEN_H
#define BERTH_TOKEN_H

#include "berth/identity.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_TOKEN_SIZE     169
#define BERTH_TOKEN_ID_SIZE  16
#define BERTH_TOKEN_LINKS    8        /* tokens in a chain, at most */
#define BERTH_TOKEN_TTL_MAX  31536000 /* seconds that a token may be issued for: a year */
#define BERTH_TOKEN_SKEW     60       /* seconds that clocks may reasonably differ */
#define BERTH_TOKEN_SKEW_MAX 300      /* more is cut down to this */

/* A chain as bytes: how many, then each token. */
#define BERTH_TOKEN_CHAIN_SIZE (1 + BERTH_TOKEN_LINKS * BERTH_TOKEN_SIZE)

/* What a token gives leave to. */
enum {
    BERTH_SCOPE_PUBLISH = 1,
    BERTH_SCOPE_SUBSCRIBE = 2,
    BERTH_SCOPE_ADMIN = 4,
    BERTH_SCOPE_DELEGATE = 8,  /* to pass on what else is given */
    BERTH_SCOPE_WILDCARD = 16, /* on every channel; no hash of a channel means this */
    BERTH_SCOPE_ALL = 15       /* everything, on one channel */
};

/*
 * Why a token or a chain is not accepted: X(NAME, value, status, word, text). The word is for
 * programs and counters. Values are never changed, new ones are appended.
 */
#define BERTH_TOKEN_FAULT_TABLE(X)                                                                 \
    X(FORMAT, 1, BERTH_ERR_CORRUPT, "format", "is not the bytes of a permission token")            \
    X(SIGNATURE, 2, BERTH_ERR_SIGNATURE, "signature", "is not signed by its issuer")               \
    X(EARLY, 3, BERTH_ERR_REFUSED, "not-yet-valid", "is not valid yet")                            \
    X(EXPIRED, 4, BERTH_ERR_REFUSED, "expired", "has expired")                                     \
    X(REVOKED, 5, BERTH_ERR_REFUSED, "revoked", "was revoked")                                     \
    X(ROOT, 6, BERTH_ERR_REFUSED, "root", "begins with an issuer that the channel does not trust") \
    X(PRESENTER, 7, BERTH_ERR_REFUSED, "presenter", "was issued to somebody else")                 \
    X(ACTION, 8, BERTH_ERR_REFUSED, "action", "does not give leave to do this")                    \
    X(CHANNEL, 9, BERTH_ERR_REFUSED, "channel", "is for another channel")                          \
    X(BROKEN, 10, BERTH_ERR_REFUSED, "broken", "was not issued by the subject of the one before")  \
    X(NOT_DELEGABLE, 11, BERTH_ERR_REFUSED, "not-delegable", "may not be passed on")               \
    X(DEPTH, 12, BERTH_ERR_REFUSED, "depth", "may be passed on as often as the one before")        \
    X(WINDOW, 13, BERTH_ERR_REFUSED, "window", "is valid when the one before is not")              \
    X(EXHAUSTED, 14, BERTH_ERR_REFUSED, "exhausted", "has been passed on as often as it may be")   \
    X(SIGNER, 15, BERTH_ERR_REFUSED, "signer", "can be passed on by its subject only")             \
    X(READ_ONLY, 16, BERTH_ERR_READ_ONLY, "read-only", "cannot be signed without a secret key")    \
    X(ZERO_TTL, 17, BERTH_ERR_INVALID, "zero-ttl", "has to be valid for a second at least")        \
    X(LONG_TTL, 18, BERTH_ERR_LIMIT, "long-ttl", "may be valid for a year at most")                \
    X(EMPTY, 19, BERTH_ERR_INVALID, "empty", "would give leave to nothing")

typedef enum berth_token_fault {
    BERTH_TOKEN_FINE = 0,
#define BERTH_TOKEN_FAULT_ENUM(name, value, status, word, text) BERTH_TOKEN_##name = (value),
    BERTH_TOKEN_FAULT_TABLE(BERTH_TOKEN_FAULT_ENUM)
#undef BERTH_TOKEN_FAULT_ENUM
} berth_token_fault;

/* The word of a fault, "fine" without one; and what it means. Static. */
BERTH_API const char *berth_token_fault_word(berth_token_fault fault);
BERTH_API const char *berth_token_fault_text(berth_token_fault fault);

typedef struct berth_token {
    uint8_t issuer[BERTH_ENTITY_SIZE];
    uint8_t subject[BERTH_ENTITY_SIZE]; /* who has leave */
    uint64_t channel;                   /* hash of its name; 0 is a hash like any other */
    uint64_t not_before_s;
    uint64_t not_after_s; /* the first second in which it is no longer valid */
    uint64_t nonce;
    uint32_t scope;
    uint32_t generation; /* below the floor that is set for the issuer, it is revoked */
    uint8_t depth;       /* how often it may be passed on */
    uint8_t signature[BERTH_SIGNATURE_SIZE];
} berth_token;

/* What is wanted of a new token. */
typedef struct berth_token_grant {
    uint8_t subject[BERTH_ENTITY_SIZE];
    uint64_t channel;
    uint64_t ttl_s;
    uint32_t scope;
    uint32_t generation;
    uint8_t depth;
} berth_token_grant;

/*
 * A new token, valid from now_s on. Faults, in this order: ZERO_TTL, LONG_TTL, READ_ONLY, EMPTY.
 */
BERTH_API berth_status berth_token_issue(berth_token *out, const berth_keypair *issuer,
                                         const berth_token_grant *grant, uint64_t now_s,
                                         berth_token_fault *fault, berth_error *error);

/*
 * Pass leave on. The new token has what was asked for and the parent has, keeps the parent's
 * generation, can be passed on as often as asked for and once less than the parent at most, and
 * does not outlive it: grant->ttl_s may end it earlier, 0 means with the parent. grant->channel
 * counts where the parent is for all channels and the new one is not; otherwise the parent's is
 * kept. Faults, in this order: those of berth_token_verify, EXHAUSTED, NOT_DELEGABLE, SIGNER,
 * READ_ONLY, EMPTY.
 */
BERTH_API berth_status berth_token_delegate(berth_token *out, const berth_token *parent,
                                            const berth_keypair *signer,
                                            const berth_token_grant *grant, uint64_t now_s,
                                            berth_token_fault *fault, berth_error *error);

BERTH_API void berth_token_encode(uint8_t out[BERTH_TOKEN_SIZE], const berth_token *token);
/* FORMAT, and zeros, unless there are exactly 169 bytes. Nothing is verified. Unknown bits of the
 * scope are kept. */
BERTH_API berth_status berth_token_decode(berth_token *out, const void *bytes, size_t len,
                                          berth_token_fault *fault, berth_error *error);

/* Signature, then time: SIGNATURE, EARLY, EXPIRED. */
BERTH_API berth_status berth_token_verify(const berth_token *token, uint64_t now_s, uint32_t skew_s,
                                          berth_token_fault *fault, berth_error *error);

/* A look at the clock, nothing else. */
BERTH_API bool berth_token_is_expired(const berth_token *token, uint64_t now_s, uint32_t skew_s);

/* All bits of action are in scope; an action of no bits is in none. */
BERTH_API bool berth_scope_has(uint32_t scope, uint32_t action);

/* Does it give leave to this on this channel? Says nothing about signature, time or whose it is. */
BERTH_API bool berth_token_allows(const berth_token *token, uint32_t action, uint64_t channel);

/* What one token is revoked by: a digest of all that is signed. */
BERTH_API void berth_token_id(uint8_t out[BERTH_TOKEN_ID_SIZE], const berth_token *token);

/* ---- Chains ---------------------------------------------------------------------------------- */

/* From the root to the one who has leave now. A single token is a chain of one. */
typedef struct berth_token_chain {
    berth_token links[BERTH_TOKEN_LINKS];
    uint8_t count;
} berth_token_chain;

BERTH_API void berth_token_chain_of(berth_token_chain *out, const berth_token *token);

/* Append a token. LIMIT when the chain is full. */
BERTH_API berth_status berth_token_chain_add(berth_token_chain *chain, const berth_token *token,
                                             berth_error *error);

/* Returns the length. */
BERTH_API size_t berth_token_chain_encode(uint8_t out[BERTH_TOKEN_CHAIN_SIZE],
                                          const berth_token_chain *chain);
/* FORMAT, and an empty chain, unless the bytes are 1 to 8 tokens and nothing else. */
BERTH_API berth_status berth_token_chain_decode(berth_token_chain *out, const void *bytes,
                                                size_t len, berth_token_fault *fault,
                                                berth_error *error);

/* When the first of its tokens ends; 0 for an empty chain. */
BERTH_API uint64_t berth_token_chain_end(const berth_token_chain *chain);

/* What a chain is held against. Zero-initialise it and set size. */
typedef struct berth_token_policy {
    uint32_t size;        /* sizeof(berth_token_policy) */
    uint32_t action;      /* BERTH_SCOPE_* */
    uint64_t channel;     /* hash of the name */
    const uint8_t *roots; /* root_count entity ids, one behind the other; none: nobody has leave */
    size_t root_count;
    const uint8_t *presenter; /* proven entity id of the one who shows the chain */
    uint64_t now_s;
    uint32_t skew_s;
    /* The very bytes were verified before: judge everything but the signatures. */
    uint32_t presigned;
    /* Was this token revoked? NULL: none was. */
    bool (*revoked)(void *ctx, const berth_token *token);
    void *revoked_ctx;
} berth_token_policy;

/*
 * Faults, in this order: FORMAT for an empty chain; ROOT; PRESENTER; then for each link SIGNATURE,
 * EARLY or EXPIRED, REVOKED, ACTION or CHANNEL; then for each pair BROKEN, NOT_DELEGABLE, DEPTH,
 * WINDOW. BERTH_ERR_INVALID without a fault when the policy itself makes no sense.
 */
BERTH_API berth_status berth_token_chain_verify(const berth_token_chain *chain,
                                                const berth_token_policy *policy,
                                                berth_token_fault *fault, berth_error *error);

#ifdef __cplusplus
}
#endif
#endif
