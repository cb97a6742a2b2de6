/* SPDX-License-Identifier: Apache-2.0 */
/* The subscriber's machine, alone and against the publisher's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/membership.h"
#include "mesh/subscriptions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND    1000000000LL
#define PUBLISHER 7
#define US        3

struct fixture {
    subscriptions_config config;
    subscriptions *s;
    channel_message sent; /* the last; its slices are not to be used */
    char sent_name[256];
    unsigned sends, changes;
    uint64_t sent_to;
    subscription_state told;
    int64_t now_ns;
    uint64_t random;
    uint8_t daemon[32], other[32];
    /* against a publisher */
    membership *m;
    unsigned lose; /* of 100 messages */
    bool linked;
    struct {
        bool to_publisher;
        size_t len;
        uint8_t bytes[512];
    } way[64];
    size_t on_way;
};

static uint64_t next_random(struct fixture *f)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return f->random >> 16;
}

static void seeded(void *ctx, void *out, size_t len)
{
    uint64_t value = next_random(ctx);

    memcpy(out, &value, len < 8 ? len : 8);
}

/* A message goes on its way, or gets lost; `carry` brings it to the other side. */
static void post(struct fixture *f, bool to_publisher, slice message)
{
    if (next_random(f) % 100 < f->lose)
        return;
    assert_true(f->on_way < 64 && message.len <= sizeof f->way[0].bytes);
    f->way[f->on_way].to_publisher = to_publisher;
    f->way[f->on_way].len = message.len;
    memcpy(f->way[f->on_way++].bytes, message.ptr, message.len);
}

static void carry(struct fixture *f)
{
    for (size_t i = 0; i < f->on_way; i++) { /* more may be added meanwhile */
        slice message = slice_of(f->way[i].bytes, f->way[i].len);

        if (f->way[i].to_publisher)
            membership_receive(f->m, US, message, f->now_ns, 1000, NULL);
        else
            subscriptions_receive(f->s, PUBLISHER, message, f->now_ns, NULL);
    }
    f->on_way = 0;
}

static bool send_out(void *ctx, uint64_t node, slice message)
{
    struct fixture *f = ctx;

    assert_int_equal(channel_message_decode(message, &f->sent, NULL), BERTH_OK);
    memcpy(f->sent_name, f->sent.name.ptr, f->sent.name.len);
    f->sent_name[f->sent.name.len] = 0;
    f->sent_to = node;
    f->sends++;
    if (f->linked)
        post(f, true, message);
    return true;
}

static void send_back(void *ctx, uint64_t node, slice message)
{
    struct fixture *f = ctx;

    assert_int_equal(node, US);
    post(f, false, message);
}

static void changed(void *ctx, const subscription *s)
{
    struct fixture *f = ctx;

    f->changes++;
    f->told = s->state;
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->config =
        (subscriptions_config){.ctx = f, .send = send_out, .changed = changed, .random = seeded};
    f->s = subscriptions_new(&f->config);
    memset(f->daemon, 1, 32);
    memset(f->other, 2, 32);
    f->random = 1;
    *state = f;
    return f->s ? 0 : 1;
}

static int end(void **state)
{
    struct fixture *f = *state;

    subscriptions_free(f->s);
    membership_free(f->m);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void want(struct fixture *f, const char *channel)
{
    assert_int_equal(subscriptions_want(f->s, PUBLISHER, f->daemon, slice_str(channel),
                                        slice_str(""), slice_str("token"), f->now_ns, NULL),
                     BERTH_OK);
}

static bool drop(struct fixture *f, const char *channel)
{
    return subscriptions_drop(f->s, PUBLISHER, f->daemon, slice_str(channel), f->now_ns);
}

static const subscription *look(const struct fixture *f, const char *channel)
{
    return subscriptions_find(f->s, PUBLISHER, f->daemon, slice_str(channel));
}

static subscription_state state_of(const struct fixture *f, const char *channel)
{
    assert_non_null(look(f, channel));
    return look(f, channel)->state;
}

static void acknowledge(struct fixture *f, uint64_t node, uint64_t nonce, channel_reason reason)
{
    channel_message msg = {.kind = MESSAGE_CHANNEL_ACK,
                           .nonce = nonce,
                           .accepted = reason == CHANNEL_FINE,
                           .reason = reason};
    writer w = {0};

    assert_int_equal(channel_message_encode(&w, &msg, NULL), BERTH_OK);
    assert_int_equal(subscriptions_receive(f->s, node, slice_of(w.data, w.len), f->now_ns, NULL),
                     BERTH_OK);
    writer_free(&w);
}

/* On to the next deadline. */
static void next(struct fixture *f)
{
    assert_true(subscriptions_deadline(f->s) < INT64_MAX);
    f->now_ns = subscriptions_deadline(f->s);
    subscriptions_expire(f->s, f->now_ns);
}

/* 6.3, 1 and 4; 18: send, ack, success */
static void a_wish_is_asked_for_and_held_when_it_is_accepted(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    assert_int_equal(f->sends, 1);
    assert_int_equal(f->sent_to, PUBLISHER);
    assert_int_equal(f->sent.kind, MESSAGE_CHANNEL_SUBSCRIBE);
    assert_int_equal(f->sent.token.len, 5);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_ASKING);
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_HELD);
    assert_int_equal(f->told, SUBSCRIPTION_HELD);
    assert_true(subscriptions_deadline(f->s) == INT64_MAX);
    want(f, "a"); /* the same again */
    assert_int_equal(f->sends, 1);
}

/* 6.3, 1: no session */
static void without_a_session_it_waits(void **state)
{
    struct fixture *f = *state;

    want(f, "a");
    assert_int_equal(f->sends, 0);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_WAITING);
    assert_true(subscriptions_deadline(f->s) == INT64_MAX);
    subscriptions_up(f->s, PUBLISHER, 0);
    assert_int_equal(f->sends, 1);
}

/* 21, 7: bounded retry; 6.3, 4: the deadline of an answer is 5 s */
static void no_answer_is_asked_for_again_more_and_more_seldom(void **state)
{
    struct fixture *f = *state;
    int64_t before_ns = 0, pause_ns = 0;
    uint64_t nonce;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    nonce = f->sent.nonce;
    assert_true(subscriptions_deadline(f->s) >= 5 * SECOND);
    for (unsigned i = 2; i < 20; i++) {
        next(f);
        assert_int_equal(f->sends, i);
        assert_true(f->sent.nonce == nonce);
        assert_true(f->now_ns - before_ns >= pause_ns / 2);
        pause_ns = f->now_ns - before_ns;
        before_ns = f->now_ns;
        assert_true(pause_ns <= 750 * SECOND);
    }
    assert_true(pause_ns >= 600 * SECOND);
    assert_int_equal(look(f, "a")->attempts, 19);
}

/* 6.3: a late Ack; 21, 7: treat late accepts as success */
static void an_answer_that_comes_late_is_an_answer(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    next(f);
    next(f);
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_HELD);
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE); /* to the second attempt */
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_UNAUTHORIZED);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_HELD);
}

/* 6.3, 5; 19, 5: a foreign Ack never consumes a waiter */
static void an_answer_from_another_node_leaves_the_question_open(void **state)
{
    struct fixture *f = *state;
    subscriptions_counters c;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    acknowledge(f, PUBLISHER + 1, f->sent.nonce, CHANNEL_FINE);
    acknowledge(f, PUBLISHER, f->sent.nonce + 1, CHANNEL_FINE);
    acknowledge(f, PUBLISHER, 0, CHANNEL_FINE);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_ASKING);
    subscriptions_get_counters(f->s, &c);
    assert_int_equal(c.foreign, 3);
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_HELD);
}

/* 6.3, 6; 21, 32: typed reasons end to end */
static void a_refusal_has_its_reason_and_is_asked_again_later(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_UNKNOWN);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_REFUSED);
    assert_int_equal(look(f, "a")->reason, CHANNEL_UNKNOWN);
    assert_int_equal(f->told, SUBSCRIPTION_REFUSED);
    next(f);
    assert_int_equal(f->sends, 2);
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_HELD);
    assert_int_equal(look(f, "a")->reason, CHANNEL_FINE);
}

static void who_is_silenced_waits_for_the_end_of_it(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_RATE_LIMITED);
    assert_true(subscriptions_deadline(f->s) > 30 * SECOND);
}

/* 21, 8: subscriptions are restored after failure and recovery */
static void a_session_that_comes_back_brings_all_subscriptions_back(void **state)
{
    struct fixture *f = *state;
    char name[16];
    size_t at = 0;
    const subscription *each;

    subscriptions_up(f->s, PUBLISHER, 0);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "c%d", i);
        want(f, name);
        if (i % 2)
            acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    }
    subscriptions_down(f->s, PUBLISHER, 1);
    assert_true(subscriptions_deadline(f->s) == INT64_MAX);
    while ((each = subscriptions_next(f->s, &at)))
        assert_int_equal(each->state, SUBSCRIPTION_WAITING);
    f->sends = 0;
    subscriptions_up(f->s, PUBLISHER, 2);
    assert_int_equal(f->sends, 10);
}

static void an_answer_to_the_session_before_is_none(void **state)
{
    struct fixture *f = *state;
    uint64_t nonce;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    nonce = f->sent.nonce;
    subscriptions_down(f->s, PUBLISHER, 0);
    subscriptions_up(f->s, PUBLISHER, 0);
    acknowledge(f, PUBLISHER, nonce, CHANNEL_FINE);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_ASKING);
}

/* 21, 9 */
static void a_subscription_that_the_publisher_ends_is_told_and_asked_for_again(void **state)
{
    struct fixture *f = *state;
    channel_message msg = {.kind = MESSAGE_CHANNEL_ENDED, .reason = CHANNEL_UNAUTHORIZED};
    writer w = {0};

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    memcpy(msg.subscriber, f->daemon, 32);
    msg.name = slice_str("a");
    channel_message_encode(&w, &msg, NULL);
    subscriptions_receive(f->s, PUBLISHER + 1, slice_of(w.data, w.len), 0, NULL);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_HELD); /* not by anybody */
    subscriptions_receive(f->s, PUBLISHER, slice_of(w.data, w.len), 0, NULL);
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_REFUSED);
    next(f);
    assert_int_equal(f->sends, 2);
    writer_free(&w);
}

static void another_token_or_group_is_asked_for_at_once(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    subscriptions_want(f->s, PUBLISHER, f->daemon, slice_str("a"), slice_str(""),
                       slice_str("a newer one"), 0, NULL);
    assert_int_equal(f->sends, 2);
    assert_int_equal(f->sent.token.len, 11);
    subscriptions_want(f->s, PUBLISHER, f->daemon, slice_str("a"), slice_str("pool"),
                       slice_str("a newer one"), 0, NULL);
    assert_int_equal(f->sends, 3);
    assert_int_equal(f->sent.group.len, 4);
    assert_int_equal(subscriptions_count(f->s), 1);
}

static void leaving_is_told_until_it_is_heard(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    assert_true(drop(f, "a"));
    assert_false(drop(f, "a"));
    assert_int_equal(f->sent.kind, MESSAGE_CHANNEL_UNSUBSCRIBE);
    assert_int_equal(subscriptions_holders(f->s, PUBLISHER, slice_str("a")), 0);
    next(f);
    assert_int_equal(f->sends, 3);
    acknowledge(f, PUBLISHER, f->sent.nonce, CHANNEL_FINE);
    assert_int_equal(subscriptions_count(f->s), 0);
    assert_true(subscriptions_deadline(f->s) == INT64_MAX);
}

static void leaving_ends_without_an_answer_too(void **state)
{
    struct fixture *f = *state;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    drop(f, "a");
    next(f);
    next(f);
    assert_int_equal(f->sends, 4);
    next(f);
    assert_int_equal(f->sends, 4);
    assert_int_equal(subscriptions_count(f->s), 0);
    want(f, "b");
    drop(f, "b");
    subscriptions_down(f->s, PUBLISHER, 0);
    assert_int_equal(subscriptions_count(f->s), 0);
}

static void who_wants_again_while_leaving_stays(void **state)
{
    struct fixture *f = *state;
    uint64_t nonce;

    subscriptions_up(f->s, PUBLISHER, 0);
    want(f, "a");
    drop(f, "a");
    nonce = f->sent.nonce;
    want(f, "a");
    assert_int_equal(f->sent.kind, MESSAGE_CHANNEL_SUBSCRIBE);
    acknowledge(f, PUBLISHER, nonce, CHANNEL_FINE); /* of the leaving */
    assert_int_equal(state_of(f, "a"), SUBSCRIPTION_ASKING);
}

static void what_a_stopped_daemon_wanted_goes_and_others_stay(void **state)
{
    struct fixture *f = *state;

    want(f, "a");
    want(f, "b");
    subscriptions_want(f->s, PUBLISHER, f->other, slice_str("a"), slice_str(""), slice_str(""), 0,
                       NULL);
    assert_int_equal(subscriptions_drop_all(f->s, f->daemon, 0), 2);
    assert_int_equal(subscriptions_count(f->s), 1);
    assert_non_null(subscriptions_find(f->s, PUBLISHER, f->other, slice_str("a")));
}

static void wishes_are_bounded_and_checked(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};

#define WANT(name)                                                                                 \
    subscriptions_want(f->s, PUBLISHER, f->daemon, slice_str(name), slice_str(""), slice_str(""),  \
                       0, &error)
    subscriptions_free(f->s);
    f->config.max = 2;
    f->s = subscriptions_new(&f->config);
    assert_int_equal(WANT("A"), BERTH_ERR_INVALID);
    want(f, "a");
    want(f, "b");
    assert_int_equal(WANT("c"), BERTH_ERR_LIMIT);
    want(f, "b");
    assert_true(drop(f, "a"));
    want(f, "c");
}

static void what_is_malformed_is_counted(void **state)
{
    struct fixture *f = *state;
    subscriptions_counters c;

    assert_int_equal(subscriptions_receive(f->s, 1, slice_str("x"), 0, NULL), BERTH_ERR_CORRUPT);
    subscriptions_get_counters(f->s, &c);
    assert_int_equal(c.malformed, 1);
}

/* ---- Against a publisher --------------------------------------------------------------------- */

static void link_up(struct fixture *f, unsigned lose)
{
    membership_config config = {.ctx = f, .send = send_back};

    f->m = membership_new(&config);
    assert_non_null(f->m);
    f->linked = true;
    f->lose = lose;
    subscriptions_up(f->s, PUBLISHER, f->now_ns);
}

/* Two daemons of one node share a subscription: whichever leaves, the other still hears. */
static void two_daemons_that_share_a_channel_do_not_silence_each_other(void **state)
{
    struct fixture *f = *state;
    roster_picks picks = {0};

    link_up(f, 0);
    want(f, "a");
    subscriptions_want(f->s, PUBLISHER, f->other, slice_str("a"), slice_str(""), slice_str(""), 0,
                       NULL);
    carry(f);
    assert_int_equal(subscriptions_holders(f->s, PUBLISHER, slice_str("a")), 2);
    assert_int_equal(roster_node_on(membership_roster(f->m), US, slice_str("a")), 2);
    drop(f, "a");
    carry(f);
    assert_int_equal(subscriptions_holders(f->s, PUBLISHER, slice_str("a")), 1);
    assert_int_equal(membership_recipients(f->m, slice_str("a"), 1000, &picks), BERTH_OK);
    assert_int_equal(picks.count, 1);
    assert_memory_equal(picks.items[0]->subscriber, f->other, 32);
    roster_picks_fini(&picks);
}

/* Whatever is lost, in the end both sides agree on what was wanted last. */
static void both_sides_agree_in_the_end_whatever_is_lost(void **state)
{
    struct fixture *f = *state;
    char name[16];

    link_up(f, 40);
    for (int i = 0; i < 400; i++) {
        uint64_t x = next_random(f);

        snprintf(name, sizeof name, "c%u", (unsigned)(x % 8));
        switch (x / 8 % 4) {
        case 0:
            drop(f, name);
            break;
        case 1:
            if (subscriptions_deadline(f->s) < INT64_MAX)
                next(f);
            break;
        default:
            want(f, name);
        }
        carry(f);
        if (x / 32 % 30 == 0) { /* the session breaks; the publisher sees it too */
            subscriptions_down(f->s, PUBLISHER, f->now_ns);
            membership_node_gone(f->m, US);
            subscriptions_up(f->s, PUBLISHER, f->now_ns);
            carry(f);
        }
    }
    f->lose = 0;
    while (subscriptions_deadline(f->s) < INT64_MAX) {
        next(f);
        carry(f);
    }
    for (int i = 0; i < 8; i++) {
        bool here, there;

        snprintf(name, sizeof name, "c%d", i);
        here = look(f, name) != NULL;
        if (here)
            assert_int_equal(state_of(f, name), SUBSCRIPTION_HELD);
        there = roster_find(membership_roster(f->m), US, f->daemon, slice_str(name)) != NULL;
        if (here) /* who has left three times in vain may still be there */
            assert_true(there);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wish_is_asked_for_and_held_when_it_is_accepted),
        TEST(without_a_session_it_waits),
        TEST(no_answer_is_asked_for_again_more_and_more_seldom),
        TEST(an_answer_that_comes_late_is_an_answer),
        TEST(an_answer_from_another_node_leaves_the_question_open),
        TEST(a_refusal_has_its_reason_and_is_asked_again_later),
        TEST(who_is_silenced_waits_for_the_end_of_it),
        TEST(a_session_that_comes_back_brings_all_subscriptions_back),
        TEST(an_answer_to_the_session_before_is_none),
        TEST(a_subscription_that_the_publisher_ends_is_told_and_asked_for_again),
        TEST(another_token_or_group_is_asked_for_at_once),
        TEST(leaving_is_told_until_it_is_heard),
        TEST(leaving_ends_without_an_answer_too),
        TEST(who_wants_again_while_leaving_stays),
        TEST(what_a_stopped_daemon_wanted_goes_and_others_stay),
        TEST(wishes_are_bounded_and_checked),
        TEST(what_is_malformed_is_counted),
        TEST(two_daemons_that_share_a_channel_do_not_silence_each_other),
        TEST(both_sides_agree_in_the_end_whatever_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
