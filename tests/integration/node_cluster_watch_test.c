/* SPDX-License-Identifier: Apache-2.0 */
/* Those who watch migrations at the nodes of a cluster. */
#include "cluster_help.h"
#include "daemon/runtime.h"

#include <semaphore.h>

#define TOLD_MAX 600

/* All that one watch has told so far. */
typedef struct reading {
    berth_cluster *c;
    migration_watch *watch;
    sem_t woken;
    migration_change told[TOLD_MAX];
    size_t count;
    uint64_t missed;
    bool ended;
} reading;

static void wake(void *ctx)
{
    sem_post(&((reading *)ctx)->woken);
}

static reading *watched(berth_cluster *c, uint32_t node, const migration_id *only)
{
    reading *r = calloc(1, sizeof *r);

    r->c = c;
    sem_init(&r->woken, 0, 0);
    GOOD(c, migrations_watch(c->nodes[node].migrations, only, wake, r, &r->watch, &why));
    return r;
}

static void unwatched(reading *r)
{
    migration_watch_close(r->watch);
    sem_destroy(&r->woken);
    free(r);
}

/* Take what there is; a few at a time, as a slow reader. False: nothing was there. */
static bool take(reading *r)
{
    size_t room = TOLD_MAX - r->count;
    uint64_t missed;
    size_t n =
        migration_watch_read(r->watch, r->told + r->count, room < 3 ? room : 3, &missed, &r->ended);

    r->count += n;
    r->missed += missed;
    return n || missed;
}

/* Until one is over; in its view there. */
static const migration_view *end_of(reading *r)
{
    for (size_t i = 0;; i++) {
        while (i == r->count)
            if (!take(r))
                sem_wait(&r->woken);
        if (r->told[i].view.over)
            return &r->told[i].view;
    }
}

static migration_id begun(berth_cluster *c, uint32_t by, uint64_t origin, uint64_t to)
{
    migration_spec spec = {.origin = origin, .target = to, .transport_identity = true};
    move_outcome out;
    migration_id id;

    GOOD(c, migrations_begin(c->nodes[by].migrations, &spec, &id, &out, &why));
    return id;
}

static uint64_t id_of(berth_cluster *c, uint32_t node)
{
    return c->nodes[node].identity.node_id;
}

static berth_cluster *movers(uint32_t nodes)
{
    berth_cluster_config config = cluster_of(nodes);

    config.migrate = true;
    return cluster_up(&config);
}

/* The phases that it went through, in their order and at their times, as "0 1 2 over". */
static void tells(const reading *r, const char *expected)
{
    char text[256] = "";

    for (size_t i = 0; i < r->count; i++) {
        const migration_change *t = &r->told[i];
        size_t at = strlen(text);

        if (t->view.over)
            snprintf(text + at, sizeof text - at, " over");
        else if (!t->view.in_doubt)
            snprintf(text + at, sizeof text - at, "%s%d", at ? " " : "", (int)t->view.phase);
        assert_true(i == 0 || t->wall_ns >= t[-1].wall_ns);
        assert_true(i == 0 || t->index > t[-1].index);
    }
    assert_string_equal(text, expected);
}

static void source_and_target_tell_each_phase_once_and_then_the_end(void **state)
{
    berth_cluster *c = movers(2);
    berth_cluster_daemon d = one_on(c, 0, "script");
    reading *source = watched(c, 0, NULL), *target = watched(c, 1, NULL);
    const migration_view *v;
    migration_id id;

    (void)state;
    id = begun(c, 0, d.origin, id_of(c, 1));
    v = end_of(source);
    assert_true(v->outcome.moved);
    assert_true(v->bytes_total && v->bytes_sent == v->bytes_total);
    assert_true(v->blackout_ns > 0);
    tells(source, "0 1 2 3 4 5 over");
    v = end_of(target);
    assert_true(v->outcome.moved && v->role == MIGRATION_TARGET);
    assert_string_equal(v->kind, "script");
    tells(target, "1 2 4 5 over");
    for (size_t i = 0; i < source->count; i++) {
        assert_memory_equal(&source->told[i].view.id, &id, sizeof id);
        assert_true(source->told[i].view.role == MIGRATION_SOURCE || !i);
        assert_true(source->told[i].view.origin == d.origin);
    }
    unwatched(source);
    unwatched(target);
    cluster_end(c);
}

static void who_ordered_it_elsewhere_is_told_as_one_migration(void **state)
{
    berth_cluster *c = movers(3);
    berth_cluster_daemon d = one_on(c, 0, "script");
    const migration_view *v;
    migration_id id;
    reading *r;

    (void)state;
    r = watched(c, 2, NULL);
    id = begun(c, 2, d.origin, id_of(c, 1));
    v = end_of(r);
    assert_true(v->outcome.moved && v->role == MIGRATION_ORDERED);
    assert_int_equal(r->told[0].view.phase, MOVE_PHASE_SNAPSHOT);
    for (size_t i = 0; i < r->count; i++)
        assert_memory_equal(&r->told[i].view.id, &id, sizeof id);
    unwatched(r);
    cluster_end(c);
}

static void one_alone_is_told_from_its_begin_and_with_its_reason(void **state)
{
    berth_cluster_config config = cluster_of(2); /* nobody may */
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon d = one_on(c, 0, "script"), other = one_on(c, 0, "script");
    move_outcome out;
    migration_id id, second;
    reading *r;

    (void)state;
    id = begun(c, 0, d.origin, id_of(c, 1));
    GOOD(c, migrations_wait(c->nodes[0].migrations, &id, HELP_PATIENCE_NS, &out, &why));
    second = begun(c, 0, other.origin, id_of(c, 1));
    GOOD(c, migrations_wait(c->nodes[0].migrations, &second, HELP_PATIENCE_NS, &out, &why));
    r = watched(c, 0, &id);
    assert_int_equal(end_of(r)->outcome.reason, MOVE_REFUSED);
    assert_true(r->told[r->count - 1].view.outcome.text[0]);
    assert_false(take(r)); /* the other one is nothing to it */
    tells(r, "0 over");
    unwatched(r);
    cluster_end(c);
}

/* A watch that is not read holds nobody up. */
static void who_does_not_read_misses_changes_and_is_told_how_many(void **state)
{
    berth_cluster_config config = cluster_of(2);
    berth_cluster *c = cluster_up(&config);
    berth_cluster_daemon d = one_on(c, 0, "script");
    migrations_counters counters;
    move_outcome out;
    reading *r = watched(c, 0, NULL);
    uint64_t all;

    (void)state;
    for (unsigned i = 0; i < 200; i++) { /* two changes each: 0 over */
        migration_id id = begun(c, 0, d.origin, id_of(c, 1));

        GOOD(c, migrations_wait(c->nodes[0].migrations, &id, HELP_PATIENCE_NS, &out, &why));
    }
    while (take(r))
        ;
    all = r->count + r->missed;
    assert_int_equal(r->count, 256);
    assert_true(all >= 399 && all <= 400); /* the end of the last one may still be coming */
    assert_int_equal(r->told[0].index, r->missed);
    migrations_get_counters(c->nodes[0].migrations, &counters);
    assert_int_equal(counters.changes_missed, r->missed);
    assert_int_equal(counters.at_source.failed[MOVE_REFUSED], 200);
    assert_int_equal(counters.at_source.entered[MOVE_PHASE_SNAPSHOT], 200);
    assert_int_equal(counters.at_source.entered[MOVE_PHASE_TRANSFER], 0);
    unwatched(r);
    cluster_end(c);
}

static void phases_are_counted_and_timed_by_role(void **state)
{
    berth_cluster *c = movers(2);
    berth_cluster_daemon d = one_on(c, 0, "script");
    reading *source = watched(c, 0, NULL), *target = watched(c, 1, NULL);
    migrations_counters here, there;

    (void)state;
    begun(c, 0, d.origin, id_of(c, 1));
    end_of(source);
    end_of(target);
    migrations_get_counters(c->nodes[0].migrations, &here);
    migrations_get_counters(c->nodes[1].migrations, &there);
    assert_int_equal(here.at_source.moved, 1);
    assert_int_equal(there.at_target.moved, 1);
    assert_int_equal(there.at_source.moved + here.at_target.moved, 0);
    for (unsigned i = 0; i < MOVE_PHASE_COUNT; i++) {
        assert_int_equal(here.at_source.entered[i], 1);
        assert_true(here.at_source.phase_ns[i] > 0);
        assert_int_equal(here.at_target.entered[i], 0);
        assert_int_equal(there.at_target.entered[i],
                         i != MOVE_PHASE_SNAPSHOT && i != MOVE_PHASE_REPLAY);
    }
    unwatched(source);
    unwatched(target);
    cluster_end(c);
}

static void one_that_waits_is_woken_when_the_node_ends(void **state)
{
    berth_cluster *c = movers(2);
    reading *r = watched(c, 1, NULL);

    (void)state;
    assert_false(take(r) || r->ended);
    migrations_stop(c->nodes[1].migrations);
    sem_wait(&r->woken);
    assert_false(take(r));
    assert_true(r->ended);
    unwatched(r);
    cluster_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_and_target_tell_each_phase_once_and_then_the_end),
        cmocka_unit_test(who_ordered_it_elsewhere_is_told_as_one_migration),
        cmocka_unit_test(one_alone_is_told_from_its_begin_and_with_its_reason),
        cmocka_unit_test(who_does_not_read_misses_changes_and_is_told_how_many),
        cmocka_unit_test(phases_are_counted_and_timed_by_role),
        cmocka_unit_test(one_that_waits_is_woken_when_the_node_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
