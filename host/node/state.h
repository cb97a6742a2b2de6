/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/state.h: the state directory, what seals the secrets in it, and who this node is.
 *
 * Blocking; one thread at a time. Secrets are wiped at close.
 */
#ifndef NODE_STATE_H
#define NODE_STATE_H

#include "berth/identity.h"
#include "identity/seal.h"
#include "node/config.h"
#include "store/store.h"

/* Where systemd puts the host key: LoadCredential=berth-host-key:... */
#define STATE_CREDENTIAL "berth-host-key"

typedef struct node_state {
    char *dir;    /* absolute; NULL: ephemeral, nothing is kept */
    store *store; /* NULL: ephemeral */
    uint8_t host_key[HOST_KEY_SIZE];
    berth_keypair identity; /* of the node */
    /* For the mesh: endpoint_config.static_secret and reset_key. The same at every start. */
    uint8_t mesh_static[32], mesh_reset[32];
    /* Higher at every start, also of a directory that was rolled back as long as the clock was not;
     * on disk before anybody sees it. */
    uint64_t boot;
    uint64_t announcement_version; /* the last that was kept; 0: none */
} node_state;

/*
 * Make or open the directory and the store in it, find the host key, and the node's identity under
 * it. LOCKED when another host has the directory, PERMISSION when others may write to it, SIGNATURE
 * when the host key is not the one that the directory was sealed with, NOT_FOUND when that key is
 * gone. Zero-initialise out; a failure leaves it zeroed.
 */
berth_status state_open(const config *c, node_state *out, berth_error *error);

/*
 * The entity id of the node that a state directory belongs to, also while a host runs on it. It
 * takes no host key, so it says what stands there, which only the start of a host proves.
 * NOT_FOUND, and what to do, when no host has run there yet.
 */
berth_status state_entity(const char *dir, uint8_t entity[BERTH_ENTITY_SIZE], berth_error *error);

/* A zeroed state is allowed. */
void state_close(node_state *s);

/* Keep the version of an announcement: on disk when this returns. One that is not above the last
 * says nothing new. An ephemeral state remembers it only. */
berth_status state_keep_announcement(node_state *s, uint64_t version, berth_error *error);

/*
 * A host key as people keep it: 32 bytes, or 64 hex digits with or without a newline. INVALID, with
 * the command that makes one, for anything else.
 */
berth_status state_key_parse(slice text, const char *path, uint8_t out[HOST_KEY_SIZE],
                             berth_error *error);

#endif
