/* SPDX-License-Identifier: Apache-2.0 */
/* Events of a source that numbers them are applied once (delivery.md §1). */
#include "daemon_help.h"

#include "chain/container.h"
#include "daemon/latch.h"

typedef struct result {
    uint32_t applied, failed, duplicates;
    berth_status first;
    char text[200];
    latch wait;
} result;

static void take(void *ctx, batch *b)
{
    result *r = ctx;
    r->applied = b->applied;
    r->failed = b->failed;
    r->duplicates = b->duplicates;
    r->first = b->first_status;
    snprintf(r->text, sizeof(r->text), "%s", b->first_text ? b->first_text : "");
    batch_free(b);
    latch_answer(&r->wait, BERTH_OK, NULL);
}

/* n events of this source from seq on, each "add:1". */
static result send_from(berth_runtime *rt, uint64_t d, const char *source, uint64_t seq, unsigned n,
                        const char *text)
{
    result r = {.applied = 0};
    latch_init(&r.wait, 1);
    batch *b = batch_new(n, 0);
    for (unsigned i = 0; i < n; i++)
        assert_true(batch_add(b, text, strlen(text)));
    snprintf(b->source, sizeof(b->source), "%s", source);
    b->source_seq = seq;
    b->done = take;
    b->ctx = &r;
    OK(runtime_submit(rt, d, b, NULL, NULL, NULL));
    latch_wait(&r.wait, NULL);
    latch_fini(&r.wait);
    return r;
}

/* compute-core §18.18 */
static void what_was_applied_is_acknowledged_again_but_not_applied_again(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    result r = send_from(rt, d, "client", 1, 5, "add:1");
    assert_int_equal(r.applied, 5);
    assert_int_equal(r.duplicates, 0);
    r = send_from(rt, d, "client", 1, 5, "add:1");
    assert_int_equal(r.applied, 0);
    assert_int_equal(r.duplicates, 5);
    assert_int_equal(r.first, BERTH_OK);
    r = send_from(rt, d, "client", 4, 4, "add:1"); /* 4 and 5 again, 6 and 7 new */
    assert_int_equal(r.applied, 2);
    assert_int_equal(r.duplicates, 2);
    assert_string_equal(ask_it(rt, d, "show"), "7");
    runtime_counters c;
    runtime_get_counters(rt, &c);
    assert_int_equal(c.events_duplicate, 7);
    help_free(state, rt);
}

static void sources_do_not_know_of_each_other(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script"), other = spawn_of(rt, "script");
    assert_int_equal(send_from(rt, d, "a", 1, 3, "add:1").applied, 3);
    assert_int_equal(send_from(rt, d, "b", 1, 3, "add:1").applied, 3);
    assert_int_equal(send_from(rt, other, "a", 1, 3, "add:1").applied, 3);
    assert_int_equal(send_from(rt, d, "a", 3, 1, "add:1").applied, 0);
    assert_int_equal(send_from(rt, d, "", 3, 1, "add:1").applied, 1); /* no source: no dedupe */
    assert_string_equal(ask_it(rt, d, "show"), "7");
    help_free(state, rt);
}

/* An event that the daemon refused was dealt with, too. */
static void a_refused_event_is_not_tried_again(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    result r = send_from(rt, d, "a", 1, 1, "reject");
    assert_int_equal(r.failed, 1);
    r = send_from(rt, d, "a", 1, 1, "reject");
    assert_int_equal(r.failed, 0);
    assert_int_equal(r.duplicates, 1);
    help_free(state, rt);
}

/* delivery.md §1: cursors travel in the snapshot */
static void cursors_survive_a_snapshot_and_a_restore(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    uint64_t d, len;
    void *bytes;
    OK(berth_spawn_kind(rt, "script", &key, NULL, &d, NULL));
    send_from(rt, d, "b", 1, 9, "add:1");
    send_from(rt, d, "a", 1, 4, "add:1");
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    container c;
    OK(container_decode(&c, slice_of(bytes, len), NULL));
    assert_int_equal(c.cursor_count, 2); /* in order: equal daemons give equal bytes */
    assert_memory_equal(c.cursors[0].source.ptr, "a", 1);
    assert_int_equal(c.cursors[0].sequence, 4);
    assert_int_equal(c.cursors[1].sequence, 9);
    container_fini(&c);
    send_from(rt, d, "a", 5, 1, "add:1"); /* after it */
    OK(berth_stop(rt, d, 0, NULL));
    OK(berth_spawn_from_snapshot(rt, NULL, &key, bytes, len, NULL, &d, NULL));
    assert_int_equal(send_from(rt, d, "a", 4, 2, "add:1").applied, 1);
    assert_int_equal(send_from(rt, d, "b", 9, 1, "add:1").applied, 0);
    assert_string_equal(ask_it(rt, d, "show"), "14");
    free(bytes);
    help_free(state, rt);
}

/* A daemon that broke has forgotten what came after its snapshot: it can be sent again. */
static void cursors_go_back_with_the_state_when_a_daemon_breaks(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script"), len;
    void *bytes;
    send_from(rt, d, "a", 1, 3, "add:1");
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    free(bytes);
    send_from(rt, d, "a", 4, 3, "add:1");
    FAILS(tell_it(rt, d, "broken"), BROKEN);
    assert_string_equal(ask_it(rt, d, "show"), "3");
    assert_int_equal(send_from(rt, d, "a", 3, 4, "add:1").applied, 3);
    assert_string_equal(ask_it(rt, d, "show"), "6");
    help_free(state, rt);
}

static void a_source_is_forgotten_when_it_is_closed(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_error error = {0};
    uint64_t d = spawn_of(rt, "script");
    send_from(rt, d, "a", 1, 3, "add:1");
    OK(runtime_close_source(rt, d, "a", NULL));
    FAILS(runtime_close_source(rt, d, "a", &error), NOT_FOUND);
    CONTAINS(error.text, "'a'");
    FAILS(runtime_close_source(rt, 1, "a", NULL), NOT_FOUND);
    assert_int_equal(send_from(rt, d, "a", 1, 3, "add:1").applied, 3);
    help_free(state, rt);
}

/* delivery.md §1: the table is bounded; a live cursor is never evicted silently */
static void a_source_beyond_the_table_is_refused_and_the_others_keep_their_place(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    for (int i = 0; i < CURSORS_MAX; i++)
        assert_int_equal(send_from(rt, d, say("source-%d", i), 1, 1, "add:1").applied, 1);
    result r = send_from(rt, d, "one-more", 1, 2, "add:1");
    assert_int_equal(r.applied, 0);
    assert_int_equal(r.failed, 2);
    assert_int_equal(r.first, BERTH_ERR_LIMIT);
    CONTAINS(r.text, "sources");
    assert_int_equal(send_from(rt, d, "source-0", 1, 1, "add:1").duplicates, 1);
    OK(runtime_close_source(rt, d, "source-7", NULL));
    assert_int_equal(send_from(rt, d, "one-more", 1, 1, "add:1").applied, 1);
    assert_string_equal(ask_it(rt, d, "show"), say("%d", CURSORS_MAX + 1));
    help_free(state, rt);
}

/* The longest name there can be, one of every byte that text has, and the first number. */
static void any_name_and_the_number_0_will_do(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    char name[65];
    memset(name, 'n', 64);
    name[64] = 0;
    assert_int_equal(send_from(rt, d, name, 0, 1, "add:1").applied, 1);
    assert_int_equal(send_from(rt, d, name, 0, 2, "add:1").applied, 1);
    name[63] = 'm';
    assert_int_equal(send_from(rt, d, name, 0, 1, "add:1").applied, 1);
    assert_string_equal(ask_it(rt, d, "show"), "3");
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_was_applied_is_acknowledged_again_but_not_applied_again),
        BOTH(sources_do_not_know_of_each_other),
        BOTH(a_refused_event_is_not_tried_again),
        BOTH(cursors_survive_a_snapshot_and_a_restore),
        BOTH(cursors_go_back_with_the_state_when_a_daemon_breaks),
        BOTH(a_source_is_forgotten_when_it_is_closed),
        BOTH(a_source_beyond_the_table_is_refused_and_the_others_keep_their_place),
        INLINE(any_name_and_the_number_0_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
