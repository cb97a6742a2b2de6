/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/pace.h: when something is sent again that was not answered: after `every`, then after
 * twice as long each time, at most eight times as long, for ever. For the machines of this room.
 */
#ifndef MIGRATE_PACE_H
#define MIGRATE_PACE_H

#include <stdint.h>

#define PACE_NEVER INT64_MAX

typedef struct pace {
    int64_t every, wait, at;
} pace;

/* Times far ahead stay ahead: nothing here overflows. */
static inline int64_t pace_after(int64_t now_ns, int64_t wait_ns)
{
    return now_ns > PACE_NEVER - wait_ns ? PACE_NEVER : now_ns + wait_ns;
}

static inline void pace_start(pace *p, int64_t now_ns)
{
    p->wait = p->every;
    p->at = pace_after(now_ns, p->wait);
}

static inline void pace_stop(pace *p)
{
    p->at = PACE_NEVER;
}

/* Not before so long from now, if that is longer, but within the same bound. */
static inline void pace_stretch(pace *p, int64_t wait_ns, int64_t now_ns)
{
    if (wait_ns <= p->wait)
        return;
    p->wait = wait_ns < 8 * p->every ? wait_ns : 8 * p->every;
    p->at = pace_after(now_ns, p->wait);
}

/* Has its time come? The next one is then further away. */
static inline int pace_due(pace *p, int64_t now_ns)
{
    if (now_ns < p->at || p->at == PACE_NEVER)
        return 0;
    p->wait = p->wait < 4 * p->every ? 2 * p->wait : 8 * p->every;
    p->at = pace_after(now_ns, p->wait);
    return 1;
}

#endif
