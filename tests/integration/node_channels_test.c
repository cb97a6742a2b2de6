/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says that a daemon hears, serves and holds. */
#include "node_fixture.h"

#include "chain/channel.h"
#include "daemon/runtime.h"
#include "identity/keyfile.h"
#include "identity/token_file.h"

#include <time.h>

static berth_keypair owner, self;

static void write_keys(void)
{
    char path[PATH_MAX];

    berth_keypair_generate(&owner);
    berth_keypair_generate(&self);
    snprintf(path, sizeof path, "%s/w.id", at.root);
    assert_int_equal(keyfile_write(path, &self, NULL), BERTH_OK);
}

/* In place of what is there. */
static void write_token(const char *name, const berth_keypair *subject, int64_t from_s,
                        uint64_t ttl_s)
{
    berth_token_grant grant = {
        .channel = channel_hash(slice_str("jobs")), .ttl_s = ttl_s, .scope = BERTH_SCOPE_SUBSCRIBE};
    token_file file = {.channel = "jobs"};
    char path[PATH_MAX];
    berth_token token;

    memcpy(grant.subject, subject->entity, sizeof grant.subject);
    assert_int_equal(berth_token_issue(&token, &owner, &grant,
                                       (uint64_t)((int64_t)time(NULL) + from_s), NULL, NULL),
                     BERTH_OK);
    berth_token_chain_of(&file.chain, &token);
    snprintf(path, sizeof path, "%s/%s", at.root, name);
    unlink(path);
    assert_int_equal(token_file_write(path, &file, NULL), BERTH_OK);
}

static void reload(berth_node *node, const char *conf)
{
    berth_error error = {0};

    pthread_mutex_lock(&logged.lock);
    logged.text[0] = '\0';
    pthread_mutex_unlock(&logged.lock);
    write_conf(conf);
    if (berth_node_reload(node, &error) != BERTH_OK)
        fail_msg("%s", error.text);
}

static void list(void *ctx, const runtime_hearing *h)
{
    char *text = ctx;

    sprintf(text + strlen(text), "%.*s%s%.*s ", (int)h->channel.len, (const char *)h->channel.ptr,
            h->group.len ? "@" : "", (int)h->group.len, (const char *)h->group.ptr);
}

static void hears(berth_node *node, const char *name, const char *text)
{
    berth_daemon_info info;
    char found[512] = "";

    assert_true(find(node, name, &info));
    runtime_hearings((runtime *)berth_node_runtime(node), info.origin, list, found);
    assert_string_equal(found, text);
}

#define SECTION                                                                                    \
    "daemon w { kind = echo identity_file = w.id subscribe = { jobs@workers, news } "              \
    "serve = { maths } tokens = { w.token } }"

static void a_configured_daemon_hears_serves_and_holds_what_it_says(void **state)
{
    berth_daemon_info info;
    berth_node *node;
    buf *held, *renewed;

    (void)state;
    write_keys();
    write_token("w.token", &self, 0, 1000);
    write_conf(SECTION);
    node = start_node(ECHO);
    hears(node, "w", "jobs@workers maths.requests news ");
    stop_node(node);
    node = start_node(ECHO); /* from its row this time */
    hears(node, "w", "jobs@workers maths.requests news ");
    assert_false(log_has("runs on as it was"));
    assert_true(find(node, "w", &info));
    held = runtime_tokens((runtime *)berth_node_runtime(node), info.origin);
    assert_non_null(held);
    write_token("w.token", &self, 0, 5000);
    reload(node, SECTION);
    renewed = runtime_tokens((runtime *)berth_node_runtime(node), info.origin);
    assert_non_null(renewed);
    assert_true(renewed->len > held->len); /* one more */
    buf_unref(held);
    buf_unref(renewed);
    stop_node(node);
}

static void who_changes_what_a_running_daemon_hears_is_told(void **state)
{
    berth_node *node;

    (void)state;
    write_conf("daemon w { kind = echo subscribe = { news } }");
    node = start_node(ECHO);
    reload(node, "daemon w { kind = echo subscribe = { news, jobs } }");
    assert_true(log_has("daemon \"w\": runs on as it was, with another subscribe or serve"));
    assert_true(log_has("berth channel sub"));
    reload(node, "daemon w { kind = echo }");
    assert_true(log_has("another subscribe or serve"));
    reload(node, "daemon w { kind = echo }");
    assert_false(log_has("another subscribe or serve"));
    hears(node, "w", "news ");
    stop_node(node);
    write_conf("daemon w { kind = echo serve = { maths } }");
    node = start_node(ECHO);
    assert_true(log_has("another subscribe or serve"));
    stop_node(node);
}

static void note_accept(void *ctx, const runtime_face *face)
{
    snprintf(ctx, 64, "%.*s", (int)face->accept.len, (const char *)face->accept.ptr);
}

static void accepts(berth_node *node, const char *name, const char *text)
{
    berth_daemon_info info;
    char found[64] = "";

    assert_true(find(node, name, &info));
    runtime_face_of((runtime *)berth_node_runtime(node), info.origin, note_accept, found);
    assert_string_equal(found, text);
}

static void a_configured_daemon_accepts_whom_it_says_and_a_change_is_told(void **state)
{
    berth_node *node;

    (void)state;
    write_conf("daemon w { kind = echo accept = { b, c } }\ndaemon v { kind = echo }");
    for (int i = 0; i < 2; i++) { /* the second time from its row */
        node = start_node(ECHO);
        accepts(node, "w", "b,c");
        accepts(node, "v", "");
        assert_false(log_has("runs on as it was"));
        if (!i)
            stop_node(node);
    }
    reload(node, "daemon w { kind = echo }\ndaemon v { kind = echo accept = realm }");
    assert_true(log_has("daemon \"w\": runs on as it was, with another accept than"));
    assert_false(log_has("daemon \"v\": runs on"));
    accepts(node, "w", "b,c");
    stop_node(node);
}

static void a_token_that_is_no_use_keeps_the_daemon_from_starting(void **state)
{
    berth_daemon_info info;
    berth_node *node;

    (void)state;
    write_keys();
    write_token("w.token", &owner, 0, 1000);
    write_conf(SECTION);
    node = start_node(ECHO);
    assert_false(find(node, "w", &info));
    assert_true(log_has("berth.conf:1: daemon \"w\": "));
    assert_true(log_has("/w.token: the token is for "));
    write_token("w.token", &self, -2000, 1000);
    reload(node, SECTION);
    assert_false(find(node, "w", &info));
    assert_true(log_has("has expired"));
    reload(node, "daemon w { kind = echo identity_file = w.id tokens = { none.token } }");
    assert_false(find(node, "w", &info));
    assert_true(log_has("/none.token"));
    write_token("w.token", &self, 0, 1000);
    reload(node, SECTION);
    assert_true(find(node, "w", &info));
    stop_node(node);
}

static void a_service_that_another_daemon_serves_keeps_it_from_starting(void **state)
{
    static const char *const serve[] = {"maths"};
    berth_daemon_config config = {
        .size = sizeof config, .name = "first", .serve = serve, .serve_count = 1};
    berth_daemon_info info;
    berth_error error = {0};
    uint64_t origin;
    berth_node *node;

    (void)state;
    node = start_node(ECHO);
    assert_int_equal(
        berth_spawn_kind(berth_node_runtime(node), "echo", NULL, &config, &origin, &error),
        BERTH_OK);
    stop_node(node);
    write_conf("daemon w { kind = echo serve = { maths } }");
    node = start_node(ECHO);
    assert_false(find(node, "w", &info));
    assert_true(log_has("service 'maths' is served by daemon 'first'"));
    stop_node(node);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_configured_daemon_hears_serves_and_holds_what_it_says),
        TEST(who_changes_what_a_running_daemon_hears_is_told),
        TEST(a_configured_daemon_accepts_whom_it_says_and_a_change_is_told),
        TEST(a_token_that_is_no_use_keeps_the_daemon_from_starting),
        TEST(a_service_that_another_daemon_serves_keeps_it_from_starting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
