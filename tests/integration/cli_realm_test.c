/* SPDX-License-Identifier: Apache-2.0 */
/* berth realm: keys made, nodes certified, shown and revoked without a host. */
#include "cli_run.h"

#include "identity/certificate_file.h"
#include "identity/realm_book.h"
#include "identity/realm_key.h"
#include "identity/revocation_file.h"

#include <json-c/json.h>
#include <time.h>

static char realm_id[65], crane[65], gate[65];

static struct json_object *json_of(const char *line, int code)
{
    struct json_object *object;
    run r;

    run_berth(&r, line, NULL);
    if (r.code != code)
        fail_msg("berth %s\nanswered %d, not %d: %s", line, r.code, code, r.errors);
    object = json_tokener_parse(r.output);
    assert_non_null(object);
    run_free(&r);
    return object;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    if (!json_object_object_get_ex(object, key, &value))
        fail_msg("there is no %s in %s", key, json_object_to_json_string(object));
    return json_object_get_string(value);
}

static size_t count_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    assert_true(json_object_object_get_ex(object, key, &value));
    return json_object_array_length(value);
}

static void take(const char *line, const char *key, char out[65])
{
    struct json_object *object = json_of(line, 0);

    snprintf(out, 65, "%s", text_of(object, key));
    json_object_put(object);
}

static int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    setenv("BERTH_SOCKET", in_dir("nobody"), 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    take("realm init harbour.realm --name harbour --json", "realm", realm_id);
    take("identity new -o crane.id --json", "entity", crane);
    take("identity new -o gate.id --json", "entity", gate);
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_dir();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* `berth realm <format>`, and what must come of it. KEY stands for the realm's own. */
#define KEY "--realm-key harbour.realm"
static void realm(int code, const char *errors, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void realm(int code, const char *errors, const char *format, ...)
{
    char line[1024];
    va_list args;
    int n = snprintf(line, sizeof line, "realm ");

    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    expect(line, NULL, code, NULL, errors);
}

static realm_certificate certificate(const char *name)
{
    realm_certificate c;
    berth_error error = {0};

    if (certificate_file_read(in_dir(name), &c, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    return c;
}

static void the_key_is_private_and_never_overwritten(void **state)
{
    struct json_object *shown;
    char *before, *after;
    struct stat st;
    realm_key key;

    (void)state;
    assert_int_equal(stat(in_dir("harbour.realm"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(in_dir("harbour.realm.book"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    before = read_whole("harbour.realm", NULL);
    realm(1, "harbour.realm", "init harbour.realm");
    after = read_whole("harbour.realm", NULL);
    assert_string_equal(before, after);
    assert_int_equal(realm_key_read(in_dir("harbour.realm"), &key, NULL), BERTH_OK);
    realm_key_wipe(&key);
    shown = json_of("realm show harbour.realm --json", 0);
    assert_string_equal(text_of(shown, "realm"), realm_id);
    assert_string_equal(text_of(shown, "name"), "harbour");
    assert_null(strstr(json_object_to_json_string(shown), strstr(before, "seed: ") + 6));
    json_object_put(shown);
    free(before);
    free(after);
    realm(0, "", "init other.realm");
    realm(1, "nowhere", "init nowhere/x.realm");
}

static void a_key_that_others_can_read_is_not_used(void **state)
{
    (void)state;
    chmod(in_dir("harbour.realm"), 0644);
    realm(4, "chmod", "sign %s " KEY " --name crane", crane);
    realm(4, "chmod", "show harbour.realm");
    realm(4, "chmod", "revoke " KEY " --list list --serial 1");
}

/* Neither is taken for the other: a realm's key is no daemon, a daemon's identity signs no node. */
static void a_realm_key_is_no_identity_and_an_identity_no_realm_key(void **state)
{
    (void)state;
    realm(1, "berth-realm-key: 1", "sign %s --realm-key crane.id --name crane", crane);
    expect("identity show harbour.realm", NULL, 1, NULL, "not an identity file");
}

static void a_certificate_says_who_where_and_until_when(void **state)
{
    struct json_object *shown;
    realm_certificate c;
    struct stat st;
    run r;

    (void)state;
    realm(0, "", "sign %s " KEY " --name crane-1 -o crane.cert", crane);
    assert_int_equal(stat(in_dir("crane.cert"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    c = certificate("crane.cert");
    assert_int_equal(certificate_verify(&c, NULL), BERTH_OK);
    assert_int_equal(c.not_after - c.not_before, 30 * 86400);
    assert_true(c.serial == 1);
    run_berth(&r, "realm show crane.cert", NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.output, "crane-1"));
    assert_non_null(strstr(r.output, crane));
    assert_non_null(strstr(r.output, realm_id));
    assert_non_null(strstr(r.output, "not checked: --realm"));
    assert_non_null(strstr(r.output, "state   valid"));
    run_free(&r);
    shown = json_of("realm show crane.cert --json", 0);
    assert_string_equal(text_of(shown, "state"), "valid");
    assert_string_equal(text_of(shown, "entity"), crane);
    assert_string_equal(text_of(shown, "realm"), realm_id);
    assert_string_equal(text_of(shown, "serial"), "1");
    assert_int_equal(strlen(text_of(shown, "node")), 16);
    json_object_put(shown);
}

static void an_entity_is_given_in_every_form_that_berth_prints(void **state)
{
    run page, json;

    (void)state;
    run_berth(&page, "identity show crane.id", NULL);
    run_berth(&json, "identity show crane.id --json", NULL);
    write_file("page", page.output, page.output_len, 0644);
    write_file("json", json.output, json.output_len, 0644);
    write_file("digits", crane, 64, 0644);
    realm(0, "", "sign page " KEY " --name a -o 1.cert");
    realm(0, "", "sign json " KEY " --name a -o 2.cert");
    realm(0, "", "sign digits " KEY " --name a -o 3.cert");
    realm(0, "", "sign crane.id " KEY " --name a -o 4.cert");
    expect("realm sign - " KEY " --name a -o 5.cert", page.output, 0, NULL, "");
    for (int i = 1; i <= 5; i++) {
        char name[16], hex[65];

        snprintf(name, sizeof name, "%d.cert", i);
        assert_string_equal(berth_entity_text(hex, certificate(name).entity), crane);
    }
    run_free(&page);
    run_free(&json);
}

static void what_names_no_entity_or_several_is_refused(void **state)
{
    char two[140];

    (void)state;
    snprintf(two, sizeof two, "%s\n%s\n", crane, gate);
    write_file("two", two, strlen(two), 0644);
    write_file("none", "hello\n", 6, 0644);
    write_file("object", "{\"entity\":1}", 12, 0644);
    realm(1, "two: names several entities", "sign two " KEY " --name a");
    realm(1, "none: names no entity", "sign none " KEY " --name a");
    realm(1, "object: ", "sign object " KEY " --name a");
    realm(1, "nobody: is neither an entity id", "sign nobody " KEY " --name a");
    memset(two, 'f', 64); /* no point has these coordinates */
    two[64] = 0;
    realm(1, "not the public key of anybody", "sign %s " KEY " --name a", two);
    chmod(in_dir("crane.id"), 0644);
    realm(4, "chmod", "sign crane.id " KEY " --name a");
}

static void words_that_make_no_sense_are_exit_2(void **state)
{
    (void)state;
    realm(2, "--realm-key", "sign %s --name a", crane);
    realm(2, "--name", "sign %s " KEY, crane);
    realm(2, "a node's name", "sign %s " KEY " --name -a", crane);
    realm(2, "--valid", "sign %s " KEY " --name a --valid 1y", crane);
    realm(2, "--valid", "sign %s " KEY " --name a --valid 0s", crane);
    realm(2, "9999", "sign %s " KEY " --name a --valid 9999999d", crane);
    realm(2, "--from", "sign %s " KEY " --name a --from yesterday", crane);
    realm(2, "ended already", "sign %s " KEY " --name a --from 2020-01-01T00:00:00Z", crane);
    realm(2, "whole number", "sign %s " KEY " --name a --serial x", crane);
    realm(2, "a realm's name", "init x.realm --name a/b");
    realm(2, "needs FILE", "show");
    realm(2, "64 hex digits", "show x --realm harbour");
    realm(2, "--realm-key", "revoke --list list --serial 1");
    realm(2, "--list", "revoke " KEY " --serial 1");
    realm(2, "what is revoked", "revoke " KEY " --list list");
    realm(2, "one word too many", "revoke x " KEY " --list list --serial 1");
}

/* ---- Serials ---- */

static void no_serial_is_used_twice(void **state)
{
    (void)state;
    realm(0, "", "sign %s " KEY " --name a -o 1.cert", crane);
    realm(0, "", "sign %s " KEY " --name a -o 2.cert", crane);
    realm(1, "2.cert", "sign %s " KEY " --name a -o 2.cert", crane);
    realm(1, "serials up to 2 are used", "sign %s " KEY " --name a --serial 2 -o 3.cert", crane);
    realm(0, "", "sign %s " KEY " --name a --serial 9 -o 9.cert", crane);
    realm(0, "", "sign %s " KEY " --name a -o 10.cert", crane);
    assert_true(certificate("1.cert").serial == 1);
    assert_true(certificate("2.cert").serial == 2);
    assert_true(certificate("9.cert").serial == 9);
    assert_true(certificate("10.cert").serial == 10);
    realm(0, "", "sign %s " KEY " --name a --serial %s -o last.cert", crane,
          "18446744073709551615");
    realm(1, "no serial is left", "sign %s " KEY " --name a -o more.cert", crane);
}

static void a_key_has_one_book_by_whatever_name_it_is_called(void **state)
{
    (void)state;
    assert_int_equal(symlink("harbour.realm", in_dir("alias")), 0);
    realm(0, "", "sign %s " KEY " --name a -o 1.cert", crane);
    realm(0, "", "sign %s --realm-key alias --name a -o 2.cert", crane);
    assert_true(certificate("2.cert").serial == 2);
}

static void a_lost_book_is_missed_and_not_replaced(void **state)
{
    (void)state;
    realm(0, "", "sign %s " KEY " --name a -o 1.cert", crane);
    unlink(in_dir("harbour.realm.book"));
    realm(1, "harbour.realm.book: is missing", "sign %s " KEY " --name a -o 2.cert", crane);
    assert_int_equal(access(in_dir("harbour.realm.book"), F_OK), -1);
    realm(0, "", "sign %s " KEY " --name a --serial 100 -o 3.cert", crane);
    realm(0, "", "sign %s " KEY " --name a -o 4.cert", crane);
    assert_true(certificate("4.cert").serial == 101);
}

static void a_book_of_another_key_or_of_nobody_is_refused(void **state)
{
    (void)state;
    realm(0, "", "init other.realm");
    assert_int_equal(rename(in_dir("other.realm.book"), in_dir("harbour.realm.book")), 0);
    realm(1, "belongs to another realm", "sign %s " KEY " --name a", crane);
    write_file("harbour.realm.book", "hello\n", 6, 0600);
    realm(1, "harbour.realm.book: line 1", "sign %s " KEY " --name a", crane);
    unlink(in_dir("harbour.realm"));
    realm(1, "is there without its key", "init harbour.realm");
    assert_int_equal(access(in_dir("harbour.realm"), F_OK), -1);
}

enum { MANY = 12 };

static void run_many(const char *format)
{
    run runs[MANY];
    char line[256];

    for (int i = 0; i < MANY; i++) {
        snprintf(line, sizeof line, format, i + 1);
        run_start(&runs[i], line);
        close(runs[i].in);
    }
    for (int i = 0; i < MANY; i++) {
        int status;

        assert_int_equal(waitpid(runs[i].pid, &status, 0), runs[i].pid);
        assert_int_equal(status, 0);
        close(runs[i].out);
        close(runs[i].err);
    }
}

static void two_who_sign_at_once_use_different_serials(void **state)
{
    bool used[MANY + 1] = {0};

    (void)state;
    run_many("realm sign gate.id " KEY " --name gate -o %d.cert");
    for (int i = 1; i <= MANY; i++) {
        char name[16];
        uint64_t serial;

        snprintf(name, sizeof name, "%d.cert", i);
        serial = certificate(name).serial;
        assert_true(serial >= 1 && serial <= MANY && !used[serial]);
        used[serial] = true;
    }
}

/* ---- Judging ---- */

static void state_is(const char *line, int code, const char *state)
{
    struct json_object *shown = json_of(line, code);

    assert_string_equal(text_of(shown, "state"), state);
    json_object_put(shown);
}

static void what_is_not_valid_now_is_exit_4(void **state)
{
    int64_t now = (int64_t)time(NULL);
    realm_certificate c = {.serial = 7, .not_before = now - 100, .not_after = now - 50};
    realm_key key;

    (void)state;
    realm(0, "", "sign %s " KEY " --name a --from 2200-01-01T00:00:00Z -o later.cert", crane);
    realm(4, "begins", "show later.cert");
    state_is("realm show later.cert --json", 4, "not yet");

    assert_int_equal(realm_key_read(in_dir("harbour.realm"), &key, NULL), BERTH_OK);
    strcpy(c.name, "old");
    assert_int_equal(certificate_sign(&c, &key.pair, NULL), BERTH_OK);
    realm_key_wipe(&key);
    assert_int_equal(certificate_file_write(in_dir("old.cert"), &c, NULL), BERTH_OK);
    realm(4, "sign a new one", "show old.cert");
    state_is("realm show old.cert --json", 4, "expired");

    c.not_after = now + 1000;
    assert_int_equal(certificate_file_write(in_dir("forged.cert"), &c, NULL), BERTH_OK);
    realm(4, "not signed by realm", "show forged.cert");
    state_is("realm show forged.cert --json", 4, "forged");
}

static void what_is_of_another_realm_is_exit_4(void **state)
{
    char other[65], line[256];

    (void)state;
    take("realm init other.realm --json", "realm", other);
    realm(0, "", "sign %s " KEY " --name a -o a.cert", crane);
    realm(0, "", "show a.cert --realm %s", realm_id);
    realm(4, "is of realm", "show a.cert --realm %s", other);
    snprintf(line, sizeof line, "realm show a.cert --json --realm %s", other);
    state_is(line, 4, "foreign");
    realm(0, "", "revoke --realm-key other.realm --list others --serial 1");
    realm(4, "and the revocation list of", "show a.cert --revoked others");
}

static void several_stand_in_one_table_and_the_first_fault_counts(void **state)
{
    run r;

    (void)state;
    realm(0, "", "sign %s " KEY " --name crane -o a.cert", crane);
    realm(0, "", "sign %s " KEY " --name gate -o b.cert", gate);
    realm(0, "", "revoke " KEY " --list list --certificate b.cert");
    run_berth(&r, "realm show a.cert b.cert list harbour.realm --revoked list", NULL);
    assert_int_equal(r.code, 4);
    assert_non_null(strstr(r.output, "STATE"));
    assert_non_null(strstr(r.output, "a.cert"));
    assert_non_null(strstr(r.output, "harbour.realm"));
    assert_non_null(strstr(r.errors, "b.cert: certificate 2 of 'gate': the realm has revoked it"));
    run_free(&r);
    run_berth(&r, "realm show a.cert nowhere b.cert --revoked list", NULL);
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(r.output, "b.cert"));
    assert_non_null(strstr(r.errors, "nowhere"));
    run_free(&r);
    realm(0, "", "show a.cert a.cert a.cert a.cert a.cert");
}

static void bad_files_are_named(void **state)
{
    char *text, *at;

    (void)state;
    write_file("x", "hello\n", 6, 0644);
    realm(1, "x: is no certificate", "show x");
    realm(1, "nowhere", "show nowhere");
    realm(0, "", "sign %s " KEY " --name a -o a.cert", crane);
    text = read_whole("a.cert", NULL);
    at = strstr(text, "certificate: A");
    at[13] = '!';
    write_file("x", text, strlen(text), 0644);
    realm(1, "x: line 3: 'certificate' must be base64", "show x");
    free(text);
    realm(0, "", "revoke " KEY " --list list --serial 1");
    text = read_whole("list", NULL);
    at = strstr(text, "list: A") + 60;
    *at = *at == 'A' ? 'B' : 'A';
    write_file("x", text, strlen(text), 0644);
    realm(4, "x: line 3: revocation list: not signed", "show x");
    realm(4, "not signed", "show a.cert --revoked x");
    realm(4, "not signed", "revoke " KEY " --list x --serial 2");
    free(text);
    text = read_whole("a.cert", NULL);
    expect("realm show -", text, 0, NULL, "");
    free(text);
}

/* ---- Revoking ---- */

static void what_is_revoked_stays_revoked(void **state)
{
    struct json_object *shown;
    char line[512];

    (void)state;
    for (int i = 1; i <= 4; i++)
        realm(0, "", "sign %s " KEY " --name a -o %d.cert", i < 4 ? crane : gate, i);
    realm(0, "", "revoke " KEY " --list list --serial 1");
    realm(4, "has revoked it", "show 1.cert --revoked list");
    realm(0, "", "show 2.cert --revoked list");
    realm(0, "", "revoke " KEY " --list list --certificate 2.cert --serial 900 --serial 800");
    realm(4, "has revoked it", "show 2.cert --revoked list");
    realm(4, "has revoked it", "show 1.cert --revoked list"); /* still */
    realm(0, "", "show 3.cert --revoked list");
    realm(0, "", "revoke " KEY " --list list --entity crane.id --entity %s", gate);
    realm(4, "has revoked its entity", "show 3.cert --revoked list");
    realm(4, "has revoked its entity", "show 4.cert --revoked list");
    state_is("realm show 4.cert --revoked list --json", 4, "revoked");
    snprintf(line, sizeof line, "realm show list --realm %s --json", realm_id);
    shown = json_of(line, 0);
    assert_string_equal(text_of(shown, "number"), "3");
    assert_int_equal(count_of(shown, "serials"), 4);
    assert_int_equal(count_of(shown, "entities"), 2);
    json_object_put(shown);
}

static void nothing_new_makes_no_new_list(void **state)
{
    char *before, *after;

    (void)state;
    realm(0, "", "revoke " KEY " --list list --serial 1 --serial 1 --entity crane.id");
    before = read_whole("list", NULL);
    realm(0, "revoked already", "revoke " KEY " --list list --serial 1 --entity %s", crane);
    after = read_whole("list", NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void only_what_is_of_the_realm_is_revoked_in_its_list(void **state)
{
    char *before, *after;

    (void)state;
    realm(0, "", "init other.realm");
    realm(0, "", "sign %s --realm-key other.realm --name a -o other.cert", crane);
    realm(0, "", "revoke " KEY " --list list --serial 1");
    before = read_whole("list", NULL);
    realm(4, "only that realm's key", "revoke " KEY " --list list --certificate other.cert");
    realm(4, "not of this key's", "revoke --realm-key other.realm --list list --serial 1");
    realm(1, "is not a certificate", "revoke " KEY " --list list --certificate list");
    realm(1, "nowhere", "revoke " KEY " --list list --serial 5 --certificate nowhere");
    after = read_whole("list", NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    write_file("x", "hello\n", 6, 0644);
    realm(1, "x: line 1", "revoke " KEY " --list x --serial 1");
    after = read_whole("x", NULL);
    assert_string_equal(after, "hello\n");
    free(after);
}

/* Under a higher number an older list, or an empty one, would take back what the newest says. */
static void no_list_supersedes_the_newest_without_its_entries(void **state)
{
    char *first;
    struct json_object *shown;

    (void)state;
    realm(0, "", "revoke " KEY " --list list --serial 1");
    first = read_whole("list", NULL);
    realm(0, "", "revoke " KEY " --list list --serial 2");
    realm(1, "the realm has made list 2", "revoke " KEY " --list another --serial 3");
    assert_int_equal(access(in_dir("another"), F_OK), -1);
    write_file("old", first, strlen(first), 0644);
    free(first);
    realm(4, "whose newest is list 2", "revoke " KEY " --list old --serial 3");
    realm(1, "numbers up to 2 are used", "revoke " KEY " --list old --serial 3 --number 2");
    realm(0, "", "revoke " KEY " --list old --serial 3 --number 7");
    shown = json_of("realm show old --json", 0);
    assert_string_equal(text_of(shown, "number"), "7");
    assert_int_equal(count_of(shown, "serials"), 2);
    json_object_put(shown);
    realm(4, "whose newest is list 7", "revoke " KEY " --list list --serial 3");
}

/* An emergency does not wait for a lost book, as long as the list itself is there. */
static void a_list_is_extended_without_the_book_but_not_begun(void **state)
{
    struct json_object *shown;

    (void)state;
    realm(0, "", "revoke " KEY " --list list --serial 1");
    unlink(in_dir("harbour.realm.book"));
    realm(1, "put one of them back", "revoke " KEY " --list another --serial 2");
    realm(0, "", "revoke " KEY " --list list --serial 2");
    shown = json_of("realm show list --json", 0);
    assert_string_equal(text_of(shown, "number"), "2");
    json_object_put(shown);
    assert_int_equal(access(in_dir("harbour.realm.book"), F_OK), -1);
    realm(0, "", "revoke " KEY " --list another --serial 2 --number 50");
}

static void two_who_revoke_at_once_lose_nothing(void **state)
{
    struct json_object *shown;

    (void)state;
    run_many("realm revoke " KEY " --list list --serial %d");
    shown = json_of("realm show list --json", 0);
    assert_int_equal(count_of(shown, "serials"), MANY);
    assert_string_equal(text_of(shown, "number"), "12");
    json_object_put(shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_key_is_private_and_never_overwritten),
        TEST(a_key_that_others_can_read_is_not_used),
        TEST(a_realm_key_is_no_identity_and_an_identity_no_realm_key),
        TEST(a_certificate_says_who_where_and_until_when),
        TEST(an_entity_is_given_in_every_form_that_berth_prints),
        TEST(what_names_no_entity_or_several_is_refused),
        TEST(words_that_make_no_sense_are_exit_2),
        TEST(no_serial_is_used_twice),
        TEST(a_key_has_one_book_by_whatever_name_it_is_called),
        TEST(a_lost_book_is_missed_and_not_replaced),
        TEST(a_book_of_another_key_or_of_nobody_is_refused),
        TEST(two_who_sign_at_once_use_different_serials),
        TEST(what_is_not_valid_now_is_exit_4),
        TEST(what_is_of_another_realm_is_exit_4),
        TEST(several_stand_in_one_table_and_the_first_fault_counts),
        TEST(bad_files_are_named),
        TEST(what_is_revoked_stays_revoked),
        TEST(nothing_new_makes_no_new_list),
        TEST(only_what_is_of_the_realm_is_revoked_in_its_list),
        TEST(no_list_supersedes_the_newest_without_its_entries),
        TEST(a_list_is_extended_without_the_book_but_not_begun),
        TEST(two_who_revoke_at_once_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
