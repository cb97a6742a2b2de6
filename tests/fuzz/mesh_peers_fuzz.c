/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the peer table, and the records in them: what decodes is written back byte for byte,
 * and nothing is believed that is not signed. */
#include "mesh/message.h"
#include "mesh/peers_codec.h"
#include "mesh/record.h"
#include "mesh/sums.h"

#include <stdlib.h>
#include <string.h>

static void same(buf *b, slice message)
{
    if (!b || b->len != message.len || memcmp(b->data, message.ptr, b->len) != 0)
        abort();
    buf_unref(b);
}

static void record(slice bytes)
{
    peer_record r;
    berth_error error = {0};

    if (record_decode(bytes, &r, &error) != BERTH_OK) {
        if (!error.text[0])
            abort();
        return;
    }
    if (r.address_count > RECORD_ADDRESSES_MAX || strlen(r.name) > RECORD_NAME_MAX)
        abort();
    for (unsigned i = 0; i < r.address_count; i++)
        if (!record_address_ok(&r.addresses[i]))
            abort();
    (void)record_verify(bytes, &r, 1900000000, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice message = slice_of(data, size), body;
    uint16_t kind;
    uint64_t number;
    uint8_t flags;
    size_t count;
    reader r;
    hello h;

    record(message);
    if (!message_open(message, &kind, &body))
        return 0;
    if (kind == MESSAGE_HELLO && hello_decode(body, &h)) {
        record(h.record);
        same(hello_encode(&h), message);
    }
    if ((kind == MESSAGE_PING || kind == MESSAGE_PONG || kind == MESSAGE_WHO_REACHES) &&
        number_decode(body, &number))
        same(number_encode(kind, number), message);
    if (kind == MESSAGE_KNOWN_PEERS && known_open(body, &flags, &count, &r)) {
        known *all = calloc(count + 1, sizeof *all);
        if (!all)
            abort();
        for (size_t i = 0; i < count; i++)
            all[i] = known_next(&r);
        if (!reader_done(&r))
            abort();
        same(known_encode(flags, all, count), message);
        free(all);
    }
    sums none = {0};
    sums_places where;
    if (kind == MESSAGE_RECORD_SUMS && sums_compare(body, &none, &where) &&
        (where.bits > SUMS_BITS_MAX || where.count > 1u << where.bits))
        abort();
    if (kind == MESSAGE_RECORD_LIST && sums_list_open(body, &flags, &where, &count, &r)) {
        sums_entry *all = calloc(count + 1, sizeof *all);
        if (!all)
            abort();
        for (size_t i = 0; i < count; i++) {
            all[i] = sums_list_next(&r);
            (void)sums_in(&where, all[i].id);
        }
        if (!reader_done(&r))
            abort();
        same(sums_list_encode(kind, flags, &where, all, count), message);
        free(all);
    }
    if (kind == MESSAGE_RECORDS && records_open(body, &count, &r)) {
        buf *all[RECORDS_MAX] = {0};
        for (size_t i = 0; i < count; i++) {
            slice one = records_next(&r);
            record(one);
            all[i] = buf_copy(one.ptr, one.len);
        }
        same(records_encode(all, count), message);
        for (size_t i = 0; i < count; i++)
            buf_unref(all[i]);
    }
    return 0;
}
