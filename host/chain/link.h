/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/link.h: what the room needs beside berth/chain.h, whose functions on links live here.
 */
#ifndef CHAIN_LINK_H
#define CHAIN_LINK_H

#include "base/cursor.h"
#include "berth/chain.h"

/* XXH3-64 without seed: the only hash of the history formats beside keyed BLAKE2s. */
uint64_t xxh3(const void *ptr, size_t len);

void link_write(writer *w, const berth_link *link);
void link_read(reader *r, berth_link *link);
bool link_eq(const berth_link *a, const berth_link *b);

/* Validation against a known parent hash, for those who keep it instead of the payload. */
berth_status link_validate_parent(const berth_link *prev, uint64_t parent, const berth_link *next,
                                  berth_chain_fault *fault);

#endif
