/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin file that one host lends and another receives: under which rules, and what stays when
 * they say no. */
#include "plugin_fixture.h"

#include "base/text.h"
#include "plugin/travel.h"

/* The fixture is the host that receives; this is the one that lends. */
static fixture lender;

static int setup(void **state)
{
    fixture *f;

    if (fixture_setup(state) != 0)
        return -1;
    f = *state;
    lender = (fixture){.key = f->key, .other = f->other};
    snprintf(lender.dir, sizeof lender.dir, "%s", f->dir);
    snprintf(lender.state, sizeof lender.state, "%s/lender", f->dir);
    snprintf(lender.drop, sizeof lender.drop, "%s", f->drop);
    if (mkdir(lender.state, 0700) != 0)
        return -1;
    fixture_policy(&lender, &(policy_options){.trusted = (const char *const[]){
                                                  f->key.line, f->other.line, NULL}});
    fixture_start(&lender);
    return 0;
}

static int teardown(void **state)
{
    plugins_free(lender.set);
    policy_unref(lender.policy);
    return fixture_teardown(state);
}

/* The fixture trusts this key, also for what it fetches. */
static void fetch_from(fixture *f, const key_pair *k, const char *const *revoked)
{
    const policy_key_options key = {.name = "friend", .key = k->line, .fetch = true};

    fixture_policy(f, &(policy_options){.keys = &key, .key_count = 1, .revoked = revoked});
}

static plugins_loaded lend(fixture *f, const char *built, const key_pair *k, plugin_lent **out)
{
    plugins_loaded loaded;

    assert_ok(plugins_load(lender.set, operator_file(&lender, built, k), NULL, &loaded, ERROR));
    unlink(f->mark);
    assert_ok(plugins_lend(lender.set, loaded.digest, out, ERROR));
    return loaded;
}

static berth_status receive(fixture *f, const plugin_lent *lent, const uint8_t *digest,
                            plugin_coming **in, berth_error *error)
{
    memset(error, 0, sizeof *error);
    return plugins_receive(f->set, digest, plugin_lent_size(lent), plugin_lent_signature(lent), in,
                           error);
}

/* All of it in pieces, with one byte changed if flip is in it. */
static void pass_on(const plugin_lent *lent, plugin_coming *in, uint64_t flip)
{
    uint64_t size = plugin_lent_size(lent);
    uint8_t piece[5000];

    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < sizeof piece ? (size_t)(size - at) : sizeof piece;

        assert_ok(plugin_lent_read(lent, at, piece, n, ERROR));
        if (flip >= at && flip < at + n)
            piece[flip - at] ^= 1;
        assert_ok(plugin_coming_add(in, slice_of(piece, n), ERROR));
        at += n;
    }
}

#define NO_FLIP UINT64_MAX

static void expect_error(berth_status status, const berth_error *error, berth_status code,
                         const char *text)
{
    if (status != code || !strstr(error->text, text))
        fail_msg("expected %s with '%s', got %s: %s", berth_status_name(code), text,
                 berth_status_name(status), error->text);
}

/* It is refused before a byte has come, and leaves nothing. */
static void refuse_offer(fixture *f, const plugin_lent *lent, const uint8_t *digest,
                         berth_status code, const char *text)
{
    unsigned files = stored_files(f), fds = open_descriptors();
    plugin_coming *in;
    berth_error error;

    expect_error(receive(f, lent, digest, &in, &error), &error, code, text);
    assert_null(in);
    assert_int_equal(stored_files(f), files);
    assert_int_equal(open_descriptors(), fds);
}

/* It comes, is refused then, no code of it runs, and it leaves nothing. */
static void refuse_file(fixture *f, const plugin_lent *lent, const uint8_t *digest, uint64_t flip,
                        bool judged, berth_status code, const char *text)
{
    unsigned files = stored_files(f), fds = open_descriptors();
    bool was_judged = !judged;
    plugin_coming *in;
    berth_error error;

    assert_ok(receive(f, lent, digest, &in, ERROR));
    pass_on(lent, in, flip);
    memset(&error, 0, sizeof error);
    expect_error(plugin_coming_load(in, "plain", NULL, &was_judged, &error), &error, code, text);
    plugin_coming_end(in);
    assert_int_equal(was_judged, judged);
    assert_false(constructor_ran(f));
    assert_int_equal(stored_files(f), files);
    assert_int_equal(open_descriptors(), fds);
    assert_int_equal(loaded_plugins(f->set), 0);
}

/* trust 2 */
static void what_is_lent_is_received_verified_and_kept(void **state)
{
    fixture *f = *state;
    plugins_load_options restart = {.source = PLUGINS_RESTART};
    plugins_loaded lent_one, loaded;
    plugin_coming *in;
    plugin_lent *lent;
    bool judged;

    lent_one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    assert_ok(receive(f, lent, lent_one.digest, &in, ERROR));
    pass_on(lent, in, NO_FLIP);
    assert_ok(plugin_coming_load(in, "plain", &loaded, &judged, ERROR));
    plugin_coming_end(in);
    plugin_lent_end(lent);
    assert_true(judged && loaded.has_key && !loaded.already);
    assert_string_equal(loaded.key_name, "friend");
    assert_memory_equal(loaded.digest, lent_one.digest, DIGEST_BYTES);
    assert_true(has_kind(f->set, "plain"));
    assert_int_equal(stored_files(f), 2); /* with its signature, and nothing else */
    fixture_restart(f);
    assert_ok(plugins_load_digest(f->set, loaded.digest, &restart, NULL, ERROR));
}

static void one_that_was_loaded_meanwhile_is_not_loaded_again(void **state)
{
    fixture *f = *state;
    plugins_loaded lent_one, loaded;
    plugin_coming *in;
    plugin_lent *lent;
    bool judged;

    lent_one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    assert_ok(receive(f, lent, lent_one.digest, &in, ERROR));
    pass_on(lent, in, NO_FLIP);
    assert_ok(plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, NULL, ERROR));
    assert_ok(plugin_coming_load(in, "plain", &loaded, &judged, ERROR));
    plugin_coming_end(in);
    plugin_lent_end(lent);
    assert_true(loaded.already);
    assert_int_equal(loaded_plugins(f->set), 1);
    assert_int_equal(stored_files(f), 2);
}

static void only_what_a_key_with_fetch_signed_may_come(void **state)
{
    fixture *f = *state;
    plugins_loaded one;
    plugin_lent *lent;

    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fixture_policy(f, &(policy_options){0}); /* no key at all, unsigned ones are let in */
    refuse_offer(f, lent, one.digest, BERTH_ERR_REFUSED, "is not signed by a key that this host");
    fetch_from(f, &f->other, NULL);
    refuse_offer(f, lent, one.digest, BERTH_ERR_REFUSED, "is not signed by a key that this host");
    fixture_trust_key(f); /* the short form */
    refuse_offer(f, lent, one.digest, BERTH_ERR_REFUSED, "fetch = yes");
    plugin_lent_end(lent);
}

/* The key's id is a claim: the signature decides. */
static void a_key_that_is_only_named_does_not_help(void **state)
{
    fixture *f = *state;
    key_pair named = f->other;
    plugins_loaded one;
    plugin_lent *lent;

    memcpy(named.public.id, f->key.public.id, sizeof named.public.id);
    minisign_public_line(named.line, &named.public);
    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fetch_from(f, &named, NULL);
    refuse_file(f, lent, one.digest, NO_FLIP, true, BERTH_ERR_SIGNATURE, "");
    plugin_lent_end(lent);
}

static void of_two_keys_with_one_id_the_one_that_signed_it_counts(void **state)
{
    fixture *f = *state;
    key_pair named = f->other;
    plugins_loaded one;
    plugin_lent *lent;
    policy_key_options keys[2] = {{.name = "friend", .fetch = true}, {.name = "author"}};

    memcpy(named.public.id, f->key.public.id, sizeof named.public.id);
    minisign_public_line(named.line, &named.public);
    keys[0].key = named.line;
    keys[1].key = f->key.line;
    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fixture_policy(f, &(policy_options){.keys = keys, .key_count = 2});
    refuse_file(f, lent, one.digest, NO_FLIP, true, BERTH_ERR_REFUSED,
                "signed by key 'author', whose plugins are not fetched");
    plugin_lent_end(lent);
}

static void a_revoked_digest_does_not_come(void **state)
{
    fixture *f = *state;
    char hex[65];
    const char *revoked[] = {hex, NULL};
    plugins_loaded one;
    plugin_lent *lent;

    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    hex_encode(hex, slice_of(one.digest, DIGEST_BYTES));
    fetch_from(f, &f->key, revoked);
    refuse_offer(f, lent, one.digest, BERTH_ERR_REFUSED, "is revoked on this host");
    plugin_lent_end(lent);
}

static void a_version_below_the_floor_does_not_come(void **state)
{
    fixture *f = *state;
    berth_error error = {0};
    plugins_loaded one;
    plugin_coming *in;
    plugin_lent *lent;
    bool judged, gone;
    char why_not[128];

    one = lend(f, PLUGIN("versioned-1"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("versioned-2"), &f->key), NULL, NULL, ERROR));
    assert_ok(plugins_retire(f->set, slice_str("versioned"), false, &gone, why_not, sizeof why_not,
                             ERROR));
    assert_ok(receive(f, lent, one.digest, &in, ERROR));
    pass_on(lent, in, NO_FLIP);
    expect_error(plugin_coming_load(in, "versioned", NULL, &judged, &error), &error,
                 BERTH_ERR_REFUSED, "version 2.0.0 was loaded here before");
    plugin_coming_end(in);
    plugin_lent_end(lent);
    assert_true(judged);
}

static void what_is_not_the_file_that_was_asked_for_is_dropped(void **state)
{
    fixture *f = *state;
    uint8_t other[DIGEST_BYTES] = {1};
    plugins_loaded one;
    plugin_lent *lent;

    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    refuse_file(f, lent, one.digest, 0, false, BERTH_ERR_CORRUPT, "not the file that was asked");
    refuse_file(f, lent, one.digest, plugin_lent_size(lent) - 1, false, BERTH_ERR_CORRUPT,
                "not the file that was asked");
    refuse_file(f, lent, other, NO_FLIP, false, BERTH_ERR_CORRUPT, "not the file that was asked");
    plugin_lent_end(lent);
}

static void one_without_the_kind_is_not_loaded(void **state)
{
    fixture *f = *state;
    plugins_loaded one;
    plugin_lent *lent;

    one = lend(f, PLUGIN("plain-2"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    refuse_file(f, lent, one.digest, NO_FLIP, true, BERTH_ERR_REFUSED,
                "does not provide kind 'plain'");
    plugin_lent_end(lent);
}

static void lies_about_the_length_are_noticed(void **state)
{
    fixture *f = *state;
    plugins_loaded one;
    plugin_coming *in;
    plugin_lent *lent;
    berth_error error = {0};
    bool judged = true;

    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    expect_error(plugins_receive(f->set, one.digest, plugins_max_file(f->set) + 1,
                                 plugin_lent_signature(lent), &in, &error),
                 &error, BERTH_ERR_LIMIT, "a plugin may have");
    assert_ok(plugins_receive(f->set, one.digest, 100, plugin_lent_signature(lent), &in, ERROR));
    assert_ok(plugin_coming_add(in, slice_of(f->dir, 60), ERROR));
    expect_error(plugin_coming_add(in, slice_of(f->dir, 41), &error), &error, BERTH_ERR_LIMIT,
                 "goes on behind its end");
    expect_error(plugin_coming_load(in, "plain", NULL, &judged, &error), &error, BERTH_ERR_INVALID,
                 "it ends after 60 of 100 bytes");
    assert_false(judged);
    plugin_coming_end(in);
    assert_int_equal(stored_files(f), 0);
    expect_error(plugins_receive(f->set, one.digest, 100, slice_str("no signature"), &in, &error),
                 &error, BERTH_ERR_SIGNATURE, "the signature");
    plugin_lent_end(lent);
}

static void half_a_file_is_gone_after_a_restart(void **state)
{
    fixture *f = *state;
    plugins_loaded one;
    plugin_coming *in;
    plugin_lent *lent;
    char path[128];
    int fd;

    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    fetch_from(f, &f->key, NULL);
    assert_ok(receive(f, lent, one.digest, &in, ERROR));
    assert_int_equal(stored_files(f), 1);
    plugin_coming_end(in);
    assert_int_equal(stored_files(f), 0);
    /* As if the host had been killed in between. */
    snprintf(path, sizeof path, "%s/plugins/.load-0123456789abcdef", f->state);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    fixture_restart(f);
    assert_int_equal(stored_files(f), 0);
    plugin_lent_end(lent);
}

static void only_what_is_signed_trusted_and_not_revoked_is_lent(void **state)
{
    fixture *f = *state;
    char hex[65];
    const char *revoked[] = {hex, NULL};
    const char *const trusted[] = {f->key.line, NULL};
    const char *const others[] = {f->other.line, NULL};
    plugins_loaded one;
    plugin_lent *lent;

    one = lend(f, PLUGIN("plain"), &f->key, &lent);
    plugin_lent_end(lent);
    hex_encode(hex, slice_of(one.digest, DIGEST_BYTES));
    fixture_policy(&lender, &(policy_options){.trusted = trusted, .revoked = revoked});
    expect_error(plugins_lend(lender.set, one.digest, &lent, ERROR), ERROR, BERTH_ERR_REFUSED,
                 "is revoked");
    fixture_policy(&lender, &(policy_options){.trusted = others});
    expect_error(plugins_lend(lender.set, one.digest, &lent, ERROR), ERROR, BERTH_ERR_SIGNATURE,
                 "does not trust");
    fixture_policy(&lender, &(policy_options){0});
    expect_error(plugins_lend(lender.set, one.digest, &lent, ERROR), ERROR, BERTH_ERR_REFUSED,
                 "does not trust");
    assert_ok(plugins_load(lender.set, operator_file(&lender, PLUGIN("plain-2"), NULL), NULL, &one,
                           ERROR));
    expect_error(plugins_lend(lender.set, one.digest, &lent, ERROR), ERROR, BERTH_ERR_REFUSED,
                 "is not signed");
    one.digest[0] ^= 1;
    expect_error(plugins_lend(lender.set, one.digest, &lent, ERROR), ERROR, BERTH_ERR_NOT_FOUND,
                 "is not in the store");
    assert_null(lent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_lent_is_received_verified_and_kept),
        TEST(one_that_was_loaded_meanwhile_is_not_loaded_again),
        TEST(only_what_a_key_with_fetch_signed_may_come),
        TEST(a_key_that_is_only_named_does_not_help),
        TEST(of_two_keys_with_one_id_the_one_that_signed_it_counts),
        TEST(a_revoked_digest_does_not_come),
        TEST(a_version_below_the_floor_does_not_come),
        TEST(what_is_not_the_file_that_was_asked_for_is_dropped),
        TEST(one_without_the_kind_is_not_loaded),
        TEST(lies_about_the_length_are_noticed),
        TEST(half_a_file_is_gone_after_a_restart),
        TEST(only_what_is_signed_trusted_and_not_revoked_is_lent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
