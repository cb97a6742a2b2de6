/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/mesh_sections.h: what the sections `mesh`, `peer`, `realm` and `channel` of a configuration
 * say, as the mesh takes it. Reads the files that they name. Blocking; any thread.
 */
#ifndef NODE_MESH_SECTIONS_H
#define NODE_MESH_SECTIONS_H

#include "mesh/address.h"
#include "mesh/capability_filter.h"
#include "mesh/mesh.h"
#include "node/config.h"
#include "node/resolver.h"

/* An address by name, of one of the peers. */
typedef struct section_name {
    size_t peer;
    address_text at;
} section_name;

/* What a reload takes. Owns all that it points to. */
typedef struct mesh_sections {
    mesh_peer *peers; /* with the addresses that are numbers */
    size_t peer_count;
    section_name *names;
    size_t name_count;
    mesh_realm *realms;
    size_t realm_count;
    channel_rule *channels;
    size_t channel_count;
    capability_filter *filters; /* two for each channel */
    char **texts;               /* what filters and channels point into */
    size_t text_count;
    char *revoked_tokens; /* text, or NULL */
    uint8_t *certificate; /* this node's own, or NULL */
    size_t certificate_len;
} mesh_sections;

/* INVALID and others with section and file in the error. entity: this node's, which its certificate
 * must be of. state_dir: where revocation lists that others brought are kept, or NULL. */
berth_status mesh_sections_read(const config *c, const uint8_t entity[BERTH_ENTITY_SIZE],
                                const char *state_dir, mesh_sections **out, berth_error *error);
void mesh_sections_free(mesh_sections *s);

/* The policy of now: names stand for what the resolver knows of them. list holds peer_count and
 * lives as long as the policy. */
mesh_policy mesh_sections_policy(const mesh_sections *s, resolver *r, mesh_peer *list);

/* The section `mesh` and its pre-shared keys: what only a start takes. Does not set who the node
 * is. The caller wipes out. */
berth_status mesh_sections_start(const config *c, mesh_config *out, berth_error *error);

#endif
