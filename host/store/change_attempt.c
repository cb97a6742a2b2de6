/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"
#include "store/change.h"

#include <string.h>

#define ATTEMPT_TEXT (2 * STORE_ATTEMPT_SIZE + 1)

static bool fits(change *c, const char *what, size_t len, size_t max)
{
    char text[ATTEMPT_TEXT];
    berth_error error;

    if (len <= max)
        return true;
    fail(&error, BERTH_ERR_LIMIT, "attempt %s: its %s has %zu bytes, at most %zu can be stored",
         hex_encode(text, slice_of(c->attempt.row.attempt, STORE_ATTEMPT_SIZE)), what, len, max);
    change_refuse(c, &error);
    return false;
}

change *change_attempt(change_type type, const store_attempt *a, buf *state)
{
    slice record = type == CHANGE_REFUSE ? slice_of(NULL, 0) : a->record;
    change *c = change_new(type, record.len);
    uint8_t *at;

    if (!c)
        return NULL;
    c->attempt.row = *a;
    c->attempt.row.record = slice_of(NULL, 0);
    if (!fits(c, "record", record.len, STORE_RECORD_MAX))
        return c;
    at = (uint8_t *)(c + 1);
    c->attempt.row.record = change_put(&at, record);
    if (state && state->len)
        c->attempt.state = change_put_body(c, state, "the state of an attempt");
    return c;
}

static change *change_of(change_type type, const uint8_t attempt[STORE_ATTEMPT_SIZE], size_t extra)
{
    change *c = change_new(type, extra);

    if (c)
        memcpy(c->attempt.row.attempt, attempt, STORE_ATTEMPT_SIZE);
    return c;
}

change *change_attempt_end(change_type type, const uint8_t attempt[STORE_ATTEMPT_SIZE],
                           uint64_t incarnation, uint64_t sequence)
{
    change *c = change_of(type, attempt, 0);

    if (c) {
        c->attempt.snapshot.incarnation = incarnation;
        c->attempt.snapshot.sequence = sequence;
    }
    return c;
}

change *change_own(const uint8_t attempt[STORE_ATTEMPT_SIZE], const store_daemon *row,
                   uint64_t incarnation, uint64_t sequence, buf *container)
{
    change *c = change_of(CHANGE_OWN, attempt, sizeof *row + change_row_size(row));
    uint8_t *at;

    _Static_assert(sizeof(change) % _Alignof(store_daemon) == 0, "a row lies behind a change");
    if (!c)
        return NULL;
    c->attempt.daemon = (store_daemon *)(c + 1);
    at = (uint8_t *)(c->attempt.daemon + 1);
    if (!change_put_row(c, row, c->attempt.daemon, &at))
        return c;
    change_put_container(c, &c->attempt.snapshot, row->entity, incarnation, sequence, container);
    c->attempt.snapshot.clean = row->clean;
    return c;
}

change *change_take_back(const uint8_t attempt[STORE_ATTEMPT_SIZE], uint64_t epoch, slice identity,
                         uint64_t incarnation, uint64_t sequence, buf *container)
{
    static const uint8_t unknown[32]; /* the attempt knows whose it is */
    change *c = change_of(CHANGE_TAKE_BACK, attempt, identity.len);
    uint8_t *at;

    if (!c || !fits(c, "daemon's identity", identity.len, STORE_IDENTITY_MAX))
        return c;
    at = (uint8_t *)(c + 1);
    c->attempt.row.epoch = epoch;
    c->attempt.identity = change_put(&at, identity);
    change_put_container(c, &c->attempt.snapshot, unknown, incarnation, sequence, container);
    return c;
}

change *change_expire(int64_t now_s)
{
    change *c = change_new(CHANGE_EXPIRE, 0);

    if (c)
        c->attempt.row.not_after_s = now_s;
    return c;
}
