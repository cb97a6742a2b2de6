/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are killed with -9: what they had promised still holds (DESIGN §7, delivery.md §2). */
#include "daemon_home.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- A host in a process of its own ---------------------------------------------------------- */

typedef struct child {
    pid_t pid;
    FILE *says; /* what it reports */
} child;

static int report_fd;

/* In the child a test cannot fail by cmocka's ways: it ends, and not by the signal. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != BERTH_OK)                                                                    \
            _exit(6);                                                                              \
    } while (0)

static void report(const void *bytes, size_t len)
{
    if (write(report_fd, bytes, len) != (ssize_t)len)
        _exit(3);
}

static child begin(void **state, void (*body)(home *h, int life), int life)
{
    int fds[2];
    void *none = NULL;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    child c = {.pid = fork()};
    if (c.pid == 0) {
        close(fds[0]);
        report_fd = fds[1];
        home h = home_open(&none, 16);
        body(&h, life);
        kill(getpid(), SIGKILL);
    }
    close(fds[1]);
    c.says = fdopen(fds[0], "r");
    return c;
}

static void end(child *c)
{
    int status;
    fclose(c->says);
    kill(c->pid, SIGKILL);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_true(WIFSIGNALED(status));
}

/* ---- Chains over kills ----------------------------------------------------------------------- */

#define LIVES 6

typedef struct seen_output {
    uint32_t to, len;
    uint8_t bytes[256];
} seen_output;

static void report_outputs(tail *t)
{
    tail_item items[16];
    uint64_t missed;
    bool ended;
    for (size_t n; (n = tail_read(t, items, 16, &missed, &ended)) > 0;)
        for (size_t i = 0; i < n; i++) {
            seen_output o = {.to = items[i].to, .len = (uint32_t)items[i].bytes->len};
            memcpy(o.bytes, items[i].bytes->data, o.len);
            report(&o, sizeof(o));
            tail_item_release(&items[i]);
        }
}

/* Four events, a snapshot for certain after the third; sometimes a break; then the end. */
static void count_and_die(home *h, int life)
{
    uint64_t d;
    if (life == 0) {
        berth_keypair key = key_of(1);
        berth_daemon_config config = {.size = sizeof(config), .name = "c"};
        MUST(berth_spawn_kind(h->rt, "script", &key, &config, &d, NULL));
    }
    MUST(berth_daemon_find(h->rt, "c", &d, NULL));
    tail *t = tail_of(h->rt, d);
    for (int i = 0; i < 3; i++)
        MUST(tell_it(h->rt, d, "add:1 show"));
    uint64_t len;
    void *bytes;
    MUST(berth_snapshot(h->rt, d, &bytes, &len, NULL));
    free(bytes);
    MUST(store_barrier(h->store, NULL));
    MUST(tell_it(h->rt, d, "add:1 show"));
    if (life % 2)
        tell_it(h->rt, d, "broken");
    MUST(tell_it(h->rt, d, say("many:%d", life * 5))); /* over several reservations */
    MUST(store_barrier(h->store, NULL));
    MUST(berth_flush(h->rt, d, NULL));
    report_outputs(t);
}

/* DESIGN §7: level snapshot: back to the last snapshot, a new incarnation, a record that verifies,
 * and no sequence twice, however often the host is killed */
static void over_kills_the_chain_verifies_and_the_state_is_that_of_the_last_snapshot(void **state)
{
    chain_verifier v;
    uint64_t records = 0, outputs = 0, highest = 0, first = 0;
    chain_verifier_init(&v, key_of(1).entity);
    for (int life = 0; life < LIVES; life++) {
        child c = begin(state, count_and_die, life);
        seen_output o;
        bool shown = false;
        while (fread(&o, sizeof(o), 1, c.says) == 1) {
            slice payload = slice_of(o.bytes + 32, o.len - 32);
            if (o.to == TAIL_TO_RECORD) {
                discontinuity record;
                uint64_t lost;
                OK(discontinuity_decode(&record, payload, NULL));
                OK(chain_verifier_discontinuity(&v, &record, &lost, NULL));
                records++;
                continue;
            }
            berth_link link;
            OK(berth_link_decode(&link, o.bytes, 32));
            OK(chain_verifier_event(&v, &link, payload, NULL));
            assert_true(link.sequence > highest);
            highest = link.sequence;
            outputs++;
            if (!shown && payload.len < 4) { /* not "start ..." */
                char text[8] = {0};
                memcpy(text, payload.ptr, payload.len);
                first = strtoull(text, NULL, 10);
                assert_int_equal(first, (uint64_t)life * 3 + 1);
                shown = true;
            }
        }
        assert_true(shown);
        end(&c);
    }
    assert_int_equal(records, LIVES - 1 + LIVES / 2); /* one a restart, one a break */
    assert_int_equal(v.incarnation, LIVES + LIVES / 2);
    assert_true(outputs > 40);
}

/* ---- What a call that returned has promised -------------------------------------------------- */

static void spawn_and_die(home *h, int life)
{
    for (int i = 0; i < 5; i++) {
        uint64_t d;
        berth_daemon_config config = {.size = sizeof(config), .name = say("d-%d-%d", life, i)};
        MUST(berth_spawn_kind(h->rt, "counter", NULL, &config, &d, NULL));
        report(&d, sizeof(d));
    }
}

static void a_daemon_is_on_disk_when_spawn_returns(void **state)
{
    uint64_t all[50], d;
    int n = 0;
    for (int life = 0; life < 5; life++) {
        child c = begin(state, spawn_and_die, life);
        while (fread(&d, sizeof(d), 1, c.says) == 1)
            all[n++] = d;
        end(&c);
    }
    assert_int_equal(n, 25);
    void *none = NULL;
    home h = home_open(&none, 0);
    assert_int_equal(berth_daemon_count(h.rt), 25);
    for (int i = 0; i < n; i++) {
        assert_string_equal(ask_it(h.rt, all[i], ""), "1");
        assert_true(info_of(h.rt, all[i]).incarnation >= 2);
    }
    home_close(&none, &h);
}

typedef struct happened {
    char what; /* S: spawned, X: about to be stopped, G: gone */
    uint64_t origin;
} happened;

typedef struct liver {
    home *h;
    unsigned seed;
} liver;

static void *live_on(void *arg)
{
    home *h = ((liver *)arg)->h;
    unsigned seed = ((liver *)arg)->seed;
    uint64_t mine[8] = {0};
    for (;;) {
        uint64_t *d = &mine[rand_r(&seed) % 8];
        happened e = {.origin = *d};
        if (!*d) {
            if (berth_spawn_kind(h->rt, "counter", NULL, NULL, d, NULL) != BERTH_OK)
                _exit(4);
            report(&(happened){'S', *d}, sizeof(e));
        } else if (rand_r(&seed) % 4 == 0) {
            report(&(happened){'X', *d}, sizeof(e));
            if (berth_stop(h->rt, *d, 0, NULL) != BERTH_OK)
                _exit(5);
            report(&(happened){'G', *d}, sizeof(e));
            *d = 0;
        } else {
            uint64_t len;
            void *bytes;
            tell_it(h->rt, *d, "");
            if (rand_r(&seed) % 3 == 0 && berth_snapshot(h->rt, *d, &bytes, &len, NULL) == BERTH_OK)
                free(bytes);
        }
    }
    return NULL;
}

static void live_until_killed(home *h, int life)
{
    pthread_t threads[2];
    liver livers[2];
    for (int i = 0; i < 2; i++) {
        livers[i] = (liver){h, (unsigned)(life * 2 + i)};
        pthread_create(&threads[i], NULL, live_on, &livers[i]);
    }
    pthread_join(threads[0], NULL);
}

static void no_one(void *ctx, const store_daemon *row, const char *reason)
{
    ++*(int *)ctx;
    print_error("%s is down: %s\n", row->name, reason);
}

/* Killed at any moment: who was spawned is there, who was stopped is not, all run. */
static void killed_at_any_moment_what_was_told_holds(void **state)
{
    static happened all[4000];
    unsigned seed = 20;
    void *none = NULL;
    size_t n = 0;
    for (int life = 0; life < 6; life++) {
        child c = begin(state, live_until_killed, life);
        int last = 20 + rand_r(&seed) % 150;
        for (int i = 0; i < last && fread(&all[n], sizeof(*all), 1, c.says) == 1; i++)
            n++;
        kill(c.pid, SIGKILL);
        while (fread(&all[n], sizeof(*all), 1, c.says) == 1) /* what was in the pipe */
            n++;
        end(&c);
        home h = home_open(&none, 0);
        int down = 0;
        runtime_down_each(h.rt, no_one, &down);
        assert_int_equal(down, 0);
        for (size_t i = 0; i < n; i++) {
            if (all[i].what != 'S')
                continue;
            char fate = 'S';
            for (size_t k = i + 1; k < n; k++)
                if (all[k].origin == all[i].origin)
                    fate = all[k].what;
            berth_daemon_info info;
            bool there = berth_daemon_get(h.rt, all[i].origin, &info, NULL) == BERTH_OK;
            if (fate == 'S') {
                assert_true(there);
                assert_int_equal(info.state, BERTH_DAEMON_RUNNING);
                OK(tell_it(h.rt, all[i].origin, ""));
            } else if (fate == 'G') {
                assert_false(there);
            } else if (!there) {
                all[n++] = (happened){'G', all[i].origin}; /* decided now */
            } else {
                all[n++] = (happened){'S', all[i].origin};
            }
        }
        home_close(&none, &h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEPT(over_kills_the_chain_verifies_and_the_state_is_that_of_the_last_snapshot),
        KEPT(a_daemon_is_on_disk_when_spawn_returns),
        KEPT(killed_at_any_moment_what_was_told_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
