/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *build_dir = ".";

static uint64_t seed = 1, rounds = 10, round_now;
static bool keep;
static char doing[256] = "beginning";

/* ---- Odds and ends -----------------------------------------------------------------------------
 */

_Noreturn void broken(const char *format, ...)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    char command[256];
    va_list args;

    pthread_mutex_lock(&once); /* for ever */
    fprintf(stderr, "crash: seed %llu, round %llu (%s): ", (unsigned long long)seed,
            (unsigned long long)round_now, doing);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    for (int i = 0; i < HOSTS; i++) {
        reply r = http(&hosts[i], "GET", "/v1/migrations", NULL, NULL, 500);

        fprintf(stderr, "--- host %s, process %d: %.1500s\n", hosts[i].name, (int)hosts[i].pid,
                r.body);
        reply_free(&r);
        snprintf(command, sizeof command, "tail -n 12 %s.log >&2", hosts[i].dir);
        if (system(command) != 0)
            fputs("no log\n", stderr);
    }
    for (int i = 0; i < HOSTS; i++)
        if (!keep && hosts[i].pid)
            kill(hosts[i].pid, SIGKILL);
    fprintf(stderr, "crash: what the hosts left is in %s\n", the_dir);
    _exit(1);
}

uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nap_us(uint64_t us)
{
    nanosleep(&(struct timespec){(time_t)(us / 1000000), (long)(us % 1000000 * 1000)}, NULL);
}

/* splitmix64 */
uint64_t random_below(uint64_t n)
{
    static uint64_t state;
    uint64_t z;

    if (!state)
        state = seed * UINT64_C(0x9e3779b97f4a7c15);
    z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % n;
}

/* ---- Quiet -------------------------------------------------------------------------------------
 */

static struct {
    unsigned on;
    place place;
} pens[HOSTS];

static bool none_underway(void)
{
    bool none = true;

    for (int i = 0; i < HOSTS && none; i++) {
        reply r = http(&hosts[i], "GET", "/v1/migrations", NULL, NULL, 1000);

        none = r.status == 200 && !strstr(r.body, "\"state\":\"moving\"") &&
               !strstr(r.body, "\"state\":\"in-doubt\"");
        reply_free(&r);
    }
    return none;
}

/* The one host that has this daemon, or HOSTS. */
static unsigned owner(const char *origin, place *p)
{
    unsigned on = HOSTS, count = 0;

    for (unsigned i = 0; i < HOSTS; i++) {
        place q = place_on(&hosts[i], origin, 1000);

        if (!q.answered)
            return HOSTS;
        count += q.there;
        if (q.running) {
            on = i;
            *p = q;
        }
    }
    return count == 1 ? on : HOSTS;
}

static bool pens_are_there(void)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if ((pens[i].on = owner(hosts[i].pen, &pens[i].place)) == HOSTS)
            return false;
    return true;
}

/* Everybody is there, nothing is on its way, one runs it. */
static unsigned heal(place *p)
{
    uint64_t until = now_ms() + PATIENCE_S * UINT64_C(1000);

    for (;;) {
        unsigned on = HOSTS;

        if (hosts_connected() && none_underway() && (on = owner(ledger, p)) < HOSTS &&
            pens_are_there() && none_underway())
            return on;
        if (now_ms() > until)
            broken("after %d s not all is well again: %s, %s, it runs on %s", PATIENCE_S,
                   hosts_connected() ? "all are connected" : "not all are connected",
                   none_underway() ? "no move is open" : "a move is open",
                   on < HOSTS ? hosts[on].name : "no host, or more than one");
        nap_us(3000);
    }
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

static bool ask_list(const host *h, const happened *what, bool last_try)
{
    char path[80], *list;
    reply r;
    bool whole;

    snprintf(path, sizeof path, "/v1/daemons/%s/events?reply=true", ledger);
    r = http(h, "POST", path, NULL, "?", PATIENCE_S * 1000);
    list = r.status == 200 ? strstr(r.body, "\"text\":\"") : NULL;
    if (!list)
        broken("host %s gives no list: %d %.300s", h->name, r.status, r.body);
    whole = history_check(list + strlen("\"text\":\""), what, last_try);
    reply_free(&r);
    return whole;
}

static void check(happened *what)
{
    uint64_t until = now_ms() + PATIENCE_S * UINT64_C(1000);
    char path[80], cut[32];
    uint64_t end;
    reply r;

    /* Through any host: all of them have to find it. */
    while (!ask_list(&hosts[random_below(HOSTS)], what, now_ms() > until))
        nap_us(5000);
    end = history_settled();
    snprintf(path, sizeof path, "/v1/daemons/%s/events", ledger);
    snprintf(cut, sizeof cut, "!%llu", (unsigned long long)(end > 20 ? end - 20 : 0));
    r = http(&hosts[what->now_on], "POST", path, NULL, cut, 20000);
    if (r.status != 200)
        broken("nothing can be cut: %d %s", r.status, r.body);
    reply_free(&r);
    snprintf(path, sizeof path, "/v1/daemons/%s/snapshot", ledger);
    r = http(&hosts[what->now_on], "POST", path, NULL, NULL, 20000);
    if (r.status != 200)
        broken("no snapshot: %d", r.status);
    reply_free(&r);
    make_durable(&hosts[what->now_on]);
}

/* ---- A round -----------------------------------------------------------------------------------
 */

static struct {
    unsigned moved, stayed, refused, unknown, pens, killed, stopped, calm, rewound;
    uint64_t slowest_ms;
} sum;

static bool order(unsigned by, const char *origin, unsigned to, char id[40])
{
    char body[160];
    reply r;
    bool good;

    snprintf(body, sizeof body, "{\"daemon\":\"%s\",\"node\":\"%s\"}", origin, hosts[to].name);
    r = http(&hosts[by], "POST", "/v1/migrations", NULL, body, 5000);
    good = r.status == 202;
    member(r.body, "id", id, 40);
    if (!good)
        fprintf(stderr, "crash: round %llu: not ordered: %d %.200s\n",
                (unsigned long long)round_now, r.status, r.body);
    reply_free(&r);
    return good;
}

/* What whoever ordered it was told is what has happened. */
static void check_outcome(const happened *what, unsigned by, const char *id)
{
    char path[80], state[16];
    bool moved = what->now_on != what->from;
    reply r;

    snprintf(path, sizeof path, "/v1/migrations/%s", id);
    r = http(&hosts[by], "GET", path, NULL, NULL, 5000);
    member(r.body, "state", state, sizeof state);
    if (r.status != 200 ||
        (strcmp(state, "unknown") != 0 && (strcmp(state, "moved") == 0) != moved))
        broken("it is on %s now, and host %s, which had ordered the move, says: %d %.600s",
               hosts[what->now_on].name, hosts[by].name, r.status, r.body);
    sum.unknown += strcmp(state, "unknown") == 0;
    reply_free(&r);
}

/* How long a move takes when nothing is in its way: what moments are drawn from. */
#define MOVE_US 20000

static void hurt(happened *what)
{
    unsigned sort = (unsigned)random_below(100), count = sort < 80 ? 1 : sort < 92 ? 2 : 0;
    unsigned first = (unsigned)random_below(HOSTS);
    bool stops[HOSTS] = {false};
    char *at = doing + strlen(doing);

    if (count == 1 && random_below(4) != 0) /* the two that it is about more often than the third */
        first = random_below(2) ? what->from : what->to;
    nap_us(random_below(random_below(4) ? MOVE_US : 5 * MOVE_US));
    for (unsigned i = 0; i < count; i++) {
        host *h = &hosts[(first + i) % HOSTS];

        if (random_below(100) < 65) {
            host_kill(h);
            what->killed[(first + i) % HOSTS] = true;
            sum.killed++;
            at += sprintf(at, ", %s killed", h->name);
        } else {
            kill(h->pid, SIGSTOP);
            stops[(first + i) % HOSTS] = true;
            sum.stopped++;
            at += sprintf(at, ", %s stopped", h->name);
        }
        if (i + 1 < count)
            nap_us(random_below(MOVE_US));
    }
    sum.calm += !count;
    if (count)
        nap_us(random_below(4) ? random_below(100000) : random_below(3000000));
    for (unsigned i = 0; i < HOSTS; i++) {
        if (stops[i])
            kill(hosts[i].pid, SIGCONT);
        if (what->killed[i])
            host_start(&hosts[i]);
    }
    for (unsigned i = 0; i < HOSTS; i++)
        if (what->killed[i] && random_below(4) == 0) { /* once more, while it recovers */
            nap_us(random_below(5 * MOVE_US));
            host_kill(&hosts[i]);
            sum.killed++;
            at += sprintf(at, ", %s killed again", hosts[i].name);
            host_start(&hosts[i]);
        }
}

/* Now and then one of those that write to it moves too. */
static void move_pen(void)
{
    unsigned which = (unsigned)random_below(HOSTS), by = (unsigned)random_below(HOSTS);
    unsigned to = (pens[which].on + 1 + (unsigned)random_below(HOSTS - 1)) % HOSTS;
    char id[40];

    if (!order(by, hosts[which].pen, to, id))
        return;
    sum.pens++;
    snprintf(doing + strlen(doing), sizeof doing - strlen(doing), ", p%u %s to %s by %s", which,
             hosts[pens[which].on].name, hosts[to].name, hosts[by].name);
}

static unsigned one_round(unsigned on, place *p)
{
    happened what = {.from = on, .to = (on + 1 + (unsigned)random_below(HOSTS - 1)) % HOSTS};
    unsigned by = (unsigned)random_below(HOSTS);
    uint64_t began = now_ms(), pen_was[HOSTS];
    unsigned pen_on[HOSTS];
    char id[40];
    bool ordered;

    what.epoch[0] = p->epoch;
    what.incarnation[0] = p->incarnation;
    snprintf(doing, sizeof doing, "%s to %s by %s", hosts[what.from].name, hosts[what.to].name,
             hosts[by].name);
    senders_go();
    nap_us(random_below(20000));
    for (unsigned i = 0; i < SENDERS; i++)
        what.at_order[i] = senders[i].acknowledged;
    for (unsigned i = 0; i < HOSTS; i++)
        pen_on[i] = pens[i].on, pen_was[i] = pens[i].place.incarnation;
    if (random_below(3) == 0)
        move_pen();
    ordered = order(by, ledger, what.to, id);
    hurt(&what);
    heal(p);
    senders_pause();
    on = heal(p);
    what.now_on = on;
    for (unsigned i = 0; i < HOSTS; i++)
        what.pen_lost[i] = what.killed[pen_on[i]] || what.killed[pens[i].on] ||
                           pen_was[i] != pens[i].place.incarnation;
    sum.refused += !ordered;
    if (ordered && !what.killed[by])
        check_outcome(&what, by, id);
    what.epoch[1] = p->epoch;
    what.incarnation[1] = p->incarnation;
    if (p->epoch < what.epoch[0] || p->incarnation < what.incarnation[0])
        broken("epoch %llu, incarnation %llu after %llu, %llu", (unsigned long long)p->epoch,
               (unsigned long long)p->incarnation, (unsigned long long)what.epoch[0],
               (unsigned long long)what.incarnation[0]);
    if ((p->epoch == what.epoch[0]) != (on == what.from))
        broken("in epoch %llu it ran on %s, in epoch %llu it does on %s",
               (unsigned long long)what.epoch[0], hosts[what.from].name,
               (unsigned long long)p->epoch, hosts[on].name);
    check(&what);
    sum.moved += on != what.from;
    sum.stayed += on == what.from;
    sum.rewound += what.incarnation[0] != what.incarnation[1];
    if (now_ms() - began > sum.slowest_ms)
        sum.slowest_ms = now_ms() - began;
    fprintf(stderr, "round %llu: %s: now on %s, epoch %llu, incarnation %llu, %llu ms\n",
            (unsigned long long)round_now, doing, hosts[on].name, (unsigned long long)p->epoch,
            (unsigned long long)p->incarnation, (unsigned long long)(now_ms() - began));
    return on;
}

static void spawn_all(void)
{
    char body[200];
    reply r;

    r = http(
        &hosts[0], "POST", "/v1/daemons", NULL,
        "{\"kind\":\"ledger\",\"name\":\"book\",\"durability\":\"snapshot\",\"auto_snapshot\":50}",
        20000);
    if (r.status != 201)
        broken("no ledger: %s", r.body);
    member(r.body, "origin", ledger, sizeof ledger);
    reply_free(&r);
    for (int i = 0; i < HOSTS; i++) {
        snprintf(body, sizeof body,
                 "{\"kind\":\"pen\",\"name\":\"pen\",\"durability\":\"snapshot\",\"config\":{"
                 "\"text\":\"%s\"}}",
                 ledger);
        r = http(&hosts[i], "POST", "/v1/daemons", NULL, body, 20000);
        if (r.status != 201)
            broken("no pen: %s", r.body);
        member(r.body, "origin", hosts[i].pen, sizeof hosts[i].pen);
        reply_free(&r);
    }
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--keep") == 0)
            keep = true;
        else
            build_dir = argv[i];
}

int main(int argc, char **argv)
{
    uint64_t sent = 0;
    unsigned on;
    place p;

    read_options(argc, argv);
    hosts_begin();
    spawn_all();
    on = heal(&p);
    senders_begin();
    for (round_now = 1; round_now <= rounds; round_now++)
        on = one_round(on, &p);
    senders_end();
    for (unsigned i = 0; i < SENDERS; i++)
        sent += senders[i].acknowledged;
    printf(
        "crash: seed %llu: %llu rounds; %u kills, %u stops, %u without either; it moved %u times "
        "and stayed %u times (%u not ordered, %u with an unknown outcome), %u times it went back "
        "to a "
        "snapshot; %u moves of writers; %llu events; the longest round took %.1f s\n",
        (unsigned long long)seed, (unsigned long long)rounds, sum.killed, sum.stopped, sum.calm,
        sum.moved, sum.stayed, sum.refused, sum.unknown, sum.rewound, sum.pens,
        (unsigned long long)sent, (double)sum.slowest_ms / 1000);
    hosts_end();
    return 0;
}
