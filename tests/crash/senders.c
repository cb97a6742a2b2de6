/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

sender senders[SENDERS];

static pthread_t threads[SENDERS], watcher;
static atomic_bool going, ending;

/* ---- Clients: a few lines a request, until they are acknowledged ------------------------------
 */

/* Through any host; some do not wait for the answer, and say the same again somewhere else. */
#define LINES_MAX 4

static void send_some(sender *s, unsigned *seed)
{
    unsigned lines = 1 + (unsigned)rand_r(seed) % LINES_MAX;
    uint64_t first = s->acknowledged + 1, since = now_ms();
    char path[96], source[64], body[256] = "", last[512] = "";

    snprintf(path, sizeof path, "/v1/daemons/%s/events?framing=lines", ledger);
    snprintf(source, sizeof source, "Berth-Source: %.2s/%llu\r\n", s->who,
             (unsigned long long)first);
    for (unsigned i = 0; i < lines; i++)
        snprintf(body + strlen(body), sizeof body - strlen(body), "%.2s/%llu\n", s->who,
                 (unsigned long long)first + i);
    s->sent = first + lines - 1;
    while (!atomic_load(&ending)) {
        const host *at = &hosts[rand_r(seed) % HOSTS];
        unsigned wait = rand_r(seed) % 8 ? PATIENCE_S * 1000 : 1 + (unsigned)rand_r(seed) % 4;
        reply r = http(at, "POST", path, source, body, wait);
        bool good = r.status == 200 && member_u64(r.body, "failed") == 0 &&
                    member_u64(r.body, "applied") + member_u64(r.body, "duplicates") == lines;

        if (r.status)
            snprintf(last, sizeof last, "%d %s", r.status, r.body);
        reply_free(&r);
        if (good)
            break;
        if (now_ms() - since > PATIENCE_S * UINT64_C(1000))
            broken("%.2s/%llu is not taken for %d s, at last by host %s; before that: %s", s->who,
                   (unsigned long long)first, PATIENCE_S, at->name, last);
        nap_us((unsigned)rand_r(seed) % 3000);
    }
    s->acknowledged = s->sent;
}

/* ---- Pens: handed in once; whether it came is not asked ----------------------------------------
 */

static void write_one(sender *s)
{
    char path[64], body[32];
    uint64_t number = s->sent + 1;
    reply r;

    snprintf(path, sizeof path, "/v1/daemons/%s/events", s->at->pen);
    snprintf(body, sizeof body, "%.2s/%llu", s->who, (unsigned long long)number);
    s->sent = number;
    r = http(s->at, "POST", path, NULL, body, PATIENCE_S * 1000);
    /* What its host lost with it counts as lost; the others have to come. */
    if (r.status != 200)
        s->unsure[number % UNSURE_MAX] = true;
    s->acknowledged = number;
    reply_free(&r);
}

bool sender_knows(const sender *s, uint64_t number)
{
    return !s->unsure[number % UNSURE_MAX];
}

static void *send_all(void *arg)
{
    sender *s = arg;
    unsigned seed = (unsigned)(s - senders) + 1;

    while (!atomic_load(&ending)) {
        if (!atomic_load(&going)) {
            s->idle = true;
            nap_us(500);
            continue;
        }
        s->idle = false;
        if (s->pen)
            write_one(s);
        else
            send_some(s, &seed);
        nap_us((uint64_t)rand_r(&seed) % 4000);
    }
    return NULL;
}

/* ---- Who runs it -------------------------------------------------------------------------------
 */

static uint64_t highest;

/* Two that say so at different moments do not contradict each other, unless it is in one epoch, or
 * the one of the lower epoch says so again after the other. */
static void look(void)
{
    place p[HOSTS];
    int on = -1;

    for (int i = 0; i < HOSTS; i++) {
        p[i] = place_on(&hosts[i], ledger, 200);
        if (!p[i].running)
            continue;
        if (on >= 0 && p[on].epoch == p[i].epoch)
            broken("hosts %s and %s both run it in epoch %llu", hosts[on].name, hosts[i].name,
                   (unsigned long long)p[i].epoch);
        if (on >= 0 && p[on].epoch < p[i].epoch) {
            place again = place_on(&hosts[on], ledger, 200);

            if (again.running && again.epoch == p[on].epoch)
                broken("host %s runs it in epoch %llu while host %s does in epoch %llu",
                       hosts[on].name, (unsigned long long)p[on].epoch, hosts[i].name,
                       (unsigned long long)p[i].epoch);
        }
        if (p[i].epoch < highest) {
            place again = place_on(&hosts[i], ledger, 200);

            if (again.running && again.epoch < highest)
                broken("host %s runs it in epoch %llu, after epoch %llu was seen", hosts[i].name,
                       (unsigned long long)again.epoch, (unsigned long long)highest);
        }
        if (p[i].epoch > highest)
            highest = p[i].epoch;
        on = i;
    }
}

static void *watch(void *arg)
{
    (void)arg;
    while (!atomic_load(&ending)) {
        look();
        nap_us(2000);
    }
    return NULL;
}

/* ---- Life --------------------------------------------------------------------------------------
 */

void senders_begin(void)
{
    for (unsigned i = 0; i < SENDERS; i++) {
        sender *s = &senders[i];

        s->pen = i >= HOSTS;
        s->at = &hosts[i % HOSTS];
        s->who[0] = s->pen ? 'p' : 'c';
        s->who[1] = (char)('0' + i % HOSTS);
        if (pthread_create(&threads[i], NULL, send_all, s) != 0)
            broken("no thread can be made");
    }
    if (pthread_create(&watcher, NULL, watch, NULL) != 0)
        broken("no thread can be made");
}

void senders_go(void)
{
    for (unsigned i = 0; i < SENDERS; i++)
        senders[i].idle = false;
    atomic_store(&going, true);
}

void senders_pause(void)
{
    uint64_t until = now_ms() + 2 * PATIENCE_S * UINT64_C(1000);

    atomic_store(&going, false);
    for (unsigned i = 0; i < SENDERS; i++)
        while (!senders[i].idle) {
            if (now_ms() > until)
                broken("%.2s has no answer", senders[i].who);
            nap_us(500);
        }
}

void senders_end(void)
{
    atomic_store(&ending, true);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(watcher, NULL);
}
