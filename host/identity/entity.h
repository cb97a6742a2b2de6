/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/entity.h: what the rooms above need beside berth/identity.h, whose functions live here.
 *
 * Any thread; nothing blocks.
 */
#ifndef IDENTITY_ENTITY_H
#define IDENTITY_ENTITY_H

#include "base/buf.h"
#include "base/cursor.h"
#include "berth/identity.h"

/* Keyed BLAKE2s-256: a label of at most 32 bytes is the key, so that one input gives unrelated
 * values for different uses. */
#define DERIVED_SIZE 32
void identity_derive(uint8_t out[DERIVED_SIZE], const char *label, slice message);

/* Room for the text that keypair_debug writes. */
#define KEYPAIR_DEBUG 48

/* For logs: the display form and which half is there, never the seed. Returns out. */
char *keypair_debug(char out[KEYPAIR_DEBUG], const berth_keypair *key);

/* Full 32 bytes; what decides whenever a snapshot meets a key (compute-core K25). */
bool entity_eq(const uint8_t a[BERTH_ENTITY_SIZE], const uint8_t b[BERTH_ENTITY_SIZE]);

/* Is this the encoding of a point of the curve at all? */
bool entity_on_curve(const uint8_t entity[BERTH_ENTITY_SIZE]);

/* The length-prefixed binary form: 0x20 and the 32 bytes. Another length makes the reader bad. */
void entity_write(writer *w, const uint8_t entity[BERTH_ENTITY_SIZE]);
void entity_read(reader *r, uint8_t entity[BERTH_ENTITY_SIZE]);

#endif
