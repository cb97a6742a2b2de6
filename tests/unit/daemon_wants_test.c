/* SPDX-License-Identifier: Apache-2.0 */
/* What daemons are given at their spawn, or later by an operator: channels, groups, services,
 * tokens; on a host that is alone. */
#include "daemon_help.h"

#include "chain/channel.h"
#include "chain/container.h"

#include <stdlib.h>

static berth_runtime *rt;

static uint64_t member(uint64_t key, const char *const *subscribe, uint64_t count)
{
    berth_keypair identity = key_of(key);
    berth_daemon_config config = {
        .size = sizeof(config), .subscribe = subscribe, .subscribe_count = count};
    uint64_t origin = 0;
    OK(berth_spawn_kind(rt, "script", &identity, &config, &origin, NULL));
    return origin;
}

static uint64_t count_of(uint64_t origin)
{
    return strtoull(ask_it(rt, origin, "show"), NULL, 10);
}

/* channels §8: one publish reaches exactly one of the group */
static void one_publish_reaches_one_of_a_group(void **state)
{
    static const char *const in_group[] = {"jobs@workers"}, *const plain[] = {"jobs"};
    uint64_t w[3], all, publisher, reached, sum = 0;
    rt = help_runtime(state, NULL);
    for (unsigned i = 0; i < 3; i++)
        w[i] = member(i + 1, in_group, 1);
    all = member(9, plain, 1);
    publisher = spawn_of(rt, "script");
    for (unsigned i = 0; i < 50; i++) {
        OK(tell_it(rt, publisher, "pub:jobs:add:1"));
        OK(runtime_publish(rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached, NULL));
        assert_int_equal(reached, 2);
    }
    assert_int_equal(count_of(all), 100);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t n = count_of(w[i]);
        assert_in_range(n, 33, 34);
        sum += n;
    }
    assert_int_equal(sum, 100);
    help_free(state, rt);
}

static void a_group_is_changed_by_subscribing_again(void **state)
{
    uint64_t a, b, reached;
    rt = help_runtime(state, NULL);
    a = spawn_of(rt, "script");
    b = spawn_of(rt, "script");
    OK(berth_subscribe_group(rt, a, 0, "jobs", "workers", NULL, 0, NULL));
    OK(berth_subscribe_group(rt, b, 0, "jobs", "workers", NULL, 0, NULL));
    OK(runtime_publish(rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 1);
    OK(berth_subscribe_channel(rt, a, 0, "jobs", NULL, 0, NULL));
    OK(runtime_publish(rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 2);
    OK(berth_subscribe_group(rt, a, 0, "jobs", "", NULL, 0, NULL)); /* the same again */
    assert_int_equal(info_of(rt, a).subscriptions, 1);
    /* What it subscribes to itself stays as the operator has set it. */
    OK(berth_subscribe_group(rt, a, 0, "jobs", "workers", NULL, 0, NULL));
    OK(tell_it(rt, a, "sub:jobs"));
    OK(runtime_publish(rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 1);
    /* Having left, it knows no group any more. */
    OK(tell_it(rt, a, "unsub:jobs"));
    OK(tell_it(rt, a, "sub:jobs"));
    OK(runtime_publish(rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 2);
    help_free(state, rt);
}

static void a_group_has_a_name_that_fits(void **state)
{
    char name[257];
    uint64_t a;
    rt = help_runtime(state, NULL);
    a = spawn_of(rt, "script");
    memset(name, 'g', 256);
    name[256] = 0;
    FAILS(berth_subscribe_group(rt, a, 0, "jobs", name, NULL, 0, NULL), LIMIT);
    FAILS(berth_subscribe_group(rt, a, 0, "jobs", "\xc3", NULL, 0, NULL), INVALID);
    FAILS(berth_subscribe_group(rt, a, 0, "Jobs", "g", NULL, 0, NULL), INVALID);
    name[255] = 0;
    OK(berth_subscribe_group(rt, a, 0, "jobs", name, NULL, 0, NULL));
    help_free(state, rt);
}

/* ---- Spawn: all or nothing ------------------------------------------------------------------- */

static berth_token_chain issue(const berth_keypair *owner, const uint8_t *subject, uint32_t scope,
                               const char *channel, int64_t from_s, uint64_t ttl_s)
{
    berth_token_grant grant = {
        .channel = channel_hash(slice_str(channel)), .ttl_s = ttl_s, .scope = scope};
    berth_token_chain out;
    berth_token token;
    memcpy(grant.subject, subject, sizeof(grant.subject));
    OK(berth_token_issue(&token, owner, &grant, (uint64_t)(clock_wall_ns() / 1000000000 + from_s),
                         NULL, NULL));
    berth_token_chain_of(&out, &token);
    return out;
}

typedef struct given {
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    berth_daemon_token token;
} given;

static void give(given *g, const berth_token_chain *tokens, const char *name)
{
    g->token = (berth_daemon_token){
        .bytes = g->bytes, .len = berth_token_chain_encode(g->bytes, tokens), .name = name};
}

/* The spawn is refused with this, no create was called, and nothing of the daemon is left. */
static void refused(const berth_daemon_config *config, berth_status status, const char *text)
{
    berth_keypair identity = key_of(5);
    berth_error error = {0};
    uint64_t origin = 0, before = berth_daemon_count(rt);
    long made = kinds_made;
    assert_int_equal(berth_spawn_kind(rt, "script", &identity, config, &origin, &error), status);
    if (!strstr(error.text, text))
        fail_msg("'%s' does not say '%s'", error.text, text);
    assert_int_equal(berth_daemon_count(rt), before);
    assert_int_equal(kinds_made, made);
    /* Its identity and its name are free. */
    OK(berth_spawn_kind(rt, "script", &identity, NULL, &origin, &error));
    OK(berth_stop(rt, origin, 0, NULL));
}

static void a_spawn_that_asks_for_what_cannot_be_leaves_no_daemon(void **state)
{
    static const char *const bad_name[] = {"ok", "Not/Ok"}, *const no_group[] = {"jobs@"},
                             *const twice[] = {"jobs", "jobs@g"}, *const bad_service[] = {"A"},
                             *const nameless[] = {""};
    const char *many[300];
    char long_name[260];
    const char *const too_long[] = {long_name};
    berth_daemon_config c = {.size = sizeof(c)};
    rt = help_runtime(state, NULL);
    memset(long_name, 's', 231);
    long_name[231] = 0;
    for (unsigned i = 0; i < 300; i++)
        many[i] = "x";

    refused(&(berth_daemon_config){.size = sizeof(c), .subscribe = bad_name, .subscribe_count = 2},
            BERTH_ERR_INVALID, "subscribe 'Not/Ok'");
    refused(&(berth_daemon_config){.size = sizeof(c), .subscribe = no_group, .subscribe_count = 1},
            BERTH_ERR_INVALID, "subscribe 'jobs@': nothing follows");
    refused(&(berth_daemon_config){.size = sizeof(c), .subscribe = twice, .subscribe_count = 2},
            BERTH_ERR_INVALID, "is there twice");
    refused(&(berth_daemon_config){.size = sizeof(c), .subscribe = many, .subscribe_count = 257},
            BERTH_ERR_LIMIT, "256 subscriptions");
    refused(&(berth_daemon_config){.size = sizeof(c), .serve = many, .serve_count = 65},
            BERTH_ERR_LIMIT, "64 services");
    refused(&(berth_daemon_config){.size = sizeof(c), .serve = bad_service, .serve_count = 1},
            BERTH_ERR_INVALID, "serve 'A'");
    refused(&(berth_daemon_config){.size = sizeof(c), .serve = nameless, .serve_count = 1},
            BERTH_ERR_INVALID, "needs a name");
    refused(&(berth_daemon_config){.size = sizeof(c), .serve = too_long, .serve_count = 1},
            BERTH_ERR_LIMIT, "230 bytes");
    help_free(state, rt);
}

static void a_token_that_the_daemon_cannot_use_is_refused_by_name(void **state)
{
    berth_keypair owner = key_of(77), other = key_of(78), self = key_of(5);
    char who[BERTH_ENTITY_DISPLAY], self_text[BERTH_ENTITY_DISPLAY];
    berth_token_chain t;
    given g;
    berth_daemon_config c = {.size = sizeof(c), .tokens = &g.token, .token_count = 1};
    rt = help_runtime(state, NULL);
    berth_entity_display(who, other.entity);
    berth_entity_display(self_text, self.entity);

    t = issue(&owner, other.entity, BERTH_SCOPE_PUBLISH, "jobs", 0, 100);
    give(&g, &t, "jobs.token");
    refused(&c, BERTH_ERR_REFUSED, say("jobs.token: the token is for %s", who));
    refused(&c, BERTH_ERR_REFUSED, self_text);
    t = issue(&owner, self.entity, BERTH_SCOPE_PUBLISH, "jobs", -1000, 500);
    give(&g, &t, "jobs.token");
    refused(&c, BERTH_ERR_REFUSED, say("jobs.token: the token for %s", self_text));
    refused(&c, BERTH_ERR_REFUSED, "has expired");
    t = issue(&owner, self.entity, BERTH_SCOPE_PUBLISH, "jobs", 0, 100);
    t.links[0].signature[3] ^= 1;
    give(&g, &t, "jobs.token");
    refused(&c, BERTH_ERR_SIGNATURE, "is not signed by its issuer");
    t = issue(&owner, self.entity, BERTH_SCOPE_ADMIN, "jobs", 0, 100);
    give(&g, &t, "jobs.token");
    refused(&c, BERTH_ERR_REFUSED, "does not give leave");
    g.token.len--;
    refused(&c, BERTH_ERR_CORRUPT, "jobs.token");
    g.token.name = NULL;
    refused(&c, BERTH_ERR_CORRUPT, "token 1");

    berth_daemon_token many[65];
    for (unsigned i = 0; i < 65; i++)
        many[i] = g.token;
    c.tokens = many;
    c.token_count = 65;
    refused(&c, BERTH_ERR_LIMIT, "64 tokens");
    help_free(state, rt);
}

/* One that is not valid yet is of use later. */
static void a_token_may_be_given_ahead(void **state)
{
    berth_keypair owner = key_of(77), self = key_of(5);
    berth_token_chain t = issue(&owner, self.entity, BERTH_SCOPE_PUBLISH, "jobs", 5000, 100);
    given g;
    berth_daemon_config c = {.size = sizeof(c), .tokens = &g.token, .token_count = 1};
    uint64_t origin;
    rt = help_runtime(state, NULL);
    give(&g, &t, NULL);
    OK(berth_spawn_kind(rt, "script", &self, &c, &origin, NULL));
    buf *held = runtime_tokens(rt, origin);
    assert_non_null(held);
    buf_unref(held);
    help_free(state, rt);
}

static void a_config_of_an_earlier_version_is_understood(void **state)
{
    static const char *const subscribe[] = {"jobs"};
    berth_daemon_config c = {.size = offsetof(berth_daemon_config, subscribe),
                             .name = "old",
                             .subscribe = subscribe,
                             .subscribe_count = 1};
    uint64_t origin = 0;
    rt = help_runtime(state, NULL);
    OK(berth_spawn_kind(rt, "echo", NULL, &c, &origin, NULL));
    assert_int_equal(info_of(rt, origin).subscriptions, 0);
    c.size = 8;
    FAILS(berth_spawn_kind(rt, "echo", NULL, &c, &origin, NULL), INVALID);
    help_free(state, rt);
}

/* ---- Services -------------------------------------------------------------------------------- */

static void note_service(void *ctx, slice service, uint64_t origin)
{
    (void)origin;
    snprintf(ctx, 64, "%.*s", (int)service.len, (const char *)service.ptr);
}

/* channels §16.1, §21 number 12 */
static void a_second_server_of_a_service_is_refused_and_the_first_goes_on(void **state)
{
    static const char *const serve[] = {"echo"}, *const both[] = {"first", "echo"};
    berth_daemon_config c = {.size = sizeof(c), .name = "one", .serve = serve, .serve_count = 1};
    char text[64] = "";
    uint64_t a, b, origin = 0;
    berth_error error = {0};
    rt = help_runtime(state, NULL);
    OK(berth_spawn_kind(rt, "script", NULL, &c, &a, NULL));
    runtime_services(rt, note_service, text);
    assert_string_equal(text, "echo");
    refused(&(berth_daemon_config){.size = sizeof(c), .serve = both, .serve_count = 2},
            BERTH_ERR_EXISTS, "service 'echo' is served by daemon 'one'");
    assert_false(runtime_service_find(rt, slice_str("first"), &origin)); /* all or nothing */
    b = spawn_of(rt, "script");
    FAILS(berth_subscribe_channel(rt, b, 0, "echo.requests", NULL, 0, &error), EXISTS);
    FAILS(berth_subscribe_group(rt, b, 3, "echo.requests", "g", NULL, 0, &error), EXISTS);
    FAILS(runtime_subscribe(rt, b, slice_str("echo.requests"), (slice){0}, true, &error), EXISTS);
    assert_int_equal(info_of(rt, b).subscriptions, 0);
    OK(tell_it(rt, b, "sub:echo.requests")); /* logged, and nothing else */
    assert_int_equal(info_of(rt, b).subscriptions, 0);
    assert_true(runtime_service_find(rt, slice_str("echo"), &origin));
    assert_int_equal(origin, a);
    OK(berth_stop(rt, a, 0, NULL));
    assert_false(runtime_service_find(rt, slice_str("echo"), &origin));
    OK(berth_subscribe_channel(rt, b, 0, "echo.requests", NULL, 0, &error));
    assert_true(runtime_service_find(rt, slice_str("echo"), &origin));
    assert_int_equal(origin, b);
    OK(berth_unsubscribe_channel(rt, b, 0, "echo.requests", &error));
    assert_false(runtime_service_find(rt, slice_str("echo"), &origin));
    help_free(state, rt);
}

static void a_batch_cannot_serve_a_service_twice(void **state)
{
    static const char *const serve[] = {"echo"};
    berth_keypair keys[3] = {key_of(1), key_of(2), key_of(3)};
    berth_daemon_config c = {.size = sizeof(c), .serve = serve, .serve_count = 1};
    uint64_t origin;
    rt = help_runtime(state, NULL);
    FAILS(berth_spawn_batch(rt, "script", keys, 3, &c, NULL, NULL), EXISTS);
    assert_int_equal(berth_daemon_count(rt), 0);
    assert_false(runtime_service_find(rt, slice_str("echo"), &origin));
    help_free(state, rt);
}

/* ---- They move ------------------------------------------------------------------------------- */

static void groups_and_tokens_move_with_the_daemon(void **state)
{
    static const char *const subscribe[] = {"jobs@workers", "news"}, *const serve[] = {"echo"};
    berth_keypair owner = key_of(77), self = key_of(5);
    berth_token_chain t =
        issue(&owner, self.entity, BERTH_SCOPE_SUBSCRIBE | BERTH_SCOPE_PUBLISH, "jobs", 0, 100);
    given g;
    berth_daemon_config c = {.size = sizeof(c),
                             .subscribe = subscribe,
                             .subscribe_count = 2,
                             .serve = serve,
                             .serve_count = 1,
                             .tokens = &g.token,
                             .token_count = 1};
    container read;
    void *bytes = NULL;
    uint64_t origin, len = 0, reached, other;
    slice group;
    binding b;
    ledger l;
    rt = help_runtime(state, NULL);
    give(&g, &t, NULL);
    OK(berth_spawn_kind(rt, "script", &self, &c, &origin, NULL));
    OK(berth_snapshot(rt, origin, &bytes, &len, NULL));
    OK(container_decode(&read, slice_of(bytes, len), NULL));
    /* The token is in CDS1's own ledger, where any reader of it finds it. */
    OK(ledger_decode(&l, read.snapshot.bindings, NULL));
    assert_int_equal(l.count, 3);
    assert_true(ledger_find(&l, 0, slice_str("jobs"), &b));
    assert_true(b.has_token && b.token.len == g.token.len);
    assert_memory_equal(b.token.ptr, g.bytes, g.token.len);
    assert_true(ledger_find(&l, 0, slice_str("news"), &b) && !b.has_token);
    assert_true(bonds_find(&read.bonds, slice_str("jobs"), &group));
    assert_true(slice_eq(group, slice_str("workers")));
    assert_int_equal(read.bonds.channel_count, 1);
    assert_int_equal(read.bonds.token_count, 1);
    ledger_fini(&l);
    container_fini(&read);
    OK(berth_stop(rt, origin, 0, NULL));
    help_free(state, rt);

    rt = help_runtime(state, NULL); /* elsewhere */
    OK(berth_spawn_from_snapshot(rt, NULL, &self, bytes, len, NULL, &origin, NULL));
    other = spawn_of(rt, "script");
    OK(berth_subscribe_group(rt, other, 0, "jobs", "workers", NULL, 0, NULL));
    OK(runtime_publish(rt, slice_str("jobs"), slice_str("add:1"), NULL, NULL, &reached, NULL));
    assert_int_equal(reached, 1);
    assert_true(runtime_service_find(rt, slice_str("echo"), &other) && other == origin);
    buf *held = runtime_tokens(rt, origin);
    assert_non_null(held);
    buf_unref(held);
    free(bytes);
    help_free(state, rt);
}

static void a_daemon_whose_service_is_served_cannot_be_restored(void **state)
{
    berth_keypair self = key_of(5);
    uint64_t a, b, len = 0;
    berth_error error = {0};
    void *bytes = NULL;
    rt = help_runtime(state, NULL);
    OK(berth_spawn_kind(rt, "script", &self, NULL, &a, NULL));
    OK(berth_subscribe_channel(rt, a, 0, "echo.requests", NULL, 0, NULL));
    OK(berth_snapshot(rt, a, &bytes, &len, NULL));
    OK(berth_stop(rt, a, 0, NULL));
    b = spawn_of(rt, "script");
    OK(berth_subscribe_channel(rt, b, 0, "echo.requests", NULL, 0, NULL));
    FAILS(berth_spawn_from_snapshot(rt, NULL, &self, bytes, len, NULL, &a, &error), EXISTS);
    CONTAINS(error.text, "service 'echo'");
    assert_int_equal(berth_daemon_count(rt), 1);
    free(bytes);
    help_free(state, rt);
}

/* ---- Tokens of a daemon that runs ------------------------------------------------------------ */

typedef struct entries {
    unsigned count;
    uint64_t len;
    uint8_t token[BERTH_TOKEN_CHAIN_SIZE];
} entries;

static void note_entry(void *ctx, uint64_t publisher, const char *channel, const void *token,
                       uint64_t len)
{
    entries *e = ctx;
    (void)publisher, (void)channel;
    e->count++;
    e->len = len;
    if (len)
        memcpy(e->token, token, len);
}

static void a_token_that_lasts_longer_takes_the_place_of_another(void **state)
{
    berth_keypair owner = key_of(77), self = key_of(5);
    berth_token_chain t = issue(&owner, self.entity, BERTH_SCOPE_SUBSCRIBE, "jobs", 0, 100);
    entries e = {0};
    uint64_t d;
    given g;
    rt = help_runtime(state, NULL);
    OK(berth_spawn_kind(rt, "script", &self, NULL, &d, NULL));
    OK(tell_it(rt, d, "sub:jobs"));
    give(&g, &t, NULL);
    OK(berth_give_token(rt, d, g.bytes, g.token.len, NULL));
    OK(berth_subscriptions(rt, d, note_entry, &e, NULL));
    assert_int_equal(e.count, 1);
    assert_memory_equal(e.token, g.bytes, g.token.len);
    t = issue(&owner, self.entity, BERTH_SCOPE_SUBSCRIBE, "jobs", 0, 5000);
    give(&g, &t, NULL);
    OK(berth_give_token(rt, d, g.bytes, g.token.len, NULL));
    OK(berth_subscriptions(rt, d, note_entry, &e, NULL));
    assert_memory_equal(e.token, g.bytes, g.token.len);
    t = issue(&owner, owner.entity, BERTH_SCOPE_SUBSCRIBE, "jobs", 0, 5000);
    give(&g, &t, NULL);
    FAILS(berth_give_token(rt, d, g.bytes, g.token.len, NULL), REFUSED);
    FAILS(berth_give_token(rt, d + 1, g.bytes, g.token.len, NULL), NOT_FOUND);
    FAILS(berth_give_token(rt, d, g.bytes, 3, NULL), CORRUPT);
    help_free(state, rt);
}

/* A token that was there before the daemon thought of subscribing. */
static void what_a_daemon_subscribes_to_itself_is_shown_the_token_it_holds(void **state)
{
    berth_keypair owner = key_of(77), self = key_of(5);
    berth_token_chain t = issue(&owner, self.entity, BERTH_SCOPE_SUBSCRIBE, "jobs", 0, 100);
    entries e = {0};
    uint64_t d;
    given g;
    berth_daemon_config c = {.size = sizeof(c), .tokens = &g.token, .token_count = 1};
    rt = help_runtime(state, NULL);
    give(&g, &t, NULL);
    OK(berth_spawn_kind(rt, "script", &self, &c, &d, NULL));
    OK(tell_it(rt, d, "sub:jobs"));
    OK(berth_subscriptions(rt, d, note_entry, &e, NULL));
    assert_int_equal(e.len, g.token.len);
    OK(tell_it(rt, d, "unsub:jobs sub:other"));
    OK(berth_subscriptions(rt, d, note_entry, &e, NULL));
    assert_int_equal(e.len, 0); /* it is for another channel */
    help_free(state, rt);
}

static void what_it_hears_is_shown_without_waiting_for_it(void **state)
{
    rt = help_runtime(state, NULL);
    uint64_t d = spawn_of(rt, "script");
    OK(runtime_subscribe(rt, d, slice_str("jobs"), slice_str("workers"), true, NULL));
    FAILS(runtime_subscribe(rt, d, slice_str("news"), (slice){0}, false, NULL), NOT_FOUND);
    OK(runtime_subscribe(rt, d, slice_str("jobs"), (slice){0}, false, NULL));
    assert_int_equal(info_of(rt, d).subscriptions, 0);
    help_free(state, rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(one_publish_reaches_one_of_a_group),
        BOTH(a_group_is_changed_by_subscribing_again),
        INLINE(a_group_has_a_name_that_fits),
        BOTH(a_spawn_that_asks_for_what_cannot_be_leaves_no_daemon),
        INLINE(a_token_that_the_daemon_cannot_use_is_refused_by_name),
        INLINE(a_token_may_be_given_ahead),
        INLINE(a_config_of_an_earlier_version_is_understood),
        BOTH(a_second_server_of_a_service_is_refused_and_the_first_goes_on),
        INLINE(a_batch_cannot_serve_a_service_twice),
        BOTH(groups_and_tokens_move_with_the_daemon),
        INLINE(a_daemon_whose_service_is_served_cannot_be_restored),
        INLINE(a_token_that_lasts_longer_takes_the_place_of_another),
        INLINE(what_a_daemon_subscribes_to_itself_is_shown_the_token_it_holds),
        INLINE(what_it_hears_is_shown_without_waiting_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
