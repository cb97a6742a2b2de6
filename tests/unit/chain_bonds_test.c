/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain/bonds.h"
#include "chain/channel.h"
#include "chain/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW   1000000
#define HASH  channel_hash(slice_str("jobs"))
#define OTHER channel_hash(slice_str("other"))

static berth_keypair owner, user;

static int make_keys(void **state)
{
    (void)state;
    berth_keypair_generate(&owner);
    berth_keypair_generate(&user);
    return 0;
}

static berth_token_chain token(uint32_t scope, uint64_t channel, uint64_t from_s, uint64_t ttl_s)
{
    berth_token_grant grant = {.channel = channel, .ttl_s = ttl_s, .scope = scope};
    berth_token_chain out;
    berth_token t;

    memcpy(grant.subject, user.entity, sizeof grant.subject);
    assert_int_equal(berth_token_issue(&t, &owner, &grant, from_s, NULL, NULL), BERTH_OK);
    berth_token_chain_of(&out, &t);
    return out;
}

static void keep(bonds *b, berth_token_chain chain)
{
    assert_int_equal(bonds_keep(b, &chain, NOW, NULL), BERTH_OK);
}

static void put(bonds *b, const char *channel, const char *group)
{
    assert_int_equal(bonds_put(b, slice_str(channel), slice_str(group), NULL), BERTH_OK);
}

static void sample(bonds *b)
{
    *b = (bonds){0};
    put(b, "sensors/lidar", "");
    put(b, "jobs", "workers");
    put(b, "a", "gr\xc3\xbc n");
    keep(b, token(BERTH_SCOPE_PUBLISH, HASH, NOW, 100));
    keep(b, token(BERTH_SCOPE_SUBSCRIBE, OTHER, NOW, 100));
}

static void equal_bonds_are_equal_bytes(void **state)
{
    writer first = {0}, second = {0};
    bonds a, b;
    slice group;

    (void)state;
    sample(&a);
    bonds_write(&first, &a);
    assert_int_equal(bonds_read(&b, slice_of(first.data, first.len), NULL), BERTH_OK);
    assert_int_equal(b.channel_count, 3);
    assert_int_equal(b.token_count, 2);
    assert_true(slice_eq(bonds_at(&b, 0).name, slice_str("a"))); /* ascending */
    assert_true(slice_eq(bonds_at(&b, 2).name, slice_str("sensors/lidar")));
    assert_true(bonds_find(&b, slice_str("jobs"), &group));
    assert_true(slice_eq(group, slice_str("workers")));
    assert_true(bonds_find(&b, slice_str("sensors/lidar"), &group) && !group.len);
    bonds_write(&second, &b);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    bonds_fini(&a);
    bonds_fini(&b);
    writer_free(&first);
    writer_free(&second);
}

static void a_channel_has_one_group_and_a_token_is_kept_once(void **state)
{
    bonds b = {0};
    slice group;
    berth_token_chain t = token(BERTH_SCOPE_PUBLISH, HASH, NOW, 100);

    (void)state;
    put(&b, "jobs", "one");
    put(&b, "jobs", "two");
    assert_int_equal(b.channel_count, 1);
    assert_true(bonds_find(&b, slice_str("jobs"), &group));
    assert_true(slice_eq(group, slice_str("two")));
    assert_true(bonds_forget(&b, slice_str("jobs")));
    assert_false(bonds_forget(&b, slice_str("jobs")));
    keep(&b, t);
    keep(&b, t);
    assert_int_equal(b.token_count, 1);
    bonds_fini(&b);
}

static void names_and_groups_are_checked(void **state)
{
    char long_group[257];
    bonds b = {0};

    (void)state;
    memset(long_group, 'g', 256);
    long_group[256] = 0;
    assert_int_equal(bonds_put(&b, slice_str("Jobs"), (slice){0}, NULL), BERTH_ERR_INVALID);
    assert_int_equal(bonds_put(&b, slice_str("jobs"), slice_str("\xff"), NULL), BERTH_ERR_INVALID);
    assert_int_equal(bonds_put(&b, slice_str("jobs"), slice_str(long_group), NULL),
                     BERTH_ERR_LIMIT);
    long_group[255] = 0;
    put(&b, "jobs", long_group);
    bonds_fini(&b);
}

static void the_leave_that_lasts_longest_is_shown(void **state)
{
    bonds b = {0};
    const bonds_token *t;

    (void)state;
    keep(&b, token(BERTH_SCOPE_PUBLISH, HASH, NOW, 100));
    keep(&b, token(BERTH_SCOPE_PUBLISH, HASH, NOW, 300));
    keep(&b, token(BERTH_SCOPE_PUBLISH, HASH, NOW + 1000, 900)); /* not yet */
    keep(&b, token(BERTH_SCOPE_SUBSCRIBE, HASH, NOW, 900));
    keep(&b, token(BERTH_SCOPE_PUBLISH, OTHER, NOW, 900));
    t = bonds_leave(&b, BERTH_SCOPE_PUBLISH, HASH, NOW, 0);
    assert_non_null(t);
    assert_true(berth_token_chain_end(&t->chain) == NOW + 300);
    assert_null(bonds_leave(&b, BERTH_SCOPE_PUBLISH, HASH, NOW + 300, 0)); /* over */
    assert_non_null(bonds_leave(&b, BERTH_SCOPE_PUBLISH, HASH, NOW + 300, 60));
    assert_null(bonds_leave(&b, BERTH_SCOPE_SUBSCRIBE, OTHER, NOW, 0));
    keep(&b, token(BERTH_SCOPE_SUBSCRIBE | BERTH_SCOPE_WILDCARD, HASH, NOW, 900));
    assert_non_null(bonds_leave(&b, BERTH_SCOPE_SUBSCRIBE, OTHER, NOW, 0));
    bonds_fini(&b);
}

static void what_is_over_makes_room_and_nothing_else_does(void **state)
{
    berth_token_chain more = token(BERTH_SCOPE_PUBLISH, OTHER, NOW, 500);
    bonds b = {0};

    (void)state;
    for (unsigned i = 0; i < BONDS_TOKENS_MAX; i++)
        keep(&b, token(BERTH_SCOPE_PUBLISH, HASH, NOW, i == 7 ? 10 : 100));
    assert_int_equal(bonds_keep(&b, &more, NOW, NULL), BERTH_ERR_LIMIT);
    assert_int_equal(b.token_count, BONDS_TOKENS_MAX);
    assert_int_equal(bonds_keep(&b, &more, NOW + 10, NULL), BERTH_OK);
    assert_int_equal(b.token_count, BONDS_TOKENS_MAX);
    bonds_fini(&b);
}

static void refused(const void *bytes, size_t len)
{
    static const bonds nothing;
    berth_error error = {0};
    uint8_t *exact = malloc(len ? len : 1);
    bonds out;

    memcpy(exact, bytes, len);
    assert_int_equal(bonds_read(&out, slice_of(exact, len), &error), BERTH_ERR_CORRUPT);
    assert_memory_equal(&out, &nothing, sizeof out);
    assert_non_null(strstr(error.text, "groups and tokens"));
    free(exact);
}

static void what_would_not_be_written_is_not_read(void **state)
{
    static const char disorder[] = "\2\0\0\0\1b\0\1a\0\0\0";
    static const char twice[] = "\2\0\0\0\1a\0\1a\0\0\0";
    static const char bad_name[] = "\1\0\0\0\1A\0\0\0";
    static const char bad_group[] = "\1\0\0\0\1a\1\xff\0\0";
    static const char many[] = "\xff\xff\xff\xff\1a\0\0\0";
    static const char tokens[] = "\0\0\0\0\xff\xff\0\0";
    writer w = {0};
    bonds b;

    (void)state;
    sample(&b);
    bonds_write(&w, &b);
    for (size_t n = 1; n < w.len; n++)
        refused(w.data, n);
    writer_u8(&w, 0);
    refused(w.data, w.len);
    refused(disorder, sizeof disorder - 1);
    refused(twice, sizeof twice - 1);
    refused(bad_name, sizeof bad_name - 1);
    refused(bad_group, sizeof bad_group - 1);
    refused(many, sizeof many - 1);
    refused(tokens, sizeof tokens - 1);
    bonds_fini(&b);
    writer_free(&w);
}

static void they_move_in_a_container(void **state)
{
    container c = {.kind = slice_str("tally")}, back;
    writer first = {0}, second = {0};
    slice group;

    (void)state;
    memcpy(c.snapshot.entity, user.entity, 32);
    c.snapshot.link = (berth_link){user.origin, 1, 10, 2};
    c.snapshot.has_next_parent = true;
    sample(&c.bonds);
    assert_int_equal(container_encode(&first, &c, NULL), BERTH_OK);
    assert_int_equal(container_decode(&back, slice_of(first.data, first.len), NULL), BERTH_OK);
    assert_true(bonds_find(&back.bonds, slice_str("jobs"), &group));
    assert_true(slice_eq(group, slice_str("workers")));
    assert_int_equal(back.bonds.token_count, 2);
    assert_int_equal(container_encode(&second, &back, NULL), BERTH_OK);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    container_fini(&back);
    bonds_fini(&c.bonds);
    writer_free(&first);
    writer_free(&second);
}

static void a_subscription_in_text_has_two_halves(void **state)
{
    slice channel, group;

    (void)state;
    assert_int_equal(channel_subscription_parse(slice_str("a/b"), &channel, &group, NULL), 0);
    assert_true(slice_eq(channel, slice_str("a/b")) && !group.len);
    assert_int_equal(channel_subscription_parse(slice_str("a@b@c"), &channel, &group, NULL), 0);
    assert_true(slice_eq(channel, slice_str("a")) && slice_eq(group, slice_str("b@c")));
    assert_int_equal(channel_subscription_parse(slice_str("a@"), &channel, &group, NULL),
                     BERTH_ERR_INVALID);
    assert_int_equal(channel_subscription_parse(slice_str("@g"), &channel, &group, NULL),
                     BERTH_ERR_INVALID);
    assert_int_equal(channel_subscription_parse(slice_str(""), &channel, &group, NULL),
                     BERTH_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bonds_are_equal_bytes),
        cmocka_unit_test(a_channel_has_one_group_and_a_token_is_kept_once),
        cmocka_unit_test(names_and_groups_are_checked),
        cmocka_unit_test(the_leave_that_lasts_longest_is_shown),
        cmocka_unit_test(what_is_over_makes_room_and_nothing_else_does),
        cmocka_unit_test(what_would_not_be_written_is_not_read),
        cmocka_unit_test(they_move_in_a_container),
        cmocka_unit_test(a_subscription_in_text_has_two_halves),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
