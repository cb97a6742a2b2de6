/* SPDX-License-Identifier: Apache-2.0 */
/* Two hosts on one machine, as their operator meets them: over real sockets, by the command line.
 */
#include "cli_two.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* ---- Peers ----------------------------------------------------------------------------------- */

static void hosts_that_know_each_others_keys_connect_and_tell(void **state)
{
    char *text, *entity;

    (void)state;
    connect_hosts();
    text = said(0, "peer ping b -n 3 --interval 1");
    assert_non_null(strstr(text, "b: "));
    assert_non_null(strstr(text, "3 sent, 3 answered, 0% lost; round trip min "));
    free(text);
    entity = member(1, "mesh show --json", "entity", NULL);
    text = said(0, "peer show b");
    assert_non_null(strstr(text, entity));
    assert_non_null(strstr(text, "begun here"));
    free(text);
    free(entity);
    until(0, "peer show b", "kind:counter"); /* what it has announced */
    text = said(1, "status");
    assert_non_null(strstr(text, "1 of 1 connected, 1 session"));
    assert_non_null(strstr(text, "round trip"));
    free(text);
    text = said(1, "metrics");
    assert_non_null(strstr(text, "\nberth_mesh_sessions 1\n"));
    assert_non_null(strstr(text, "\nberth_mesh_trust_total{decision=\"pinned\"} "));
    assert_non_null(strstr(text, "\nberth_mesh_peer_up{peer=\"a\",node=\""));
    if (system("command -v promtool >/dev/null 2>&1") == 0) {
        FILE *checker = popen("promtool check metrics", "w");

        assert_non_null(checker);
        fputs(text, checker);
        assert_int_equal(pclose(checker), 0);
    }
    free(text);
    expect(at(0, "completion peers"), NULL, 0, "b\n", "");
    stop(0);
    until(1, "peer ls", "left"); /* it has said goodbye */
    stop(1);
}

static void a_peer_is_found_by_a_part_of_its_name_or_node_and_no_other_is(void **state)
{
    char *node, words[128];

    (void)state;
    connect_hosts();
    node = member(1, "mesh show --json", "node", NULL);
    snprintf(words, sizeof words, "peer ping %.5s -n 1 --json", node);
    free(said(0, words));
    free(node);
    expect(at(0, "peer show nobody"), NULL, 1, "", "there is no peer 'nobody': `berth peer ls`");
    expect(at(0, "peer rm nobody"), NULL, 1, "", "there is no peer 'nobody'");
    expect(at(0, "peer ping nobody"), NULL, 1, "", "there is no peer 'nobody'");
    stop(0);
    stop(1);
}

static void a_peer_that_is_removed_is_out_at_once(void **state)
{
    (void)state;
    connect_hosts();
    expect(at(1, "peer rm a"), NULL, 0, NULL, "");
    expect(at(1, "peer ls --json"), NULL, 0, "{\"peers\":[]}\n", "");
    until(0, "peer ls", "dialling");
    until(1, "mesh show --json", "\"sessions\":0");
    stop(0);
    stop(1);
}

static void a_node_that_nobody_knows_is_refused_and_the_log_says_who(void **state)
{
    (void)state;
    two_hosts();
    introduce(0, true);
    run_expect(&hosts[1], true, "is not pinned and has no certificate: add a peer section");
    expect(at(1, "peer ls --json"), NULL, 0, "{\"peers\":[]}\n", "");
    until(1, "metrics", "berth_mesh_trust_total{decision=\"unknown\"} 1");
    introduce(1, false); /* and then it is let in */
    until(0, "peer ls", "connected");
    stop(0);
    stop(1);
}

static void write_psk(const char *name, char digit)
{
    char text[66];

    memset(text, digit, 64);
    strcpy(text + 64, "\n");
    write_file(name, text, 65, 0600);
}

static void who_has_another_pre_shared_key_gets_no_answer(void **state)
{
    (void)state;
    write_psk("psk.a", '1');
    write_psk("psk.b", '2');
    for (unsigned i = 0; i < 2; i++) {
        char more[128];

        snprintf(more, sizeof more, "mesh {\n listen = { 127.0.0.1:0 }\n psk_file = psk.%s\n}",
                 names[i]);
        configure(i, more);
        start(i);
    }
    introduce(1, false);
    introduce(0, true);
    for (bool dropped = false; !dropped;) {
        char *text = said(1, "metrics");
        const char *count =
            strstr(text, "\nberth_mesh_datagrams_dropped_total{reason=\"filter\"} ");

        assert_non_null(count);
        dropped = count[strlen("\nberth_mesh_datagrams_dropped_total{reason=\"filter\"} ")] != '0';
        free(text);
    }
    until(1, "metrics", "\nberth_mesh_trust_total{decision=\"pinned\"} 0\n");
    expect(at(0, "peer ping b"), NULL, 1, "", "peer 'b': is not connected");
    stop(0);
    stop(1);
}

static void what_no_peer_can_be_is_refused(void **state)
{
    char *own, words[256];

    (void)state;
    configure(0, LISTEN);
    start(0);
    own = key_of(0);
    snprintf(words, sizeof words, "peer add me %s", own);
    expect(at(0, words), NULL, 1, "", "its key is this host's own");
    free(own);
    expect(at(0, "peer add b 123"), NULL, 1, "", "key");
    expect(at(0, "peer add b/c 8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
           NULL, 1, "", "name");
    expect(at(0, "peer add b 8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a "
                 "--may fly"),
           NULL, 2, "", "fly");
    expect(at(0, "peer add b 8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a "
                 "--address nowhere.invalid"),
           NULL, 1, "", "the address of 'nowhere.invalid' cannot be found");
    expect(at(0, "peer ls --json"), NULL, 0, "{\"peers\":[]}\n", "");
    stop(0);
}

static void a_host_that_is_alone_says_how_it_would_not_be(void **state)
{
    (void)state;
    configure(0, "");
    start(0);
    expect(at(0, "mesh show"), NULL, 1, "", "this host is alone: it has a mesh when");
    expect(at(0, "peer ls"), NULL, 1, "", "this host is alone");
    expect(at(0, "channel ls --json"), NULL, 0, "{\"channels\":[]}\n", "");
    stop(0);
}

static void an_address_that_is_taken_keeps_the_host_from_starting(void **state)
{
    char *address, more[128];
    run r;

    (void)state;
    configure(0, LISTEN);
    start(0);
    address = address_of(0);
    snprintf(more, sizeof more, "mesh { listen = { %s } }", address);
    configure(1, more);
    run_berth(&r, "run --config {}/b.conf --state {}/b --socket {}/b.run/sock", NULL);
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(r.errors, address));
    run_free(&r);
    free(address);
    stop(0);
}

/* ---- Configuration --------------------------------------------------------------------------- */

static void a_section_of_the_configuration_counts_from_a_reload_on(void **state)
{
    char *key, *address, more[512];

    (void)state;
    two_hosts();
    introduce(1, false);
    key = key_of(1);
    address = address_of(1);
    snprintf(more, sizeof more, LISTEN "\npeer \"b\" {\n key = %s\n address = { localhost%s }\n}",
             key, strrchr(address, ':')); /* a name, to be looked up */
    configure(0, more);
    kill(hosts[0].pid, SIGHUP);
    until(0, "peer ls", "connected");
    configure(0, LISTEN); /* and out again */
    kill(hosts[0].pid, SIGHUP);
    until(0, "peer ls --json", "{\"peers\":[]}");
    free(key);
    free(address);
    stop(0);
    stop(1);
}

/* a is at another place after its restart and has no address of b: its book tells. */
static void a_host_finds_its_peers_again_by_its_book(void **state)
{
    char *key, more[256];

    (void)state;
    two_hosts();
    key = key_of(1);
    snprintf(more, sizeof more, LISTEN "\npeer \"b\" { key = %s }", key);
    configure(0, more);
    free(key);
    kill(hosts[0].pid, SIGHUP);
    until(0, "peer ls", "waiting");
    introduce(1, true);
    until(0, "peer ls", "connected");
    stop(0);
    start(0);
    until(0, "peer ls", "connected");
    until(0, "peer show b", "begun");
    stop(0);
    stop(1);
}

/* A word of the JSON that a command prints that needs no host. */
static char *offline(const char *words, const char *key)
{
    struct json_object *o = NULL;
    slice value = {0};
    char *out;
    run r;

    run_berth(&r, words, NULL);
    if (r.code != 0)
        fail_msg("berth %s: %d: %s", words, r.code, r.errors);
    assert_int_equal(json_parse(slice_str(r.output), 1 << 20, &o, NULL), BERTH_OK);
    assert_int_equal(json_get_string(o, "", key, JSON_REQUIRED, &value, NULL), BERTH_OK);
    out = strndup((const char *)value.ptr, value.len);
    json_object_put(o);
    run_free(&r);
    return out;
}

static void a_certified_node_is_let_in_until_its_realm_takes_that_back(void **state)
{
    char *realm = offline("realm init {}/realm.key --json", "realm"), *entity, *key, *address;
    char words[512], more[1024];

    (void)state;
    two_hosts();
    entity = member(0, "mesh show --json", "entity", NULL);
    key = key_of(1);
    address = address_of(1);
    snprintf(words, sizeof words,
             "realm sign %s --realm-key {}/realm.key --name crane -o {}/a.cert", entity);
    expect(words, NULL, 0, NULL, "");
    snprintf(more, sizeof more,
             LISTEN "\nrealm \"coast\" {\n key = %s\n certificate = a.cert\n}\n"
                    "peer \"b\" {\n key = %s\n address = { %s }\n}",
             realm, key, address);
    configure(0, more);
    kill(hosts[0].pid, SIGHUP);
    run_expect(&hosts[0], true, "another certificate is shown to others from now on");
    snprintf(more, sizeof more, LISTEN "\nrealm \"coast\" { key = %s }", realm);
    configure(1, more);
    kill(hosts[1].pid, SIGHUP);
    until(1, "peer show crane", "a realm's certificate");
    until(1, "peer ls", "connected");
    expect(at(1, "peer rm crane"), NULL, 1, "", "only `berth realm revoke` keeps it out");

    expect("realm revoke --realm-key {}/realm.key --list {}/coast.revoked --certificate {}/a.cert",
           NULL, 0, NULL, "");
    snprintf(more, sizeof more,
             LISTEN "\nrealm \"coast\" {\n key = %s\n revocations = coast.revoked\n}", realm);
    configure(1, more);
    kill(hosts[1].pid, SIGHUP);
    until(1, "mesh show --json", "\"sessions\":0");
    run_expect(&hosts[1], true, "certificate 1 of 'crane' was revoked");
    free(realm);
    free(entity);
    free(key);
    free(address);
    stop(0);
    stop(1);
}

static void a_certificate_of_another_node_keeps_the_host_from_starting(void **state)
{
    char *realm = offline("realm init {}/realm.key --json", "realm"), more[512];

    (void)state;
    expect("realm sign fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025 "
           "--realm-key {}/realm.key --name crane -o {}/a.cert",
           NULL, 0, NULL, "");
    snprintf(more, sizeof more, LISTEN "\nrealm \"coast\" {\n key = %s\n certificate = a.cert\n}",
             realm);
    configure(0, more);
    expect("run --config {}/a.conf --state {}/a --socket {}/a.run/sock", NULL, 1, "",
           "the certificate is for another node");
    free(realm);
}

/* ---- Daemons --------------------------------------------------------------------------------- */

static char *spawn(unsigned i)
{
    char words[64];

    snprintf(words, sizeof words, "daemon spawn probe --json --name p%s", names[i]);
    return member(i, words, "origin", NULL);
}

static void tell(unsigned i, const char *daemon, const char *text)
{
    char words[64];

    snprintf(words, sizeof words, "send %s", daemon);
    expect(at(i, words), text, 0, "", "");
}

/* Ask again and again, until the daemon answers this. */
static void answers(unsigned i, const char *daemon, const char *question, const char *answer)
{
    char words[64];

    snprintf(words, sizeof words, "send %s --reply", daemon);
    for (;;) {
        run r;
        bool there;

        run_berth(&r, at(i, words), question);
        there = r.code == 0 && strcmp(r.output, answer) == 0;
        run_free(&r);
        if (there)
            return;
    }
}

static void a_daemon_sends_to_a_daemon_on_the_other_host(void **state)
{
    char *a, *b, text[128];

    (void)state;
    connect_hosts();
    a = spawn(0);
    b = spawn(1);
    snprintf(text, sizeof text, "send 0x%s memo hello from a", b);
    tell(0, "pa", text);
    answers(1, "pb", "memo?", "hello from a\n");
    snprintf(text, sizeof text, "send 0x%s memo hello from b", a);
    tell(1, "pb", text);
    answers(0, "pa", "memo?", "hello from b\n");
    until(0, "metrics", "\nberth_mesh_events_acknowledged_total 1\n");
    until(1, "metrics", "\nberth_mesh_events_acknowledged_total 1\n");
    free(a);
    free(b);
    stop(0);
    stop(1);
}

static void what_is_published_on_one_host_is_heard_on_the_other(void **state)
{
    run tail;

    (void)state;
    connect_hosts();
    free(spawn(0));
    run_start(&tail, at(0, "channel tail house/news"));
    until(1, "channel show house/news", "1 on 1 node");
    tell(0, "pa", "subscribe house/notes");
    until(1, "channel ls", "house/notes");
    expect(at(1, "channel pub house/news"), "fresh", 0, NULL, "");
    run_expect(&tail, false, "fresh\n");
    expect(at(1, "channel pub house/notes"), "memo noted", 0, NULL, "");
    answers(0, "pa", "memo?", "noted\n");
    until(0, "channel show house/notes", "1 of 1 subscriptions to other nodes hold");
    kill(tail.pid, SIGINT);
    run_finish(&tail, NULL, 0);
    run_free(&tail);
    stop(0);
    stop(1);
}

static void who_publishes_from_outside_shows_a_token_made_out_to_the_node(void **state)
{
    char *owner = offline("identity new -o {}/owner.id --json", "entity"), *entity;
    char words[512], more[512];

    (void)state;
    snprintf(more, sizeof more, LISTEN "\nchannel guarded { roots = { %s } }", owner);
    configure(0, more);
    start(0);
    entity = member(0, "mesh show --json", "entity", NULL);
    snprintf(words, sizeof words,
             "token issue %s guarded --allow publish --identity {}/owner.id -o {}/node.token",
             entity);
    expect(words, NULL, 0, NULL, "");
    snprintf(words, sizeof words,
             "token issue %s guarded --allow publish --identity {}/owner.id -o {}/owner.token",
             owner);
    expect(words, NULL, 0, NULL, "");
    expect(at(0, "channel pub guarded"), "x", 4, "", "and none was shown: have one issued");
    expect(at(0, "channel pub guarded --token {}/owner.token"), "x", 4, "", "channel 'guarded'");
    expect(at(0, "channel pub guarded --token {}/nowhere"), "x", 1, "", "nowhere");
    expect(at(0, "channel pub guarded --token {}/node.token"), "x", 0, "reached 0 daemons\n", "");
    expect(at(0, "channel pub guarded"), "x", 4, "", "channel 'guarded'");
    free(owner);
    free(entity);
    stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_publishes_from_outside_shows_a_token_made_out_to_the_node),
        TEST(hosts_that_know_each_others_keys_connect_and_tell),
        TEST(a_peer_is_found_by_a_part_of_its_name_or_node_and_no_other_is),
        TEST(a_peer_that_is_removed_is_out_at_once),
        TEST(a_node_that_nobody_knows_is_refused_and_the_log_says_who),
        TEST(who_has_another_pre_shared_key_gets_no_answer),
        TEST(what_no_peer_can_be_is_refused),
        TEST(a_host_that_is_alone_says_how_it_would_not_be),
        TEST(an_address_that_is_taken_keeps_the_host_from_starting),
        TEST(a_section_of_the_configuration_counts_from_a_reload_on),
        TEST(a_host_finds_its_peers_again_by_its_book),
        TEST(a_certified_node_is_let_in_until_its_realm_takes_that_back),
        TEST(a_certificate_of_another_node_keeps_the_host_from_starting),
        TEST(a_daemon_sends_to_a_daemon_on_the_other_host),
        TEST(what_is_published_on_one_host_is_heard_on_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
