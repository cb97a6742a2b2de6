/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that move to a host without their kind, which fetches the plugin from where they were, or
 * says why not. */
#include "cli_two.h"

#include "plugin/minisign.h"

#include <dirent.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, ready, end)

#define MAY " --may migrate-in --may orchestrate --may fetch-plugin"

static char key[MINISIGN_PUBLIC_LINE];

/* Of a size that takes its time on a slow link, whatever it was built with. */
#define SIZE 120000

/* A copy, signed by the author. */
static void sign(const char *from, const char *name)
{
    char words[64];

    copy_plugin(from, name);
    assert_int_equal(truncate(in_dir(name), SIZE), 0);
    snprintf(words, sizeof words, "plugin sign %s --key keys/berth.key", name);
    expect(words, NULL, 0, NULL, "");
}

static int ready(void **state)
{
    minisign_public public;
    size_t len = 0;
    char *text;
    int status = begin(state);

    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    text = read_whole("keys/berth.pub", &len);
    assert_int_equal(minisign_public_parse(slice_of(text, len), &public, NULL), BERTH_OK);
    minisign_public_line(key, &public);
    free(text);
    sign(BUILD_DIR "/plugins/tally.so", "tally.so");
    return status;
}

/* What the configurations say: %s is the author's key. */
#define KEYS    "plugins { keys = { \"%s\" } }\n"
#define FRIEND  "plugin-key \"friend\" { key = \"%s\" fetch = yes }\n"
#define FETCHES "migration { fetch = yes }\n"
#define SLOW(kbit)                                                                                 \
    "mesh { listen = { 127.0.0.1:0 } impair = \"rate=" #kbit "kbit\" }\n" /* of what leaves */
#define FAST LISTEN "\n"

static void configure_with_key(unsigned i, const char *format)
{
    char text[1024];

    snprintf(text, sizeof text, format, key);
    configure(i, text);
}

static void start_source(const char *plugin)
{
    char words[128];

    snprintf(words, sizeof words, "--plugin {}/%s", plugin);
    start_with(0, words);
}

/* Both up and connected; a has loaded the plugin. */
static void hosts_up(const char *may, const char *source, const char *target, const char *plugin)
{
    granted = may;
    configure_with_key(0, source);
    configure_with_key(1, target);
    start_source(plugin);
    start_with(1, "");
    meet();
}

static void hosts_down(void)
{
    stop(0);
    stop(1);
}

static void spawn(const char *kind, const char *name)
{
    char words[128];

    snprintf(words, sizeof words, "daemon spawn %s --name %s", kind, name);
    free(said(0, words));
}

static void ends(unsigned host, const char *words, int code, const char *text)
{
    run r;

    run_berth(&r, at(host, words), NULL);
    if (r.code != code || !(strstr(r.output, text) || strstr(r.errors, text)))
        fail_msg("berth %s\nanswered %d, not %d\nprinted: %s\nsaid: %s\nnot: %s", words, r.code,
                 code, r.output, r.errors, text);
    run_free(&r);
}

/* The daemon is there, and has counted these words so far. */
static void tallies(unsigned host, const char *name, const char *event, const char *total)
{
    char words[64], line[64];

    snprintf(words, sizeof words, "send %s --reply", name);
    snprintf(line, sizeof line, "{\"total\":%s}\n", total);
    expect(at(host, words), event, 0, NULL, "");
    expect(at(host, words), "?total", 0, line, "");
}

static uint64_t metric(unsigned host, const char *name)
{
    char *text = said(host, "metrics"), line[128], *found;
    uint64_t value;

    snprintf(line, sizeof line, "\n%s ", name);
    found = strstr(text, line);
    assert_non_null(found);
    value = strtoull(found + strlen(line), NULL, 10);
    free(text);
    return value;
}

/* Files in b's store of plugins: those that are there, and those on their way. */
static unsigned stored(bool on_the_way)
{
    DIR *d = opendir(in_dir("b/plugins"));
    unsigned n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += on_the_way ? strncmp(e->d_name, ".load-", 6) == 0 : strlen(e->d_name) >= 64;
    closedir(d);
    return n;
}

/* ---- It comes -------------------------------------------------------------------------------- */

static void a_kind_that_is_not_there_comes_along(void **state)
{
    char *text;

    (void)state;
    hosts_up(MAY, FAST KEYS, FAST FRIEND FETCHES "daemon \"waiting\" { kind = tally }\n",
             "tally.so");
    spawn("tally", "t");
    tallies(0, "t", "one two", "2");
    ends(0, "migrate t b", 0, "t runs on b now");
    tallies(1, "waiting", "one", "1"); /* what else wants it has it, too */
    until(0, "peer show b", "kind:tally");
    tallies(1, "t", "three", "3");
    text = said(1, "plugin ls");
    assert_non_null(strstr(text, "tally"));
    assert_non_null(strstr(text, "friend"));
    free(text);
    assert_int_equal(metric(1, "berth_plugins_fetched_total"), 1);
    assert_int_equal(metric(1, "berth_plugin_fetches_refused_total"), 0);
    assert_true(metric(1, "berth_plugin_fetch_received_bytes_total") > SIZE);
    assert_true(metric(0, "berth_plugin_fetch_sent_bytes_total") > SIZE);
    assert_int_equal(stored(true), 0);
    assert_int_equal(stored(false), 2);
    spawn("tally", "u"); /* and another one finds it there */
    ends(0, "migrate u b", 0, "u runs on b now");
    assert_int_equal(metric(1, "berth_plugins_fetched_total"), 1);
    stop(1);
    start_with(1, ""); /* it comes back from b's own store */
    tallies(1, "t", "four", "4");
    hosts_down();
}

static void one_that_another_host_orders_tells_how_it_goes(void **state)
{
    run r;

    (void)state;
    /* So slow that it takes a second or two. */
    hosts_up(MAY, SLOW(120) KEYS, FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    run_start(&r, at(1, "migrate t@a b"));
    until(0, "migration ls", "b fetches the plugin");
    until(1, "migration ls", "b fetches the plugin");
    run_finish(&r, NULL, 0);
    if (r.code != 0 || !strstr(r.output, "runs on b now"))
        fail_msg("%d: %s%s", r.code, r.output, r.errors);
    run_free(&r);
    tallies(1, "t", "one", "1");
    hosts_down();
}

static void many_that_need_the_same_fetch_it_once(void **state)
{
    (void)state;
    hosts_up(MAY, SLOW(800) KEYS, FAST FRIEND FETCHES, "tally.so");
    for (int i = 0; i < 6; i++) {
        char name[16];

        snprintf(name, sizeof name, "t%d", i);
        spawn("tally", name);
    }
    ends(0, "daemon evacuate a --to b --parallel 6", 0, "moved 6 of 6 daemons");
    tallies(1, "t5", "one", "1");
    assert_int_equal(metric(1, "berth_plugins_fetched_total"), 1);
    hosts_down();
}

static void another_that_waits_goes_on_when_the_first_is_stopped(void **state)
{
    char *first, *second, words[64];

    (void)state;
    hosts_up(MAY, SLOW(120) KEYS, FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    spawn("tally", "u");
    first = member(0, "migrate t b --no-wait --json", "id", NULL);
    while (!stored(true))
        ends(1, "migration ls", 0, "");
    second = member(0, "migrate u b --no-wait --json", "id", NULL);
    snprintf(words, sizeof words, "migration show %s", second);
    until(1, words, "which fetches the plugin");
    snprintf(words, sizeof words, "migration abort %s", first);
    ends(0, words, 0, "stopped: t stays on a");
    snprintf(words, sizeof words, "migration show %s", second);
    until(0, words, "moved");
    free(first);
    free(second);
    tallies(0, "t", "one", "1");
    tallies(1, "u", "one", "1");
    assert_int_equal(metric(1, "berth_plugins_fetched_total"), 1);
    while (stored(true))
        ends(1, "migration ls", 0, "");
    hosts_down();
}

static void one_that_is_stopped_meanwhile_leaves_nothing(void **state)
{
    char *id, words[64];

    (void)state;
    hosts_up(MAY, SLOW(80) KEYS, FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    id = member(0, "migrate t b --no-wait --json", "id", NULL);
    while (!stored(true))
        ends(1, "migration ls", 0, "");
    snprintf(words, sizeof words, "migration show %s", id);
    ends(0, words, 0, "b, which fetches the plugin");
    snprintf(words, sizeof words, "migration abort %s", id);
    ends(0, words, 0, "stopped: t stays on a");
    free(id);
    while (stored(true))
        ends(1, "migration ls", 0, "");
    assert_int_equal(stored(false), 0);
    tallies(0, "t", "one", "1");
    hosts_down();
}

static void its_deadline_bounds_the_fetching_too(void **state)
{
    (void)state;
    hosts_up(MAY, SLOW(80) KEYS, FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    ends(0, "migrate t b --deadline 1s", 5, "t stays on a: timeout");
    tallies(0, "t", "one", "1");
    while (stored(true))
        ends(1, "migration ls", 0, "");
    hosts_down();
}

/* ---- It does not ----------------------------------------------------------------------------- */

static void nothing_is_fetched_unless_both_hosts_and_the_key_say_so(void **state)
{
    static const struct {
        const char *may, *target;
        int code;
        const char *says;
    } rows[] = {
        {MAY, FAST FRIEND "migration { fetch = no }\n", 1,
         "fetched with `migration { fetch = yes }`"},
        {MAY, FAST FRIEND, 1,
         "factory-not-found: no loaded plugin provides kind 'tally' (state version "},
        {MAY, FAST KEYS FETCHES, 4, "say fetch = yes in plugin-key"},
        {MAY, FAST "plugin-key \"friend\" { key = \"%s\" }\n" FETCHES, 4,
         "signed by key 'friend', whose plugins are not fetched"},
        {MAY, FAST "plugin-key \"friend\" { key = \"%s\" fetch = yes kinds = { other } }\n" FETCHES,
         4, "provides kind 'tally', which key 'friend' may not sign"},
        {MAY, FAST FETCHES "# %s\n", 4, "is not signed by a key that this host trusts"},
        {" --may migrate-in --may orchestrate", FAST FRIEND FETCHES, 4,
         "no `may = fetch-plugin` is granted to it"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hosts_up(rows[i].may, FAST KEYS, rows[i].target, "tally.so");
        spawn("tally", "t");
        ends(0, "migrate t b", rows[i].code, rows[i].says);
        ends(0, "migration ls", 0, "kind 'tally' (state version 1, plugin 'tally' ");
        tallies(0, "t", "one", "1");
        assert_int_equal(metric(1, "berth_plugins_fetched_total"), 0);
        if (i > 1 && i + 1 < sizeof rows / sizeof *rows)
            assert_int_equal(metric(1, "berth_plugin_fetches_refused_total"), 1);
        assert_int_equal(stored(false) + stored(true), 0);
        hosts_down();
        end(state);
        ready(state);
    }
}

/* Of the first plugin of a. */
static void digest_of(char out[65])
{
    char *text = said(0, "plugin ls --json");
    struct json_object *o = NULL, *array = NULL;
    slice value;

    assert_int_equal(json_parse(slice_str(text), 1 << 20, &o, NULL), BERTH_OK);
    assert_true(json_object_object_get_ex(o, "plugins", &array));
    assert_int_equal(json_get_string(json_object_array_get_idx(array, 0), "", "digest",
                                     JSON_REQUIRED, &value, NULL),
                     BERTH_OK);
    snprintf(out, 65, "%.64s", (const char *)value.ptr);
    json_object_put(o);
    free(text);
}

static void a_revoked_digest_does_not_come(void **state)
{
    char text[1024], digest[65];

    (void)state;
    granted = MAY;
    configure_with_key(0, FAST KEYS);
    start_source("tally.so");
    digest_of(digest);
    snprintf(text, sizeof text, FAST FRIEND FETCHES "plugins { revoked = { %s } }", key, digest);
    configure(1, text);
    start_with(1, "");
    meet();
    spawn("tally", "t");
    ends(0, "migrate t b", 4, "is revoked on this host");
    assert_int_equal(stored(false) + stored(true), 0);
    tallies(0, "t", "one", "1");
    hosts_down();
}

static void a_version_below_the_floor_does_not_come(void **state)
{
    (void)state;
    sign(BUILD_DIR "/tests/plugins/versioned-1.so", "v1.so");
    sign(BUILD_DIR "/tests/plugins/versioned-2.so", "v2.so");
    hosts_up(MAY, FAST KEYS, FAST FRIEND FETCHES, "v1.so");
    free(said(1, "plugin load v2.so"));
    free(said(1, "plugin unload versioned"));
    spawn("versioned", "v");
    ends(0, "migrate v b", 4, "version 2.0.0 was loaded here before");
    expect(at(0, "send v --reply"), "x", 0, "v1 1\n", "");
    hosts_down();
}

static void what_the_source_cannot_vouch_for_is_not_sent(void **state)
{
    (void)state;
    hosts_up(MAY, FAST "# %s\n", FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    ends(0, "migrate t b", 4, "signed by a key that this host does not trust, and is not lent");
    assert_int_equal(unlink(in_dir("tally.so.minisig")), 0);
    hosts_down();
    end(state);
    ready(state);
    assert_int_equal(unlink(in_dir("tally.so.minisig")), 0);
    hosts_up(MAY, FAST "# %s\n", FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    ends(0, "migrate t b", 4, "is not signed, and only what is signed is lent");
    tallies(0, "t", "one", "1");
    hosts_down();
}

static void a_file_that_was_damaged_at_the_source_is_not_sent(void **state)
{
    char path[128], digest[65];
    uint8_t byte;
    int fd;

    (void)state;
    hosts_up(MAY, FAST KEYS, FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    digest_of(digest);
    snprintf(path, sizeof path, "a/plugins/%s.so", digest);
    assert_int_equal(chmod(in_dir(path), 0644), 0);
    fd = open(in_dir(path), O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, lseek(fd, -1, SEEK_END)), 1);
    byte ^= 1; /* behind all that runs */
    assert_int_equal(pwrite(fd, &byte, 1, lseek(fd, -1, SEEK_END)), 1);
    close(fd);
    ends(0, "migrate t b", 1, "does not have the content that its name promises");
    assert_int_equal(stored(false) + stored(true), 0);
    tallies(0, "t", "one", "1");
    hosts_down();
}

static void a_source_that_dies_meanwhile_leaves_nothing(void **state)
{
    (void)state;
    hosts_up(MAY, SLOW(80) KEYS, FAST FRIEND FETCHES, "tally.so");
    spawn("tally", "t");
    free(said(0, "migrate t b --no-wait"));
    while (!stored(true))
        ends(1, "migration ls", 0, "");
    kill(hosts[0].pid, SIGKILL);
    run_finish(&hosts[0], NULL, 0);
    run_free(&hosts[0]);
    configure_with_key(0, FAST KEYS);
    start_source("tally.so");
    introduce(0, true); /* which knows nothing of it any more, and says so */
    while (stored(true))
        ends(1, "migration ls", 0, "");
    until(0, "peer ls", "connected");
    spawn("tally", "u");
    ends(0, "migrate u b", 0, "u runs on b now");
    hosts_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kind_that_is_not_there_comes_along),
        TEST(one_that_another_host_orders_tells_how_it_goes),
        TEST(many_that_need_the_same_fetch_it_once),
        TEST(another_that_waits_goes_on_when_the_first_is_stopped),
        TEST(one_that_is_stopped_meanwhile_leaves_nothing),
        TEST(its_deadline_bounds_the_fetching_too),
        TEST(nothing_is_fetched_unless_both_hosts_and_the_key_say_so),
        TEST(a_revoked_digest_does_not_come),
        TEST(a_version_below_the_floor_does_not_come),
        TEST(what_the_source_cannot_vouch_for_is_not_sent),
        TEST(a_file_that_was_damaged_at_the_source_is_not_sent),
        TEST(a_source_that_dies_meanwhile_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
