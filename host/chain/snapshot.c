/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/snapshot.h"
#include "base/error.h"
#include "chain/link.h"
#include "identity/entity.h"

#define SNAPSHOT_VERSION 2

static const uint8_t magic[4] = {'C', 'D', 'S', '1'};

berth_status snapshot_size(const snapshot *s, size_t *size, berth_error *error)
{
    *size = 0;
    if (s->state.len > UINT32_MAX || s->bindings.len > UINT32_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "snapshot: %zu bytes of state and %zu of bindings; each may have at most %u",
                    s->state.len, s->bindings.len, UINT32_MAX);
    *size = SNAPSHOT_MIN + s->state.len + s->bindings.len + (s->has_envelope ? ENVELOPE_SIZE : 0);
    return BERTH_OK;
}

berth_status snapshot_encode_head(writer *w, const snapshot *s, berth_error *error)
{
    berth_status status;
    size_t size;

    status = snapshot_size(s, &size, error);
    if (status)
        return status;
    writer_bytes(w, magic, sizeof magic);
    writer_u8(w, SNAPSHOT_VERSION);
    writer_bytes(w, s->entity, sizeof s->entity);
    writer_u64(w, s->link.sequence);
    link_write(w, &s->link);
    writer_u64(w, s->created_at);
    writer_u32(w, (uint32_t)s->state.len);
    return BERTH_OK;
}

void snapshot_encode_tail(writer *w, const snapshot *s)
{
    uint8_t sealed[ENVELOPE_SIZE];

    writer_u32(w, (uint32_t)s->bindings.len);
    writer_bytes(w, s->bindings.ptr, s->bindings.len);
    writer_u8(w, s->has_envelope);
    if (s->has_envelope) {
        envelope_encode(sealed, &s->envelope);
        writer_bytes(w, sealed, sizeof sealed);
    }
}

berth_status snapshot_encode(writer *w, const snapshot *s, berth_error *error)
{
    berth_status status;
    size_t size;

    status = snapshot_size(s, &size, error);
    if (status)
        return status;
    writer_reserve(w, size);
    status = snapshot_encode_head(w, s, error);
    if (status)
        return status;
    writer_bytes(w, s->state.ptr, s->state.len);
    snapshot_encode_tail(w, s);
    return w->failed ? fail(error, BERTH_ERR_NO_MEMORY, "snapshot: out of memory") : BERTH_OK;
}

static berth_status corrupt(snapshot *out, berth_error *error, const char *what)
{
    memset(out, 0, sizeof *out);
    return fail(error, BERTH_ERR_CORRUPT, "snapshot: %s: it is damaged or was tampered with", what);
}

/* After the bindings: the flag, and the envelope that it announces. */
static berth_status read_envelope(snapshot *out, reader *r, berth_error *error)
{
    uint8_t flag = reader_u8(r);
    berth_status status;
    slice raw;

    if (!reader_ok(r))
        return corrupt(out, error, "it ends too early");
    if (flag > 1)
        return corrupt(out, error, "an unknown envelope flag");
    if (flag == 0)
        return BERTH_OK;
    raw = reader_bytes(r, ENVELOPE_SIZE);
    if (!reader_ok(r))
        return corrupt(out, error, "it ends within its envelope");
    status = envelope_decode(&out->envelope, raw.ptr, raw.len, NULL, error);
    if (status) {
        memset(out, 0, sizeof *out);
        fail_prefix(error, "snapshot");
        return status;
    }
    out->has_envelope = true;
    return BERTH_OK;
}

berth_status snapshot_decode(snapshot *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    slice head = reader_bytes(&r, sizeof magic);
    uint8_t version = reader_u8(&r);
    uint64_t through;
    berth_status status;

    memset(out, 0, sizeof *out);
    if (!reader_ok(&r) || memcmp(head.ptr, magic, sizeof magic) != 0)
        return fail(error, BERTH_ERR_CORRUPT, "snapshot: does not begin with CDS1: not a snapshot");
    if (version != SNAPSHOT_VERSION)
        return fail(error, BERTH_ERR_VERSION, "snapshot: version %u is not known, only %d is",
                    version, SNAPSHOT_VERSION);
    reader_copy(&r, out->entity, sizeof out->entity);
    through = reader_u64(&r);
    link_read(&r, &out->link);
    out->created_at = reader_u64(&r);
    out->state = reader_bytes(&r, reader_u32(&r));
    out->bindings = reader_bytes(&r, reader_u32(&r));
    status = read_envelope(out, &r, error);
    if (status)
        return status;
    if (!reader_done(&r))
        return corrupt(out, error, "bytes follow its end");
    if (out->link.sequence != through)
        return corrupt(out, error, "its sequence is not that of its link");
    if (out->link.origin != berth_entity_origin(out->entity))
        return corrupt(out, error, "its link is of another daemon");
    return BERTH_OK;
}

berth_status snapshot_seal_identity(snapshot *s, const berth_keypair *key, const uint8_t target[32],
                                    envelope_fault *fault, berth_error *error)
{
    uint8_t link[BERTH_LINK_SIZE];
    berth_status status;

    if (!entity_eq(key->entity, s->entity)) {
        if (fault)
            *fault = ENVELOPE_ORIGIN_MISMATCH;
        return fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                    "snapshot: the key pair to seal is of another identity");
    }
    berth_link_encode(link, &s->link);
    status = envelope_seal(&s->envelope, key, target, link, fault, error);
    s->has_envelope = status == BERTH_OK;
    return status;
}

berth_status snapshot_open_identity(const snapshot *s, const uint8_t target_secret[32],
                                    berth_keypair *out, bool *found, envelope_fault *fault,
                                    berth_error *error)
{
    uint8_t link[BERTH_LINK_SIZE];
    berth_status status;

    memset(out, 0, sizeof *out);
    *found = s->has_envelope;
    if (fault)
        *fault = ENVELOPE_FINE;
    if (!s->has_envelope)
        return BERTH_OK;
    berth_link_encode(link, &s->link);
    status = envelope_open(out, &s->envelope, target_secret, link, s->entity, fault, error);
    if (!status && !entity_eq(out->entity, s->entity)) {
        berth_keypair_wipe(out);
        memset(out, 0, sizeof *out);
        if (fault)
            *fault = ENVELOPE_ORIGIN_MISMATCH;
        status = fail(error, BERTH_ERR_IDENTITY_MISMATCH,
                      "snapshot: its envelope holds another identity");
    }
    return status;
}

uint64_t snapshot_next_parent(const snapshot *s, bool *guessed)
{
    slice payload = s->link.sequence ? s->state : slice_of(NULL, 0);

    *guessed = !s->has_next_parent && s->link.sequence != 0;
    if (s->has_next_parent)
        return s->next_parent;
    return berth_link_parent(&s->link, payload.ptr, payload.len);
}

uint64_t snapshot_age_seconds(const snapshot *s, int64_t now_wall_ns)
{
    uint64_t now = now_wall_ns > 0 ? (uint64_t)now_wall_ns : 0;

    return now > s->created_at ? (now - s->created_at) / 1000000000 : 0;
}
