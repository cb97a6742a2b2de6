/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots, identities, names and sizes that get a person no daemon. Why is tested in the rooms.
 */
#include "identity/keyfile.h" /* before cmocka.h, which has a macro fail */

#include "cli_refused.h"

/* ---- Daemons --------------------------------------------------------------------------------- */

static void write_identity(const char *name, uint64_t number)
{
    uint8_t seed[32] = {0};
    char text[KEYFILE_TEXT];
    berth_keypair key;
    size_t len = 0;

    for (int i = 0; i < 8; i++)
        seed[i] = (uint8_t)(number >> (8 * i));
    berth_keypair_from_seed(&key, seed);
    assert_int_equal(keyfile_format(text, &len, &key, NULL), BERTH_OK);
    write_file(name, text, len, 0600);
}

/* compute-core §20, §21, K25: also by two whose origins share their low half. */
static void a_bad_snapshot_costs_one_line_and_leaves_nothing(void **state)
{
    size_t len = 0;
    char *good, *bad;
    unsigned fds;

    (void)state;
    write_identity("a.id", 13515);
    write_identity("b.id", 23655);
    host_start("--ephemeral");
    expect("plugin load " BUILD_DIR "/plugins/tally.so", NULL, 0, NULL, "");
    expect("plugin load " PLUGINS "versioned-2.so", NULL, 0, NULL, "");
    expect("daemon spawn tally --name words --identity a.id", NULL, 0, NULL, "");
    expect("send words", "one fish two fish", 0, "", "");
    expect("daemon snapshot words -o good", NULL, 0, NULL, "");
    expect("daemon stop words", NULL, 0, NULL, "");
    good = read_whole("good", &len);
    assert_non_null(good);
    bad = (char *)malloc(len + 1);
    fds = descriptors();
    refused("daemon restore good --identity b.id", NULL, 1, "identity");
    refused("daemon restore nowhere --identity a.id", NULL, 1, "nowhere");
    refused("daemon restore {} --identity a.id", NULL, 1, dir);
    refused("daemon restore good --identity a.id --kind nosuch", NULL, 1, "nosuch");
    refused("daemon restore good --identity a.id --kind versioned", NULL, 1, "berth: ");
    refused("daemon restore good --identity nowhere.id", NULL, 1, "nowhere.id");
    for (size_t cut = 0; cut < len; cut = cut ? cut * 2 : 1) {
        write_file("bad", good, cut, 0600);
        refused("daemon restore bad --identity a.id", NULL, 1, "berth: ");
    }
    for (size_t at = 0; at < len; at += 1 + len / 24) {
        memcpy(bad, good, len);
        bad[at] ^= 0x40;
        write_file("bad", bad, len, 0600);
        refused("daemon restore bad --identity a.id", NULL, 1, "berth: ");
    }
    memcpy(bad, good, len);
    bad[len] = 0;
    write_file("bad", bad, len + 1, 0600);
    refused("daemon restore bad --identity a.id", NULL, 1, "berth: ");
    expect("daemon ls --json", NULL, 0, "{\"daemons\":[]}\n", "");
    await_descriptors(fds);
    expect("daemon restore good --identity a.id", NULL, 0, NULL, "");
    expect("send words --reply", "?count fish", 0, "{\"word\":\"fish\",\"count\":2}\n", "");
    refused("daemon restore good --identity a.id", NULL, 1, "already");
    free(good);
    free(bad);
    host_end();
}

/* State versions: 1 and 2 are read by version 2 of the plugin, 3 only by version 3. */
static void a_state_version_that_the_kind_does_not_read_is_refused(void **state)
{
    (void)state;
    write_identity("a.id", 1);
    for (int newer = 0; newer <= 1; newer++) {
        const char *const load[] = {"plugin load " PLUGINS "versioned-1.so",
                                    "plugin load " PLUGINS "versioned-3.so"};

        host_start("--ephemeral");
        expect(load[newer], NULL, 0, NULL, "");
        expect("daemon spawn versioned --name v --identity a.id", NULL, 0, NULL, "");
        expect("daemon snapshot v -o snapshot", NULL, 0, NULL, "");
        expect("daemon stop v", NULL, 0, NULL, "");
        expect("plugin unload versioned", NULL, 0, NULL, "");
        expect(load[!newer], NULL, 0, NULL, "");
        refused("daemon restore snapshot --identity a.id", NULL, 1, "version");
        expect("daemon ls --json", NULL, 0, "{\"daemons\":[]}\n", "");
        remove(in_dir("snapshot"));
        host_end();
    }
}

static void a_daemon_that_cannot_be_meant_is_said_to_be_none(void **state)
{
    static const char *const verbs[] = {
        "daemon show %s",          "daemon stop %s", "daemon snapshot %s",
        "daemon control %s drain", "send %s",        "tail %s"};
    unsigned fds;

    (void)state;
    host_start("--ephemeral");
    expect("plugin load " PLUGINS "create-fails.so", NULL, 0, NULL, "");
    expect("plugin load " PLUGINS "plain.so", NULL, 0, NULL, "");
    write_identity("a.id", 1);
    expect("daemon spawn plain --name one-a --identity a.id", NULL, 0, NULL, "");
    expect("daemon spawn plain --name one-b", NULL, 0, NULL, "");
    fds = descriptors();
    for (size_t i = 0; i < COUNT(verbs); i++) {
        char words[128];

        snprintf(words, sizeof words, verbs[i], "nobody");
        refused(words, "x", 1, "nobody");
        snprintf(words, sizeof words, verbs[i], "one");
        refused(words, "x", 1, "one-b");
    }
    refused("daemon spawn create-fails", NULL, 1, "create-fails");
    refused("daemon spawn nosuch", NULL, 1, "nosuch");
    refused("daemon spawn plain --name one-a", NULL, 1, "one-a");
    refused("daemon spawn plain --name two --identity a.id", NULL, 1, "already registered");
    refused("plugin unload plain", NULL, 1, "plain");
    refused("plugin unload nosuch", NULL, 1, "nosuch");
    await_descriptors(fds);
    expect("plugin unload create-fails", NULL, 0, NULL, ""); /* it holds nothing of it */
    expect("send one-a --reply", "still here", 0, "still here\n", "");
    host_end();
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static char *many(char c, size_t n)
{
    char *text = (char *)malloc(n + 1);

    memset(text, c, n);
    text[n] = 0;
    return text;
}

static void what_is_too_large_is_refused_and_the_largest_is_not(void **state)
{
    char words[600], *text = many('c', (1 << 20) + 1);

    (void)state;
    host_start("--ephemeral");
    expect("plugin load " PLUGINS "plain.so", NULL, 0, NULL, "");
    expect("plugin load " PLUGINS "wants-config.so", NULL, 0, NULL, "");
    expect("daemon spawn plain --name p", NULL, 0, NULL, "");
    for (int over = 0; over <= 1; over++) {
        snprintf(words, sizeof words, "daemon spawn plain --name %.*s", 127 + over, text);
        over ? refused(words, NULL, 1, "name") : expect(words, NULL, 0, NULL, "");
        snprintf(words, sizeof words, "channel pub %.*s", 255 + over, text);
        over ? refused(words, "x", 1, "255") : expect(words, "x", 0, NULL, "");
        memcpy(text, "21.5", 4);
        write_file("config", text, (64 << 10) + (size_t)over, 0600);
        memcpy(text, "cccc", 4);
        snprintf(words, sizeof words, "daemon spawn wants-config --name c%d --config @config",
                 over);
        over ? refused(words, NULL, 1, "65536") : expect(words, NULL, 0, NULL, "");
        write_file("event", text, (1 << 20) + (size_t)over, 0600);
        over ? refused("send p event", NULL, 1, "1048576")
             : expect("send p event", NULL, 0, "", "");
        over ? refused("channel pub c", text, 1, "1048576")
             : expect("channel pub c", text + 1, 0, NULL, "");
    }
    refused("daemon show c1", NULL, 1, "c1");
    free(text);
    host_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_snapshot_costs_one_line_and_leaves_nothing),
        TEST(a_state_version_that_the_kind_does_not_read_is_refused),
        TEST(a_daemon_that_cannot_be_meant_is_said_to_be_none),
        TEST(what_is_too_large_is_refused_and_the_largest_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
