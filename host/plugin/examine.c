/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/examine.h"
#include "base/error.h"
#include "berth/abi.h"
#include "plugin/elf_read.h"

#include <string.h>

berth_status examine_here(void *image, size_t len, examination *out, berth_error *error)
{
    berth_status status;
    const facts_note *note;

    *out = (examination){0};
    status = elf_read(image, len, &out->facts, error);
    if (status)
        return status;
    note = facts_note_of(out->facts, BERTH_ABI_MAJOR);
    if (note && manifest_parse(slice_of(note->json->data, note->json->len), &out->manifest,
                               &out->manifest_error))
        fail_prefix(&out->manifest_error, "has a manifest that is not right");
    return BERTH_OK;
}

void examination_free(examination *e)
{
    facts_free(e->facts);
    manifest_free(e->manifest);
    *e = (examination){0};
}

static void encode_error(writer *w, const berth_error *error)
{
    size_t len = strnlen(error->text, sizeof error->text);

    writer_u32(w, (uint32_t)error->code);
    writer_u32(w, (uint32_t)len);
    writer_bytes(w, error->text, len);
}

static bool decode_error(reader *r, berth_error *out)
{
    uint32_t code = reader_u32(r), len = reader_u32(r);
    slice text;

    if (!reader_ok(r) || len >= sizeof out->text || code > INT16_MAX)
        return false;
    text = reader_bytes(r, len);
    if (!reader_ok(r))
        return false;
    /* The helper may have been taken over: its words get the same escaping as any hostile text. */
    fail(out, (berth_status)code, "%.*s", (int)text.len, (const char *)text.ptr);
    return true;
}

void examination_encode(writer *w, berth_status status, const berth_error *error,
                        const examination *e)
{
    writer_u8(w, status != BERTH_OK);
    if (status) {
        encode_error(w, error);
        return;
    }
    facts_encode(w, e->facts);
    writer_u8(w, e->manifest != NULL);
    if (e->manifest)
        manifest_encode(w, e->manifest);
    else
        encode_error(w, &e->manifest_error);
}

static berth_status senseless(berth_error *error)
{
    return fail(error, BERTH_ERR_CORRUPT, "what the examining process answered makes no sense");
}

berth_status examination_decode(slice answer, examination *out, berth_error *error)
{
    reader r = reader_of(answer.ptr, answer.len);
    berth_status status;
    berth_error told = {0};
    uint8_t failed = reader_u8(&r), present;

    *out = (examination){0};
    if (!reader_ok(&r) || failed > 1)
        return senseless(error);
    if (failed) {
        if (!decode_error(&r, &told) || !reader_done(&r) || !told.code)
            return senseless(error);
        return fail(error, told.code, "%s", told.text);
    }
    status = facts_decode(&r, &out->facts, error);
    if (status)
        return status;
    present = reader_u8(&r);
    if (present == 1)
        status = manifest_decode(&r, &out->manifest, error);
    else if (present > 1 || !decode_error(&r, &out->manifest_error))
        status = senseless(error);
    if (!status && !reader_done(&r))
        status = senseless(error);
    if (status)
        examination_free(out);
    return status;
}
