/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store_fixture.h"

#include <pthread.h>
#include <sqlite3.h>

static void assert_same_row(const store_daemon *a, const store_daemon *b)
{
    assert_memory_equal(a->entity, b->entity, 32);
    assert_int_equal(a->origin, b->origin);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->kind, b->kind);
    assert_string_equal(a->plugin, b->plugin);
    assert_memory_equal(a->digest, b->digest, 32);
    assert_true(slice_eq(a->identity, b->identity));
    assert_true(slice_eq(a->config, b->config));
    assert_true(slice_eq(a->wants, b->wants));
    assert_int_equal(a->desired, b->desired);
    assert_int_equal(a->durability, b->durability);
    assert_int_equal(a->auto_snapshot, b->auto_snapshot);
    assert_int_equal(a->incarnation, b->incarnation);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->sequence_limit, b->sequence_limit);
    assert_int_equal(a->clean, b->clean);
    assert_int_equal(a->created_wall_ns, b->created_wall_ns);
}

static void every_field_of_a_row_survives_the_host(void **state)
{
    static wanted w;
    uint8_t config[] = {0, 'x', 0, 0xFF};
    store *s = open_store();
    store_daemon row = a_row(7);

    (void)state;
    memset(row.digest, 0xD1, sizeof row.digest);
    row.plugin = "org.example.tally";
    row.config = slice_of(config, sizeof config);
    row.wants = slice_of(config + 1, 3);
    row.desired = STORE_STOPPED;
    row.durability = UINT32_MAX;
    row.origin = row.auto_snapshot = row.incarnation = row.epoch = UINT64_MAX;
    row.sequence_limit = UINT64_MAX - 1;
    row.clean = true;
    row.created_wall_ns = INT64_MIN;
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    store_close(s);

    s = open_store();
    assert_true(find_row(s, 7, &w));
    assert_same_row(&row, &w.row);
    assert_false(w.row.has_snapshot);
    store_close(s);
}

static void a_taken_entity_origin_or_name_is_refused_and_named(void **state)
{
    store *s = open_store();
    store_daemon first = a_row(1), other;
    outcome o;

    (void)state;
    assert_int_equal(add_row(s, &first).status, BERTH_OK);

    other = a_row(2);
    memcpy(other.entity, first.entity, 32);
    o = add_row(s, &other);
    assert_int_equal(o.status, BERTH_ERR_EXISTS);
    assert_non_null(strstr(o.error.text, "identity is taken"));
    assert_non_null(strstr(o.error.text, "daemon-1"));

    other = a_row(2);
    other.origin = first.origin;
    o = add_row(s, &other);
    assert_int_equal(o.status, BERTH_ERR_EXISTS);
    assert_non_null(strstr(o.error.text, "origin is taken"));

    other = a_row(2);
    other.name = "daemon-1";
    o = add_row(s, &other);
    assert_int_equal(o.status, BERTH_ERR_EXISTS);
    assert_non_null(strstr(o.error.text, "name is taken"));

    other = a_row(3);
    other.name = "";
    assert_int_equal(add_row(s, &other).status, BERTH_OK);
    o = add_row(s, &other); /* then by what it is called without one */
    assert_int_equal(o.status, BERTH_ERR_EXISTS);
    {
        char called[128];

        snprintf(called, sizeof called, "stored daemon '%s-%016llx'", other.kind,
                 (unsigned long long)other.origin);
        assert_non_null(strstr(o.error.text, called));
    }
    assert_int_equal(remove_row(s, 3).status, BERTH_OK);

    assert_int_equal(count_rows(s), 1);
    store_close(s);
}

static void daemons_without_a_name_do_not_collide(void **state)
{
    static wanted w;
    store *s = open_store();

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        store_daemon row = a_row(i);

        row.name = i ? "" : NULL;
        assert_int_equal(add_row(s, &row).status, BERTH_OK);
    }
    assert_true(find_row(s, 2, &w));
    assert_string_equal(w.name, "");
    store_close(s);
}

static void an_update_changes_the_fields_it_names_and_no_others(void **state)
{
    static const unsigned fields[] = {
        STORE_SET_DESIRED, STORE_SET_INCARNATION, STORE_SET_EPOCH,  STORE_SET_LIMIT,
        STORE_SET_CLEAN,   STORE_SET_DIGEST,      STORE_SET_CONFIG, STORE_SET_WANTS,
    };
    static wanted w;
    store_daemon now = a_row(1), change = a_row(1);
    store *s = open_store();

    (void)state;
    assert_int_equal(add_row(s, &now).status, BERTH_OK);
    change.desired = STORE_STOPPED;
    change.incarnation = 5;
    change.epoch = 6;
    change.sequence_limit = UINT64_MAX;
    change.clean = true;
    memset(change.digest, 9, sizeof change.digest);
    change.wants = slice_str("some");
    change.config = slice_of(NULL, 0); /* set to nothing, which is not the same as not set */
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_int_equal(update_row(s, &change, fields[i]).status, BERTH_OK);
        switch (fields[i]) {
        case STORE_SET_DESIRED:
            now.desired = change.desired;
            break;
        case STORE_SET_INCARNATION:
            now.incarnation = change.incarnation;
            break;
        case STORE_SET_EPOCH:
            now.epoch = change.epoch;
            break;
        case STORE_SET_LIMIT:
            now.sequence_limit = change.sequence_limit;
            break;
        case STORE_SET_CLEAN:
            now.clean = change.clean;
            break;
        case STORE_SET_DIGEST:
            memcpy(now.digest, change.digest, 32);
            break;
        case STORE_SET_WANTS:
            now.wants = change.wants;
            break;
        default:
            now.config = change.config;
        }
        assert_true(find_row(s, 1, &w));
        assert_same_row(&now, &w.row);
    }
    store_close(s);
}

static void a_change_to_a_daemon_that_is_not_there_is_not_found(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1);
    outcome o;

    (void)state;
    o = update_row(s, &row, STORE_SET_EPOCH);
    assert_int_equal(o.status, BERTH_ERR_NOT_FOUND);
    assert_non_null(strstr(o.error.text, "0100000000000000eeee"));
    assert_int_equal(remove_row(s, 1).status, BERTH_ERR_NOT_FOUND);
    assert_int_equal(put_bytes(s, 1, 1, 1, 10).status, BERTH_ERR_NOT_FOUND);
    assert_int_equal(put_bytes(s, 1, 1, 1, STORE_INLINE_SNAPSHOT + 1).status, BERTH_ERR_NOT_FOUND);
    store_close(s);
}

static void a_removed_daemon_is_gone_and_its_name_is_free(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1);
    buf *b = NULL;

    (void)state;
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    assert_int_equal(put_bytes(s, 1, 1, 1, 10).status, BERTH_OK);
    assert_int_equal(remove_row(s, 1).status, BERTH_OK);
    assert_int_equal(count_rows(s), 0);
    assert_int_equal(store_get_snapshot(s, row.entity, &b, NULL), BERTH_OK);
    assert_null(b);
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    assert_int_equal(store_get_snapshot(s, row.entity, &b, NULL), BERTH_OK);
    assert_null(b);
    store_close(s);
}

static bool in_order(void *ctx, const store_daemon *row)
{
    uint64_t *last = ctx, i;

    memcpy(&i, row->entity, sizeof i);
    assert_int_equal(i, *last - 1);
    *last = i;
    return i > 2; /* stops there */
}

static void rows_come_in_order_of_creation_until_the_reader_has_enough(void **state)
{
    store *s = open_store();
    uint64_t last = 10;

    (void)state;
    for (uint64_t i = 10; i-- > 0;) {
        store_daemon row = a_row(i);

        assert_int_equal(add_row(s, &row).status, BERTH_OK);
    }
    assert_int_equal(store_each_daemon(s, in_order, &last, NULL), BERTH_OK);
    assert_int_equal(last, 2);
    store_close(s);
}

static void values_at_their_limit_are_stored_and_above_it_refused(void **state)
{
    static char name[STORE_NAME_MAX + 2], bytes[STORE_WANTS_MAX + 1];
    static wanted w;
    struct {
        const char *name, *kind, *plugin;
        size_t identity, config, wants;
        berth_status status;
    } cases[] = {
        {name + 1, "k", "", 1, 1, 0, BERTH_OK},
        {name, "k", "", 1, 1, 0, BERTH_ERR_LIMIT},
        {"a", name + 1, "", 1, 1, 0, BERTH_OK},
        {"b", name, "", 1, 1, 0, BERTH_ERR_LIMIT},
        {"c", "k", name + 1, 1, 1, 0, BERTH_OK},
        {"d", "k", name, 1, 1, 0, BERTH_ERR_LIMIT},
        {"e", "k", "", STORE_IDENTITY_MAX, 1, 0, BERTH_OK},
        {"f", "k", "", STORE_IDENTITY_MAX + 1, 1, 0, BERTH_ERR_LIMIT},
        {"g", "k", "", 1, STORE_CONFIG_MAX, 0, BERTH_OK},
        {"h", "k", "", 1, STORE_CONFIG_MAX + 1, 0, BERTH_ERR_LIMIT},
        {"i", "k", "", 1, 1, STORE_WANTS_MAX, BERTH_OK},
        {"j", "k", "", 1, 1, STORE_WANTS_MAX + 1, BERTH_ERR_LIMIT},
    };
    store *s = open_store();

    (void)state;
    memset(name, 'n', STORE_NAME_MAX + 1);
    memset(bytes, 'b', sizeof bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store_daemon row = a_row(i);

        row.name = cases[i].name;
        row.kind = cases[i].kind;
        row.plugin = cases[i].plugin;
        row.identity = slice_of(bytes, cases[i].identity);
        row.config = slice_of(bytes, cases[i].config);
        row.wants = slice_of(bytes, cases[i].wants);
        assert_int_equal(add_row(s, &row).status, cases[i].status);
        assert_int_equal(find_row(s, i, &w), cases[i].status == BERTH_OK);
        if (w.found)
            assert_same_row(&row, &w.row);
    }
    store_daemon row = a_row(0);
    row.config = slice_of(bytes, STORE_CONFIG_MAX + 1);
    assert_int_equal(update_row(s, &row, STORE_SET_CONFIG).status, BERTH_ERR_LIMIT);
    row.wants = slice_of(bytes, STORE_WANTS_MAX + 1);
    assert_int_equal(update_row(s, &row, STORE_SET_WANTS).status, BERTH_ERR_LIMIT);
    assert_int_equal(update_row(s, &row, STORE_SET_EPOCH).status, BERTH_OK);
    store_close(s);
}

/* Done functions that write down who was answered, on which thread. */
typedef struct journal {
    unsigned answers[256], count;
    pthread_t thread;
} journal;

typedef struct entry {
    journal *journal;
    unsigned number;
} entry;

static void write_down(void *ctx, berth_status status, const berth_error *error)
{
    entry *e = ctx;

    (void)status, (void)error;
    e->journal->answers[e->journal->count++] = e->number;
    e->journal->thread = pthread_self();
}

static void answers_come_in_the_order_handed_in_failures_too(void **state)
{
    static journal j;
    static entry entries[256];
    store *s = open_store();

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        store_daemon row = a_row(i / 2); /* each second one fails */

        entries[i] = (entry){&j, i};
        if (i % 7 == 6)
            store_remove_daemon(s, row.entity, write_down, &entries[i]);
        else
            store_add_daemon(s, &row, write_down, &entries[i]);
    }
    assert_int_not_equal(store_barrier(s, NULL), BERTH_OK);
    assert_int_equal(j.count, 256);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(j.answers[i], i);
    assert_false(pthread_equal(j.thread, pthread_self()));
    store_close(s);
}

static void changes_handed_in_during_a_commit_share_the_next_one(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1000);
    store_stats stats;
    gate g;

    (void)state;
    sem_init(&g.reached, 0, 0);
    sem_init(&g.open, 0, 0);
    store_add_daemon(s, &row, stop_at_gate, &g);
    while (sem_wait(&g.reached) != 0)
        ;
    for (uint64_t i = 0; i < 100; i++) {
        row = a_row(i);
        store_add_daemon(s, &row, NULL, NULL);
    }
    row = a_row(3); /* fails, without harm to the others */
    store_add_daemon(s, &row, NULL, NULL);
    store_get_stats(s, &stats);
    assert_int_equal(stats.queued, 101);
    sem_post(&g.open);
    assert_int_equal(store_barrier(s, NULL), BERTH_ERR_EXISTS);
    store_get_stats(s, &stats);
    assert_int_equal(stats.commits, 2);
    assert_int_equal(stats.changes, 102);
    assert_int_equal(stats.failures, 1);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(count_rows(s), 101);
    store_close(s);
    sem_destroy(&g.reached);
    sem_destroy(&g.open);
}

static void a_barrier_answers_with_the_first_failure_since_the_last(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1), other = a_row(2);
    berth_error error = {0};

    (void)state;
    store_add_daemon(s, &row, NULL, NULL);
    assert_int_equal(store_barrier(s, &error), BERTH_OK);
    store_update_daemon(s, &other, STORE_SET_EPOCH, NULL, NULL);
    store_add_daemon(s, &row, NULL, NULL);
    assert_int_equal(store_barrier(s, &error), BERTH_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "not in the store"));
    assert_int_equal(store_barrier(s, &error), BERTH_OK);
    store_close(s);
}

typedef struct from_done {
    store *store;
    berth_status barrier, fact, read;
    outcome added;
} from_done;

static void use_store_from_done(void *ctx, berth_status status, const berth_error *error)
{
    from_done *f = ctx;
    store_daemon row = a_row(2);
    unsigned n = 0;

    (void)status, (void)error;
    f->barrier = store_barrier(f->store, NULL);
    f->fact = store_put_fact(f->store, "k", slice_of("v", 1), NULL);
    f->read = store_each_daemon(f->store, count_row, &n, NULL);
    store_add_daemon(f->store, &row, note_outcome, &f->added);
}

static void waiting_in_a_done_function_is_refused_handing_in_is_not(void **state)
{
    store *s = open_store();
    from_done f = {.store = s};
    store_daemon row = a_row(1);

    (void)state;
    store_add_daemon(s, &row, use_store_from_done, &f);
    assert_int_equal(store_barrier(s, NULL), BERTH_OK); /* f was called */
    assert_int_equal(store_barrier(s, NULL), BERTH_OK); /* and what it handed in is done */
    assert_int_equal(f.barrier, BERTH_ERR_DEADLOCK);
    assert_int_equal(f.fact, BERTH_ERR_DEADLOCK);
    assert_int_equal(f.read, BERTH_OK);
    assert_int_equal(f.added.calls, 1);
    assert_int_equal(count_rows(s), 2);
    store_close(s);
}

static void closing_commits_what_was_handed_in(void **state)
{
    static outcome outcomes[500];
    store *s = open_store();

    (void)state;
    for (uint64_t i = 0; i < 500; i++) {
        store_daemon row = a_row(i);

        store_add_daemon(s, &row, note_outcome, &outcomes[i]);
    }
    store_close(s);
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].status, BERTH_OK);
    }
    s = open_store();
    assert_int_equal(count_rows(s), 500);
    store_close(s);
}

static void facts_are_durable_replaceable_and_bounded(void **state)
{
    static uint8_t big[STORE_FACT_MAX + 1];
    char key[STORE_NAME_MAX + 2];
    store *s = open_store();
    buf *b = NULL;

    (void)state;
    assert_int_equal(store_get_fact(s, "salt", &b, NULL), BERTH_OK);
    assert_null(b);
    assert_int_equal(store_put_fact(s, "salt", slice_of("old", 3), NULL), BERTH_OK);
    assert_int_equal(store_put_fact(s, "salt", slice_of("n\0w", 3), NULL), BERTH_OK);
    assert_int_equal(store_put_fact(s, "empty", slice_of(NULL, 0), NULL), BERTH_OK);
    assert_int_equal(store_put_fact(s, "big", slice_of(big, STORE_FACT_MAX), NULL), BERTH_OK);
    assert_int_equal(store_put_fact(s, "big", slice_of(big, STORE_FACT_MAX + 1), NULL),
                     BERTH_ERR_LIMIT);
    memset(key, 'k', sizeof key);
    key[STORE_NAME_MAX + 1] = 0;
    assert_int_equal(store_put_fact(s, key, slice_of("v", 1), NULL), BERTH_ERR_LIMIT);
    assert_int_equal(store_put_fact(s, key + 1, slice_of("v", 1), NULL), BERTH_OK);
    store_close(s);

    s = open_store();
    assert_int_equal(store_get_fact(s, "salt", &b, NULL), BERTH_OK);
    assert_true(slice_eq(slice_of(b->data, b->len), slice_of("n\0w", 3)));
    buf_unref(b);
    assert_int_equal(store_get_fact(s, "empty", &b, NULL), BERTH_OK);
    assert_int_equal(b->len, 0);
    buf_unref(b);
    assert_int_equal(store_get_fact(s, "big", &b, NULL), BERTH_OK);
    assert_int_equal(b->len, STORE_FACT_MAX);
    buf_unref(b);
    store_close(s);
}

/* Change the database behind the store's back. */
static void tamper(const char *statement)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_state("store.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, statement, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", statement, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* SQLite itself ends the transaction when the disk fails, but not here. */
static void a_table_that_vanishes_fails_its_changes_and_no_others(void **state)
{
    store *s = open_store();
    store_daemon row = a_row(1);
    berth_error error;

    (void)state;
    tamper("DROP TABLE fact");
    assert_int_equal(store_put_fact(s, "key", slice_of("value", 5), &error), BERTH_ERR_CORRUPT);
    assert_non_null(strstr(error.text, "fact"));
    assert_int_equal(add_row(s, &row).status, BERTH_OK);
    store_close(s);
    assert_int_equal(store_open(state_dir, &s, &error), BERTH_ERR_CORRUPT);
}

static void a_row_out_of_bounds_is_left_out_and_the_others_come(void **state)
{
    static const char *const damage[] = {
        "UPDATE daemon SET entity = x'00' WHERE id = 2",
        "UPDATE daemon SET digest = zeroblob(33) WHERE id = 2",
        "UPDATE daemon SET name = 'a' || char(0) || 'b' WHERE id = 2",
        "UPDATE daemon SET kind = printf('%256d', 1) WHERE id = 2",
        "UPDATE daemon SET identity = zeroblob(4097) WHERE id = 2",
        "UPDATE daemon SET config = zeroblob(65537) WHERE id = 2",
        "UPDATE daemon SET desired = 4 WHERE id = 2",
        "UPDATE daemon SET durability = -1 WHERE id = 2",
        "UPDATE daemon SET clean = 2 WHERE id = 2",
    };
    berth_error error;

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        unsigned n = 0;
        store *s = open_store();

        for (uint64_t k = 1; k <= 3; k++) {
            store_daemon row = a_row(k);

            assert_int_equal(add_row(s, &row).status, BERTH_OK);
        }
        store_close(s);
        tamper(damage[i]);

        s = open_store();
        assert_int_equal(store_each_daemon(s, count_row, &n, &error), BERTH_ERR_CORRUPT);
        assert_non_null(strstr(error.text, "store.db"));
        assert_non_null(strstr(error.text, "row 2"));
        assert_int_equal(n, 2);
        store_close(s);
        remove_tree(state_dir);
        assert_int_equal(mkdir(state_dir, 0700), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)
        TEST(every_field_of_a_row_survives_the_host),
        TEST(a_taken_entity_origin_or_name_is_refused_and_named),
        TEST(daemons_without_a_name_do_not_collide),
        TEST(an_update_changes_the_fields_it_names_and_no_others),
        TEST(a_change_to_a_daemon_that_is_not_there_is_not_found),
        TEST(a_removed_daemon_is_gone_and_its_name_is_free),
        TEST(rows_come_in_order_of_creation_until_the_reader_has_enough),
        TEST(values_at_their_limit_are_stored_and_above_it_refused),
        TEST(answers_come_in_the_order_handed_in_failures_too),
        TEST(changes_handed_in_during_a_commit_share_the_next_one),
        TEST(a_barrier_answers_with_the_first_failure_since_the_last),
        TEST(waiting_in_a_done_function_is_refused_handing_in_is_not),
        TEST(closing_commits_what_was_handed_in),
        TEST(facts_are_durable_replaceable_and_bounded),
        TEST(a_table_that_vanishes_fails_its_changes_and_no_others),
        TEST(a_row_out_of_bounds_is_left_out_and_the_others_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
