/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: keeps each event that it applies, `SENDER/NUMBER` with one letter and digit for the
 * sender, in order. `?` is answered with "BASE:ENTRY ENTRY ...", BASE being how many were cut off
 * before;
 * `!N` cuts off those before the Nth of all.
 *
 * pen: sends what it gets to the daemon whose origin, 16 hex digits, is its configuration.
 */
#include "berth/plugin.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char who[2];
    uint64_t number;
} entry;

typedef struct ledger {
    uint64_t base, count, room;
    entry *list;
} ledger;

static int add(ledger *l, entry e)
{
    if (l->count == l->room) {
        uint64_t room = l->room ? 2 * l->room : 64;
        entry *list = realloc(l->list, room * sizeof *list);

        if (!list)
            return 0;
        l->list = list;
        l->room = room;
    }
    l->list[l->count++] = e;
    return 1;
}

static void ledger_destroy(void *self, berth_call *call)
{
    ledger *l = self;

    (void)call;
    free(l->list);
    free(l);
}

static berth_code ledger_create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_reader state = berth_reader_of(birth->state);
    ledger *l = calloc(1, sizeof *l);
    uint64_t count = 0;
    int good = l != NULL;

    if (good && birth->state.ptr) {
        l->base = berth_read_u64(&state);
        count = berth_read_u64(&state);
    }
    for (; good && count; count--) {
        uint64_t who = berth_read_u64(&state);
        entry e = {{(char)who, (char)(who >> 8)}, berth_read_u64(&state)};

        good = add(l, e);
    }
    if (good && berth_reader_done(&state)) {
        *self = l;
        return BERTH_OK;
    }
    if (l)
        ledger_destroy(l, call);
    return good ? BERTH_E_STATE : BERTH_E_MEMORY;
}

static berth_code ledger_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const ledger *l = self;
    berth_writer state;

    (void)want_version;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, l->base);
    berth_write_u64(&state, l->count);
    for (uint64_t i = 0; i < l->count; i++) {
        berth_write_u64(&state, (uint8_t)l->list[i].who[0] | (uint64_t)l->list[i].who[1] << 8);
        berth_write_u64(&state, l->list[i].number);
    }
    return berth_writer_end(&state);
}

static char *put_number(char *at, uint64_t value)
{
    char digits[20], *from = digits + sizeof digits;

    do
        *--from = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    memcpy(at, from, (size_t)(digits + sizeof digits - from));
    return at + (digits + sizeof digits - from);
}

static berth_code tell_all(const ledger *l, berth_call *call)
{
    char *text = malloc(32 + l->count * 24), *at = text;
    berth_code code;

    if (!text)
        return BERTH_E_MEMORY;
    at = put_number(at, l->base);
    *at++ = ':';
    for (uint64_t i = 0; i < l->count; i++) {
        *at++ = l->list[i].who[0];
        *at++ = l->list[i].who[1];
        *at++ = '/';
        at = put_number(at, l->list[i].number);
        *at++ = ' ';
    }
    code = berth_emit(call, text, (uint64_t)(at - text));
    free(text);
    return code;
}

static int number_of(const char *at, uint64_t len, uint64_t *out)
{
    *out = 0;
    for (uint64_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        *out = *out * 10 + (uint64_t)(at[i] - '0');
    }
    return len > 0;
}

static berth_code ledger_process(void *self, berth_call *call, const berth_event *event)
{
    ledger *l = self;
    const char *text = event->data.ptr;
    uint64_t len = event->data.len;
    entry e;

    if (len == 1 && text[0] == '?')
        return tell_all(l, call);
    if (len > 1 && text[0] == '!' && number_of(text + 1, len - 1, &e.number)) {
        uint64_t gone = e.number > l->base ? e.number - l->base : 0;

        gone = gone < l->count ? gone : l->count;
        l->count -= gone;
        l->base += gone;
        memmove(l->list, l->list + gone, l->count * sizeof *l->list);
        return BERTH_OK;
    }
    if (len < 4 || text[2] != '/' || !number_of(text + 3, len - 3, &e.number))
        return berth_fail(call, BERTH_E_REJECT, "no entry, and nothing else known");
    memcpy(e.who, text, sizeof e.who);
    return add(l, e) ? BERTH_OK : BERTH_E_MEMORY;
}

/* ---- The pen --------------------------------------------------------------------------------- */

typedef struct pen {
    uint64_t to;
} pen;

static berth_code pen_create(berth_call *call, const berth_birth *birth, void **self)
{
    const char *at = birth->config.ptr;
    pen *p = calloc(1, sizeof *p);

    (void)call;
    if (!p)
        return BERTH_E_MEMORY;
    for (uint64_t i = 0; i < birth->config.len; i++)
        p->to = p->to << 4 | (uint64_t)(at[i] <= '9' ? at[i] - '0' : at[i] - 'a' + 10);
    *self = p;
    return BERTH_OK;
}

static void pen_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code pen_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    berth_writer state;

    (void)self;
    (void)want_version;
    berth_writer_begin(&state, call);
    return berth_writer_end(&state);
}

static berth_code pen_process(void *self, berth_call *call, const berth_event *event)
{
    return berth_send(call, ((const pen *)self)->to, event->data);
}

static const berth_kind ledger_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("ledger"),
    .create = ledger_create,
    .destroy = ledger_destroy,
    .process = ledger_process,
    .snapshot = ledger_snapshot,
};

static const berth_kind pen_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("pen"),
    .create = pen_create,
    .destroy = pen_destroy,
    .process = pen_process,
    .snapshot = pen_snapshot,
};

static const berth_kind *const kinds[] = {&ledger_kind, &pen_kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 2,
    .kinds = kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};
