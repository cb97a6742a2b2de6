/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"
#include "migrate/wire_private.h"

#define FLAG_PRECOPY 1
#define FLAG_FINAL   1

enum { STATE_OVER = 1, STATE_MOVED = 2, STATE_IN_DOUBT = 4, STATE_FETCHING = 8, STATE_FLAGS = 15 };

/* ---- The head ---- */

void move_head_write(writer *w, const move_head *h, uint16_t kind)
{
    writer_u16(w, kind);
    writer_u8(w, MOVE_VERSION);
    writer_bytes(w, h->attempt, sizeof h->attempt);
    writer_u64(w, h->origin);
}

static void read_head(reader *r, move_head *out, uint8_t *version)
{
    out->kind = reader_u16(r);
    *version = reader_u8(r);
    reader_copy(r, out->attempt, sizeof out->attempt);
    out->origin = reader_u64(r);
}

static berth_status check_version(uint8_t version, const char *name, berth_error *error)
{
    return version == MOVE_VERSION
               ? BERTH_OK
               : fail(error, BERTH_ERR_VERSION,
                      "%s: version %u of the messages is not known here, only %d is", name, version,
                      MOVE_VERSION);
}

berth_status move_head_begin(reader *r, slice message, uint16_t kind, const char *name,
                             move_head *out, berth_error *error)
{
    uint8_t version;

    *r = reader_of(message.ptr, message.len);
    read_head(r, out, &version);
    if (!reader_ok(r))
        return fail(error, BERTH_ERR_CORRUPT, "%s: the message ends in its head", name);
    if (out->kind != kind)
        return fail(error, BERTH_ERR_CORRUPT, "%s: the message is of another kind, 0x%04x", name,
                    out->kind);
    return check_version(version, name, error);
}

berth_status move_end(const reader *r, const char *name, const char *wrong, void *out, size_t size,
                      berth_error *error)
{
    if (!wrong && !reader_ok(r))
        wrong = "ends before its last part";
    if (!wrong && !reader_done(r))
        wrong = "goes on behind its last part";
    if (!wrong)
        return BERTH_OK;
    memset(out, 0, size);
    return fail(error, BERTH_ERR_CORRUPT, "%s: the message %s", name, wrong);
}

berth_status move_head_read(move_head *out, slice message, berth_error *error)
{
    reader r = reader_of(message.ptr, message.len);
    berth_status status = BERTH_OK;
    uint8_t version;

    read_head(&r, out, &version);
    if (!reader_ok(&r))
        status = fail(error, BERTH_ERR_CORRUPT, "migration: a message ends in its head");
    else if (out->kind < MESSAGE_MOVE_ORDER || out->kind > MESSAGE_MOVE_KIND)
        status =
            fail(error, BERTH_ERR_CORRUPT, "migration: 0x%04x is none of its messages", out->kind);
    else
        status = check_version(version, "migration", error);
    if (status)
        memset(out, 0, sizeof *out);
    return status;
}

/* ---- Parts that several have ---- */

static uint16_t kind_of(slice message)
{
    return message.len >= 2 ? (uint16_t)(message.ptr[0] | message.ptr[1] << 8) : 0;
}

static void write_name(writer *w, slice name)
{
    writer_u8(w, (uint8_t)name.len);
    writer_bytes(w, name.ptr, name.len);
}

static void write_text(writer *w, slice text)
{
    char cut[MOVE_TEXT_MAX + 1];
    size_t len;

    move_text_cut(cut, text);
    len = strlen(cut);
    writer_u16(w, (uint16_t)len);
    writer_bytes(w, cut, len);
}

static const char *read_text(reader *r, slice *out)
{
    uint16_t len = reader_u16(r);

    if (len > MOVE_TEXT_MAX)
        return "has a text over the limit";
    *out = reader_bytes(r, len);
    return utf8_valid(*out) && !(out->len && memchr(out->ptr, 0, out->len))
               ? NULL
               : "has a text that is none";
}

static const char *read_reason(reader *r, move_reason *out)
{
    uint16_t code = reader_u16(r);

    if (!move_reason_known(code))
        return "has a reason that is not known here: is the other host newer?";
    *out = (move_reason)code;
    return NULL;
}

/* An order goes with messages about its own attempt and daemon only. */
static berth_status read_order(reader *r, const move_head *head, order *out, const char **wrong,
                               berth_error *error)
{
    berth_status status = order_read(r, out, error);

    if (status)
        return status;
    if (memcmp(out->attempt, head->attempt, ATTEMPT_SIZE) != 0)
        *wrong = "has an order for another attempt";
    else if (berth_entity_origin(out->entity) != head->origin)
        *wrong = "has an order for another daemon";
    return BERTH_OK;
}

/* ---- The messages ---- */

void move_offer_write(writer *w, const move_offer *m)
{
    writer_reserve(w, MOVE_HEAD_SIZE + 64 + m->kind.len + m->plugin.len + ORDER_MAX);
    move_head_write(w, &m->head, MESSAGE_MOVE_OFFER);
    writer_u64(w, m->epoch);
    write_name(w, m->kind);
    write_name(w, m->plugin);
    writer_bytes(w, m->digest, sizeof m->digest);
    writer_u32(w, m->state_version);
    writer_u64(w, m->state_bytes);
    writer_u8(w, m->precopy ? FLAG_PRECOPY : 0);
    order_write(w, &m->order);
}

berth_status move_offer_read(move_offer *out, slice message, berth_error *error)
{
    uint8_t flags;

    BEGIN(MESSAGE_MOVE_OFFER, "migration offer")
    out->epoch = reader_u64(&r);
    out->kind = reader_bytes(&r, reader_u8(&r));
    out->plugin = reader_bytes(&r, reader_u8(&r));
    reader_copy(&r, out->digest, sizeof out->digest);
    out->state_version = reader_u32(&r);
    out->state_bytes = reader_u64(&r);
    flags = reader_u8(&r);
    out->precopy = flags & FLAG_PRECOPY;
    if (!reader_ok(&r))
        wrong = "ends before its last part";
    else if (out->epoch < 2)
        wrong = "has an epoch that none follows";
    else if (!out->kind.len || memchr(out->kind.ptr, 0, out->kind.len))
        wrong = "has a kind that is none";
    else if (out->plugin.len && memchr(out->plugin.ptr, 0, out->plugin.len))
        wrong = "has a plugin's name that is none";
    else if (flags & ~FLAG_PRECOPY)
        wrong = "has a flag that there is not";
    else if ((status = read_order(&r, &out->head, &out->order, &wrong, error)) != BERTH_OK) {
        memset(out, 0, sizeof *out);
        return status;
    }
    END;
}

void move_accept_write(writer *w, const move_accept *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_ACCEPT);
    writer_bytes(w, m->nonce, sizeof m->nonce);
}

berth_status move_accept_read(move_accept *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_ACCEPT, "migration acceptance")
    reader_copy(&r, out->nonce, sizeof out->nonce);
    END;
}

void move_chunk_write(writer *w, const move_chunk *m)
{
    writer_reserve(w, MOVE_HEAD_SIZE + 8 + m->bytes.len);
    move_head_write(w, &m->head, MESSAGE_MOVE_CHUNK);
    writer_u64(w, m->offset);
    writer_bytes(w, m->bytes.ptr, m->bytes.len);
}

berth_status move_chunk_read(move_chunk *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_CHUNK, "migration chunk")
    out->offset = reader_u64(&r);
    out->bytes = reader_bytes(&r, reader_left(&r));
    if (reader_ok(&r) && (!out->bytes.len || out->bytes.len > MOVE_CHUNK_MAX))
        wrong = "has no bytes, or too many";
    else if (out->offset > UINT64_MAX - out->bytes.len)
        wrong = "goes beyond the last offset";
    END;
}

void move_got_write(writer *w, const move_got *m)
{
    bool built = m->head.kind == MESSAGE_MOVE_BUILT;

    move_head_write(w, &m->head, built ? MESSAGE_MOVE_BUILT : MESSAGE_MOVE_GOT);
    writer_u64(w, m->through);
}

berth_status move_got_read(move_got *out, slice message, berth_error *error)
{
    BEGIN(kind_of(message) == MESSAGE_MOVE_BUILT ? MESSAGE_MOVE_BUILT : MESSAGE_MOVE_GOT,
          "migration receipt")
    out->through = reader_u64(&r);
    END;
}

void move_step_write(writer *w, const move_step *m)
{
    move_head_write(w, &m->head, m->head.kind);
    writer_u64(w, m->epoch);
    writer_bytes(w, m->hash, sizeof m->hash);
}

berth_status move_step_read(move_step *out, slice message, berth_error *error)
{
    uint16_t kind = kind_of(message);

    if (kind != MESSAGE_MOVE_COMMIT && kind != MESSAGE_MOVE_OWNED)
        kind = MESSAGE_MOVE_PREPARED;
    BEGIN(kind, "migration step")
    out->epoch = reader_u64(&r);
    reader_copy(&r, out->hash, sizeof out->hash);
    if (reader_ok(&r) && out->epoch < 2)
        wrong = "has an epoch that none follows";
    END;
}

void move_no_write(writer *w, const move_no *m)
{
    move_head_write(w, &m->head, m->head.kind);
    writer_u16(w, (uint16_t)m->reason);
    writer_u8(w, m->final ? FLAG_FINAL : 0);
    write_text(w, m->text);
}

berth_status move_no_read(move_no *out, slice message, berth_error *error)
{
    uint16_t kind = kind_of(message);
    const char *bad_text;
    uint8_t flags;

    if (kind != MESSAGE_MOVE_ABORT)
        kind = MESSAGE_MOVE_REFUSED;
    BEGIN(kind, "migration refusal")
    wrong = read_reason(&r, &out->reason);
    flags = reader_u8(&r);
    out->final = flags & FLAG_FINAL;
    bad_text = read_text(&r, &out->text);
    if (!wrong && (flags & ~FLAG_FINAL || (out->final && kind == MESSAGE_MOVE_ABORT)))
        wrong = "has a flag that there is not";
    if (!wrong)
        wrong = bad_text;
    END;
}

/* ---- What is heard at the target ---- */

static void write_short(writer *w, const char *text)
{
    size_t len = strlen(text);

    writer_u8(w, (uint8_t)len);
    writer_bytes(w, text, len);
}

static void write_hearing(writer *w, const move_hearing *h)
{
    writer_u8(w, h->known);
    writer_u32(w, h->total);
    writer_u32(w, h->pending);
    writer_u32(w, h->missing);
    write_short(w, h->channel);
    writer_u64(w, h->publisher);
    write_short(w, h->why);
}

/* Of at most max bytes, all of them text. */
static const char *read_short(reader *r, char *out, size_t max)
{
    slice text = reader_bytes(r, reader_u8(r));

    if (!reader_ok(r))
        return NULL;
    if (text.len > max || !utf8_valid(text) || (text.len && memchr(text.ptr, 0, text.len)))
        return "has a text that is too long, or none";
    if (text.len)
        memcpy(out, text.ptr, text.len);
    return NULL;
}

static const char *check_hearing(uint8_t known, const move_hearing *h)
{
    bool says = h->channel[0] || h->publisher || h->why[0];

    if (known > 1)
        return "has a flag that there is not";
    if ((!known && h->total) || (uint64_t)h->pending + h->missing > h->total)
        return "misses more subscriptions than there are";
    if (!h->missing && says)
        return "says why nothing is missing";
    return h->missing && channel_name_check(slice_str(h->channel), NULL) != BERTH_OK
               ? "names no channel"
               : NULL;
}

static const char *read_hearing(reader *r, move_hearing *out)
{
    uint8_t known = reader_u8(r);
    const char *bad_channel, *bad_why;

    out->known = known;
    out->total = reader_u32(r);
    out->pending = reader_u32(r);
    out->missing = reader_u32(r);
    bad_channel = read_short(r, out->channel, CHANNEL_NAME_MAX);
    out->publisher = reader_u64(r);
    bad_why = read_short(r, out->why, MOVE_WHY_MAX);
    if (!reader_ok(r))
        return NULL; /* it ends too early: that is told */
    return bad_channel ? bad_channel : bad_why ? bad_why : check_hearing(known, out);
}

void move_hears_write(writer *w, const move_hears *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_HEARS);
    write_hearing(w, &m->hearing);
}

berth_status move_hears_read(move_hears *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_HEARS, "migrated subscriptions")
    wrong = read_hearing(&r, &out->hearing);
    if (!wrong && reader_ok(&r) && !out->hearing.known)
        wrong = "says nothing";
    END;
}

void move_state_write(writer *w, const move_state *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_STATE);
    writer_u8(w, (uint8_t)m->phase);
    writer_u8(w,
              (uint8_t)((m->over ? STATE_OVER : 0) | (m->moved ? STATE_MOVED : 0) |
                        (m->in_doubt ? STATE_IN_DOUBT : 0) | (m->fetching ? STATE_FETCHING : 0)));
    writer_u16(w, (uint16_t)(m->over && !m->moved ? m->reason : 0));
    writer_u64(w, m->bytes_sent);
    writer_u64(w, m->bytes_total);
    writer_u64(w, m->held);
    writer_u64(w, m->blackout_ns);
    writer_u64(w, m->snapshot_ns);
    writer_u64(w, m->target);
    write_text(w, m->text);
    write_hearing(w, &m->hearing);
}

static const char *check_state(uint8_t phase, uint8_t flags, move_reason reason)
{
    bool over = flags & STATE_OVER, moved = flags & STATE_MOVED;

    if (phase >= MOVE_PHASE_COUNT)
        return "has a phase that there is not";
    if (flags & ~STATE_FLAGS)
        return "has a flag that there is not";
    if ((moved && !over) || (over && (flags & (STATE_IN_DOUBT | STATE_FETCHING))))
        return "says that it is over, and that it is not";
    return (!over || moved) && reason != 0 ? "has a reason for what did not fail" : NULL;
}

berth_status move_state_read(move_state *out, slice message, berth_error *error)
{
    uint8_t phase, flags;
    const char *bad_text, *bad_hearing;

    BEGIN(MESSAGE_MOVE_STATE, "migration state")
    phase = reader_u8(&r);
    flags = reader_u8(&r);
    wrong = read_reason(&r, &out->reason);
    out->bytes_sent = reader_u64(&r);
    out->bytes_total = reader_u64(&r);
    out->held = reader_u64(&r);
    out->blackout_ns = reader_u64(&r);
    out->snapshot_ns = reader_u64(&r);
    out->target = reader_u64(&r);
    bad_text = read_text(&r, &out->text);
    bad_hearing = read_hearing(&r, &out->hearing);
    if (!wrong)
        wrong = check_state(phase, flags, out->reason);
    if (!wrong)
        wrong = bad_hearing;
    if (!wrong && out->hearing.known && !(flags & STATE_MOVED))
        wrong = "says what is heard where it has not come";
    if (!wrong)
        wrong = bad_text;
    out->phase = (move_phase)(phase < MOVE_PHASE_COUNT ? phase : 0);
    out->over = flags & STATE_OVER;
    out->moved = (flags & STATE_MOVED) != 0;
    out->in_doubt = (flags & STATE_IN_DOUBT) != 0;
    out->fetching = (flags & STATE_FETCHING) != 0;
    END;
}

void move_order_write(writer *w, const move_order *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_ORDER);
    writer_u64(w, m->deadline_ns);
    writer_u64(w, m->max_hold_ns);
    order_write(w, &m->order);
}

berth_status move_order_read(move_order *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_ORDER, "migration order")
    out->deadline_ns = reader_u64(&r);
    out->max_hold_ns = reader_u64(&r);
    if (reader_ok(&r) && (out->deadline_ns > INT64_MAX || out->max_hold_ns > INT64_MAX))
        wrong = "has a time that never ends";
    else if ((status = read_order(&r, &out->head, &out->order, &wrong, error)) != BERTH_OK) {
        memset(out, 0, sizeof *out);
        return status;
    }
    END;
}

void move_kind_write(writer *w, const move_kind *m)
{
    move_head_write(w, &m->head, MESSAGE_MOVE_KIND);
    writer_u8(w, (uint8_t)m->kind.len);
    writer_bytes(w, m->kind.ptr, m->kind.len);
}

berth_status move_kind_read(move_kind *out, slice message, berth_error *error)
{
    BEGIN(MESSAGE_MOVE_KIND, "kind of a daemon")
    out->kind = reader_bytes(&r, reader_u8(&r));
    if (reader_ok(&r) &&
        (!out->kind.len || !utf8_valid(out->kind) || memchr(out->kind.ptr, 0, out->kind.len)))
        wrong = "names no kind";
    END;
}

void move_bare_write(writer *w, const move_head *m)
{
    move_head_write(w, m, m->kind);
}

berth_status move_bare_read(move_head *out, slice message, berth_error *error)
{
    uint16_t kind = message.len >= 2 ? (uint16_t)(message.ptr[0] | message.ptr[1] << 8) : 0;
    berth_status status;
    reader r;

    if (kind != MESSAGE_MOVE_LOOK && kind != MESSAGE_MOVE_READY && kind != MESSAGE_MOVE_INQUIRE)
        kind = MESSAGE_MOVE_ASK;
    status = move_head_begin(&r, message, kind, "migration question", out, error);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    return move_end(&r, "migration question", NULL, out, sizeof *out, error);
}
