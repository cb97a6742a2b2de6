/* SPDX-License-Identifier: Apache-2.0 */
/* The script played to a daemon, and what its effects set off. */
#include "cli/check_host_parts.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = 16 };

#define SPAWNED UINT64_C(0x737061776e000000)

/* ---- The world ------------------------------------------------------------------------------- */

static void drop_timer(script_world *w, uint64_t number)
{
    for (uint32_t i = 0; i < w->timer_count; i++) {
        if (w->timers[i].number == number) {
            memmove(&w->timers[i], &w->timers[i + 1], (w->timer_count - i - 1) * sizeof *w->timers);
            w->timer_count--;
            return;
        }
    }
}

static void set_timer(script_world *w, const host_pending *p, int64_t now_ns)
{
    script_timer *t;

    drop_timer(w, p->number);
    if (p->cancel || w->timer_count == SCRIPT_TIMERS)
        return;
    t = &w->timers[w->timer_count++];
    t->number = p->number;
    t->due_ns = p->delay_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + p->delay_ns;
    t->len = p->len;
    memcpy(t->data, p->data, p->len);
}

void world_apply(check_daemon *d)
{
    script_world *w = &d->world;

    for (uint32_t i = 0; i < d->record.pending_count; i++) {
        const host_pending *p = &d->record.pending[i];

        if (p->is_timer)
            set_timer(w, p, d->now_ns);
        else if (w->request_count < SCRIPT_REQUESTS)
            w->requests[w->request_count++] = (script_request){p->number, p->is_spawn};
    }
}

const script_world *host_world(const check_daemon *d)
{
    return &d->world;
}

/* ---- Playing --------------------------------------------------------------------------------- */

static void note(script_entry *entry, const host_answer *answer)
{
    if (!entry)
        return;
    entry->digest = script_mix(entry->digest, &answer->digest, sizeof answer->digest);
    entry->effects += answer->effects;
    if (!entry->shown[0])
        memcpy(entry->shown, answer->shown, sizeof entry->shown);
}

/* The one that is due first; of equals the one that was set first. */
static bool fire_timer(check_daemon *d, const berth_event *now, script_entry *entry)
{
    script_world *w = &d->world;
    script_timer *first = NULL, timer;
    berth_event e;
    host_answer answer;

    for (uint32_t i = 0; i < w->timer_count; i++) {
        if (w->timers[i].due_ns <= now->time_ns && (!first || w->timers[i].due_ns < first->due_ns))
            first = &w->timers[i];
    }
    if (!first)
        return false;
    timer = *first;
    drop_timer(w, timer.number);
    e = (berth_event){.size = sizeof e,
                      .type = BERTH_EVENT_TIMER,
                      .time_ns = now->time_ns,
                      .seed = {now->seed[0] ^ timer.number, now->seed[1]},
                      .data = {timer.data, timer.len},
                      .request = timer.number,
                      .attempt = 1};
    host_deliver(d, &e, &answer);
    note(entry, &answer);
    return true;
}

static void answer_request(check_daemon *d, const berth_event *now, script_entry *entry)
{
    static const uint8_t entity[32] = {1, 2, 3};
    script_world *w = &d->world;
    script_request r = w->requests[0];
    berth_event e = {.size = sizeof e,
                     .type = BERTH_EVENT_REPLY,
                     .time_ns = now->time_ns,
                     .seed = {now->seed[0] + r.number, now->seed[1]},
                     .request = r.number,
                     .status = r.number % 4 == 3 ? BERTH_REPLY_TIMEOUT : BERTH_REPLY_OK,
                     .attempt = 1};
    host_answer answer;

    memmove(w->requests, w->requests + 1, --w->request_count * sizeof *w->requests);
    if (e.status == BERTH_REPLY_OK) {
        e.origin = r.is_spawn ? SPAWNED + r.number : 0;
        e.data = r.is_spawn ? (berth_bytes){entity, sizeof entity} : (berth_bytes){"ok", 2};
    }
    host_deliver(d, &e, &answer);
    note(entry, &answer);
}

static bool take_post(check_daemon *d, host_post *out)
{
    bool there;

    pthread_mutex_lock(&d->lock);
    there = d->post_count > 0;
    if (there) {
        *out = d->posts[d->post_first];
        d->post_first = (d->post_first + 1) % HOST_POSTS;
        d->post_count--;
    }
    pthread_mutex_unlock(&d->lock);
    return there;
}

static void deliver_posts(check_daemon *d, const berth_event *now)
{
    host_post post;

    for (unsigned i = 0; i < STEPS && take_post(d, &post); i++) {
        berth_event e = {.size = sizeof e,
                         .type = BERTH_EVENT_POST,
                         .time_ns = now->time_ns,
                         .seed = {now->seed[0] ^ i, now->seed[1]},
                         .data = {post.data, post.len},
                         .attempt = 1};

        host_deliver(d, &e, NULL);
    }
}

berth_code host_play(check_daemon *d, uint32_t i, script_entry *entry)
{
    const script *s = d->host->c->script;
    char text[CHECK_DETAIL];
    host_answer answer;
    berth_event e;

    script_event(s, i, &e);
    if (entry)
        *entry = (script_entry){0};
    check_detail(d->host->c, "%s", check_event_text(text, sizeof text, i, s->events[i]));
    for (unsigned n = 0; n < STEPS && fire_timer(d, &e, entry); n++)
        ;
    for (uint32_t n = d->world.request_count; n; n--)
        answer_request(d, &e, entry);
    if (!entry)
        deliver_posts(d, &e);
    host_deliver(d, &e, &answer);
    note(entry, &answer);
    if (entry)
        entry->code = answer.code;
    check_detail(d->host->c, "%s", "");
    return answer.code;
}

void host_play_all(check_daemon *d, uint32_t from, uint32_t to, script_trace *trace)
{
    for (uint32_t i = from; i < to; i++) {
        berth_code code = host_play(d, i, trace ? &trace->entries[i] : NULL);

        if (!trace)
            continue;
        trace->count = i + 1;
        trace->limited += code == BERTH_E_LIMIT;
        trace->broken += code == BERTH_E_BROKEN;
        trace->rejected += code != BERTH_OK && code != BERTH_E_LIMIT && code != BERTH_E_BROKEN;
    }
}

static berth_code simple(check_daemon *d, uint16_t type, int32_t status, uint64_t request,
                         host_answer *answer)
{
    berth_event e = {.size = sizeof e,
                     .type = type,
                     .time_ns = d->birth.time_ns,
                     .seed = {3, (uint64_t)status},
                     .request = request,
                     .status = status,
                     .attempt = 1};

    if (d->now_ns > e.time_ns)
        e.time_ns = d->now_ns;
    return host_deliver(d, &e, answer);
}

berth_code host_start(check_daemon *d, int32_t reason, host_answer *answer)
{
    return simple(d, BERTH_EVENT_START, reason, 0, answer);
}

berth_code host_control(check_daemon *d, int32_t control, uint64_t operand, host_answer *answer)
{
    return simple(d, BERTH_EVENT_CONTROL, control, operand, answer);
}

const char *host_code_name(berth_code code)
{
    static const char *const names[] = {"OK",      "REJECT",   "BROKEN", "NOT_NOW",
                                        "LIMIT",   "ARGUMENT", "NEWER",  "FULL",
                                        "VERSION", "STATE",    "CONFIG", "MEMORY"};
    static char number[16];

    if (code >= 0 && (size_t)code < sizeof names / sizeof *names)
        return names[code];
    snprintf(number, sizeof number, "%d", (int)code);
    return number;
}
