/* SPDX-License-Identifier: Apache-2.0 */
#include "api/listing.h"
#include "api/emit.h"
#include "api/server.h"
#include "base/error.h"

#include <microhttpd.h>
#include <stdlib.h>

#define LISTING_IN_MEMORY (1 << 20)
#define BLOCK_BYTES       (64 * 1024)

void listing_init(listing *l, request *r)
{
    *l = (listing){0};
    spool_init(&l->spool, r->api->spool_dir, LISTING_IN_MEMORY, API_REPLY_MAX);
}

writer *listing_next(listing *l)
{
    if (l->error.code)
        return NULL;
    if (l->begun)
        emit_text(&l->spool.tail, ",");
    l->begun = true;
    return &l->spool.tail;
}

void listing_flush(listing *l)
{
    if (!l->error.code)
        spool_flush(&l->spool, &l->error);
}

void listing_answer(listing *l, request *r, const char *type)
{
    listing_flush(l);
    if (!l->error.code) {
        spool_answer(r, 200, type, &l->spool);
    } else {
        spool_fini(&l->spool);
        request_fail(r, &l->error);
    }
}

static ssize_t read_spool(void *ctx, uint64_t pos, char *out, size_t n)
{
    ssize_t got = spool_read((const spool *)ctx, pos, out, n);

    if (got > 0)
        return got;
    return got ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_spool(void *ctx)
{
    spool_fini((spool *)ctx);
    free(ctx);
}

void spool_answer(request *r, unsigned status, const char *type, spool *s)
{
    spool *own = malloc(sizeof *own);
    struct MHD_Response *response = NULL;

    if (own) {
        *own = *s;
        response = MHD_create_response_from_callback(spool_length(own), BLOCK_BYTES, read_spool,
                                                     own, free_spool);
    }
    if (!response) {
        spool_fini(s);
        free(own);
    } else {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    }
    *s = (spool){.fd = -1};
    request_respond(r, status, response);
}
