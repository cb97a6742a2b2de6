/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sessions between nodes carry, over real sockets on loopback: a thread, a loop and a socket
 * an end. Both ends work at once, so the figures want two cores for themselves; what the two spend
 * a byte does not.
 */
#include "bench.h"

#include "mesh/flow.h"
#include "mesh_pair.h"

#define SECOND 1000000000ll
#define MIB    (1u << 20)

#define CPU_MESSAGES 512

static void must(berth_status status, const berth_error *error)
{
    if (status != BERTH_OK)
        pair_die(berth_status_name(status), error ? error->text : "");
}

/* ---- One way: A sends, B counts -------------------------------------------------------------- */

typedef struct stream {
    pair_node nodes[2];
    lane lane;
    buf *message;
    uint64_t left;   /* A's: to be sent */
    uint64_t wanted; /* B's: to come */
    uint32_t packet;
    uint8_t *packet_in, *packet_out; /* the floor's */
    uint8_t key[32];
} stream;

static void pour(pair_node *n, lane l)
{
    stream *s = n->user;
    berth_status status = BERTH_OK;

    (void)l;
    while (s->left && (status = session_send(n->s, s->lane, s->message, pair_clock())) == BERTH_OK)
        s->left--;
    if (status != BERTH_OK && status != BERTH_ERR_WOULD_BLOCK)
        must(status, NULL);
}

static bool drink(pair_node *n, lane l, buf *message)
{
    stream *s = n->user;

    (void)l;
    bench_use(message->data[message->len / 2]);
    if (!--s->wanted)
        sem_post(&n->reached);
    return true;
}

static void begin_pouring(pair_node *n, void *arg)
{
    stream *s = n->user;

    s->left = *(uint64_t *)arg;
    pour(n, s->lane);
}

static void expect(pair_node *n, void *arg)
{
    stream *s = n->user;

    s->wanted = *(uint64_t *)arg;
}

static int64_t stream_run(void *ctx, uint64_t n)
{
    stream *s = ctx;
    int64_t t;

    pair_call(&s->nodes[1], expect, &n);
    t = bench_now();
    pair_call(&s->nodes[0], begin_pouring, &n);
    sem_wait(&s->nodes[1].reached);
    return bench_now() - t;
}

static void stream_open(stream *s, lane l, size_t len, uint32_t packet)
{
    *s = (stream){.lane = l, .packet = packet};
    s->message = buf_new(len);
    memset(s->message->data, 'x', len);
    pair_init(s->nodes);
    for (int i = 0; i < 2; i++) {
        s->nodes[i].config.max_packet = packet;
        s->nodes[i].user = s;
    }
    s->nodes[0].room = pour;
    s->nodes[1].message = drink;
    pair_start(s->nodes);
    s->packet_in = malloc(packet);
    s->packet_out = malloc(packet);
    memset(s->packet_in, 'x', packet);
    randombytes_buf(s->key, sizeof s->key);
}

static void stream_close(stream *s)
{
    pair_stop(s->nodes);
    buf_unref(s->message);
    free(s->packet_in);
    free(s->packet_out);
}

static int64_t cpu_of(pthread_t thread)
{
    struct timespec t;
    clockid_t clock;

    if (pthread_getcpuclockid(thread, &clock) || clock_gettime(clock, &t))
        return 0;
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* The same bytes sealed, in packets of that size, on one core. */
static int64_t seal(void *ctx, uint64_t n)
{
    stream *s = ctx;
    uint64_t bytes = n * s->message->len, nonce = 0;
    size_t plain = s->packet - crypto_aead_chacha20poly1305_ietf_ABYTES;
    uint8_t iv[12] = {0}, head[13] = {0};
    int64_t t = bench_now();

    for (uint64_t done = 0; done < bytes; done += plain) {
        nonce++;
        memcpy(iv, &nonce, sizeof nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt(s->packet_out, NULL, s->packet_in, plain, head,
                                                  sizeof head, NULL, iv, s->key);
        bench_use(s->packet_out[0]);
    }
    return bench_now() - t;
}

static void bulk(void)
{
    static const struct {
        uint32_t packet;
        const char *name, *sender, *receiver, *goal;
    } rows[] = {
        {1452, "1452", "1452, CPU of the sender", "1452, CPU of the receiver", "at least 0.55x"},
        {8192, "8192", "8192, CPU of the sender", "8192, CPU of the receiver", "-"},
        {65000, "65000", "65000, CPU of the sender", "65000, CPU of the receiver",
         "at least 0.65x"}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        stream s;

        if (!bench_wanted("bulk, packets of", rows[i].name))
            continue;
        stream_open(&s, LANE_BULK, MIB, rows[i].packet);
        bench_run(&(bench_row){"bulk, packets of", rows[i].name, "message",
                               "ChaCha20-Poly1305, one core", rows[i].goal, stream_run, seal, &s,
                               256, 0, false, "MB/s", MIB / 1e6});
        for (int k = 0; k < 2; k++) {
            int64_t ours = -cpu_of(s.nodes[k].thread), floor;

            stream_run(&s, CPU_MESSAGES);
            ours += cpu_of(s.nodes[k].thread);
            floor = -cpu_of(pthread_self());
            seal(&s, CPU_MESSAGES);
            floor += cpu_of(pthread_self());
            bench_report("bulk, packets of", k ? rows[i].receiver : rows[i].sender, "us/MiB",
                         (double)ours / 1e3 / CPU_MESSAGES, (double)floor / 1e3 / CPU_MESSAGES,
                         "ChaCha20-Poly1305", "-", false);
        }
        stream_close(&s);
    }
}

/* ---- Small messages -------------------------------------------------------------------------- */

#define SMALL 64

/* Bare datagrams with as much, one system call each, to a socket that is read likewise. */
static int64_t bare_datagrams(void *ctx, uint64_t n)
{
    uint8_t bytes[SMALL] = {0};
    address to = pair_loopback();
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    int64_t t;

    (void)ctx;
    if (bind(in, &to.u.any, to.len) || getsockname(in, &to.u.any, &to.len) ||
        connect(out, &to.u.any, to.len))
        pair_die("bare datagrams", "no sockets");
    t = bench_now();
    for (uint64_t i = 0; i < n; i++)
        if (send(out, bytes, sizeof bytes, 0) < 0 || recv(in, bytes, sizeof bytes, 0) < 0)
            pair_die("bare datagrams", "cannot be sent");
    t = bench_now() - t;
    close(in);
    close(out);
    return t;
}

/* A frame as the flow layer makes it, of as many events as it takes. */
static buf *frame_of_events(void)
{
    flow_out *o = flow_out_new(1, 1, &(flow_out_config){.window = FLOW_FRAME_EVENTS});
    writer w = {0};
    uint64_t to;
    buf *frame;

    for (int i = 0; i < FLOW_FRAME_EVENTS; i++) {
        buf *event = buf_new(SMALL);

        memset(event->data, 'x', SMALL);
        must(flow_out_send(o, 2, event, NULL), NULL);
        buf_unref(event);
    }
    if (!flow_out_poll(o, 1, &w, &to))
        pair_die("frame", "none");
    frame = buf_copy(w.data, w.len);
    writer_free(&w);
    flow_out_free(o);
    return frame;
}

static void messages(void)
{
    stream s;

    if (!bench_wanted("messages", "64 B"))
        return;
    stream_open(&s, LANE_EVENT, SMALL, 1452);
    bench_run(&(bench_row){"messages", "64 B, one by one", "message", "bare datagrams of 64 B", "-",
                           stream_run, bare_datagrams, &s, 1 << 18, 0, false, "M/s", 1e-6});
    buf_unref(s.message);
    s.message = frame_of_events();
    bench_run(&(bench_row){"messages", "64 B events in frames of 1024", "frame",
                           "ChaCha20-Poly1305, one core", "-", stream_run, seal, &s, 1 << 11, 0,
                           false, "M/s", FLOW_FRAME_EVENTS * 1e-6});
    stream_close(&s);
}

/* ---- There and back -------------------------------------------------------------------------- */

typedef struct call {
    pair_node nodes[2];
    buf *message;
    uint64_t left;
} call;

static void ask(pair_node *n)
{
    call *c = n->user;

    must(session_send(n->s, LANE_CALL, c->message, pair_clock()), NULL);
}

static bool answer(pair_node *n, lane l, buf *message)
{
    must(session_send(n->s, l, message, pair_clock()), NULL);
    return true;
}

static bool answered(pair_node *n, lane l, buf *message)
{
    call *c = n->user;

    (void)l;
    (void)message;
    if (--c->left)
        ask(n);
    else
        sem_post(&n->reached);
    return true;
}

static void begin_asking(pair_node *n, void *arg)
{
    call *c = n->user;

    c->left = *(uint64_t *)arg;
    ask(n);
}

static int64_t call_run(void *ctx, uint64_t n)
{
    call *c = ctx;
    int64_t t = bench_now();

    pair_call(&c->nodes[0], begin_asking, &n);
    sem_wait(&c->nodes[0].reached);
    return bench_now() - t;
}

/* Two threads, each with a loop that polls one socket, as ours do. */
typedef struct bare {
    uv_loop_t loop;
    uv_poll_t poll;
    int fd;
    bool asks;
    uint64_t left;
    address to;
} bare;

static void bare_got(uv_poll_t *poll, int status, int events)
{
    bare *b = poll->data;
    uint8_t bytes[SMALL];
    address from = {.len = sizeof from.u};
    ssize_t n = recvfrom(b->fd, bytes, sizeof bytes, MSG_DONTWAIT, &from.u.any, &from.len);

    (void)status;
    (void)events;
    if (n < 0)
        return;
    if (--b->left || !b->asks)
        sendto(b->fd, bytes, (size_t)n, MSG_DONTWAIT, &from.u.any, from.len);
    if (!b->left)
        uv_close((uv_handle_t *)poll, NULL);
}

static void bare_open(bare *b, uint64_t n)
{
    b->left = n;
    b->to = pair_loopback();
    b->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (bind(b->fd, &b->to.u.any, b->to.len) || getsockname(b->fd, &b->to.u.any, &b->to.len))
        pair_die("bare ping-pong", "no sockets");
    uv_loop_init(&b->loop);
    uv_poll_init(&b->loop, &b->poll, b->fd);
    b->poll.data = b;
    uv_poll_start(&b->poll, UV_READABLE, bare_got);
}

static void *bare_thread(void *arg)
{
    uv_run(&((bare *)arg)->loop, UV_RUN_DEFAULT);
    return NULL;
}

static int64_t bare_ping_pong(void *ctx, uint64_t n)
{
    bare ends[2] = {{.asks = true}, {.asks = false}};
    uint8_t bytes[SMALL] = {0};
    pthread_t threads[2];
    int64_t t;

    (void)ctx;
    for (int i = 0; i < 2; i++)
        bare_open(&ends[i], n);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, bare_thread, &ends[i]);
    t = bench_now();
    sendto(ends[0].fd, bytes, sizeof bytes, 0, &ends[1].to.u.any, ends[1].to.len);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    t = bench_now() - t;
    for (int i = 0; i < 2; i++) {
        uv_loop_close(&ends[i].loop);
        close(ends[i].fd);
    }
    return t;
}

static void calls(void)
{
    call c = {.message = buf_new(SMALL)};

    if (!bench_wanted("call", ""))
        return;
    memset(c.message->data, 'x', SMALL);
    pair_init(c.nodes);
    c.nodes[0].user = c.nodes[1].user = &c;
    c.nodes[0].message = answered;
    c.nodes[1].message = answer;
    pair_start(c.nodes);
    bench_run(&(bench_row){"call", "64 B there and back", "round trip",
                           "bare UDP, two threads, uv_poll", "at most 2.5x", call_run,
                           bare_ping_pong, &c, 20000, 0, false, NULL, 0});
    pair_stop(c.nodes);
    buf_unref(c.message);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv);
    if (sodium_init() < 0)
        return 1;
    bulk();
    messages();
    calls();
    bench_end();
    return 0;
}
