/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/announcement.h: what a node says of itself to all others: the text, and the signature over
 * it (docs/wire.md, "Announcements").
 *
 * The text is JSON with its members in one order and no white space. The signature covers the text
 * without the members signature and hop_count; who passes an announcement on changes hop_count in
 * the bytes it received and nothing else. Any thread; nothing blocks.
 */
#ifndef MESH_ANNOUNCEMENT_H
#define MESH_ANNOUNCEMENT_H

#include "berth/identity.h"
#include "mesh/capability.h"
#include "mesh/verify.h"

/* Longest text that is read; we make none that could grow over it on its way. */
#define ANNOUNCEMENT_MAX     8104
#define ANNOUNCEMENT_MAX_OWN (ANNOUNCEMENT_MAX - 15 /* ,"hop_count":15 */)

#define ANNOUNCEMENT_HOPS      16 /* passed on while hop_count + 1 is below it */
#define ANNOUNCEMENT_LIST_MAX  64 /* entries of one allow-list */
#define ANNOUNCEMENT_REFLEX    64 /* room for an address as text */
#define ANNOUNCEMENT_SUBNET_ID 16
#define ANNOUNCEMENT_GROUP_ID  32

typedef struct announcement {
    uint64_t node_id;
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t version, timestamp_ns; /* since 1970 */
    uint32_t ttl_s;
    capabilities set;
    bool is_signed;
    uint8_t signature[BERTH_SIGNATURE_SIZE];
    uint8_t hop_count;
    char reflex[ANNOUNCEMENT_REFLEX]; /* a.b.c.d:port or [v6]:port; empty: not known */
    size_t node_count, subnet_count, group_count;
    uint64_t nodes[ANNOUNCEMENT_LIST_MAX];
    uint8_t subnets[ANNOUNCEMENT_LIST_MAX][ANNOUNCEMENT_SUBNET_ID];
    uint8_t groups[ANNOUNCEMENT_LIST_MAX][ANNOUNCEMENT_GROUP_ID];
} announcement;

void announcement_fini(announcement *a);

/* The bytes to be signed; and the text as it travels. */
void announcement_write_signed(writer *w, const announcement *a);
void announcement_write(writer *w, const announcement *a);

/* Sign what a holds and write the text; sets entity, node_id and signature. LIMIT when the text is
 * over ANNOUNCEMENT_MAX_OWN, READ_ONLY when the key has no secret half. */
berth_status announcement_sign(writer *w, announcement *a, const berth_keypair *key,
                               berth_error *error);

/* LIMIT for the size, INVALID for all else; *out is then empty. The signature is not looked at. */
berth_status announcement_read(announcement *out, slice text, berth_error *error);

/* Node and version of a text that begins as ours do and has come over hops, without reading more of
 * it; false: only announcement_read can tell. Nothing is believed of it. */
bool announcement_peek(slice text, uint64_t *node_id, uint64_t *version);

/* Whether the signature in the text that *a was read from is by a->entity. SIGNATURE if not or if
 * there is none. */
berth_status announcement_verify(const announcement *a, slice text, verify_signature *verify,
                                 berth_error *error);

/* The same text with another hop_count: nothing else changes. text is one that was read. */
berth_status announcement_write_hop(writer *w, slice text, uint8_t hop_count, berth_error *error);

#endif
