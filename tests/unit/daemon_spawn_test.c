/* SPDX-License-Identifier: Apache-2.0 */
/* Spawning in every way there is, and what a refused one leaves behind (compute-core §14.6, §20).
 */
#include "daemon_help.h"

static buf *snapshot_of(berth_runtime *rt, uint64_t d)
{
    void *bytes;
    uint64_t len;
    OK(berth_snapshot(rt, d, &bytes, &len, NULL));
    buf *b = buf_copy(bytes, len);
    free(bytes);
    return b;
}

/* compute-core §20: factory called exactly once per spawn; a handle that is dropped stops nothing
 */
static void create_is_called_once_per_spawn(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    long before = kinds_made;
    OK(berth_spawn_kind(rt, "counter", NULL, NULL, NULL, NULL));
    assert_int_equal(kinds_made, before + 1);
    assert_int_equal(berth_daemon_count(rt), 1);
    help_free(state, rt);
}

/* compute-core K9, §20: same identity twice through each of the paths; §18.13: and create is not
 * called for nothing */
static void an_identity_in_use_is_refused_on_every_path_and_the_incumbent_goes_on(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    berth_error error = {0};
    uint64_t d, other;
    OK(berth_spawn_kind(rt, "counter", &key, NULL, &d, NULL));
    for (int i = 0; i < 3; i++)
        OK(tell_it(rt, d, ""));
    buf *b = snapshot_of(rt, d);
    OK(tell_it(rt, d, ""));
    long made = kinds_made;
    for (int path = 0; path < 6; path++) {
        berth_status status = BERTH_OK;
        switch (path) {
        case 0:
            status = berth_spawn_kind(rt, "counter", &key, NULL, &other, &error);
            break;
        case 1:
            status = berth_spawn_with_daemon(rt, &key, NULL, &kind_echo, NULL, &other, &error);
            break;
        case 2:
            status =
                berth_spawn_from_snapshot(rt, NULL, &key, b->data, b->len, NULL, &other, &error);
            break;
        case 3:
            status = berth_spawn_from_snapshot_with_daemon(rt, &key, b->data, b->len, NULL,
                                                           &kind_counter, NULL, &other, &error);
            break;
        case 4:
            status = berth_expect_migration(rt, "echo", key.origin, 9, NULL, &error);
            break;
        case 5:
            status = berth_register_migration_target_identity(rt, "echo", &key, NULL, &error);
            break;
        }
        FAILS(status, EXISTS);
        CONTAINS(error.text, "already registered");
        FAILS(berth_forget_placeholder(rt, key.origin, NULL), BUSY);
        factory *f = factories_get(&rt->factories, key.origin);
        assert_true(f->has_key && berth_keypair_is_full(&f->key));
        assert_int_equal(f->orchestrator, 0);
        factory_unref(f);
    }
    assert_int_equal(kinds_made, made);
    assert_int_equal(berth_daemon_count(rt), 1);
    assert_int_equal(factories_count(&rt->factories), 1);
    assert_string_equal(ask_it(rt, d, ""), "5");
    assert_int_equal(info_of(rt, d).sequence, 5);
    buf_unref(b);
    help_free(state, rt);
}

/* compute-core §20: duplicate expect_migration refused; K10; §14.8 with §18.11 */
static void a_placeholder_keeps_its_place_until_it_is_withdrawn(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    berth_error error = {0};
    uint64_t d;
    OK(berth_expect_migration(rt, "counter", key.origin, 7, NULL, NULL));
    FAILS(berth_expect_migration(rt, "counter", key.origin, 8, NULL, &error), EXISTS);
    FAILS(berth_register_migration_target_identity(rt, "echo", &key, NULL, &error), EXISTS);
    FAILS(berth_spawn_kind(rt, "echo", &key, NULL, &d, &error), EXISTS);
    CONTAINS(error.text, "already registered");
    assert_int_equal(factories_orchestrator(&rt->factories, key.origin), 7); /* §18.21 */
    assert_false(factories_bind(&rt->factories, key.origin, 8));
    OK(berth_forget_placeholder(rt, key.origin, NULL));
    FAILS(berth_forget_placeholder(rt, key.origin, NULL), NOT_FOUND);
    OK(berth_spawn_kind(rt, "echo", &key, NULL, &d, NULL));
    OK(berth_stop(rt, d, 0, NULL));
    OK(berth_spawn_kind(rt, "echo", &key, NULL, &d, NULL)); /* stop leaves no factory */
    help_free(state, rt);
}

/* compute-core §12: what came in with create's failure goes with it */
static void when_create_fails_nothing_is_left_and_its_words_are_told(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    const char *const configs[] = {"fail", "post and fail"};
    for (int i = 0; i < 2; i++) {
        berth_keypair key = key_of(1);
        berth_error error = {0};
        berth_daemon_config config = {.size = sizeof(config),
                                      .name = "me",
                                      .config = configs[i],
                                      .config_len = strlen(configs[i])};
        uint64_t d;
        FAILS(berth_spawn_kind(rt, "script", &key, &config, &d, &error), INVALID);
        CONTAINS(error.text, "told to fail");
        assert_int_equal(berth_daemon_count(rt), 0);
        assert_int_equal(factories_count(&rt->factories), 0);
        config.config_len = 0;
        OK(berth_spawn_kind(rt, "script", &key, &config, &d, NULL)); /* all is free again */
        OK(berth_stop(rt, d, 0, NULL));
    }
    help_free(state, rt);
}

static void what_create_posts_comes_after_start(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_daemon_config config = {.size = sizeof(config), .config = "post", .config_len = 4};
    uint64_t d;
    OK(berth_spawn_kind(rt, "script", NULL, &config, &d, NULL));
    ear *e = ear_on(rt, d, TAIL_FROM_RING);
    hear(e, "start 0 1 ");
    hear(e, "post 0 0 from create");
    ear_close(e);
    help_free(state, rt);
}

typedef struct bad_config {
    const char *kind;
    berth_daemon_config config;
    berth_status status;
    const char *word;
} bad_config;

static void a_configuration_that_makes_no_sense_is_named(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    static char big[70000];
    char long_name[129];
    memset(long_name, 'n', 128);
    long_name[128] = 0;
    const bad_config cases[] = {
        {"echo", {.size = 4}, BERTH_ERR_INVALID, "size"},
        {"echo", {.size = sizeof(berth_daemon_config), .name = ""}, BERTH_ERR_INVALID, "name"},
        {"echo", {.size = sizeof(berth_daemon_config), .name = "a b"}, BERTH_ERR_INVALID, "a b"},
        {"echo",
         {.size = sizeof(berth_daemon_config), .name = long_name},
         BERTH_ERR_INVALID,
         "name"},
        {"echo",
         {.size = sizeof(berth_daemon_config), .config = big, .config_len = 65537},
         BERTH_ERR_LIMIT,
         "65537"},
        {"echo",
         {.size = sizeof(berth_daemon_config), .durability = 3},
         BERTH_ERR_UNSUPPORTED,
         "durability"},
        {"echo",
         {.size = sizeof(berth_daemon_config), .auto_snapshot = 5},
         BERTH_ERR_INVALID,
         "no state"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        berth_error error = {0};
        uint64_t d;
        assert_int_equal(berth_spawn_kind(rt, cases[i].kind, NULL, &cases[i].config, &d, &error),
                         cases[i].status);
        CONTAINS(error.text, cases[i].word);
    }
    assert_int_equal(factories_count(&rt->factories), 0);
    berth_daemon_config most = {
        .size = sizeof(most), .name = long_name + 1, .config = big, .config_len = 65536};
    uint64_t d;
    OK(berth_spawn_kind(rt, "echo", NULL, &most, &d, NULL));
    berth_keypair public_only = key_of(2);
    berth_keypair_wipe(&public_only);
    FAILS(berth_spawn_kind(rt, "echo", &public_only, NULL, &d, NULL), READ_ONLY);
    help_free(state, rt);
}

/* ---- Instances that the embedder brings ------------------------------------------------------ */

typedef struct brought {
    int runs, destroyed;
} brought;

static berth_code brought_create(berth_call *call, const berth_birth *birth, void **out)
{
    (void)birth;
    (void)out;
    return call->api->fail(call, BERTH_E_CONFIG, "never asked", 11);
}

static void brought_destroy(void *me, berth_call *call)
{
    (void)call;
    ((brought *)me)->destroyed++;
}

static berth_code brought_process(void *me, berth_call *call, const berth_event *e)
{
    ((brought *)me)->runs++;
    return call->api->emit(call, e->data.ptr, e->data.len);
}

static const berth_kind kind_brought = {.size = sizeof(berth_kind),
                                        .name = {"brought", 7},
                                        .create = brought_create,
                                        .destroy = brought_destroy,
                                        .process = brought_process};

static void an_instance_that_was_brought_is_run_and_destroyed_once(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_keypair key = key_of(1);
    brought mine = {0}, second = {0};
    uint64_t d, other;
    OK(berth_spawn_with_daemon(rt, &key, NULL, &kind_brought, &mine, &d, NULL));
    assert_string_equal(ask_it(rt, d, "x"), "x");
    assert_int_equal(mine.runs, 1);
    assert_string_equal(info_of(rt, d).kind, "brought");
    /* The table is no kind that others could name. */
    FAILS(berth_spawn_kind(rt, "brought", NULL, NULL, &other, NULL), KIND_UNKNOWN);
    /* A refused one is still the caller's. */
    FAILS(berth_spawn_with_daemon(rt, &key, NULL, &kind_brought, &second, &other, NULL), EXISTS);
    assert_int_equal(second.destroyed, 0);
    OK(berth_stop(rt, d, 0, NULL));
    assert_int_equal(mine.destroyed, 1);
    FAILS(berth_spawn_with_daemon(rt, &key, NULL, NULL, &mine, &d, NULL), INVALID);
    help_free(state, rt);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static uint64_t spawn_named(berth_runtime *rt, const char *name)
{
    uint64_t d = 0;
    berth_daemon_config config = {.size = sizeof(config), .name = name};
    OK(berth_spawn_kind(rt, "echo", NULL, &config, &d, NULL));
    return d;
}

static void a_name_in_use_is_refused_and_free_again_after_stop(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_daemon_config config = {.size = sizeof(config), .name = "only"};
    berth_error error = {0};
    uint64_t a = spawn_named(rt, "only"), b;
    long made = kinds_made;
    FAILS(berth_spawn_kind(rt, "echo", NULL, &config, &b, &error), EXISTS);
    CONTAINS(error.text, "'only' is already registered");
    assert_int_equal(kinds_made, made);
    assert_int_equal(factories_count(&rt->factories), 1);
    OK(berth_stop(rt, a, 0, NULL));
    spawn_named(rt, "only");
    help_free(state, rt);
}

static void a_daemon_is_found_by_name_origin_and_unique_prefix(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    berth_error error = {0};
    uint64_t got, a = spawn_named(rt, "alpha-1"), b = spawn_named(rt, "alpha-2");
    uint64_t c = spawn_named(rt, "alpha"); /* also a prefix of the others: the exact one wins */
    OK(berth_daemon_find(rt, "alpha-1", &got, NULL));
    assert_int_equal(got, a);
    OK(berth_daemon_find(rt, "alpha", &got, NULL));
    assert_int_equal(got, c);
    FAILS(berth_daemon_find(rt, "alph", &got, &error), AMBIGUOUS);
    CONTAINS(error.text, "alpha-2");
    OK(berth_daemon_find(rt, say("%016" PRIx64, b), &got, NULL));
    assert_int_equal(got, b);
    OK(berth_daemon_find(rt, say("%.14s", say("%016" PRIX64, b)), &got, NULL));
    assert_int_equal(got, b);
    FAILS(berth_daemon_find(rt, "nobody", &got, &error), NOT_FOUND);
    FAILS(berth_daemon_find(rt, "", &got, &error), INVALID);
    help_free(state, rt);
}

static bool count_two(void *ctx, const berth_daemon_info *info)
{
    (void)info;
    return ++*(int *)ctx < 2;
}

static void each_ends_when_it_is_told_to(void **state)
{
    berth_runtime *rt = help_runtime(state, NULL);
    int n = 0;
    for (int i = 0; i < 5; i++)
        spawn_of(rt, "echo");
    berth_daemons_each(rt, count_two, &n);
    assert_int_equal(n, 2);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(create_is_called_once_per_spawn),
        BOTH(an_identity_in_use_is_refused_on_every_path_and_the_incumbent_goes_on),
        BOTH(a_placeholder_keeps_its_place_until_it_is_withdrawn),
        BOTH(when_create_fails_nothing_is_left_and_its_words_are_told),
        BOTH(what_create_posts_comes_after_start),
        BOTH(a_configuration_that_makes_no_sense_is_named),
        BOTH(an_instance_that_was_brought_is_run_and_destroyed_once),
        BOTH(a_name_in_use_is_refused_and_free_again_after_stop),
        INLINE(a_daemon_is_found_by_name_origin_and_unique_prefix),
        INLINE(each_ends_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
