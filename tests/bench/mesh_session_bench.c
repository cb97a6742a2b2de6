/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session costs and bears, in a time of its own: the handshake, packets that get lost, and
 * a thousand that are idle.
 */
#include "bench.h"

#include "mesh_world.h"

#include <malloc.h>

/* ---- Handshake ------------------------------------------------------------------------------- */

static int64_t shake_hands(void *ctx, uint64_t n)
{
    world *w = ctx;
    int64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t wanted = w->ends[1].ups + 1;
        int64_t t = bench_now();
        session *s = world_dial(w);

        while (w->ends[0].ups < wanted || w->ends[1].ups < wanted)
            if (!world_step(w, w->now_ns + WORLD_SECOND))
                pair_die("handshake", "does not end");
        sum += bench_now() - t;
        session_close(s, END_LOCAL, "", w->now_ns);
        world_run(w, 4 * WORLD_SECOND);
    }
    return sum;
}

/*
 * What both sides of Noise_IKpsk2 and the proofs cannot do without: an ephemeral key each; es, ss,
 * ee and se, each on both sides; a signature and a verification each.
 */
static int64_t bare_operations(void *ctx, uint64_t n)
{
    uint8_t secret[32], public[32], shared[32], sign_public[32], sign_secret[64], mark[64];
    const uint8_t text[64] = {0};
    int64_t t;

    (void)ctx;
    randombytes_buf(secret, sizeof secret);
    crypto_sign_keypair(sign_public, sign_secret);
    t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        for (int k = 0; k < 2; k++)
            crypto_scalarmult_base(public, secret);
        for (int k = 0; k < 8; k++)
            if (crypto_scalarmult(shared, secret, public) != 0)
                pair_die("handshake", "no X25519");
        for (int k = 0; k < 2; k++) {
            crypto_sign_detached(mark, NULL, text, sizeof text, sign_secret);
            if (crypto_sign_verify_detached(mark, text, sizeof text, sign_public) != 0)
                pair_die("handshake", "no Ed25519");
        }
        bench_use(shared[0]);
    }
    return bench_now() - t;
}

static void handshakes(void)
{
    static world w;

    if (!bench_wanted("handshake", ""))
        return;
    world_init(&w, 1);
    world_start(&w);
    bench_run(&(bench_row){"handshake", "CPU of both sides", "handshake",
                           "10 X25519, 2 Ed25519 signed and verified", "at most 2x", shake_hands,
                           bare_operations, &w, 200, 0, false, NULL, 0});
    world_fini(&w);
}

/* ---- Loss ------------------------------------------------------------------------------------ */

#define LINK_RATE 12500000 /* 100 Mbit/s */
#define SEEDS     5
#define POURING_S 10

static double goodput_of(uint64_t seed, unsigned loss, int64_t hold_ns, int64_t jitter_ns)
{
    static world w;
    double sum;

    world_init(&w, seed);
    w.delay_ns = 5 * WORLD_MS;
    w.jitter_ns = jitter_ns;
    w.rate = LINK_RATE;
    w.hold_ns = hold_ns;
    w.loss = loss;
    world_start(&w);
    world_dial(&w);
    world_run(&w, WORLD_SECOND);
    world_pour(&w.ends[0], 16384);
    world_run(&w, POURING_S * WORLD_SECOND);
    sum = (double)w.ends[1].bytes;
    world_fini(&w);
    return sum / POURING_S / 1e6;
}

/* The median of some seeds: which packets are lost matters. */
static double goodput(unsigned loss, int64_t hold_ns, int64_t jitter_ns)
{
    double values[SEEDS];

    for (unsigned i = 0; i < SEEDS; i++) {
        unsigned at = i;
        double value = goodput_of(i + 1, loss, hold_ns, jitter_ns);

        for (; at && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[SEEDS / 2];
}

static void losses(void)
{
    static const struct {
        const char *name, *goal;
        unsigned loss;
        int64_t hold_ns, jitter_ns;
    } rows[] = {
        {"1%, link that holds 2 ms", "at least 0.7x", 10000, 2 * WORLD_MS, 0},
        {"1%, link that holds 10 ms", "at least 0.7x", 10000, 10 * WORLD_MS, 0},
        {"1%, link that holds 50 ms", "at least 0.7x", 10000, 50 * WORLD_MS, 0},
        {"none, reordering of up to 5 ms", "-", 0, 10 * WORLD_MS, 5 * WORLD_MS},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (bench_wanted("loss", rows[i].name))
            bench_report("loss", rows[i].name, "MB/s",
                         goodput(rows[i].loss, rows[i].hold_ns, rows[i].jitter_ns),
                         goodput(0, rows[i].hold_ns, 0),
                         "without; 100 Mbit/s, 10 ms there and back", rows[i].goal, false);
}

/* ---- Idle ------------------------------------------------------------------------------------ */

#define IDLE_SESSIONS 1000
#define IDLE_SECONDS  60

static size_t heap_used(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static void idle(void)
{
    static world w;
    uint64_t datagrams;
    size_t before;

    if (!bench_wanted("idle", ""))
        return;
    world_init(&w, 1);
    w.delay_ns = WORLD_MS;
    world_start(&w);
    before = heap_used();
    for (int i = 0; i < IDLE_SESSIONS; i++) {
        world_dial(&w);
        world_run(&w, 10 * WORLD_MS);
    }
    world_run(&w, 10 * WORLD_SECOND);
    if (w.ends[1].ups != IDLE_SESSIONS)
        pair_die("idle", "sessions are missing");
    bench_report("idle", "heap of a session", "KiB",
                 (double)(heap_used() - before) / (2 * IDLE_SESSIONS) / 1024, 80, "80 KiB",
                 "at most 1x", false);
    w.ends[1].wakeups = 0;
    datagrams = w.ends[0].out.carried + w.ends[1].out.carried;
    world_run(&w, IDLE_SECONDS * WORLD_SECOND);
    bench_report("idle", "timers of 1,000 sessions, a second", "",
                 (double)w.ends[1].wakeups / IDLE_SECONDS, IDLE_SESSIONS / 5.,
                 "a keep-alive each 5 s", "-", false);
    bench_report("idle", "datagrams of 1,000 sessions, a second", "",
                 (double)(w.ends[0].out.carried + w.ends[1].out.carried - datagrams) / IDLE_SECONDS,
                 IDLE_SESSIONS / 5. * 2, "a keep-alive each 5 s, answered", "-", false);
    world_fini(&w);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv);
    if (sodium_init() < 0)
        return 1;
    handshakes();
    losses();
    idle();
    bench_end();
    return 0;
}
