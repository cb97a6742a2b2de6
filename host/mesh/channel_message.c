/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/channel_message.h"
#include "base/error.h"
#include "base/text.h"
#include "chain/channel.h"

const char *channel_reason_text(channel_reason reason)
{
    static const char *const texts[] = {"fine", "unauthorized", "unknown channel", "rate limited",
                                        "too many channels"};

    return (unsigned)reason <= CHANNEL_REASON_LAST ? texts[reason] : "unknown reason";
}

static void write_name(writer *w, slice name)
{
    writer_u8(w, (uint8_t)name.len);
    writer_bytes(w, name.ptr, name.len);
}

static berth_status check(const channel_message *m, berth_error *error)
{
    if (m->kind < MESSAGE_CHANNEL_SUBSCRIBE || m->kind > MESSAGE_CHANNEL_ENDED)
        return fail(error, BERTH_ERR_INVALID, "channel message: 0x%04x is no kind of it", m->kind);
    if ((unsigned)m->reason > CHANNEL_REASON_LAST)
        return fail(error, BERTH_ERR_INVALID, "channel message: there is no reason %d",
                    (int)m->reason);
    if (m->kind == MESSAGE_CHANNEL_ACK)
        return BERTH_OK;
    if (m->token.len > CHANNEL_TOKEN_MAX || m->group.len > CHANNEL_GROUP_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "subscription to '%.*s': the token or the name of the group is too long",
                    (int)(m->name.len > CHANNEL_NAME_MAX ? 0 : m->name.len),
                    (const char *)m->name.ptr);
    if (!utf8_valid(m->group))
        return fail(error, BERTH_ERR_INVALID, "subscription: the name of a group must be UTF-8");
    return channel_name_check(m->name, error);
}

berth_status channel_message_encode(writer *w, const channel_message *m, berth_error *error)
{
    berth_status status = check(m, error);

    if (status)
        return status;
    writer_u16(w, m->kind);
    if (m->kind != MESSAGE_CHANNEL_ACK)
        writer_bytes(w, m->subscriber, sizeof m->subscriber);
    if (m->kind != MESSAGE_CHANNEL_ENDED)
        writer_u64(w, m->nonce);
    if (m->kind != MESSAGE_CHANNEL_ACK)
        write_name(w, m->name);
    if (m->kind == MESSAGE_CHANNEL_SUBSCRIBE) {
        writer_u16(w, (uint16_t)m->token.len);
        writer_bytes(w, m->token.ptr, m->token.len);
        if (m->group.len)
            write_name(w, m->group);
    } else if (m->kind == MESSAGE_CHANNEL_ACK) {
        writer_u8(w, m->accepted);
    }
    if (m->kind == MESSAGE_CHANNEL_ACK || m->kind == MESSAGE_CHANNEL_ENDED)
        writer_u8(w, (uint8_t)m->reason);
    return w->failed ? fail(error, BERTH_ERR_NO_MEMORY, "channel message: out of memory")
                     : BERTH_OK;
}

static void read_end_of_subscribe(reader *r, channel_message *m)
{
    if (!reader_left(r)) /* before there were tokens */
        return;
    m->token = reader_bytes(r, reader_u16(r));
    if (reader_left(r)) /* absent: before there were groups, and for broadcast */
        m->group = reader_bytes(r, reader_u8(r));
    if (!utf8_valid(m->group))
        r->bad = true;
}

static void read_answer(reader *r, channel_message *m)
{
    uint8_t accepted = m->kind == MESSAGE_CHANNEL_ACK ? reader_u8(r) : 0, reason = reader_u8(r);

    if (accepted > 1 || reason > CHANNEL_REASON_LAST)
        r->bad = true;
    m->accepted = accepted == 1;
    m->reason = (channel_reason)reason;
}

berth_status channel_message_decode(slice message, channel_message *out, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    channel_message m = {.kind = reader_u16(&r)};
    berth_error wrong = {0};

    memset(out, 0, sizeof *out);
    if (r.bad || m.kind < MESSAGE_CHANNEL_SUBSCRIBE || m.kind > MESSAGE_CHANNEL_ENDED)
        return fail(error, BERTH_ERR_CORRUPT, "channel message: 0x%04x is no kind of it", m.kind);
    if (m.kind != MESSAGE_CHANNEL_ACK)
        reader_copy(&r, m.subscriber, sizeof m.subscriber);
    if (m.kind != MESSAGE_CHANNEL_ENDED)
        m.nonce = reader_u64(&r);
    if (m.kind != MESSAGE_CHANNEL_ACK)
        m.name = reader_bytes(&r, reader_u8(&r));
    if (m.kind == MESSAGE_CHANNEL_SUBSCRIBE)
        read_end_of_subscribe(&r, &m);
    else if (m.kind != MESSAGE_CHANNEL_UNSUBSCRIBE)
        read_answer(&r, &m);
    if (!reader_done(&r))
        return fail(error, BERTH_ERR_CORRUPT,
                    "channel message 0x%04x of %zu bytes: its fields do not fill it", m.kind,
                    message.len);
    if (m.kind != MESSAGE_CHANNEL_ACK && channel_name_check(m.name, &wrong) != BERTH_OK)
        return fail(error, BERTH_ERR_CORRUPT, "channel message: %s", wrong.text);
    *out = m;
    return BERTH_OK;
}
