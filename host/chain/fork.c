/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/fork.h"
#include "base/error.h"

uint64_t fork_sentinel(uint64_t original, uint64_t sequence)
{
    static const uint8_t label[4] = {'f', 'o', 'r', 'k'};
    uint8_t raw[16 + sizeof label];

    store_u64(raw, original);
    store_u64(raw + 8, sequence);
    memcpy(raw + 16, label, sizeof label);
    return xxh3(raw, sizeof raw);
}

berth_status fork_record_make(fork_record *out, uint64_t original, uint64_t sequence,
                              uint64_t forked, const uint64_t *snapshot_sequence,
                              berth_error *error)
{
    memset(out, 0, sizeof *out);
    if (original == forked)
        return fail(error, BERTH_ERR_INVALID, "fork: a fork must have an origin of its own");
    out->original = original;
    out->forked = forked;
    out->sequence = sequence;
    out->genesis = (berth_link){.origin = forked, .parent = fork_sentinel(original, sequence)};
    out->has_snapshot = snapshot_sequence != NULL;
    out->snapshot_sequence = snapshot_sequence ? *snapshot_sequence : 0;
    return BERTH_OK;
}

void fork_entity(uint64_t original, uint64_t sequence, const uint64_t *snapshot_sequence,
                 berth_keypair *key, chain *c, fork_record *record)
{
    do {
        berth_keypair_generate(key);
    } while (fork_record_make(record, original, sequence, key->origin, snapshot_sequence, NULL));
    chain_from_head(c, &record->genesis, slice_of(NULL, 0));
}

void fork_record_encode(uint8_t out[FORK_RECORD_SIZE], const fork_record *record)
{
    store_u64(out, record->original);
    store_u64(out + 8, record->forked);
    store_u64(out + 16, record->sequence);
    berth_link_encode(out + 24, &record->genesis);
    out[56] = record->has_snapshot;
    store_u64(out + 57, record->has_snapshot ? record->snapshot_sequence : 0);
}

static const char *wrong_with(const fork_record *record, uint8_t flag)
{
    if (flag > 1 || (!flag && record->snapshot_sequence))
        return "an unknown snapshot flag";
    if (record->original == record->forked)
        return "original and fork are the same";
    if (record->genesis.origin != record->forked || record->genesis.sequence != 0)
        return "its link is not the beginning of the fork";
    if (record->genesis.parent != fork_sentinel(record->original, record->sequence))
        return "its link does not come from the original";
    return NULL;
}

berth_status fork_record_decode(fork_record *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    const char *what = "is not 65 bytes long";
    uint8_t flag;

    out->original = reader_u64(&r);
    out->forked = reader_u64(&r);
    out->sequence = reader_u64(&r);
    link_read(&r, &out->genesis);
    flag = reader_u8(&r);
    out->has_snapshot = flag == 1;
    out->snapshot_sequence = reader_u64(&r);
    if (reader_done(&r))
        what = wrong_with(out, flag);
    if (!what)
        return BERTH_OK;
    memset(out, 0, sizeof *out);
    return fail(error, BERTH_ERR_CORRUPT, "fork record: %s", what);
}
