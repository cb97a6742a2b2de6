/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that move between two hosts, as their operator sees it. */
#include "cli_two.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#define MAY " --may migrate-in --may orchestrate"

static void hosts_up(const char *may)
{
    granted = may;
    connect_hosts();
    until(0, "peer show b", "kind:counter");
    until(1, "peer show a", "kind:counter");
}

static void hosts_down(void)
{
    stop(0);
    stop(1);
}

static void spawn(unsigned host, const char *kind, const char *name)
{
    char words[128];

    snprintf(words, sizeof words, "daemon spawn %s --name %s", kind, name);
    free(said(host, words));
}

/* A counter, by its name or NAME@PEER, has counted so far: this event is the next one. */
static void counts(unsigned host, const char *daemon, const char *count)
{
    char words[128], line[32];

    snprintf(words, sizeof words, "send %s --reply", daemon);
    snprintf(line, sizeof line, "%s\n", count);
    expect(at(host, words), "x", 0, line, "");
}

/* What is printed and said by a command that ends so. */
static void ends(unsigned host, const char *words, int code, const char *text)
{
    run r;

    run_berth(&r, at(host, words), NULL);
    if (r.code != code || !(strstr(r.output, text) || strstr(r.errors, text)))
        fail_msg("berth %s\nanswered %d, not %d\nprinted: %s\nsaid: %s\nnot: %s", words, r.code,
                 code, r.output, r.errors, text);
    run_free(&r);
}

/* ---- It goes --------------------------------------------------------------------------------- */

static void a_daemon_goes_there_and_back_with_what_it_knows(void **state)
{
    char *text, *id;

    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    counts(0, "c", "1");
    ends(0, "migrate c b --dry-run", 0, "c could go from a to b, which has its kind");
    counts(0, "c", "2");
    ends(0, "migrate c b", 0, "c runs on b now; it ran nowhere for ");
    counts(1, "c", "3");
    counts(0, "c@b", "4");
    ends(0, "daemon show c", 1, "there is no daemon 'c'");
    ends(1, "migrate c --auto", 0, "c runs on a now");
    counts(0, "c", "5");

    text = said(0, "migration ls");
    assert_non_null(strstr(text, "moved  complete"));
    free(text);
    id = member(0, "migrate c b --json", "id", NULL);
    assert_int_equal(strlen(id), 32);
    id[10] = '\0';
    for (unsigned i = 0; i < 2; i++) {
        char words[64];

        snprintf(words, sizeof words, "migration show %s", id);
        text = said(i, words);
        assert_non_null(strstr(text, i ? "is its target" : "is its source"));
        assert_non_null(strstr(text, "moved"));
        free(text);
        snprintf(words, sizeof words, "migration abort %s", id);
        ends(i, words, 1, "is over: the daemon was moved");
    }
    free(id);
    ends(0, "migration show nothing", 1, "there is no migration 'nothing'");
    hosts_down();
}

static void a_host_that_orders_it_may_be_neither_of_the_two_sides(void **state)
{
    (void)state;
    hosts_up(MAY);
    spawn(1, "counter", "c");
    counts(1, "c", "1");
    ends(0, "migrate c@b a", 0, "runs on a now"); /* the target orders it */
    counts(0, "c", "2");
    hosts_down();
}

/* Of a daemon of another host, too, whose kind is not known here. */
static void any_host_that_has_the_kind_will_do(void **state)
{
    (void)state;
    hosts_up(MAY);
    spawn(1, "counter", "c");
    ends(0, "migrate c@b --auto --dry-run", 0, "could go from b to a, which has its kind");
    ends(0, "migrate c@b --auto", 0, "runs on a now");
    counts(0, "c", "1");
    ends(0, "migrate c --auto", 0, "runs on b now");
    hosts_down();
}

static void what_happened_to_one_is_shown_line_by_line(void **state)
{
    char words[64], *id;

    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    ends(0, "migrate c b", 0, "");
    id = said(0, "completion migrations");
    id[8] = 0;
    snprintf(words, sizeof words, "migration watch %s", id);
    ends(0, words, 0, "  c to b  transfer  ");
    ends(0, words, 0, "  moved\n");
    ends(0, words, 0, "the end: it is over");
    snprintf(words, sizeof words, "migration watch %s --json", id);
    ends(0, words, 0, "\"phase\":\"cutover\"");
    ends(0, "migration watch nothing", 1, "there is no migration 'nothing'");
    free(id);
    hosts_down();
}

/* Of two kinds of hosts only one may hear it; after a reload both. */
static void what_it_does_not_hear_there_yet_is_told(void **state)
{
    char words[64], *id;

    (void)state;
    granted = MAY;
    configure(0, LISTEN "\nchannel \"news\" { subscribe = \"kind:nothing-has-it\" }");
    configure(1, LISTEN);
    start(0);
    start(1);
    meet();
    until(0, "peer show b", "kind:counter");
    free(said(0, "daemon spawn counter --name c --subscribe news"));
    ends(0, "migrate c b", 0,
         "1 of 1 subscription not yet made: channel news of a: unauthorized; it is tried again");
    ends(0, "migration ls", 0, "1 of 1 subscription not yet made");
    until(1, "migration ls --json", "\"missing\":1,\"channel\":\"news\"");
    id = said(0, "completion migrations");
    id[8] = 0;
    snprintf(words, sizeof words, "migration show %s", id);
    ends(0, words, 0, "channel news of a: unauthorized");
    configure(0, LISTEN "\nchannel \"news\" { }");
    kill(hosts[0].pid, SIGHUP);
    until(0, words, "all that it heard");
    free(id);
    hosts_down();
}

static void the_counters_say_what_moved(void **state)
{
    char *text;

    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    ends(0, "migrate c b", 0, "");
    text = said(0, "metrics");
    assert_non_null(strstr(text, "\nberth_migrations_begun_total 1\n"));
    assert_non_null(strstr(text, "\nberth_migrations_moved_total 1\n"));
    assert_non_null(strstr(text, "\nberth_migrations_under_way 0\n"));
    assert_non_null(
        strstr(text, "\nberth_migration_ends_total{role=\"source\",outcome=\"moved\"} 1\n"));
    assert_non_null(strstr(
        text, "\nberth_migration_phase_entries_total{role=\"source\",phase=\"replay\"} 1\n"));
    assert_non_null(
        strstr(text, "\nberth_migration_phase_seconds_total{role=\"source\",phase=\"transfer\"} "));
    if (system("command -v promtool >/dev/null 2>&1") == 0) {
        FILE *checker = popen("promtool check metrics", "w");

        assert_non_null(checker);
        fputs(text, checker);
        assert_int_equal(pclose(checker), 0);
    }
    free(text);
    until(1, "metrics", "\nberth_migrations_received_total 1\n");
    text = said(0, "completion migrations");
    assert_int_equal(strlen(text), 33);
    free(text);
    hosts_down();
}

/* ---- It stays -------------------------------------------------------------------------------- */

static void what_cannot_be_is_refused_and_the_daemon_stays(void **state)
{
    static const struct {
        const char *words;
        int code;
        const char *says;
    } rows[] = {
        {"migrate c a", 1, "the daemon runs there already"},
        {"migrate c a --dry-run", 1, "it is on that node already"},
        {"migrate c nowhere", 1, "there is no peer 'nowhere'"},
        {"migrate nobody b", 1, "there is no daemon 'nobody'"},
        {"migrate 0123456789abcdef b", 1, "no node is known that runs 0123456789abcdef"},
        {"migrate 0123456789abcdef b --dry-run", 1, "no node is known that runs it"},
        {"migrate nobody@b a", 1, "has the name 'nobody'"},
        {"migrate c@ b", 2, "is not NAME@PEER"},
        {"migrate c", 2, "NODE: is missing"},
        {"migrate c b --auto", 2, "keep one of them"},
        {"migrate c b --deadline 1d", 2, "--deadline: must be a time from 1ms to 24h"},
        {"migrate c b --no-identity", 4, "c stays on a: identity-transport-failed: "},
        {"migrate t b", 1, "t stays on a: factory-not-found: "},
        {"migrate t b --dry-run", 1, "does not say that it has the kind tally"},
        {"migrate t --auto", 1, "no connected node has its kind"},
        {"migrate t --auto --dry-run", 1, "no other node is known that has its kind"},
    };

    (void)state;
    hosts_up(MAY);
    free(said(0, "plugin load " BUILD_DIR "/plugins/tally.so"));
    spawn(0, "counter", "c");
    spawn(0, "tally", "t");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char count[16];

        ends(0, rows[i].words, rows[i].code, rows[i].says);
        snprintf(count, sizeof count, "%zu", i + 1);
        counts(0, "c", count);
    }
    expect(at(0, "send t --reply"), "?total", 0, "{\"total\":0}\n", "");
    hosts_down();
}

static void nobody_is_let_in_or_ordered_away_without_a_grant(void **state)
{
    char *text;

    (void)state;
    hosts_up("");
    spawn(0, "counter", "c");
    ends(0, "migrate c b", 4, "no `may = migrate-in` is granted to it here");
    counts(0, "c", "1");
    ends(1, "migrate c@a b", 4, "no `may = orchestrate` is granted to it here");
    counts(0, "c", "2");
    text = said(1, "metrics");
    assert_non_null(strstr(text, "\nberth_migrations_refused_total 1\n"));
    free(text);
    ends(0, "migration ls", 0, "refused: node ");
    hosts_down();
}

static void a_reload_takes_what_may_come(void **state)
{
    (void)state;
    granted = MAY;
    configure(0, LISTEN);
    configure(1, LISTEN "\nmigration { accept = { \"other.*\" } }");
    start(0);
    start(1);
    meet();
    spawn(0, "counter", "c");
    ends(0, "migrate c b", 4, "kind 'counter' is not in `migration { accept }` here");
    counts(0, "c", "1");
    configure(1, LISTEN "\nmigration { accept = { \"other.*\", \"count*\" } }");
    kill(hosts[1].pid, SIGHUP);
    for (int code = 4; code;) {
        run r;

        run_berth(&r, at(0, "migrate c b"), NULL);
        code = r.code;
        if (code && code != 4)
            fail_msg("%d: %s", code, r.errors);
        run_free(&r);
    }
    counts(1, "c", "2");
    hosts_down();
}

/* ---- It takes long --------------------------------------------------------------------------- */

/* The target hears nothing and is not missed yet: what is begun goes on until it is woken. */
static void freeze(void)
{
    kill(hosts[1].pid, SIGSTOP);
}

static void thaw(void)
{
    kill(hosts[1].pid, SIGCONT);
}

static void one_that_is_on_its_way_is_not_moved_a_second_time(void **state)
{
    char *id, words[96];

    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    freeze();
    id = member(0, "migrate c b --no-wait --json", "id", NULL);
    ends(0, "migrate c b", 1, "daemon is already migrating");
    ends(0, "migrate c b --dry-run", 1, "it is on its way already");
    snprintf(words, sizeof words, "migration resolve %s", id);
    ends(0, words, 2, "--attest-dead");
    strcat(words, " --attest-dead b");
    ends(0, words, 2, "add --yes");
    strcat(words, " --yes");
    ends(0, words, 4, "is not in doubt");
    snprintf(words, sizeof words, "migration abort %s", id);
    ends(0, words, 0, "stopped: c stays on a");
    ends(0, words, 1, "is over: the daemon was not moved");
    counts(0, "c", "1");
    thaw();
    snprintf(words, sizeof words, "migration show %s", id);
    ends(0, words, 0, "cancelled");
    free(id);
    ends(0, "migrate c b", 0, "c runs on b now"); /* nothing of it is left */
    counts(1, "c", "2");
    hosts_down();
}

static void a_deadline_ends_it(void **state)
{
    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    freeze();
    ends(0, "migrate c b --deadline 50ms", 5, "c stays on a: timeout");
    counts(0, "c", "1");
    thaw();
    hosts_down();
}

static void an_interrupt_stops_it_and_says_so(void **state)
{
    run r;

    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    freeze();
    run_start(&r, at(0, "migrate c b"));
    until(0, "migration ls", "moving");
    kill(r.pid, SIGINT);
    run_finish(&r, NULL, 0);
    if (r.code != 1 || !strstr(r.errors, "stopping it\n") ||
        !strstr(r.errors, "c stays on a: cancelled"))
        fail_msg("%d: %s", r.code, r.errors);
    run_free(&r);
    counts(0, "c", "1");
    thaw();
    hosts_down();
}

static void a_host_that_is_being_stopped_keeps_what_has_not_left(void **state)
{
    run r;

    (void)state;
    hosts_up(MAY);
    spawn(0, "counter", "c");
    counts(0, "c", "1");
    freeze();
    run_start(&r, at(0, "migrate c b"));
    until(0, "migration ls", "moving");
    stop(0);
    run_finish(&r, NULL, 0);
    if (r.code != 1 || !strstr(r.errors, "c stays on a: shutting-down"))
        fail_msg("%d: %s", r.code, r.errors);
    run_free(&r);
    thaw();
    start(0);
    counts(0, "c", "2");
    hosts_down();
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void a_host_is_emptied_and_what_stays_is_told(void **state)
{
    char *text;

    (void)state;
    hosts_up(MAY);
    for (unsigned i = 0; i < 9; i++) {
        char name[8];

        snprintf(name, sizeof name, "c%u", i);
        spawn(0, "counter", name);
        counts(0, name, "1");
    }
    ends(0, "daemon evacuate", 2, "NODE: is missing");
    ends(0, "daemon evacuate a --all", 2, "keep one of them");
    ends(0, "daemon evacuate --all --parallel 0", 2, "--parallel: must be from 1 to 32");
    ends(0, "daemon evacuate b", 1, "this host is a, not b");
    free(said(0, "plugin load " BUILD_DIR "/plugins/tally.so"));
    spawn(0, "tally", "t");
    ends(0, "daemon evacuate a --to b --parallel 3", 1, "moved 9 of 10 daemons");
    for (unsigned i = 0; i < 9; i++) {
        char name[8];

        snprintf(name, sizeof name, "c%u", i);
        counts(1, name, "2");
    }
    text = said(0, "daemon ls --json");
    assert_non_null(strstr(text, "\"name\":\"t\""));
    assert_null(strstr(text, "\"name\":\"c"));
    free(text);
    text = said(1, "daemon evacuate --all --json");
    assert_int_equal(strncmp(text, "{\"moved\":9,\"stayed\":0,", 22), 0);
    free(text);
    ends(1, "daemon evacuate --all", 0, "moved 0 of 0 daemons");
    hosts_down();
}

static void a_host_that_is_alone_says_how_it_would_not_be(void **state)
{
    (void)state;
    configure(0, "");
    start(0);
    spawn(0, "counter", "c");
    ends(0, "migrate c b", 1, "this host is alone: it has a mesh when");
    ends(0, "migration ls", 1, "this host is alone");
    ends(0, "daemon evacuate --all", 1, "this host is alone");
    counts(0, "c", "1");
    stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_daemon_goes_there_and_back_with_what_it_knows),
        TEST(a_host_that_orders_it_may_be_neither_of_the_two_sides),
        TEST(any_host_that_has_the_kind_will_do),
        TEST(what_happened_to_one_is_shown_line_by_line),
        TEST(what_it_does_not_hear_there_yet_is_told),
        TEST(the_counters_say_what_moved),
        TEST(what_cannot_be_is_refused_and_the_daemon_stays),
        TEST(nobody_is_let_in_or_ordered_away_without_a_grant),
        TEST(a_reload_takes_what_may_come),
        TEST(one_that_is_on_its_way_is_not_moved_a_second_time),
        TEST(a_deadline_ends_it),
        TEST(an_interrupt_stops_it_and_says_so),
        TEST(a_host_that_is_being_stopped_keeps_what_has_not_left),
        TEST(a_host_is_emptied_and_what_stays_is_told),
        TEST(a_host_that_is_alone_says_how_it_would_not_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
