/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    unsigned who;
    uint64_t number;
} entry;

/* All entries ever, by their place; up to `durable` nothing may change any more. */
static entry *all;
static uint64_t room, length, durable;
/* Of each sender, the highest number up to `durable`. */
static uint64_t floor_of[SENDERS];
/* Those up to here have been asked for; what was missing then was allowed to be. */
static uint64_t given_up[SENDERS];

static unsigned sender_of(const char *text)
{
    for (unsigned i = 0; i < SENDERS; i++)
        if (memcmp(text, senders[i].who, 2) == 0)
            return i;
    broken("the list has an entry '%.20s' of nobody", text);
}

static void put(uint64_t at, entry e)
{
    if (at < durable) {
        if (all[at].who != e.who || all[at].number != e.number)
            broken("place %llu was %.2s/%llu and durable, and is %.2s/%llu", (unsigned long long)at,
                   senders[all[at].who].who, (unsigned long long)all[at].number, senders[e.who].who,
                   (unsigned long long)e.number);
        return;
    }
    if (at >= room) {
        room = room ? 2 * room : 4096;
        all = realloc(all, room * sizeof *all);
    }
    all[at] = e;
}

static void read_list(const char *list)
{
    char *at;
    uint64_t index = strtoull(list, &at, 10);

    if (*at++ != ':')
        broken("the list is '%.60s'", list);
    if (index > durable)
        broken("the list begins at %llu, only %llu were cut", (unsigned long long)index,
               (unsigned long long)durable);
    while (*at && *at != '"') {
        entry e = {sender_of(at), strtoull(at + 3, &at, 10)};

        at += *at == ' ';
        put(index++, e);
    }
    if (index < durable)
        broken("the list ends at %llu, %llu were durable", (unsigned long long)index,
               (unsigned long long)durable);
    length = index;
}

/* From which number on those of a sender that were acknowledged may be missing. */
static uint64_t may_miss(unsigned who, const happened *h)
{
    bool stayed = h->epoch[0] == h->epoch[1], again = h->incarnation[0] != h->incarnation[1];

    if (senders[who].pen && h->pen_lost[who % HOSTS])
        return floor_of[who] + 1; /* what the pen had in its outbox went with its host */
    if (!again)
        return UINT64_MAX;
    if (h->killed[h->from])
        return floor_of[who] + 1;
    if (!stayed && h->killed[h->to])
        return h->at_order[who] + 1; /* what the source had applied went along */
    broken("its incarnation went from %llu to %llu, and no host was killed that ran it",
           (unsigned long long)h->incarnation[0], (unsigned long long)h->incarnation[1]);
}

/* The first in [from, to) that has to be there; to: none. */
static uint64_t owed(unsigned who, uint64_t from, uint64_t to)
{
    if (from <= given_up[who])
        from = given_up[who] + 1;
    while (from < to && !sender_knows(&senders[who], from))
        from++;
    return from < to ? from : to;
}

static bool check_sender(unsigned who, const happened *h, bool last_try)
{
    uint64_t seen = floor_of[who], miss = may_miss(who, h), end = senders[who].acknowledged + 1;
    const sender *s = &senders[who];
    uint64_t first;

    for (uint64_t i = durable; i < length; i++) {
        uint64_t n = all[i].number;

        if (all[i].who != who)
            continue;
        if (n <= seen)
            broken("%.2s/%llu comes after %.2s/%llu (place %llu)", s->who, (unsigned long long)n,
                   s->who, (unsigned long long)seen, (unsigned long long)i);
        if (n > s->sent)
            broken("%.2s/%llu was never sent", s->who, (unsigned long long)n);
        first = owed(who, seen + 1, n);
        if (first < n && first < miss)
            broken("%.2s/%llu was acknowledged, and is missing: after it comes %llu", s->who,
                   (unsigned long long)first, (unsigned long long)n);
        seen = n;
    }
    first = owed(who, seen + 1, end);
    if (first < end && first < miss) {
        if (s->pen && !last_try)
            return false;
        broken("%.2s/%llu was acknowledged, up to %llu, and is missing", s->who,
               (unsigned long long)first, (unsigned long long)end - 1);
    }
    return true;
}

bool history_check(const char *list, const happened *what, bool last_try)
{
    bool whole = true;

    read_list(list);
    for (unsigned i = 0; i < SENDERS; i++)
        whole = check_sender(i, what, last_try) && whole;
    return whole;
}

uint64_t history_settled(void)
{
    for (uint64_t i = durable; i < length; i++)
        floor_of[all[i].who] = all[i].number;
    for (unsigned i = 0; i < SENDERS; i++)
        given_up[i] = senders[i].acknowledged;
    durable = length;
    return durable;
}
