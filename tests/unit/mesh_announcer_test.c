/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/announcement_own.h"

#include <stdio.h>
#include <string.h>

#define S    1000000000ll
#define WALL 1700000000000000000ull

static berth_keypair key;
static uint64_t kept;
static berth_status keep_answers;

static berth_status keep(void *ctx, uint64_t version)
{
    (void)ctx;
    if (!keep_answers)
        kept = version;
    return keep_answers;
}

static void begin(announcer *a, uint64_t last_version)
{
    static const uint8_t seed[32] = {5};
    announcer_config config = {.last_version = last_version, .keep_version = keep};

    berth_keypair_from_seed(&key, seed);
    kept = 0;
    keep_answers = BERTH_OK;
    announcer_init(a, &config, &key);
}

static void want(announcer *a, const char *tag)
{
    capabilities set = {0};

    assert_int_equal(capabilities_add(&set, slice_str(tag), NULL), BERTH_OK);
    assert_int_equal(announcer_set(a, &set, NULL), BERTH_OK);
    capabilities_fini(&set);
}

static announcement next(announcer *a, int64_t now, uint64_t wall)
{
    announcement made = {0}, read = {0};
    writer text = {0};

    assert_true(announcer_deadline(a) <= now);
    assert_int_equal(announcer_next(a, &text, &made, now, wall, NULL), BERTH_OK);
    assert_int_equal(announcement_read(&read, slice_of(text.data, text.len), NULL), BERTH_OK);
    assert_int_equal(announcement_verify(&read, slice_of(text.data, text.len), NULL, NULL),
                     BERTH_OK);
    assert_true(capabilities_equal(&read.set, &made.set) && read.version == made.version);
    announcement_fini(&made);
    writer_free(&text);
    return read;
}

static uint64_t version_of_next(announcer *a, int64_t now, uint64_t wall)
{
    announcement made = next(a, now, wall);
    uint64_t version = made.version;

    announcement_fini(&made);
    return version;
}

/* 14.4 version hazard; 21.6 */
static void versions_follow_the_clock_and_never_fall(void **state)
{
    announcer a;

    (void)state;
    begin(&a, 0);
    want(&a, "x");
    assert_true(version_of_next(&a, 0, WALL) == WALL / 1000000);
    assert_true(kept == WALL / 1000000);
    want(&a, "y");
    /* a clock that goes back */
    assert_true(version_of_next(&a, 10 * S, WALL - 3600 * S) == WALL / 1000000 + 1);
    announcer_fini(&a);
    /* a restart with a clock that is wrong */
    begin(&a, kept);
    want(&a, "x");
    assert_true(version_of_next(&a, 0, 0) == WALL / 1000000 + 2);
    announcer_fini(&a);
}

static void a_version_that_cannot_be_kept_is_counted_and_used(void **state)
{
    announcer a;

    (void)state;
    begin(&a, 0);
    keep_answers = BERTH_ERR_NO_SPACE;
    want(&a, "x");
    assert_true(version_of_next(&a, 0, WALL) == WALL / 1000000);
    assert_int_equal(a.versions_not_kept, 1);
    announcer_fini(&a);
}

static void there_is_no_version_after_the_last(void **state)
{
    writer text = {0};
    announcer a;

    (void)state;
    begin(&a, UINT64_MAX);
    want(&a, "x");
    assert_int_equal(announcer_next(&a, &text, NULL, 0, WALL, NULL), BERTH_ERR_LIMIT);
    assert_true(announcer_deadline(&a) == 10 * S); /* and it is not tried without pause */
    announcer_fini(&a);
}

/* As many changes as are announced at once: the time of the first that has to wait. */
static int64_t changes_at_once(announcer *a, int64_t now, unsigned *count)
{
    char tag[16];

    for (*count = 0;; ++*count) {
        snprintf(tag, sizeof tag, "change-%u", *count);
        want(a, tag);
        if (announcer_deadline(a) > now)
            return announcer_deadline(a);
        version_of_next(a, now, WALL);
    }
}

/* 20.8 origin_rate_limit_coalesces_bursts; 21.5: the end of the interval sends the newest */
static void beyond_the_burst_changes_are_one_announcement_at_the_end_of_the_interval(void **state)
{
    announcement made;
    announcer a;
    writer text = {0};
    unsigned count;

    (void)state;
    begin(&a, 0);
    assert_true(changes_at_once(&a, 5 * S, &count) == 15 * S);
    assert_int_equal(count, 3); /* the first of a start counts twice */
    want(&a, "b");
    want(&a, "c");
    assert_true(announcer_deadline(&a) == 15 * S);
    assert_int_equal(announcer_next(&a, &text, NULL, 15 * S - 1, WALL, NULL), BERTH_ERR_NOT_READY);
    assert_int_equal(text.len, 0);
    made = next(&a, 15 * S, WALL + 10 * S);
    assert_true(capabilities_has_exact(&made.set, slice_str("c")));
    assert_false(capabilities_has_exact(&made.set, slice_str("b")));
    announcement_fini(&made);
    assert_true(announcer_deadline(&a) == 165 * S);
    want(&a, "d");
    assert_true(announcer_deadline(&a) == 25 * S);
    announcer_fini(&a);
}

static void each_interval_without_a_change_allows_one_more_up_to_the_burst(void **state)
{
    announcer a;
    unsigned count;

    (void)state;
    begin(&a, 0);
    changes_at_once(&a, 0, &count);
    assert_true(changes_at_once(&a, 20 * S, &count) == 30 * S);
    assert_int_equal(count, 2);
    assert_true(changes_at_once(&a, 1000 * S, &count) == 1010 * S);
    assert_int_equal(count, 4);
    announcer_fini(&a);
}

/* What receivers allow, announcements_receive.c: 8 in a row, one more each 5 s. */
static void who_changes_all_the_time_and_restarts_stays_within_what_receivers_allow(void **state)
{
    int64_t now = 0;
    unsigned all = 0, count;
    announcer a;

    (void)state;
    begin(&a, 0);
    changes_at_once(&a, now, &count); /* long ago */
    now = 1000 * S;
    changes_at_once(&a, now, &count);
    all += count;
    announcer_withdraw(&a);
    version_of_next(&a, now, WALL);
    all++;
    announcer_fini(&a);
    begin(&a, kept);
    changes_at_once(&a, now, &count);
    all += count;
    assert_int_equal(all, 8);
    for (int i = 0; i < 10; i++) {
        now = announcer_deadline(&a);
        all += version_of_next(&a, now, WALL) != 0;
        want(&a, i % 2 ? "even" : "odd");
        assert_true(all <= 8 + (now - 1000 * S) / (5 * S));
    }
    announcer_fini(&a);
}

/* a change long after the last announcement waits for nothing */
static void a_change_is_announced_at_once(void **state)
{
    announcer a;

    (void)state;
    begin(&a, 0);
    assert_true(announcer_deadline(&a) == INT64_MAX);
    want(&a, "a");
    version_of_next(&a, 0, WALL);
    want(&a, "a");
    assert_true(announcer_deadline(&a) == 150 * S); /* the same again is none */
    want(&a, "b");
    assert_true(announcer_deadline(&a) <= 0);
    announcer_fini(&a);
}

/* 20.8 reannounce_ttl_*, capability_reannounce_keeps_self_entry_alive_past_ttl */
static void it_is_refreshed_twice_within_its_ttl(void **state)
{
    announcement made;
    announcer a;

    (void)state;
    begin(&a, 0);
    want(&a, "a");
    for (int64_t now = 0; now < 2000 * S; now = announcer_deadline(&a)) {
        made = next(&a, now, WALL + (uint64_t)now);
        assert_true(announcer_deadline(&a) - now <= (int64_t)made.ttl_s * S / 2);
        announcement_fini(&made);
    }
    announcer_fini(&a);
    assert_int_equal(announcer_ttl(150 * S, 10 * S), 300);
    assert_int_equal(announcer_ttl(1 * S, 10 * S), 20);
    assert_int_equal(announcer_ttl(0, 0), 1);
    assert_int_equal(announcer_ttl(1, 1), 2);
    assert_true(announcer_ttl(INT64_MAX, 1) == UINT32_MAX);
}

static void who_leaves_says_so_once(void **state)
{
    announcement made;
    announcer a;

    (void)state;
    begin(&a, 0);
    want(&a, "a");
    version_of_next(&a, 0, WALL);
    announcer_withdraw(&a);
    made = next(&a, 1, WALL);
    assert_int_equal(made.ttl_s, 0);
    announcement_fini(&made);
    assert_true(announcer_deadline(&a) == INT64_MAX);
    announcer_fini(&a);
}

/* 21.3: refused before it is sent; what was announced before stays */
static void a_set_that_no_announcement_holds_is_refused(void **state)
{
    capabilities set = {0};
    berth_error error = {0};
    announcer a;

    (void)state;
    begin(&a, 0);
    want(&a, "a");
    for (int i = 0; i < 200; i++)
        assert_int_equal(capabilities_put_text(&set, NULL, "%040d", i), BERTH_OK);
    assert_int_equal(announcer_set(&a, &set, &error), BERTH_ERR_LIMIT);
    assert_non_null(strstr(error.text, "fewer tags"));
    assert_true(capabilities_has_exact(&a.set, slice_str("a")));
    capabilities_fini(&set);
    announcer_fini(&a);
}

/* 21.28: what a host speaks is announced by itself */
static void a_host_announces_what_it_has_and_speaks(void **state)
{
    static const char *const kinds[] = {"counter", "org.example.thermostat"},
                             *services[] = {"echo"};
    static const uint16_t subprotocols[] = {0x0500, 0x0c00};
    host_facts facts = {.cores = 8,
                        .memory_bytes = (32ull << 30) - 1000,
                        .os = "linux",
                        .abi_minor = 3,
                        .kinds = kinds,
                        .kind_count = 2,
                        .subprotocols = subprotocols,
                        .subprotocol_count = 2,
                        .services = services,
                        .service_count = 1};
    static const char expected[] =
        "{\"tags\":[\"abi:0.3\",\"hardware.cpu_cores=8\",\"hardware.memory_gb=32\",\"kind:"
        "counter\","
        "\"kind:org.example.thermostat\",\"mine\",\"nrpc:echo\",\"software.os=linux\","
        "\"subprotocol:0x0500\",\"subprotocol:0x0c00\"],\"metadata\":{}}";
    capabilities set = {0};
    writer w = {0};

    (void)state;
    assert_int_equal(capabilities_add(&set, slice_str("mine"), NULL), BERTH_OK);
    assert_int_equal(capabilities_add(&set, slice_str("kind:gone"), NULL), BERTH_OK);
    assert_int_equal(host_facts_write(&set, &facts, NULL), BERTH_OK);
    capabilities_write(&w, &set);
    assert_true(slice_eq(slice_of(w.data, w.len), slice_str(expected)));
    writer_free(&w);
    capabilities_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_follow_the_clock_and_never_fall),
        cmocka_unit_test(a_version_that_cannot_be_kept_is_counted_and_used),
        cmocka_unit_test(there_is_no_version_after_the_last),
        cmocka_unit_test(beyond_the_burst_changes_are_one_announcement_at_the_end_of_the_interval),
        cmocka_unit_test(each_interval_without_a_change_allows_one_more_up_to_the_burst),
        cmocka_unit_test(who_changes_all_the_time_and_restarts_stays_within_what_receivers_allow),
        cmocka_unit_test(a_change_is_announced_at_once),
        cmocka_unit_test(it_is_refreshed_twice_within_its_ttl),
        cmocka_unit_test(who_leaves_says_so_once),
        cmocka_unit_test(a_set_that_no_announcement_holds_is_refused),
        cmocka_unit_test(a_host_announces_what_it_has_and_speaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
