/* SPDX-License-Identifier: Apache-2.0 */
/* Bad weather, a thousand times: nothing is lost, doubled or out of order once a session is up, and
 * the same seed gives the same datagrams. SEEDS=N runs more, SEED=N one alone. */
#include "mesh_net.h"

enum { MESSAGES = 12 };

static net n;

static void storm(net *of)
{
    weather *w = &of->weather;

    w->delay_ns = (int64_t)(1 + net_random(of) % 20) * NET_MS;
    w->jitter_ns = (int64_t)(net_random(of) % 20) * NET_MS + 1;
    w->loss = 20 + (unsigned)(net_random(of) % 231);
    w->twice = (unsigned)(net_random(of) % 100);
    w->damage = (unsigned)(net_random(of) % 50);
    w->cut = (unsigned)(net_random(of) % 20);
}

static net_session *connected(void)
{
    net_node *a = &n.nodes[0], *b = &n.nodes[1];

    for (unsigned dial = 0; dial < NET_SESSIONS; dial++) {
        net_session *of = net_dial(a, b);

        for (unsigned i = 0; i < 60 && !of->up && !of->over; i++)
            net_run(&n, 100 * NET_MS);
        if (of->up)
            return of;
    }
    return NULL;
}

static void one_seed(uint64_t seed, uint8_t trace[16])
{
    net_node *a = &n.nodes[0], *b = &n.nodes[1];
    unsigned next[2][LANE_COUNT] = {{0}}, done = 0;
    net_session *side[2];

    net_pair(&n, seed);
    storm(&n);
    if (seed % 2) {
        a->config.psk_count = b->config.psk_count = 1;
        net_bytes(&n, a->config.psks[0], 32);
        memcpy(b->config.psks[0], a->config.psks[0], 32);
    }
    b->config.max_handshakes = seed % 3 ? 0 : 2; /* a cookie after the first */
    net_start(a);
    net_start(b);
    side[0] = connected();
    if (!side[0])
        fail_msg("seed %llu: no session", (unsigned long long)seed);
    assert_true(b->count > 0);
    side[1] = &b->sessions[b->count - 1];
    assert_true(side[1]->up);
    for (unsigned round = 0; round < 3000 && done < 2 * LANE_COUNT * MESSAGES; round++) {
        done = 0;
        for (unsigned i = 0; i < 2; i++)
            for (unsigned l = 0; l < LANE_COUNT; l++) {
                size_t len = net_random(&n) % (net_random(&n) % 16 ? 3000 : 60000);

                if (next[i][l] < MESSAGES && side[i]->s &&
                    net_send(&n, side[i], (lane)l, next[i][l], len) == BERTH_OK)
                    next[i][l]++;
                done += (unsigned)side[!i]->messages[l];
            }
        net_run(&n, 50 * NET_MS);
    }
    if (done != 2 * LANE_COUNT * MESSAGES)
        fail_msg("seed %llu: %u messages; a: %s, b: %s", (unsigned long long)seed, done,
                 side[0]->text, side[1]->text);
    net_fini(&n);
    crypto_generichash_final(&n.trace, trace, 16);
}

static void every_message_arrives_once_and_in_order_in_any_weather(void **state)
{
    const char *count = getenv("SEEDS"), *one = getenv("SEED");
    uint64_t seeds = count ? strtoull(count, NULL, 10) : 1000;
    uint8_t trace[16];

    (void)state;
    if (one) {
        one_seed(strtoull(one, NULL, 10), trace);
        return;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        one_seed(seed, trace);
}

static void the_same_seed_gives_the_same_datagrams(void **state)
{
    uint8_t first[16], second[16], other[16];

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        one_seed(seed, first);
        one_seed(seed, second);
        one_seed(seed + 1, other);
        assert_memory_equal(first, second, sizeof first);
        assert_memory_not_equal(first, other, sizeof first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_arrives_once_and_in_order_in_any_weather),
        cmocka_unit_test(the_same_seed_gives_the_same_datagrams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
