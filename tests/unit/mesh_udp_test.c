/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets on loopback, with every combination of what the kernel might lack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/udp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RUNS_MAX 64

typedef struct end {
    udp *u;
    struct {
        address to, local;
        size_t len, segment;
        uint8_t ecn;
        uint64_t calls; /* for what had been sent before it was asked for */
    } runs[RUNS_MAX];
    unsigned count, at;
    unsigned got;
    size_t bytes, sizes[1024];
    unsigned ecns[4];
    uint32_t next; /* of the first four bytes of each datagram: its number */
    bool in_order;
    address local, from;
    bool close_at_first;
} end;

static uv_loop_t loop;

static address at(const char *ip, uint16_t port)
{
    address a = {.len = 0};

    if (strchr(ip, ':')) {
        a.len = sizeof a.u.in6;
        a.u.in6.sin6_family = AF_INET6;
        a.u.in6.sin6_port = htons(port);
        inet_pton(AF_INET6, ip, &a.u.in6.sin6_addr);
    } else {
        a.len = sizeof a.u.in;
        a.u.in.sin_family = AF_INET;
        a.u.in.sin_port = htons(port);
        inet_pton(AF_INET, ip, &a.u.in.sin_addr);
    }
    return a;
}

static void receive(void *ctx, const address *local, const address *from, const uint8_t *bytes,
                    size_t len, uint8_t ecn)
{
    end *e = ctx;
    uint32_t number;

    if (e->close_at_first) {
        e->got++;
        udp_close(e->u, NULL, NULL);
        return;
    }
    if (len >= 4) {
        memcpy(&number, bytes, 4);
        e->in_order &= number == e->next++;
    }
    for (size_t i = 4; i < len; i++)
        e->in_order &= bytes[i] == (uint8_t)(len + i);
    if (e->got < 1024)
        e->sizes[e->got] = len;
    e->got++;
    e->bytes += len;
    e->ecns[ecn & 3]++;
    e->local = *local;
    e->from = *from;
}

static uint32_t number; /* of the next datagram made */

static bool next(void *ctx, uint8_t *memory, size_t cap, outgoing *out)
{
    end *e = ctx;

    udp_counters counters;

    if (e->at == e->count)
        return false;
    udp_get_counters(e->u, &counters);
    e->runs[e->at].calls = counters.calls_out;
    *out = (outgoing){.to = e->runs[e->at].to,
                      .local = e->runs[e->at].local,
                      .bytes = memory,
                      .len = e->runs[e->at].len,
                      .segment = e->runs[e->at].segment,
                      .ecn = e->runs[e->at].ecn};
    e->at++;
    assert_true(out->len <= cap);
    for (size_t i = 0; i < out->len; i += out->segment) {
        size_t len = out->len - i < out->segment ? out->len - i : out->segment;
        for (size_t k = 4; k < len; k++)
            memory[i + k] = (uint8_t)(len + k);
        if (len >= 4)
            memcpy(memory + i, &number, 4), number++;
    }
    return true;
}

static void open_end(end *e, const char *ip, unsigned without, udp_scratch *scratch)
{
    udp_config c = {.loop = &loop,
                    .bind = at(ip, 0),
                    .without = without,
                    .scratch = scratch,
                    .receive = receive,
                    .next = next,
                    .ctx = e};
    berth_error error = {0};

    *e = (end){.in_order = true};
    if (udp_open(&c, &e->u, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static void queue(end *e, const address *to, size_t len, size_t segment, uint8_t ecn)
{
    assert_true(e->count < RUNS_MAX);
    e->runs[e->count].to = *to;
    e->runs[e->count].len = len;
    e->runs[e->count].segment = segment;
    e->runs[e->count++].ecn = ecn;
}

static void gave_up(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

/* Until e has count datagrams. What loopback lost would hang the test: a timer ends it. */
static void run_until(end *e, unsigned count)
{
    uv_timer_t timer;
    bool late = false;

    uv_timer_init(&loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, gave_up, 20000, 0);
    while (e->got < count && !late)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(e->got, count);
}

static int begin(void **state)
{
    (void)state;
    number = 0;
    return uv_loop_init(&loop);
}

static int finish(void **state)
{
    (void)state;
    uv_run(&loop, UV_RUN_DEFAULT); /* what was closed, closes */
    return uv_loop_close(&loop);
}

/* Whatever the kernel lacks, the same datagrams arrive, whole, in order, from the right address. */
static void exchange(const char *ip, const char *wildcard, unsigned without)
{
    udp_scratch *scratch = udp_scratch_new();
    end a, b;
    udp_counters c;

    number = 0;
    open_end(&a, ip, without, scratch);
    open_end(&b, wildcard, without, scratch);
    udp_scratch_unref(scratch);
    assert_int_equal(udp_features(a.u) & without, 0);
    address to = *udp_address(b.u), there = at(ip, 0);
    if (to.len == sizeof to.u.in6)
        to.u.in6.sin6_addr = there.u.in6.sin6_addr;
    else
        to.u.in.sin_addr = there.u.in.sin_addr;
    queue(&a, &to, 1200, 1200, 2);           /* one */
    queue(&a, &to, 10 * 1200 + 77, 1200, 2); /* eleven, the last one shorter */
    queue(&a, &to, 64 * 20, 20, 0);          /* as many as fit one call ... */
    queue(&a, &to, 70 * 9, 9, 1);            /* ... and more */
    queue(&a, &to, 9000, 9000, 0);           /* jumbo */
    udp_send(a.u);
    run_until(&b, 1 + 11 + 64 + 70 + 1);
    assert_true(b.in_order);
    assert_int_equal(b.sizes[0], 1200);
    assert_int_equal(b.sizes[11], 77);
    assert_int_equal(b.sizes[12], 20);
    assert_int_equal(b.sizes[146], 9000);
    if (udp_features(b.u) & udp_features(a.u) & UDP_CAN_ECN) {
        assert_int_equal(b.ecns[2], 12);
        assert_int_equal(b.ecns[1], 70);
    } else {
        assert_int_equal(b.ecns[0], 147);
    }
    assert_memory_equal(&b.from.u, &udp_address(a.u)->u, b.from.len);
    if (udp_features(b.u) & UDP_CAN_PKTINFO)
        assert_memory_equal(&b.local.u, &to.u, to.len);
    else
        assert_int_equal(b.local.u.any.sa_family, to.u.any.sa_family);
    udp_get_counters(a.u, &c);
    assert_int_equal(c.datagrams_out, 147);
    if (udp_features(a.u) & UDP_CAN_GSO)
        assert_true(c.calls_out <= 7);
    udp_get_counters(b.u, &c);
    assert_int_equal(c.datagrams_in, 147);
    assert_int_equal(c.bytes_in, b.bytes);
    /* The answer leaves from the address that was spoken to. */
    b.next = 0;
    number = 0;
    queue(&b, &b.from, 500, 100, 0);
    b.runs[0].local = b.local;
    udp_send(b.u);
    run_until(&a, 5);
    assert_true(a.in_order);
    if (udp_features(b.u) & UDP_CAN_PKTINFO)
        assert_memory_equal(&a.from.u, &to.u, to.len);
    udp_close(a.u, NULL, NULL);
    udp_close(b.u, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void every_combination_of_features_carries_the_same_datagrams(void **state)
{
    (void)state;
    for (unsigned without = 0; without <= UDP_CAN_ALL; without++)
        exchange("127.0.0.1", "0.0.0.0", without);
}

static bool have_v6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address a = at("::1", 0);
    bool is = fd >= 0 && bind(fd, &a.u.any, a.len) == 0;

    if (fd >= 0)
        close(fd);
    return is;
}

static void every_combination_of_features_carries_the_same_over_ipv6(void **state)
{
    (void)state;
    if (!have_v6())
        skip();
    for (unsigned without = 0; without <= UDP_CAN_ALL; without++)
        exchange("::1", "::", without);
}

static void many_sockets_share_a_loop_and_its_memory(void **state)
{
    enum { ENDS = 40 };
    static end ends[ENDS];
    udp_scratch *scratch = udp_scratch_new();

    (void)state;
    for (unsigned i = 0; i < ENDS; i++)
        open_end(&ends[i], "127.0.0.1", 0, scratch);
    udp_scratch_unref(scratch);
    for (unsigned i = 0; i < ENDS; i++) {
        queue(&ends[i], udp_address(ends[(i + 1) % ENDS].u), 3000, 1000, 0);
        udp_send(ends[i].u);
    }
    for (unsigned i = 0; i < ENDS; i++)
        run_until(&ends[i], 3);
    for (unsigned i = 0; i < ENDS; i++)
        udp_close(ends[i].u, NULL, NULL);
}

/* Bytes are dropped for a reason that is counted, and what comes after them still goes. */
static void what_cannot_be_sent_is_counted_and_holds_nothing_up(void **state)
{
    end a, b;
    udp_counters c;
    address nowhere = at("127.0.0.1", 9), other = at("::1", 9);

    (void)state;
    open_end(&a, "127.0.0.1", UDP_CAN_GSO, NULL);
    open_end(&b, "127.0.0.1", 0, NULL);
    queue(&a, &other, 2400, 1200, 0);   /* an address of the other family: two datagrams */
    queue(&a, &nowhere, 0, 0, 0);       /* nothing at all */
    queue(&a, &nowhere, 1200, 1200, 0); /* nobody listens: the kernel may say so later */
    nowhere.u.in.sin_port = 0;
    queue(&a, &nowhere, 100, 100, 0); /* no address of anybody */
    number = 0;
    queue(&a, udp_address(b.u), 1200, 1200, 0);
    udp_send(a.u);
    while (b.got < 1)
        uv_run(&loop, UV_RUN_ONCE);
    udp_get_counters(a.u, &c);
    assert_int_equal(c.dropped_out_invalid, 4);
    assert_int_equal(c.datagrams_out, 2);
    udp_close(a.u, NULL, NULL);
    udp_close(b.u, NULL, NULL);
}

static void an_empty_datagram_is_dropped_and_counted(void **state)
{
    end a;
    udp_counters c;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)state;
    open_end(&a, "127.0.0.1", 0, NULL);
    const address *to = udp_address(a.u);
    assert_int_equal(sendto(fd, "", 0, 0, &to->u.any, to->len), 0);
    assert_int_equal(sendto(fd, "x", 1, 0, &to->u.any, to->len), 1);
    run_until(&a, 1);
    udp_get_counters(a.u, &c);
    assert_int_equal(c.dropped_in_empty, 1);
    close(fd);
    udp_close(a.u, NULL, NULL);
}

/* mesh-transport §24.7: closing ends the receiver, also from inside it */
static void a_socket_may_be_closed_while_it_gives_a_datagram(void **state)
{
    end a, b;

    (void)state;
    for (unsigned without = 0; without <= UDP_CAN_ALL; without += UDP_CAN_ALL) {
        open_end(&a, "127.0.0.1", without, NULL);
        open_end(&b, "127.0.0.1", without, NULL);
        b.close_at_first = true;
        queue(&a, udp_address(b.u), 5000, 100, 0);
        udp_send(a.u);
        while (!b.got)
            uv_run(&loop, UV_RUN_ONCE);
        uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(b.got, 1);
        udp_close(a.u, NULL, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
}

/* A sender with much to send lets others have their turn, and loses nothing that a full socket did
 * not take. */
static void more_than_a_turn_is_sent_in_several(void **state)
{
    end a;
    udp_counters c;
    address to;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* it never reads */
    socklen_t len = sizeof to.u;

    (void)state;
    address any = at("127.0.0.1", 0);
    assert_int_equal(bind(fd, &any.u.any, any.len), 0);
    assert_int_equal(getsockname(fd, &to.u.any, &len), 0);
    to.len = sizeof to.u.in;
    udp_config config = {.loop = &loop,
                         .bind = at("127.0.0.1", 0),
                         .buffer = 1, /* the smallest that the kernel gives */
                         .without = UDP_CAN_GSO,
                         .receive = receive,
                         .next = next,
                         .ctx = &a};
    a = (end){.in_order = true};
    assert_int_equal(udp_open(&config, &a.u, NULL), BERTH_OK);
    for (unsigned i = 0; i < RUNS_MAX; i++)
        queue(&a, &to, 48000, 1200, 0);
    udp_send(a.u);
    do {
        uv_run(&loop, UV_RUN_NOWAIT);
        udp_get_counters(a.u, &c);
    } while (c.datagrams_out < RUNS_MAX * 40);
    assert_int_equal(c.datagrams_out, RUNS_MAX * 40);
    close(fd);
    udp_close(a.u, NULL, NULL);
}

/* Who gets the first long run works on it while the next one is made; short ones share a call. */
static void a_long_run_goes_at_once_and_short_ones_go_together(void **state)
{
    end a, b;

    (void)state;
    open_end(&a, "127.0.0.1", 0, NULL);
    open_end(&b, "127.0.0.1", 0, NULL);
    for (unsigned i = 0; i < 3; i++)
        queue(&a, udp_address(b.u), 40 * 1200, 1200, 0);
    for (unsigned i = 0; i < 3; i++)
        queue(&a, udp_address(b.u), 100, 100, 0);
    number = 0;
    udp_send(a.u);
    for (unsigned i = 1; i <= 3; i++)
        assert_true(a.runs[i].calls > a.runs[i - 1].calls);
    if (udp_features(a.u) & UDP_CAN_SENDMMSG) {
        assert_int_equal(a.runs[4].calls, a.runs[3].calls);
        assert_int_equal(a.runs[5].calls, a.runs[3].calls);
    }
    run_until(&b, 3 * 40 + 3);
    assert_true(b.in_order);
    udp_close(a.u, NULL, NULL);
    udp_close(b.u, NULL, NULL);
}

static void an_address_that_is_taken_is_refused_by_name(void **state)
{
    end a;
    udp *second;
    berth_error error = {0};

    (void)state;
    open_end(&a, "127.0.0.1", 0, NULL);
    udp_config c = {.loop = &loop, .bind = *udp_address(a.u), .receive = receive, .next = next};
    assert_int_not_equal(udp_open(&c, &second, &error), BERTH_OK);
    assert_null(second);
    assert_non_null(strstr(error.text, "127.0.0.1:"));
    c.bind = (address){.len = 0};
    assert_int_equal(udp_open(&c, &second, &error), BERTH_ERR_INVALID);
    udp_close(a.u, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_combination_of_features_carries_the_same_datagrams,
                                        begin, finish),
        cmocka_unit_test_setup_teardown(every_combination_of_features_carries_the_same_over_ipv6,
                                        begin, finish),
        cmocka_unit_test_setup_teardown(many_sockets_share_a_loop_and_its_memory, begin, finish),
        cmocka_unit_test_setup_teardown(what_cannot_be_sent_is_counted_and_holds_nothing_up, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(an_empty_datagram_is_dropped_and_counted, begin, finish),
        cmocka_unit_test_setup_teardown(a_socket_may_be_closed_while_it_gives_a_datagram, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(more_than_a_turn_is_sent_in_several, begin, finish),
        cmocka_unit_test_setup_teardown(a_long_run_goes_at_once_and_short_ones_go_together, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(an_address_that_is_taken_is_refused_by_name, begin, finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
