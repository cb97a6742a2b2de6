/* SPDX-License-Identifier: Apache-2.0 */
#include "node/peer_book.h"

#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "mesh/record.h"

#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define DIGEST   32
#define OVERHEAD (sizeof magic + 4 + DIGEST)
#define FILE_MAX (OVERHEAD + (size_t)PEER_BOOK_RECORDS_MAX * (2 + RECORD_SIZE_MAX))

static const uint8_t magic[4] = {'B', 'P', 'B', '1'};

static void digest(uint8_t out[DIGEST], const uint8_t *bytes, size_t len)
{
    crypto_generichash(out, DIGEST, bytes, len, NULL, 0);
}

/* ---- Bytes -----------------------------------------------------------------------------------
 */

/* Every record, or false when they are not what the count says. */
static bool each(reader r, uint32_t count, peer_book_fn *fn, void *ctx)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t len = reader_u16(&r);
        slice record = reader_bytes(&r, len);

        if (!reader_ok(&r) || !len || len > RECORD_SIZE_MAX)
            return false;
        if (fn)
            fn(ctx, record);
    }
    return reader_done(&r);
}

berth_status peer_book_decode(slice bytes, peer_book_fn *fn, void *ctx, size_t *count,
                              berth_error *error)
{
    uint8_t sum[DIGEST];
    reader r;
    uint32_t n;

    *count = 0;
    if (bytes.len < OVERHEAD || memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return fail(error, BERTH_ERR_CORRUPT, "is no book of peers");
    sodium_ready();
    digest(sum, bytes.ptr, bytes.len - DIGEST);
    if (memcmp(sum, bytes.ptr + bytes.len - DIGEST, DIGEST) != 0)
        return fail(error, BERTH_ERR_CORRUPT, "its digest does not match");
    r = reader_of(bytes.ptr + sizeof magic, bytes.len - sizeof magic - DIGEST);
    n = reader_u32(&r);
    if (n > PEER_BOOK_RECORDS_MAX || !each(r, n, NULL, NULL))
        return fail(error, BERTH_ERR_CORRUPT, "its records are not whole");
    if (fn)
        each(r, n, fn, ctx);
    *count = n;
    return BERTH_OK;
}

static berth_status encode(writer *w, const slice *records, size_t count, berth_error *error)
{
    uint8_t sum[DIGEST];

    if (count > PEER_BOOK_RECORDS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "%zu records of peers: at most %d are kept", count,
                    PEER_BOOK_RECORDS_MAX);
    writer_bytes(w, magic, sizeof magic);
    writer_u32(w, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        if (!records[i].len || records[i].len > RECORD_SIZE_MAX)
            return fail(error, BERTH_ERR_INVALID, "a peer record of %zu bytes", records[i].len);
        writer_u16(w, (uint16_t)records[i].len);
        writer_bytes(w, records[i].ptr, records[i].len);
    }
    if (!w->failed) {
        sodium_ready();
        digest(sum, w->data, w->len);
        writer_bytes(w, sum, sizeof sum);
    }
    return w->failed ? fail(error, BERTH_ERR_NO_MEMORY, "out of memory") : BERTH_OK;
}

/* ---- The file --------------------------------------------------------------------------------
 */

/* The path of the directory or of the file in it; false: too long. */
static bool place(char out[PATH_MAX], const char *state_dir, const char *rest)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", state_dir, rest);

    return n > 0 && n < PATH_MAX;
}

size_t peer_book_read(const char *state_dir, peer_book_fn *fn, void *ctx)
{
    char path[PATH_MAX];
    berth_error error = {0};
    buf *bytes = NULL;
    size_t count = 0;
    berth_status status;

    if (!place(path, state_dir, "mesh/peers"))
        return 0;
    status = file_read(path, FILE_MAX, FILE_SAFE | FILE_NOFOLLOW, &bytes, &error);
    if (status == BERTH_OK) {
        status = peer_book_decode(slice_of(bytes->data, bytes->len), fn, ctx, &count, &error);
        if (status != BERTH_OK)
            fail_prefix(&error, "%s", path);
    }
    buf_unref(bytes);
    if (status != BERTH_OK && status != BERTH_ERR_NOT_FOUND)
        log_warn("node", "%s; going on without the peers that were known", error.text);
    return count;
}

berth_status peer_book_write(const char *state_dir, const slice *records, size_t count,
                             berth_error *error)
{
    char dir[PATH_MAX], path[PATH_MAX];
    writer w = {0};
    berth_status status;

    if (!place(dir, state_dir, "mesh") || !place(path, state_dir, "mesh/peers"))
        return fail(error, BERTH_ERR_LIMIT, "%s: is too long for a path", state_dir);
    status = encode(&w, records, count, error);
    if (status == BERTH_OK)
        status = file_mkdirs(dir, error);
    if (status == BERTH_OK)
        status = file_write(path, w.data, w.len, 0600, error);
    writer_free(&w);
    return status;
}
