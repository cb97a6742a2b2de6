/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemons that move between two hosts of this machine, each with a state directory: how long one
 * runs nowhere, how fast much state goes over and in how much memory, and how many a second go.
 */
#include "migrate_host.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MIB       (UINT64_C(1) << 20)
#define SMALL     64
#define BIG       (256 * MIB)
#define MOVES     400
#define EVACUATED 10000
#define UNDER_WAY 128   /* more than `berth daemon evacuate` has at once: so many keep both busy */
#define PACKET    65000 /* of loopback */

/* ---- A kind that tells when it runs ---------------------------------------------------------- */

static struct {
    _Atomic int64_t last, first;     /* the last event at the source, the first at the target */
    _Atomic int64_t closed, snapped; /* when the snapshot began, and how long it took */
    atomic_bool running, may_end;
} seen;

typedef struct box {
    uint64_t len;
    uint8_t bytes[];
} box;

static berth_code box_create(berth_call *call, const berth_birth *birth, void **self)
{
    uint64_t len = SMALL;
    box *b;

    (void)call;
    if (birth->config.len == sizeof len)
        memcpy(&len, birth->config.ptr, sizeof len);
    if (birth->state.ptr)
        len = birth->state.len;
    b = malloc(sizeof *b + len);
    if (!b)
        return BERTH_E_MEMORY;
    b->len = len;
    if (birth->state.ptr)
        memcpy(b->bytes, birth->state.ptr, len);
    else
        memset(b->bytes, 'x', len);
    *self = b;
    return BERTH_OK;
}

static void box_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code box_snapshot(void *self, berth_call *call, uint32_t version)
{
    const box *b = self;
    int64_t t = bench_now();
    berth_code code = call->api->write(call, b->bytes, b->len);

    (void)version;
    seen.closed = t;
    seen.snapped = bench_now() - t;
    return code;
}

static berth_code box_start(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    (void)call;
    if (event->status == BERTH_START_MIGRATED)
        seen.first = bench_now();
    return BERTH_OK;
}

#define LOAD "l"

/* But for what is load it runs until its gate is closed behind it: the last event before a move. */
static berth_code box_process(void *self, berth_call *call, const berth_event *event)
{
    box *b = self;

    (void)call;
    if (event->data.len == 1 && *(const char *)event->data.ptr == *LOAD) {
        b->bytes[event->sequence % b->len]++;
        seen.last = bench_now();
        return BERTH_OK;
    }
    seen.running = true;
    while (!seen.may_end)
        nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    seen.last = bench_now();
    return BERTH_OK;
}

static berth_code box_status(void *self, berth_call *call, berth_daemon_status *out)
{
    (void)call;
    out->state_bytes = ((const box *)self)->len;
    return BERTH_OK;
}

static const berth_kind kind_box = {.size = sizeof kind_box,
                                    .name = {"box", 3},
                                    .create = box_create,
                                    .destroy = box_destroy,
                                    .snapshot = box_snapshot,
                                    .status = box_status,
                                    .on_start = box_start,
                                    .process = box_process};

static uint64_t spawn_box(host *h, uint64_t len)
{
    berth_daemon_config how = {.size = sizeof how, .config = &len, .config_len = sizeof len};
    berth_error error = {0};
    uint64_t origin;

    must(berth_spawn_kind(h->rt, "box", NULL, &how, &origin, &error), &error);
    return origin;
}

/* ---- What moves cannot do without ------------------------------------------------------------ */

/*
 * Signed: envelope, handover and seal with the daemon's key, the handover with the node's, and the
 * presence at the target; all but the last verified there. An envelope made and opened.
 */
static int64_t crypto(uint64_t n)
{
    uint8_t secret[32], public[32], shared[32], sign_public[32], sign_secret[64], mark[64];
    const uint8_t text[256] = {0};
    int64_t t;

    randombytes_buf(secret, sizeof secret);
    crypto_sign_keypair(sign_public, sign_secret);
    crypto_scalarmult_base(public, secret);
    t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++)
            crypto_scalarmult_base(shared, secret);
        for (int k = 0; k < 2; k++)
            must_be(crypto_scalarmult(shared, secret, public) == 0, "X25519");
        for (int k = 0; k < 5; k++)
            crypto_sign_detached(mark, NULL, text, sizeof text, sign_secret);
        for (int k = 0; k < 4; k++)
            must_be(crypto_sign_verify_detached(mark, text, sizeof text, sign_public) == 0,
                    "Ed25519");
        bench_use(shared[0]);
    }
    return bench_now() - t;
}

/* So many bytes sealed in packets of that size, on one core. */
static int64_t seal(uint64_t bytes)
{
    static uint8_t in[PACKET], out[PACKET];
    size_t plain = PACKET - crypto_aead_chacha20poly1305_ietf_ABYTES;
    uint8_t iv[12] = {0}, head[13] = {0}, key[32] = {7};
    int64_t t = bench_now();

    for (uint64_t done = 0; done < bytes; done += plain) {
        iv[0]++;
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, plain, head, sizeof head, NULL, iv,
                                                  key);
        bench_use(out[0]);
    }
    return bench_now() - t;
}

/* ---- A small one, back and forth ------------------------------------------------------------- */

static void nap(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static bool is_held(host *h, uint64_t origin)
{
    berth_daemon_info info = {.size = sizeof info};

    return berth_daemon_get(h->rt, origin, &info, NULL) == BERTH_OK &&
           info.state == BERTH_DAEMON_HELD;
}

/* Its last event runs when the gate is closed behind it, and ends then. */
static void one_move(host *from, host *to, uint64_t origin, int64_t *blackout, int64_t *total)
{
    berth_input last = {.data = "x", .len = 1};
    berth_error error = {0};
    migration_id id;
    int64_t t;

    seen.running = seen.may_end = false;
    must(berth_submit(from->rt, origin, &last, 1, NULL, NULL, &error), &error);
    while (!seen.running)
        nap(20);
    t = bench_now();
    id = host_begin(from, to->face, origin);
    while (!is_held(from, origin)) {
        must_be(!host_is_over(from, &id), "it stays");
        nap(10);
    }
    seen.may_end = true;
    host_await(from, &id);
    *total = bench_now() - t;
    *blackout = seen.first - seen.last;
}

typedef struct pair {
    host_face faces[2];
    host hosts[2];
} pair;

static void pair_up(pair *p, const char *dir, const char *group)
{
    char path[96];

    snprintf(path, sizeof path, "%s/%s", dir, group);
    must_be(mkdir(path, 0700) == 0, path);
    host_face_make(&p->faces[0], "a");
    host_face_make(&p->faces[1], "b");
    for (int i = 0; i < 2; i++)
        host_up(&p->hosts[i], &p->faces[i], &p->faces[!i], path, &kind_box, PACKET);
    for (int i = 0; i < 2; i++)
        host_await_peer(&p->hosts[i], &p->faces[!i]);
}

static void pair_down(pair *p)
{
    for (int i = 0; i < 2; i++)
        host_down(&p->hosts[i]);
}

static double us(int64_t ns)
{
    return (double)ns / 1e3;
}

static int64_t small_blackout; /* its median */

static void small(const char *dir)
{
    static int64_t blackouts[MOVES], totals[MOVES], gaps[MOVES], wholes[MOVES], trips[MOVES],
        commits[MOVES];
    double least, all;
    uint64_t origin;
    pair p;

    if (!bench_wanted("move, 64 bytes", ""))
        return;
    pair_up(&p, dir, "small");
    origin = spawn_box(&p.hosts[0], SMALL);
    for (int i = -8; i < MOVES; i++) {
        host *from = &p.hosts[i & 1], *to = &p.hosts[!(i & 1)];
        int at = i < 0 ? 0 : i;
        int64_t trip[2], commit[2];

        nap(2000);
        while (runtime_moving_place(to->rt, origin, "box").taken) /* what was there still ends */
            nap(100);
        for (int k = 0; k < 2; k++) {
            trip[k] = host_round_trip(from, to->face);
            commit[k] = host_commit(k ? from : to);
        }
        trips[at] = trip[0];
        commits[at] = commit[0];
        gaps[at] = trip[0] + trip[1] + commit[0] + commit[1];
        wholes[at] = 3 * (trip[0] + trip[1]) + 2 * (commit[0] + commit[1]) + crypto(1);
        one_move(from, to, origin, &blackouts[at], &totals[at]);
    }
    least = us(host_quantile(gaps, MOVES, .5));
    all = us(host_quantile(wholes, MOVES, .5));
    small_blackout = host_quantile(blackouts, MOVES, .5);
    bench_report("move, 64 bytes", "round trip", "us", us(host_quantile(trips, MOVES, .5)), 0, "",
                 "-", false);
    bench_report("move, 64 bytes", "durable commit", "us", us(host_quantile(commits, MOVES, .5)), 0,
                 "", "-", false);
    bench_report("move, 64 bytes", "blackout, p50", "us", us(host_quantile(blackouts, MOVES, .5)),
                 least, "2 round trips, 2 durable commits", "at most 1x", false);
    bench_report("move, 64 bytes", "blackout, p99", "us", us(host_quantile(blackouts, MOVES, .99)),
                 least + 1000, "the same, and 1 ms", "at most 1x", false);
    bench_report("move, 64 bytes", "the floor's own p99", "us", us(host_quantile(gaps, MOVES, .99)),
                 0, "", "-", false);
    bench_report("move, 64 bytes", "total, p50", "us", us(host_quantile(totals, MOVES, .5)), all,
                 "6 round trips, 4 commits, crypto", "at most 1x", false);
    pair_down(&p);
}

/* ---- A big one: each host in a process of its own ---------------------------------------------
 */

typedef struct shared {
    host_face faces[2];
    atomic_int stage;
    _Atomic uint64_t before, peak, first; /* bytes of the target's process; when it ran there */
} shared;

enum { TARGET_STARTS, TARGET_LISTENS, TARGET_WAITS, TARGET_HAS_COME, TARGET_ENDS };

static void await_stage(shared *s, int stage)
{
    while (s->stage < stage)
        nap(1000);
}

/* Bytes of this process in memory, now or at most. */
static uint64_t resident(const char *which)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, which, strlen(which)))
            sscanf(line + strlen(which), ": %llu", &kib);
    if (f)
        fclose(f);
    return kib * 1024;
}

static void forget_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY);

    must_be(fd >= 0 && write(fd, "5", 1) == 1, "/proc/self/clear_refs");
    close(fd);
}

static void be_target(shared *s, const char *dir)
{
    host h;

    await_stage(s, TARGET_STARTS);
    host_up(&h, &s->faces[1], &s->faces[0], dir, &kind_box, PACKET);
    s->stage = TARGET_LISTENS;
    host_await_peer(&h, &s->faces[0]);
    forget_peak();
    s->before = resident("VmRSS");
    s->stage = TARGET_WAITS;
    while (!seen.first)
        nap(1000);
    s->first = (uint64_t)seen.first;
    s->peak = resident("VmHWM");
    s->stage = TARGET_HAS_COME;
    await_stage(s, TARGET_ENDS);
    host_down(&h);
    _exit(0);
}

static struct {
    int64_t began, ended, snapshot_ns, blackout_ns;
} course;

static void look_at_course(void *ctx, const migration_view *v)
{
    (void)ctx;
    if (!course.began && v->phase >= MOVE_PHASE_TRANSFER)
        course.began = bench_now();
    if (course.began && !course.ended && v->bytes_sent >= BIG)
        course.ended = bench_now();
    course.snapshot_ns = v->snapshot_ns;
}

/* While it moves: so many events at once, every so often, from this host. */
#define LOAD_BATCH 20
#define LOAD_US    1000

typedef struct load {
    host *h;
    uint64_t origin, taken;
    atomic_bool over;
} load;

static void *put_load(void *arg)
{
    load *l = arg;
    berth_input events[LOAD_BATCH];

    for (int i = 0; i < LOAD_BATCH; i++)
        events[i] = (berth_input){.data = LOAD, .len = 1};
    while (!l->over) {
        l->taken +=
            berth_submit(l->h->rt, l->origin, events, LOAD_BATCH, NULL, NULL, NULL) == BERTH_OK;
        nap(LOAD_US);
    }
    return NULL;
}

static void take_bytes(void *ctx, const moving_facts *f)
{
    *(uint64_t *)ctx = f->state_bytes;
}

/* Until it has said how large it is: it is asked after it ran. */
static void await_size(host *h, uint64_t origin, uint64_t bytes)
{
    uint64_t said = 0;

    while (said < bytes) {
        runtime_moving_facts(h->rt, origin, take_bytes, &said, NULL);
        nap(1000);
    }
}

static double beyond(uint64_t peak, uint64_t before, uint64_t bytes)
{
    uint64_t least = before + bytes;

    return peak > least ? (double)(peak - least) / (double)MIB : 0;
}

static void big(const char *dir)
{
    shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t origin, before, peak, one = BIG;
    load events;
    pthread_t thread;
    int64_t blackout;
    migration_id id;
    int64_t floor_ns;
    int status;
    pid_t pid;
    host h;

    if (!bench_wanted("move, 256 MiB", ""))
        return;
    must_be(s != MAP_FAILED, "mmap");
    host_face_make(&s->faces[0], "a");
    host_face_make(&s->faces[1], "b");
    s->stage = -1;
    seen.first = 0;
    pid = fork(); /* before there are threads */
    must_be(pid >= 0, "fork");
    if (pid == 0)
        be_target(s, dir);
    host_up(&h, &s->faces[0], &s->faces[1], dir, &kind_box, PACKET);
    s->stage = TARGET_STARTS;
    await_stage(s, TARGET_WAITS);
    origin = spawn_box(&h, BIG);
    host_await_peer(&h, &s->faces[1]);
    events = (load){.h = &h, .origin = origin};
    must_be(pthread_create(&thread, NULL, put_load, &events) == 0, "a thread");
    await_size(&h, origin, BIG);
    floor_ns = seal(BIG);
    forget_peak();
    before = resident("VmRSS");
    id = host_begin(&h, &s->faces[1], origin);
    while (!course.ended) {
        migrations_each(h.migrations, look_at_course, NULL);
        if (host_is_over(&h, &id))
            break;
        nap(1000);
    }
    host_await(&h, &id);
    peak = resident("VmHWM");
    events.over = true;
    pthread_join(thread, NULL);
    await_stage(s, TARGET_HAS_COME);
    migrations_each(h.migrations, look_at_course, NULL);
    floor_ns = (floor_ns + seal(BIG)) / 2;
    bench_report("move, 256 MiB", "transfer", "MB/s",
                 (double)one * 1e3 / (double)(course.ended - course.began),
                 (double)one * 1e3 / (double)floor_ns, "ChaCha20-Poly1305, one core", "-", false);
    bench_report("move, 256 MiB", "transfer, time", "us", us(course.ended - course.began),
                 us(floor_ns), "ChaCha20-Poly1305, one core", "at most 1.67x", false);
    blackout = (int64_t)s->first - seen.last;
    bench_report("move, 256 MiB", "the snapshot, it waits", "us", us(course.snapshot_ns),
                 us(seen.snapped), "the plugin's own call", "-", false);
    bench_report("move, 256 MiB", "blackout", "us", us(blackout), 2 * us(small_blackout),
                 "twice that of 64 bytes", "at most 1x", false);
    bench_report("move, 256 MiB", "memory of the source, beyond 1 state", "MiB",
                 beyond(peak, before, BIG), 16, "16 MiB", "at most 1x", false);
    bench_report("move, 256 MiB", "memory of the target, beyond 2 states", "MiB",
                 beyond(s->peak, s->before, 2 * BIG), 16, "16 MiB", "at most 1x", false);
    s->stage = TARGET_ENDS;
    waitpid(pid, &status, 0);
    host_down(&h);
    munmap(s, sizeof *s);
}

/* ---- Very many ------------------------------------------------------------------------------- */

/* Of all threads. */
static int64_t cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000000) +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * INT64_C(1000);
}

static void many(const char *dir)
{
    static migration_id ids[EVACUATED];
    static uint64_t origins[EVACUATED];
    berth_daemon_config how = {.size = sizeof how};
    berth_keypair *keys;
    berth_error error = {0};
    double least;
    int64_t t, spent;
    pair p;

    if (!bench_wanted("evacuate", ""))
        return;
    pair_up(&p, dir, "many");
    keys = calloc(EVACUATED, sizeof *keys);
    for (int i = 0; i < EVACUATED; i++)
        berth_keypair_generate(&keys[i]);
    must(berth_spawn_batch(p.hosts[0].rt, "box", keys, EVACUATED, &how, origins, &error), &error);
    free(keys);
    least = -(double)cpu();
    crypto(500);
    spent = cpu();
    least += (double)spent;
    t = bench_now();
    for (int i = 0; i < EVACUATED + UNDER_WAY; i++) {
        if (i >= UNDER_WAY)
            host_await(&p.hosts[0], &ids[i - UNDER_WAY]);
        if (i < EVACUATED)
            ids[i] = host_begin(&p.hosts[0], &p.faces[1], origins[i]);
    }
    t = bench_now() - t;
    spent = cpu() - spent;
    bench_report("evacuate", "10,000 small ones", "daemons/s", EVACUATED * 1e9 / (double)t, 2000,
                 "2,000 a second, on 2 cores", "at least 1x", false);
    bench_report("evacuate", "10,000 small ones, CPU of each", "us", us(spent) / EVACUATED,
                 least / 500 / 1e3, "its signatures", "-", false);
    pair_down(&p);
}

int main(int argc, char **argv)
{
    char dir[64] = "./berth-bench-XXXXXX", command[96];

    bench_begin(argc, argv);
    log_set_level(LOG_LEVEL_ERROR);
    if (sodium_init() < 0)
        return 1;
    must_be(mkdtemp(dir) != NULL, "mkdtemp");
    small(dir);
    big(dir);
    many(dir);
    bench_end();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}
