/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once, from many threads, for a bounded number of operations: made for the thread
 * sanitizer. Whatever the interleaving: nothing is left at the end, and everyone was answered once.
 * BERTH_SEED=N chooses other operations.
 */
#include "daemon_help.h"

#include "plugin/load.h"

#include <unistd.h>

#define THREADS 4
#define ROUNDS  1500
#define SLOTS   12

typedef struct stress {
    berth_runtime *rt;
    _Atomic uint64_t slots[SLOTS]; /* origins; 0: nobody */
    void *snapshots[SLOTS];        /* of the slot's identity */
    uint64_t snapshot_len[SLOTS];
    pthread_mutex_t snapshot_lock;
    atomic_ullong submitted, answered, credited, refused, told, observed, strange;
    bool have_file;
    char file[200];
} stress;

typedef struct member {
    stress *s;
    unsigned seed;
} member;

static unsigned dice(member *m, unsigned sides)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return (m->seed >> 8) % sides;
}

static uint64_t someone(member *m)
{
    return atomic_load(&m->s->slots[dice(m, SLOTS)]);
}

/* What an operation may answer while others stop daemons, fill mailboxes and break instances. */
static void expect(member *m, berth_status status)
{
    switch (status) {
    case BERTH_OK:
    case BERTH_ERR_NOT_FOUND:
    case BERTH_ERR_EXISTS:
    case BERTH_ERR_STALE:
    case BERTH_ERR_CANCELLED:
    case BERTH_ERR_WOULD_BLOCK:
    case BERTH_ERR_REJECTED:
    case BERTH_ERR_BROKEN:
    case BERTH_ERR_BUSY:
    case BERTH_ERR_KIND_UNKNOWN:
    case BERTH_ERR_KIND_EXISTS:
        break;
    default:
        print_error("an operation answered %s\n", berth_status_name(status));
        atomic_fetch_add(&m->s->strange, 1);
    }
}

/* ---- The operations -------------------------------------------------------------------------- */

static void do_spawn(member *m)
{
    unsigned i = dice(m, SLOTS);
    berth_keypair key = key_of(i + 1);
    berth_daemon_config config = {.size = sizeof(config), .auto_snapshot = dice(m, 3) * 5};
    uint64_t d;
    berth_status status = berth_spawn_kind(m->s->rt, "script", &key, &config, &d, NULL);
    expect(m, status);
    if (status == BERTH_OK)
        atomic_store(&m->s->slots[i], d);
}

static void do_restore(member *m)
{
    unsigned i = dice(m, SLOTS);
    berth_keypair key = key_of(i + 1);
    uint64_t d, len;
    pthread_mutex_lock(&m->s->snapshot_lock);
    len = m->s->snapshot_len[i];
    void *copy = malloc(len + 1);
    if (len)
        memcpy(copy, m->s->snapshots[i], len);
    pthread_mutex_unlock(&m->s->snapshot_lock);
    if (len) {
        berth_status status =
            berth_spawn_from_snapshot(m->s->rt, NULL, &key, copy, len, NULL, &d, NULL);
        expect(m, status);
        if (status == BERTH_OK)
            atomic_store(&m->s->slots[i], d);
    }
    free(copy);
}

static void do_snapshot(member *m)
{
    unsigned i = dice(m, SLOTS);
    uint64_t len;
    void *bytes;
    berth_status status =
        berth_snapshot(m->s->rt, atomic_load(&m->s->slots[i]), &bytes, &len, NULL);
    expect(m, status);
    if (status != BERTH_OK)
        return;
    pthread_mutex_lock(&m->s->snapshot_lock);
    free(m->s->snapshots[i]);
    m->s->snapshots[i] = bytes;
    m->s->snapshot_len[i] = len;
    pthread_mutex_unlock(&m->s->snapshot_lock);
}

static void do_stop(member *m)
{
    uint64_t d = atomic_exchange(&m->s->slots[dice(m, SLOTS)], 0);
    if (d)
        expect(m, berth_stop(m->s->rt, d, dice(m, 2) * 5, NULL));
}

static const char *some_words(member *m)
{
    switch (dice(m, 12)) {
    case 0:
        return say("send:%016" PRIx64 ":add:1", someone(m));
    case 1:
        return say("within:50 ask:%016" PRIx64 ":%u:reply:x", someone(m), 1 + dice(m, 3));
    case 2:
        return "pub:chan:add:1";
    case 3:
        return dice(m, 2) ? "sub:chan" : "unsub:chan";
    case 4:
        return say("timer:%u:%u:t", dice(m, 3), dice(m, 3));
    case 5:
        return "cancel:1 emit:x";
    case 6:
        return "post:x";
    case 7:
        return "reject";
    case 8:
        return dice(m, 4) ? "show" : "broken";
    case 9:
        return say("bounce:%016" PRIx64 ":4", someone(m));
    default:
        return "add:1 emit:x";
    }
}

static void do_deliver(member *m)
{
    berth_outputs *out = berth_outputs_new();
    berth_input in[3];
    char text[3][160];
    for (int i = 0; i < 3; i++) {
        snprintf(text[i], sizeof(text[i]), "%s", some_words(m));
        in[i] = (berth_input){.data = text[i], .len = strlen(text[i])};
    }
    expect(m, berth_deliver_batch(m->s->rt, someone(m), in, 1 + dice(m, 3), out, NULL));
    berth_outputs_free(out);
}

static void was_answered(void *ctx, berth_status status, uint64_t failed)
{
    (void)status;
    (void)failed;
    atomic_fetch_add(&((stress *)ctx)->answered, 1);
}

static void do_submit(member *m)
{
    const char *text = some_words(m);
    berth_input in = {.data = text, .len = strlen(text)};
    berth_status status =
        dice(m, 2) ? berth_submit(m->s->rt, someone(m), &in, 1, was_answered, m->s, NULL)
                   : berth_submit_wait(m->s->rt, someone(m), &in, 1, was_answered, m->s, NULL);
    expect(m, status);
    if (status == BERTH_OK)
        atomic_fetch_add(&m->s->submitted, 1);
}

static void batch_over(void *ctx, batch *b)
{
    stress *s = ctx;
    batch_free(b);
    atomic_fetch_add(&s->answered, 1);
}

static void has_credit(void *ctx)
{
    atomic_fetch_add(&((stress *)ctx)->credited, 1);
}

static void do_submit_with_credit(member *m)
{
    batch *b = batch_new(4, 64);
    for (int i = 0; i < 4; i++)
        batch_add(b, "add:1", 5);
    snprintf(b->source, sizeof(b->source), "source-%u", dice(m, 3));
    b->source_seq = dice(m, 1000);
    b->want_outputs = true;
    b->done = batch_over;
    b->ctx = m->s;
    berth_status status = runtime_submit(m->s->rt, someone(m), b, has_credit, m->s, NULL);
    expect(m, status);
    if (status == BERTH_OK)
        atomic_fetch_add(&m->s->submitted, 1);
    else
        batch_free(b);
    if (status == BERTH_ERR_WOULD_BLOCK)
        atomic_fetch_add(&m->s->refused, 1);
}

static bool look(void *ctx, const berth_daemon_info *info)
{
    member *m = ctx;
    if (!info->name[0] || !info->kind[0])
        atomic_fetch_add(&m->s->strange, 1);
    return dice(m, 8) != 0;
}

static void ignore_binding(void *ctx, uint64_t publisher, const char *channel, const void *token,
                           uint64_t token_len)
{
    (void)ctx, (void)publisher, (void)channel, (void)token, (void)token_len;
}

static void do_look(member *m)
{
    berth_runtime *rt = m->s->rt;
    berth_daemon_info info;
    runtime_counters c;
    uint64_t d;
    berth_daemons_each(rt, look, m);
    berth_daemon_get(rt, someone(m), &info, NULL);
    berth_daemon_find(rt, say("script-%x", dice(m, 16)), &d, NULL);
    runtime_get_counters(rt, &c);
    expect(m, berth_subscriptions(rt, someone(m), ignore_binding, NULL, NULL));
}

static void do_channel(member *m)
{
    uint64_t reached, d = someone(m);
    expect(m, dice(m, 2) ? berth_subscribe_channel(m->s->rt, d, 0, "chan", "t", 1, NULL)
                         : berth_unsubscribe_channel(m->s->rt, d, 0, "chan", NULL));
    expect(m, runtime_publish(m->s->rt, slice_str("chan"), slice_str("add:1"), NULL, NULL, &reached,
                              NULL));
}

static void see_life(void *ctx, const berth_lifecycle_event *e)
{
    stress *s = ctx;
    atomic_fetch_add(&s->told, e->name[0] != 0);
}

static void see_delivery(void *ctx, uint64_t origin, const berth_event *e)
{
    stress *s = ctx;
    (void)origin;
    atomic_fetch_add(&s->observed, e->time_ns != 0);
}

static void do_observe(member *m)
{
    uint64_t d = someone(m);
    uint64_t a = berth_observe_lifecycle(m->s->rt, see_life, m->s);
    uint64_t b = berth_observe_delivery(m->s->rt, d, see_delivery, m->s);
    tell_it(m->s->rt, d, "add:1");
    berth_unobserve(m->s->rt, b);
    berth_unobserve(m->s->rt, a);
}

static void woken(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void do_tail(member *m)
{
    atomic_int wakes = 0;
    tail *t;
    tail_item items[8];
    uint64_t missed;
    bool ended;
    berth_status status =
        dice(m, 3) ? tail_open_daemon(m->s->rt, someone(m), TAIL_FROM_RING, woken, &wakes, &t, NULL)
                   : tail_open_channel(m->s->rt, slice_str("chan"), NULL, NULL, &t, NULL);
    expect(m, status);
    if (status != BERTH_OK)
        return;
    for (int i = 0; i < 3; i++) {
        size_t n = tail_read(t, items, 8, &missed, &ended);
        for (size_t k = 0; k < n; k++)
            tail_item_release(&items[k]);
        tell_it(m->s->rt, someone(m), "emit:x");
    }
    tail_close(t);
}

/* A plugin from a file: loaded, used and unloaded while others do the same. */
static void do_plugin(member *m)
{
    plugins *set = runtime_plugins(m->s->rt);
    char why[160];
    bool gone;
    uint64_t d;
    if (!m->s->have_file)
        return;
    berth_status status = plugins_load(set, m->s->file, NULL, NULL, NULL);
    expect(m, status);
    status = berth_spawn_kind(m->s->rt, "tally", NULL, NULL, &d, NULL);
    expect(m, status);
    if (status == BERTH_OK) {
        expect(m, berth_deliver(m->s->rt, d, "a b a", 5, NULL, NULL));
        expect(m, berth_stop(m->s->rt, d, 0, NULL));
    }
    expect(m, plugins_retire(set, slice_str("tally"), dice(m, 2), &gone, why, sizeof(why), NULL));
}

static void do_rest(member *m)
{
    uint64_t origin = 1000 + dice(m, 50);
    uint64_t d = someone(m);
    expect(m, berth_expect_migration(m->s->rt, "script", origin, 0, NULL, NULL));
    expect(m, berth_forget_placeholder(m->s->rt, origin, NULL));
    expect(m, berth_control(m->s->rt, d, BERTH_CONTROL_DRAIN_FINISH, 0, NULL));
    expect(m, berth_flush(m->s->rt, d, NULL));
    expect(m, runtime_close_source(m->s->rt, d, "source-0", NULL));
    status_poll(m->s->rt);
}

static void *live(void *arg)
{
    static void (*const operations[])(member * m) = {
        do_spawn,    do_spawn,   do_restore,
        do_snapshot, do_stop,    do_deliver,
        do_deliver,  do_submit,  do_submit_with_credit,
        do_look,     do_channel, do_observe,
        do_tail,     do_plugin,  do_rest,
    };
    member *m = arg;
    for (int i = 0; i < ROUNDS; i++)
        operations[dice(m, sizeof(operations) / sizeof(*operations))](m);
    return NULL;
}

/* ---- The test -------------------------------------------------------------------------------- */

static void everything_at_once_leaves_nothing_behind(void **state)
{
    berth_runtime_config config = {.size = sizeof(config),
                                   .threads = 2,
                                   .mailbox_events = 16,
                                   .ring_total_bytes = 20000,
                                   .call_budget_ns = 2000000,
                                   .send_deadline_ns = 20000000,
                                   .status_period_ns = 2000000,
                                   .breaks_allowed = 1000000};
    static stress s;
    pthread_t threads[THREADS];
    member members[THREADS];
    const char *text = getenv("BERTH_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : 77;
    print_message("BERTH_SEED=%u\n", seed);
    memset(&s, 0, sizeof(s));
    pthread_mutex_init(&s.snapshot_lock, NULL);
    s.rt = help_runtime(state, &config);
    snprintf(s.file, sizeof(s.file), "%s/plugins/tally.so", BUILD_DIR);
    s.have_file = access(s.file, R_OK) == 0 &&
                  plugins_load(runtime_plugins(s.rt), s.file, NULL, NULL, NULL) == BERTH_OK;
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (member){&s, seed + i};
        pthread_create(&threads[i], NULL, live, &members[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    OK(berth_runtime_shutdown(s.rt, 10000, NULL));
    assert_int_equal(s.strange, 0);
    assert_int_equal(berth_daemon_count(s.rt), 0);
    assert_int_equal(kinds_alive, 0);
    runtime_counters c;
    runtime_get_counters(s.rt, &c);
    assert_int_equal(c.daemons_spawned, c.daemons_stopped);
    assert_int_equal(c.factories, 0);
    assert_int_equal(c.timers, 0);
    assert_int_equal(c.mailbox_events, 0);
    assert_int_equal(c.blocked_daemons, 0);
    assert_true(c.events_processed > 0 && c.events_rejected > 0 && c.breaks > 0);
    /* The last reference to a daemon may be that of a thread which has just looked at it. */
    UNTIL((runtime_get_counters(s.rt, &c), c.ring_bytes == 0));
    UNTIL(s.answered == s.submitted);
    UNTIL(s.credited == s.refused); /* and who was sent away was called back */
    help_free(state, s.rt);
    assert_int_equal(s.answered, s.submitted); /* none twice */
    assert_true(s.submitted > 0 && s.told > 0 && s.observed > 0);
    for (int i = 0; i < SLOTS; i++)
        free(s.snapshots[i]);
    pthread_mutex_destroy(&s.snapshot_lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(everything_at_once_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
