/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/call_pick.h"
#include "chain/link.h"

static const call_candidate *nth(const call_candidate *candidates, uint64_t at)
{
    for (;; candidates++)
        if (candidates->health != CALL_HEALTH_BAD && at-- == 0)
            return candidates;
}

static const call_candidate *fastest(const call_candidate *candidates, size_t n)
{
    const call_candidate *best = NULL;

    for (size_t i = 0; i < n; i++) {
        const call_candidate *c = &candidates[i];

        if (c->health != CALL_HEALTH_BAD && c->rtt_ns >= 0 && (!best || c->rtt_ns < best->rtt_ns))
            best = c;
    }
    return best ? best : nth(candidates, 0);
}

const call_candidate *call_pick(const call_candidate *candidates, size_t n, call_policy policy,
                                uint64_t seed)
{
    uint8_t key[8];
    size_t asked = 0;

    for (size_t i = 0; i < n; i++)
        asked += candidates[i].health != CALL_HEALTH_BAD;
    if (!asked)
        return NULL;
    switch (policy) {
    case CALL_STICKY:
        store_u64(key, seed);
        return nth(candidates, xxh3(key, sizeof key) % asked);
    case CALL_LOWEST_LATENCY:
        return fastest(candidates, n);
    case CALL_ROUND_ROBIN:
    case CALL_RANDOM:
        break;
    }
    return nth(candidates, seed % asked);
}
