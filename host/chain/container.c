/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/container.h"
#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "chain/container_tags.h"

#include <sodium.h>
#include <stdlib.h>

static const char tags[SECTIONS][5] = CONTAINER_TAGS;

/* A section is written in place; its length is filled in when it ends. */
static size_t section_begin(writer *w, enum container_section which)
{
    writer_bytes(w, tags[which], 4);
    writer_u16(w, 0);
    writer_u16(w, 0);
    writer_u64(w, 0);
    return w->len;
}

static void section_end(writer *w, size_t begin)
{
    if (!w->failed)
        store_u64(w->data + begin - 8, w->len - begin);
}

static berth_status write_text(writer *w, enum container_section which, const char *what,
                               slice text, berth_error *error)
{
    size_t begin;

    if (!text.len)
        return BERTH_OK;
    if (text.len > CONTAINER_NAME_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "snapshot container: the %s has %zu bytes, at most %d fit", what, text.len,
                    CONTAINER_NAME_MAX);
    if (!utf8_valid(text))
        return fail(error, BERTH_ERR_INVALID, "snapshot container: the %s is not UTF-8", what);
    begin = section_begin(w, which);
    writer_bytes(w, text.ptr, text.len);
    section_end(w, begin);
    return BERTH_OK;
}

static berth_status write_plugin(writer *w, const container *c, berth_error *error)
{
    size_t begin;

    if (!c->plugin_name.len)
        return BERTH_OK;
    if (c->plugin_name.len > CONTAINER_NAME_MAX || !utf8_valid(c->plugin_name))
        return fail(error, BERTH_ERR_INVALID,
                    "snapshot container: the plugin's name must be UTF-8 of at most %d bytes",
                    CONTAINER_NAME_MAX);
    begin = section_begin(w, SECTION_PLUG);
    writer_bytes(w, c->plugin_digest, sizeof c->plugin_digest);
    writer_bytes(w, c->plugin_name.ptr, c->plugin_name.len);
    section_end(w, begin);
    return BERTH_OK;
}

static void write_life(writer *w, const container *c)
{
    size_t begin = section_begin(w, SECTION_LIFE);

    writer_u8(w, (c->started ? LIFE_STARTED : 0) |
                     (c->snapshot.has_next_parent ? LIFE_PARENT_KNOWN : 0));
    writer_u32(w, c->state_version);
    writer_u64(w, c->incarnation);
    writer_u64(w, c->epoch);
    writer_u64(w, c->snapshot.has_next_parent ? c->snapshot.next_parent : 0);
    writer_u64(w, c->inputs);
    section_end(w, begin);
}

/* ---- lists: written in order of their keys, which must differ ---- */

static int compare_slices(slice a, slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int cursor_order(const void *a, const void *b)
{
    return compare_slices(((const container_cursor *)a)->source,
                          ((const container_cursor *)b)->source);
}

static int timer_order(const void *a, const void *b)
{
    return compare_u64(((const container_timer *)a)->number, ((const container_timer *)b)->number);
}

static int request_order(const void *a, const void *b)
{
    return compare_u64(((const container_request *)a)->request,
                       ((const container_request *)b)->request);
}

static berth_status write_cursor(writer *w, const void *element, berth_error *error)
{
    const container_cursor *cursor = element;

    if (!cursor->source.len || cursor->source.len > CONTAINER_SOURCE_MAX)
        return fail(error, BERTH_ERR_LIMIT,
                    "snapshot container: a source must have 1 to %d bytes, not %zu",
                    CONTAINER_SOURCE_MAX, cursor->source.len);
    writer_u8(w, (uint8_t)cursor->source.len);
    writer_bytes(w, cursor->source.ptr, cursor->source.len);
    writer_u64(w, cursor->sequence);
    return BERTH_OK;
}

static berth_status write_timer(writer *w, const void *element, berth_error *error)
{
    const container_timer *timer = element;

    if (timer->data.len > UINT32_MAX)
        return fail(error, BERTH_ERR_LIMIT, "snapshot container: a timer's data has %zu bytes",
                    timer->data.len);
    writer_u64(w, timer->number);
    writer_u64(w, (uint64_t)timer->remaining_ns);
    writer_u64(w, (uint64_t)timer->deadline_wall);
    writer_u32(w, (uint32_t)timer->data.len);
    writer_bytes(w, timer->data.ptr, timer->data.len);
    return BERTH_OK;
}

static berth_status write_request(writer *w, const void *element, berth_error *error)
{
    const container_request *request = element;

    (void)error;
    writer_u64(w, request->request);
    writer_u64(w, request->target);
    writer_u64(w, (uint64_t)request->deadline_wall);
    return BERTH_OK;
}

struct list {
    enum container_section section;
    const char *what;
    size_t size;
    int (*order)(const void *, const void *);
    berth_status (*write)(writer *, const void *, berth_error *);
};

static const struct list cursor_list = {SECTION_CURS, "source", sizeof(container_cursor),
                                        cursor_order, write_cursor};
static const struct list timer_list = {SECTION_TIMR, "timer", sizeof(container_timer), timer_order,
                                       write_timer};
static const struct list request_list = {SECTION_RQST, "request", sizeof(container_request),
                                         request_order, write_request};

static berth_status write_list(writer *w, const struct list *list, const void *elements, size_t n,
                               berth_error *error)
{
    berth_status status = BERTH_OK;
    uint8_t *sorted;
    size_t begin;

    if (!n)
        return BERTH_OK;
    if (n > UINT32_MAX)
        return fail(error, BERTH_ERR_LIMIT, "snapshot container: %zu entries are too many", n);
    sorted = malloc(n * list->size);
    if (!sorted)
        return fail(error, BERTH_ERR_NO_MEMORY, "snapshot container: out of memory");
    memcpy(sorted, elements, n * list->size);
    qsort(sorted, n, list->size, list->order);

    begin = section_begin(w, list->section);
    writer_u32(w, (uint32_t)n);
    for (size_t i = 0; i < n && !status; i++) {
        const uint8_t *element = sorted + i * list->size;

        if (i && list->order(element - list->size, element) == 0)
            status = fail(error, BERTH_ERR_INVALID, "snapshot container: a %s is there twice",
                          list->what);
        else
            status = list->write(w, element, error);
    }
    section_end(w, begin);
    free(sorted);
    return status;
}

static void write_horizon(writer *w, const horizon *h)
{
    size_t begin;

    if (!h->body)
        return;
    begin = section_begin(w, SECTION_HRZN);
    horizon_write(w, h);
    section_end(w, begin);
}

/* Up to the state's bytes. */
static berth_status write_head(writer *w, const container *c, size_t size, berth_error *error)
{
    if (!c->kind.len)
        return fail(error, BERTH_ERR_INVALID, "snapshot container: the kind is missing");
    writer_bytes(w, CONTAINER_MAGIC, 4);
    writer_u16(w, CONTAINER_VERSION);
    writer_u16(w, 0);
    section_begin(w, SECTION_SNAP);
    if (!w->failed)
        store_u64(w->data + w->len - 8, size);
    return snapshot_encode_head(w, &c->snapshot, error);
}

/* What stands behind the state's bytes, but for the digest. */
static berth_status write_sections(writer *w, const container *c, berth_error *error)
{
    berth_status status;
    size_t begin;

    snapshot_encode_tail(w, &c->snapshot);
    status = write_text(w, SECTION_NAME, "name", c->name, error);
    if (!status)
        status = write_text(w, SECTION_KIND, "kind", c->kind, error);
    if (!status)
        status = write_plugin(w, c, error);
    if (status)
        return status;
    write_life(w, c);
    status = write_list(w, &cursor_list, c->cursors, c->cursor_count, error);
    if (status)
        return status;
    write_horizon(w, &c->horizon);
    status = write_list(w, &timer_list, c->timers, c->timer_count, error);
    if (!status)
        status = write_list(w, &request_list, c->requests, c->request_count, error);
    if (!status && c->sent.len) {
        begin = section_begin(w, SECTION_SENT);
        writer_bytes(w, c->sent.ptr, c->sent.len);
        section_end(w, begin);
    }
    if (!status && !bonds_empty(&c->bonds)) {
        begin = section_begin(w, SECTION_CHAN);
        bonds_write(w, &c->bonds);
        section_end(w, begin);
    }
    if (!status && c->came.len) {
        begin = section_begin(w, SECTION_HAND);
        writer_bytes(w, c->came.ptr, c->came.len);
        section_end(w, begin);
    }
    return status;
}

void container_digest(uint8_t out[CONTAINER_DIGEST], slice head, slice state, slice tail)
{
    crypto_generichash_state h;

    sodium_ready();
    crypto_generichash_init(&h, NULL, 0, CONTAINER_DIGEST);
    crypto_generichash_update(&h, head.ptr, head.len);
    crypto_generichash_update(&h, state.ptr, state.len);
    crypto_generichash_update(&h, tail.ptr, tail.len);
    crypto_generichash_final(&h, out, CONTAINER_DIGEST);
}

static berth_status encoded(const writer *w, berth_error *error)
{
    return w->failed ? fail(error, BERTH_ERR_NO_MEMORY, "snapshot container: out of memory")
                     : BERTH_OK;
}

berth_status container_encode_apart(writer *head, writer *tail, const container *c,
                                    berth_error *error)
{
    size_t size;
    berth_status status = snapshot_size(&c->snapshot, &size, error);

    if (!status)
        status = write_head(head, c, size, error);
    if (!status)
        status = write_sections(tail, c, error);
    if (!status)
        status = encoded(head, error);
    return status ? status : encoded(tail, error);
}

berth_status container_encode(writer *w, const container *c, berth_error *error)
{
    uint8_t digest[CONTAINER_DIGEST];
    size_t start = w->len, size;
    berth_status status = snapshot_size(&c->snapshot, &size, error);

    if (status)
        return status;
    writer_reserve(w, size + 1024); /* the state is most of it: do not copy it while growing */
    status = write_head(w, c, size, error);
    if (status)
        return status;
    writer_bytes(w, c->snapshot.state.ptr, c->snapshot.state.len);
    status = write_sections(w, c, error);
    if (!status)
        status = encoded(w, error);
    if (status)
        return status;
    container_digest(digest, slice_of(w->data + start, w->len - start), (slice){0}, (slice){0});
    writer_bytes(w, digest, sizeof digest);
    return encoded(w, error);
}
