/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "chain/container.h"
#include "chain/container_tags.h"

#include <sodium.h>
#include <stdlib.h>

/* What every container has; SNAP is there because it must come first. */
#define NEEDED (1u << SECTION_SNAP | 1u << SECTION_KIND | 1u << SECTION_LIFE)

static const char tags[SECTIONS][5] = CONTAINER_TAGS;

void container_fini(container *c)
{
    horizon_fini(&c->horizon);
    bonds_fini(&c->bonds);
    free(c->cursors);
    free(c->timers);
    free(c->requests);
    memset(c, 0, sizeof *c);
}

static berth_status corrupt(berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_CORRUPT,
                "snapshot container: %s: it is damaged or was tampered with", what);
}

static berth_status read_text(slice body, slice *out, berth_error *error)
{
    if (!body.len || body.len > CONTAINER_NAME_MAX || !utf8_valid(body))
        return corrupt(error, "a name is not UTF-8 of 1 to 255 bytes");
    *out = body;
    return BERTH_OK;
}

static berth_status read_plugin(slice body, container *c, berth_error *error)
{
    reader r = reader_of(body.ptr, body.len);

    reader_copy(&r, c->plugin_digest, sizeof c->plugin_digest);
    if (!reader_ok(&r))
        return corrupt(error, "the plugin's digest is cut off");
    return read_text(reader_bytes(&r, reader_left(&r)), &c->plugin_name, error);
}

static berth_status read_life(slice body, container *c, berth_error *error)
{
    reader r = reader_of(body.ptr, body.len);
    uint8_t flags = reader_u8(&r);

    c->state_version = reader_u32(&r);
    c->incarnation = reader_u64(&r);
    c->epoch = reader_u64(&r);
    c->snapshot.next_parent = reader_u64(&r);
    c->inputs = reader_u64(&r);
    c->started = flags & LIFE_STARTED;
    c->snapshot.has_next_parent = (flags & LIFE_PARENT_KNOWN) != 0;
    if (!reader_done(&r) || flags & ~(LIFE_STARTED | LIFE_PARENT_KNOWN) ||
        (!c->snapshot.has_next_parent && c->snapshot.next_parent))
        return corrupt(error, "its LIFE section is not valid");
    return BERTH_OK;
}

/* ---- lists: keys ascending, so that none is there twice ---- */

static bool read_cursor(reader *r, void *element, const void *before)
{
    const container_cursor *previous = before;
    container_cursor *cursor = element;
    size_t n;
    int order;

    cursor->source = reader_bytes(r, reader_u8(r));
    cursor->sequence = reader_u64(r);
    if (!reader_ok(r) || !cursor->source.len || cursor->source.len > CONTAINER_SOURCE_MAX)
        return false;
    if (!previous)
        return true;
    n = cursor->source.len < previous->source.len ? cursor->source.len : previous->source.len;
    order = memcmp(cursor->source.ptr, previous->source.ptr, n);
    return order > 0 || (order == 0 && cursor->source.len > previous->source.len);
}

static bool read_timer(reader *r, void *element, const void *before)
{
    container_timer *timer = element;

    timer->number = reader_u64(r);
    timer->remaining_ns = (int64_t)reader_u64(r);
    timer->deadline_wall = (int64_t)reader_u64(r);
    timer->data = reader_bytes(r, reader_u32(r));
    return reader_ok(r) && (!before || timer->number > ((const container_timer *)before)->number);
}

static bool read_request(reader *r, void *element, const void *before)
{
    container_request *request = element;

    request->request = reader_u64(r);
    request->target = reader_u64(r);
    request->deadline_wall = (int64_t)reader_u64(r);
    return reader_ok(r) &&
           (!before || request->request > ((const container_request *)before)->request);
}

/* An array of `size` bytes an element into *out. The count is checked against what is there before
 * anything is allocated for it (compute-core K23). */
static berth_status read_list(slice body, size_t min, size_t size,
                              bool (*read)(reader *, void *, const void *), void **out,
                              size_t *count, berth_error *error)
{
    reader r = reader_of(body.ptr, body.len);
    uint32_t n = reader_u32(&r);
    const uint8_t *before = NULL;
    uint8_t *at;

    if (!reader_ok(&r) || !n || n > reader_left(&r) / min)
        return corrupt(error, "a list is longer than its section");
    *out = at = malloc(n * size);
    if (!at)
        return fail(error, BERTH_ERR_NO_MEMORY, "snapshot container: out of memory");
    for (uint32_t i = 0; i < n; i++, before = at, at += size)
        if (!read(&r, at, before))
            return corrupt(error, "a list is cut off or not in order");
    if (!reader_done(&r))
        return corrupt(error, "bytes follow a list");
    *count = n;
    return BERTH_OK;
}

static berth_status read_section(container *c, enum container_section which, slice body,
                                 berth_error *error)
{
    berth_status status;
    void *list = NULL;

    switch (which) {
    case SECTION_SNAP:
        status = snapshot_decode(&c->snapshot, body, error);
        if (status)
            fail_prefix(error, "snapshot container");
        return status;
    case SECTION_NAME:
        return read_text(body, &c->name, error);
    case SECTION_KIND:
        return read_text(body, &c->kind, error);
    case SECTION_PLUG:
        return read_plugin(body, c, error);
    case SECTION_LIFE:
        return read_life(body, c, error);
    case SECTION_CURS:
        status = read_list(body, CURSOR_MIN, sizeof *c->cursors, read_cursor, &list,
                           &c->cursor_count, error);
        c->cursors = list;
        return status;
    case SECTION_HRZN:
        if (!body.len)
            return corrupt(error, "its horizon is empty");
        return horizon_read(&c->horizon, body, error);
    case SECTION_TIMR:
        status = read_list(body, TIMER_MIN, sizeof *c->timers, read_timer, &list, &c->timer_count,
                           error);
        c->timers = list;
        return status;
    case SECTION_RQST:
        status = read_list(body, REQUEST_MIN, sizeof *c->requests, read_request, &list,
                           &c->request_count, error);
        c->requests = list;
        return status;
    case SECTION_SENT:
        c->sent = body;
        return body.len ? BERTH_OK : corrupt(error, "its SENT section is empty");
    case SECTION_CHAN:
        status = bonds_read(&c->bonds, body, error);
        if (!status && bonds_empty(&c->bonds))
            return corrupt(error, "its CHAN section is empty");
        return status;
    case SECTION_HAND:
        c->came = body;
        return body.len ? BERTH_OK : corrupt(error, "its HAND section is empty");
    default:
        return BERTH_OK;
    }
}

static enum container_section section_of(slice tag)
{
    int i = 0;

    while (i < SECTIONS && memcmp(tag.ptr, tags[i], 4) != 0)
        i++;
    return (enum container_section)i;
}

/* *seen: a bit for each section that came. One at or above this one means a double or a wrong
 * order. */
static berth_status read_next(container *c, reader *r, unsigned *seen, berth_error *error)
{
    slice tag = reader_bytes(r, 4), body;
    uint16_t flags = reader_u16(r), reserved = reader_u16(r);
    uint64_t len = reader_u64(r);
    enum container_section which;

    if (!reader_ok(r) || len > reader_left(r))
        return corrupt(error, "a section is cut off");
    body = reader_bytes(r, (size_t)len);
    if (flags & ~CONTAINER_IGNORABLE || reserved)
        return corrupt(error, "a section has unknown flags");
    which = section_of(tag);
    if (!*seen && which != SECTION_SNAP)
        return corrupt(error, "it does not begin with its snapshot");
    if (which == SECTIONS)
        return flags & CONTAINER_IGNORABLE ? BERTH_OK
                                           : fail(error, BERTH_ERR_UNSUPPORTED,
                                                  "snapshot container: section '%.4s' is not known "
                                                  "here: a newer berth wrote "
                                                  "it; read it with that one",
                                                  (const char *)tag.ptr);
    if (*seen >> which)
        return corrupt(error, "a section is there twice or out of order");
    *seen |= 1u << which;
    return read_section(c, which, body, error);
}

static berth_status read_container(container *c, slice bytes, berth_error *error)
{
    uint8_t digest[CONTAINER_DIGEST];
    berth_status status = BERTH_OK;
    size_t covered;
    unsigned seen = 0;
    reader r;

    if (bytes.len < CONTAINER_HEAD + CONTAINER_DIGEST)
        return corrupt(error, "it ends too early");
    r = reader_of(bytes.ptr + 4, bytes.len - 4);
    if (reader_u16(&r) != CONTAINER_VERSION)
        return fail(error, BERTH_ERR_VERSION,
                    "snapshot container: of an unknown version, only %d is known",
                    CONTAINER_VERSION);
    covered = bytes.len - CONTAINER_DIGEST;
    sodium_ready();
    crypto_generichash(digest, sizeof digest, bytes.ptr, covered, NULL, 0);
    if (memcmp(digest, bytes.ptr + covered, sizeof digest) != 0)
        return corrupt(error, "its digest does not match");
    if (reader_u16(&r) != 0)
        return corrupt(error, "its head is not valid");

    r = reader_of(bytes.ptr + CONTAINER_HEAD, covered - CONTAINER_HEAD);
    while (!status && reader_left(&r))
        status = read_next(c, &r, &seen, error);
    if (!status && (~seen & NEEDED))
        status = corrupt(error, "a section is missing");
    return status;
}

berth_status container_decode(container *out, slice bytes, berth_error *error)
{
    berth_status status;

    memset(out, 0, sizeof *out);
    if (bytes.len >= 4 && memcmp(bytes.ptr, CONTAINER_MAGIC, 4) == 0) {
        status = read_container(out, bytes, error);
    } else if (bytes.len >= 4 && memcmp(bytes.ptr, "CDS1", 4) == 0) {
        out->bare = true;
        status = snapshot_decode(&out->snapshot, bytes, error);
    } else {
        status = fail(error, BERTH_ERR_CORRUPT,
                      "not a snapshot: it begins neither with BSN1 nor with CDS1");
    }
    if (status) {
        container_fini(out);
        return status;
    }
    out->snapshot.next_parent = snapshot_next_parent(&out->snapshot, &out->guessed);
    return BERTH_OK;
}
