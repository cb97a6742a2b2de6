/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime costs: delivering on the caller's thread, through mailboxes, and spawning.
 */
#include "bench.h"

#include "base/log.h"

#include "base/map.h"
#include "berth/runtime.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define PAYLOAD 64
#define BATCH   64

/* ---- The kinds measured: as cheap as a kind can be ----------------------------------------------
 */

static berth_code make(berth_call *call, const berth_birth *birth, void **self)
{
    (void)call;
    (void)birth;
    *self = calloc(1, 16);
    return *self ? BERTH_OK : BERTH_E_MEMORY;
}

static void unmake(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code echo(void *self, berth_call *call, const berth_event *e)
{
    (void)self;
    return call->api->emit(call, e->data.ptr, e->data.len);
}

static berth_code count(void *self, berth_call *call, const berth_event *e)
{
    (void)call;
    (void)e;
    ++*(uint64_t *)self;
    return BERTH_OK;
}

static const berth_kind kind_echo = {.size = sizeof(berth_kind),
                                     .name = {"bench-echo", 10},
                                     .create = make,
                                     .destroy = unmake,
                                     .process = echo};
static const berth_kind kind_count = {.size = sizeof(berth_kind),
                                      .name = {"bench-count", 11},
                                      .create = make,
                                      .destroy = unmake,
                                      .process = count};

static void must(berth_status status, const berth_error *error)
{
    if (status == BERTH_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", berth_status_name(status), error->text);
    exit(1);
}

typedef struct world {
    berth_runtime *rt;
    uint64_t echo, count;
    berth_outputs *outputs;
    berth_input inputs[BATCH];
    uint8_t payload[PAYLOAD];
    berth_keypair *keys;
    uint64_t *origins;
} world;

/* ---- Delivery on the caller's thread
 * ---------------------------------------------------------------- */

static int64_t deliver_inline(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_error error;
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i += BATCH)
        must(berth_deliver_batch(w->rt, w->echo, w->inputs, BATCH, w->outputs, &error), &error);
    return bench_now() - t;
}

/* The plugin's function through a table, as dlopen would give it; the hash of link and payload in
 * one piece; one allocation of 512 bytes. */
static berth_code (*volatile floor_handler)(void *, berth_call *, const berth_event *) = count;

static int64_t deliver_floor(void *ctx, uint64_t n)
{
    world *w = ctx;
    uint8_t piece[32 + PAYLOAD];
    uint64_t state = 0, hash = 0;
    berth_event event = {.data = {w->payload, PAYLOAD}};
    memset(piece, 7, sizeof(piece));
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        floor_handler(&state, NULL, &event);
        memcpy(piece, &hash, sizeof(hash));
        hash = XXH3_64bits(piece, sizeof(piece));
        void *p = malloc(512);
        bench_use(p);
        free(p);
    }
    bench_use(hash);
    return bench_now() - t;
}

/* ---- Through mailboxes
 * -------------------------------------------------------------------------------- */

static int64_t deliver_mailbox(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_error error;
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i += BATCH)
        must(berth_submit_wait(w->rt, w->count, w->inputs, BATCH, NULL, NULL, &error), &error);
    must(berth_flush(w->rt, w->count, &error), &error);
    return bench_now() - t;
}

/* Erlang's send and receive to a process that counts, on this machine; 0: no erlang. */
static double erlang_ns(void)
{
    FILE *p = popen("d=$(mktemp -d) && erlc -o $d " SOURCE_DIR
                    "/tests/bench/send_receive.erl 2>/dev/null && "
                    "erl -noshell -pa $d -s send_receive main 2>/dev/null; rm -rf $d",
                    "r");
    double ns = 0;
    if (!p)
        return 0;
    if (fscanf(p, "%lf", &ns) != 1)
        ns = 0;
    pclose(p);
    return ns;
}

/* ---- Spawning
 * -------------------------------------------------------------------------------------------- */

#define SPAWNS 100000

static void stop_all(world *w, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        berth_stop(w->rt, w->origins[i], 0, NULL);
}

static int64_t spawn_ephemeral(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_error error;
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        must(berth_spawn_kind(w->rt, "bench-count", &w->keys[i], NULL, &w->origins[i], &error),
             &error);
    t = bench_now() - t;
    stop_all(w, n);
    return t;
}

/* create, one allocation, three insertions into maps. */
static int64_t spawn_floor(void *ctx, uint64_t n)
{
    world *w = ctx;
    map64 a = {0}, b = {0}, c = {0};
    void **made = calloc(n, sizeof(*made));
    void **kept = calloc(n, sizeof(*kept));
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        make(NULL, NULL, &made[i]);
        kept[i] = malloc(512);
        map64_put(&a, w->keys[i].origin, kept[i]);
        map64_put(&b, w->keys[i].origin, kept[i]);
        map64_put(&c, w->keys[i].origin, kept[i]);
    }
    t = bench_now() - t;
    for (uint64_t i = 0; i < n; i++) {
        free(made[i]);
        free(kept[i]);
    }
    map64_fini(&a);
    map64_fini(&b);
    map64_fini(&c);
    free(made);
    free(kept);
    return t;
}

static double resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void million(world *w)
{
    const uint64_t n = 1000000;
    berth_error error;
    berth_keypair key;
    malloc_trim(0);
    double before = resident_bytes();
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        berth_keypair_generate(&key);
        must(berth_spawn_kind(w->rt, "bench-count", &key, NULL, NULL, &error), &error);
    }
    t = bench_now() - t;
    bench_report("memory", "a million idle daemons, each", "B",
                 (resident_bytes() - before) / (double)n, 1024, "1 KiB", "at most 1x", false);
    bench_report("memory", "spawning them, fresh keys", "ns", (double)t / (double)n, 0, "none", "-",
                 false);
}

int main(int argc, char **argv)
{
    world w = {.outputs = berth_outputs_new()};
    berth_error error = {0};
    bench_begin(argc, argv);
    log_set_level(LOG_LEVEL_ERROR);
    must(berth_runtime_new(NULL, &w.rt, &error), &error);
    must(berth_register_factory(w.rt, &kind_echo, &error), &error);
    must(berth_register_factory(w.rt, &kind_count, &error), &error);
    must(berth_runtime_start(w.rt, &error), &error);
    must(berth_spawn_kind(w.rt, "bench-echo", NULL, NULL, &w.echo, &error), &error);
    must(berth_spawn_kind(w.rt, "bench-count", NULL, NULL, &w.count, &error), &error);
    memset(w.payload, 'x', sizeof(w.payload));
    for (int i = 0; i < BATCH; i++)
        w.inputs[i] = (berth_input){w.payload, PAYLOAD, NULL};
    w.keys = calloc(SPAWNS, sizeof(*w.keys));
    w.origins = calloc(SPAWNS, sizeof(*w.origins));
    for (int i = 0; i < SPAWNS; i++)
        berth_keypair_generate(&w.keys[i]);

    if (argc > 1 && !strcmp(argv[1], "--profile")) { /* for a profiler: one of them, for long */
        bench_fn *fn = argc > 2 && !strcmp(argv[2], "mailbox") ? deliver_mailbox
                       : argc > 2 && !strcmp(argv[2], "spawn") ? spawn_ephemeral
                                                               : deliver_inline;
        for (int i = 0, n = getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : 20; i < n; i++)
            fn(&w, fn == spawn_ephemeral ? SPAWNS : 1 << 20);
        _exit(0);
    }
    bench_run(&(bench_row){"deliver", "caller's thread, batches of 64", "event",
                           "indirect call + XXH3 + malloc(512)", "at most 4x", deliver_inline,
                           deliver_floor, &w, 1 << 20, 0, false, NULL, 0});
    int64_t t = deliver_mailbox(&w, 1 << 20);
    (void)t;
    double best[9];
    for (int i = 0; i < 9; i++)
        best[i] = (double)deliver_mailbox(&w, 1 << 21) / (1 << 21);
    for (int i = 0; i < 9; i++)
        for (int k = i + 1; k < 9; k++)
            if (best[k] < best[i]) {
                double x = best[i];
                best[i] = best[k];
                best[k] = x;
            }
    bench_report("deliver", "through a mailbox, batches of 64", "ns", best[4], erlang_ns(),
                 "Erlang send and receive", "at least 1.5x faster", true);
    bench_run(&(bench_row){"spawn", "ephemeral, key pair given", "daemon",
                           "create + malloc(512) + 3 map inserts", "at most 3x", spawn_ephemeral,
                           spawn_floor, &w, SPAWNS, 5, false, NULL, 0});
    million(&w);
    bench_end();
    fflush(stdout);
    _exit(0); /* a million stops are not what is measured */
}
