/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/channel.h: the names of channels.
 */
#ifndef CHAIN_CHANNEL_H
#define CHAIN_CHANNEL_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

#define CHANNEL_NAME_MAX 255

/*
 * 1 to 255 bytes of a-z, 0-9, '-', '_', '.' and '/'; no '/' at an end, no two in a row, no part
 * that is
 * "." or "..". INVALID (LIMIT for the length) with the rule that is broken.
 */
berth_status channel_name_check(slice name, berth_error *error);

/* "CHANNEL" or "CHANNEL@GROUP" in its two halves; group is empty without one. INVALID, LIMIT. */
berth_status channel_subscription_parse(slice text, slice *channel, slice *group,
                                        berth_error *error);

/* What stands for a name on the wire and in tokens, and the 16 bits of it that packets carry. */
uint64_t channel_hash(slice name);

static inline uint16_t channel_hint(uint64_t hash)
{
    return (uint16_t)hash;
}

#endif
