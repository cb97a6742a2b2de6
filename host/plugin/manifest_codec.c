/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "plugin/list.h"
#include "plugin/manifest_kind.h"

#include <stdlib.h>

static void encode_kind(writer *w, const manifest_kind *k)
{
    text_encode(w, k->name);
    text_encode(w, k->summary);
    writer_u8(w, k->stateful);
    writer_u32(w, k->state_writes);
    writer_u32(w, k->state_writes_oldest);
    writer_u32(w, k->state_reads_oldest);
    writer_u8(w, k->deterministic);
    writer_u8(w, k->fork_snapshot);
    writer_u8(w, (uint8_t)k->config);
    writer_u8(w, (uint8_t)k->isolation);
    writer_u8(w, (uint8_t)k->durability);
    writer_u64(w, k->memory_hint);
    list_encode(w, &k->tags_required);
    list_encode(w, &k->tags_optional);
}

void manifest_encode(writer *w, const manifest *m)
{
    text_encode(w, m->name);
    text_encode(w, m->version);
    text_encode(w, m->license);
    text_encode(w, m->runtime);
    writer_u32(w, m->abi_major);
    writer_u32(w, m->abi_minor);
    list_encode(w, &m->needs_extensions);
    list_encode(w, &m->needs_privileges);
    list_encode(w, &m->warnings);
    writer_u32(w, (uint32_t)m->kind_count);
    for (size_t i = 0; i < m->kind_count; i++)
        encode_kind(w, &m->kinds[i]);
}

/* What the parser would have refused is refused here again: a helper that was taken over does not
 * keep to it. */
static bool name_good(const char *name)
{
    return name && manifest_name_valid(slice_str(name));
}

static bool state_good(const manifest_kind *k)
{
    if (!k->stateful)
        return !k->state_writes && !k->state_writes_oldest && !k->state_reads_oldest;
    return k->state_writes_oldest >= 1 && k->state_writes_oldest <= k->state_writes &&
           k->state_reads_oldest >= 1 && k->state_reads_oldest <= k->state_writes;
}

static bool decode_kind(reader *r, manifest_kind *k)
{
    if (!text_decode(r, &k->name, MANIFEST_MAX_NAME) || !name_good(k->name) ||
        !text_decode(r, &k->summary, MANIFEST_MAX_TEXT))
        return false;
    k->stateful = reader_u8(r) != 0;
    k->state_writes = reader_u32(r);
    k->state_writes_oldest = reader_u32(r);
    k->state_reads_oldest = reader_u32(r);
    k->deterministic = reader_u8(r) != 0;
    k->fork_snapshot = reader_u8(r) != 0;
    k->config = (manifest_config)reader_u8(r);
    k->isolation = (manifest_isolation)reader_u8(r);
    k->durability = (manifest_durability)reader_u8(r);
    k->memory_hint = reader_u64(r);
    return state_good(k) && k->config <= CONFIG_JSON && k->isolation <= ISOLATION_PROCESS &&
           k->durability <= DURABILITY_JOURNAL &&
           list_decode(r, &k->tags_required, MANIFEST_MAX_LIST, MANIFEST_MAX_TEXT) &&
           list_decode(r, &k->tags_optional, MANIFEST_MAX_LIST, MANIFEST_MAX_TEXT);
}

static bool decode_head(reader *r, manifest *m)
{
    if (!text_decode(r, &m->name, MANIFEST_MAX_NAME) || !name_good(m->name) ||
        !text_decode(r, &m->version, MANIFEST_MAX_NAME) || !m->version ||
        !text_decode(r, &m->license, MANIFEST_MAX_TEXT) || !m->license ||
        !text_decode(r, &m->runtime, MANIFEST_MAX_TEXT) || !m->runtime)
        return false;
    m->abi_major = reader_u32(r);
    m->abi_minor = reader_u32(r);
    return version_valid(m->version) &&
           list_decode(r, &m->needs_extensions, MANIFEST_MAX_LIST, MANIFEST_MAX_TEXT) &&
           list_decode(r, &m->needs_privileges, MANIFEST_MAX_LIST, MANIFEST_MAX_TEXT) &&
           list_decode(r, &m->warnings, MANIFEST_MAX_LIST, MANIFEST_MAX_TEXT);
}

berth_status manifest_decode(reader *r, manifest **out, berth_error *error)
{
    manifest *m = calloc(1, sizeof *m);
    uint32_t count;

    *out = NULL;
    if (!m)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (!decode_head(r, m))
        goto corrupt;
    count = reader_u32(r);
    if (!reader_ok(r) || count < 1 || count > MANIFEST_MAX_KINDS)
        goto corrupt;
    m->kinds = calloc(count, sizeof *m->kinds);
    if (!m->kinds) {
        manifest_free(m);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    for (uint32_t i = 0; i < count; i++) {
        m->kind_count = i + 1;
        if (!decode_kind(r, &m->kinds[i]) ||
            manifest_find(m, slice_str(m->kinds[i].name)) != &m->kinds[i])
            goto corrupt;
    }
    *out = m;
    return BERTH_OK;

corrupt:
    manifest_free(m);
    return fail(error, BERTH_ERR_CORRUPT, "what the examining process answered makes no sense");
}
