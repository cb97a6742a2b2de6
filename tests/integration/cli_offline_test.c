/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that need no host. */
#include "cli_run.h"

#include <json-c/json.h>
#include <pty.h>
#include <termios.h>

#define TALLY BUILD_DIR "/plugins/tally.so"

static int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    setenv("BERTH_SOCKET", in_dir("nobody"), 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_dir();
    return 0;
}

static int minisign(const char *arguments)
{
    char command[640];

    snprintf(command, sizeof command, "cd %s && minisign %s >/dev/null", dir, arguments);
    return system(command);
}

static bool have_minisign(void)
{
    return system("command -v minisign >/dev/null") == 0;
}

/* ---- Identities ------------------------------------------------------------------------------ */

static void an_identity_is_for_its_owner_and_never_overwritten(void **state)
{
    struct stat st;
    run made, shown;

    (void)state;
    umask(0);
    run_berth(&made, "identity new -o a.id --json", NULL);
    assert_int_equal(made.code, 0);
    assert_int_equal(stat(in_dir("a.id"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    run_berth(&shown, "identity show a.id", NULL);
    assert_int_equal(shown.code, 0);
    assert_memory_equal(strstr(shown.output, "origin") + 8, strstr(made.output, "origin") + 9, 16);
    assert_null(strstr(shown.output, "seed"));
    run_free(&made);
    run_free(&shown);
    expect("identity new -o a.id", NULL, 1, "", "a.id");
    chmod(in_dir("a.id"), 0640);
    expect("identity show a.id", NULL, 4, "", "chmod");
    expect("identity show nowhere", NULL, 1, "", "nowhere");
    write_file("b.id", "hello\n", 6, 0600);
    expect("identity show b.id", NULL, 1, "", "b.id");
}

static void an_identity_goes_through_a_pipe(void **state)
{
    char *entity;
    run made, shown;

    (void)state;
    run_berth(&made, "identity new", NULL);
    assert_int_equal(made.code, 0);
    run_berth(&shown, "identity show -", made.output);
    assert_int_equal(shown.code, 0);
    entity = strstr(made.output, "\nentity: ");
    assert_non_null(entity);
    assert_memory_equal(strstr(shown.output, "entity") + 8, entity + 9, 64);
    run_free(&made);
    run_free(&shown);
}

/* ---- Signing --------------------------------------------------------------------------------- */

static void what_berth_signs_minisign_verifies(void **state)
{
    (void)state;
    copy_plugin(TALLY, "p.so");
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    expect("plugin sign p.so --key keys/berth.key", NULL, 0, NULL, "");
    expect("plugin verify p.so --key keys/berth.pub", NULL, 0, NULL, "");
    if (have_minisign())
        assert_int_equal(minisign("-V -p keys/berth.pub -m p.so"), 0);
}

static void what_minisign_signs_berth_verifies(void **state)
{
    char words[128], *text, *line;
    size_t len = 0;

    (void)state;
    if (!have_minisign())
        skip();
    copy_plugin(TALLY, "p.so");
    assert_int_equal(minisign("-G -W -p m.pub -s m.key"), 0);
    assert_int_equal(minisign("-S -s m.key -m p.so"), 0);
    expect("plugin verify p.so --key m.pub", NULL, 0, NULL, "");
    text = read_whole("m.pub", &len);
    line = strchr(text, '\n') + 1;
    line[strcspn(line, "\n")] = 0;
    snprintf(words, sizeof words, "plugin verify p.so --key %s", line);
    free(text);
    expect(words, NULL, 0, NULL, "");
    /* And its key signs for us. */
    unlink(in_dir("p.so.minisig"));
    expect("plugin sign p.so --key m.key", NULL, 0, NULL, "");
    assert_int_equal(minisign("-V -p m.pub -m p.so"), 0);
}

static void what_does_not_verify_is_exit_4(void **state)
{
    (void)state;
    copy_plugin(TALLY, "p.so");
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    expect("plugin keygen -o other", "\n", 0, NULL, "");
    expect("plugin verify p.so --key keys/berth.pub", NULL, 4, "", "p.so.minisig");
    expect("plugin sign p.so --key keys/berth.key", NULL, 0, NULL, "");
    expect("plugin verify p.so --key other/berth.pub", NULL, 4, "", "p.so");
    expect("plugin verify p.so --key other/berth.pub --key keys/berth.pub", NULL, 0, NULL, "");
    write_file("p.so", "else", 4, 0600);
    expect("plugin verify p.so --key keys/berth.pub", NULL, 4, "", "p.so");
    write_file("p.so.minisig", "nonsense", 8, 0600);
    expect("plugin verify p.so --key keys/berth.pub", NULL, 4, "", "p.so.minisig");
    expect("plugin verify nowhere.so --key keys/berth.pub", NULL, 1, "", "nowhere.so");
}

static void a_signed_file_that_is_no_plugin_is_exit_4(void **state)
{
    (void)state;
    write_file("text.so", "hello", 5, 0600);
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    expect("plugin sign text.so --key keys/berth.key", NULL, 0, NULL, "");
    expect("plugin verify text.so --key keys/berth.pub", NULL, 4, "", "text.so");
}

static void the_configured_keys_verify_within_their_scope(void **state)
{
    static const char all[] = "plugins { keys = { ../keys/berth.pub } }\n";
    static const char few[] =
        "plugin-key \"k\" { key = ../keys/berth.pub names = { \"other-*\" } }\n";

    (void)state;
    copy_plugin(TALLY, "p.so");
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    expect("plugin sign p.so --key keys/berth.key", NULL, 0, NULL, "");
    expect("plugin verify p.so", NULL, 2, "", "no key is configured");
    mkdir(in_dir("berth"), 0700);
    write_file("berth/berth.conf", all, sizeof all - 1, 0600);
    expect("plugin verify p.so", NULL, 0, NULL, "");
    write_file("few.conf", few, sizeof few - 1, 0600);
    chmod(in_dir("few.conf"), 0600);
    mkdir(in_dir("sub"), 0700);
    write_file("sub/few.conf", few, sizeof few - 1, 0600);
    expect("plugin verify p.so --config sub/few.conf", NULL, 4, "", "p.so");
    write_file("sub/few.conf", "plugins { kyes = {} }\n", 22, 0600);
    expect("plugin verify p.so --config sub/few.conf", NULL, 1, "", "few.conf:1");
}

static void keys_are_made_once_and_kept_private(void **state)
{
    struct stat st;

    (void)state;
    umask(0);
    expect("plugin keygen -o keys", "\n", 0, NULL, "");
    assert_int_equal(stat(in_dir("keys/berth.key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    expect("plugin keygen -o keys", "\n", 1, "", "berth.key");
    /* One half there is as bad as both, and the other half is not left behind. */
    unlink(in_dir("keys/berth.key"));
    expect("plugin keygen -o keys", "\n", 1, "", "berth.pub");
    assert_int_equal(access(in_dir("keys/berth.key"), F_OK), -1);
    expect("plugin sign keys/berth.pub", NULL, 2, "", "--key KEYFILE is needed");
    expect("plugin sign keys/berth.pub --key keys/berth.pub", NULL, 4, "", "berth.pub");
    chmod(in_dir("keys/berth.pub"), 0600);
    expect("plugin sign keys/berth.pub --key keys/berth.pub", NULL, 1, "", "berth.pub");
}

/* ---- At a terminal --------------------------------------------------------------------------- */

/* Run in a terminal of its own, typing these lines, each when a prompt has come. */
static int at_terminal(char *const argv[], const char *const *lines, char *shown, size_t cap)
{
    size_t len = 0, seen = 0;
    int terminal, status;
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);

    assert_true(pid >= 0);
    if (pid == 0) {
        if (chdir(dir) != 0)
            _exit(126);
        setenv("TERM", "xterm", 1);
        execv(argv[0], argv);
        _exit(127);
    }
    for (;;) {
        ssize_t n = read(terminal, shown + len, cap - len - 1);

        if (n <= 0)
            break;
        len += (size_t)n;
        shown[len] = 0;
        if (*lines && strstr(shown + seen, ": ")) {
            seen = len;
            assert_true(write(terminal, *lines, strlen(*lines)) > 0);
            lines++;
        }
    }
    close(terminal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char *const keygen[] = {(char *)BUILD_DIR "/berth", (char *)"plugin", (char *)"keygen",
                               NULL};

static void a_password_is_not_shown_and_asked_twice(void **state)
{
    const char *const lines[] = {"secrex\177t\r", "another\r", NULL};
    char shown[4096] = "";

    (void)state;
    assert_int_equal(at_terminal(keygen, lines, shown, sizeof shown), 1);
    assert_non_null(strstr(shown, "the two passwords differ"));
    assert_null(strstr(shown, "secre"));
    assert_null(strstr(shown, "another"));
    assert_int_equal(access(in_dir("berth.key"), F_OK), -1);
}

static void ctrl_c_at_a_password_makes_nothing(void **state)
{
    const char *const lines[] = {"sec\003", NULL};
    char shown[4096] = "";

    (void)state;
    assert_int_equal(at_terminal(keygen, lines, shown, sizeof shown), 1);
    assert_non_null(strstr(shown, "no password was given"));
    assert_int_equal(access(in_dir("berth.key"), F_OK), -1);
}

static void colours_are_for_terminals_without_no_color(void **state)
{
    char *const inspect[] = {(char *)BUILD_DIR "/berth", (char *)"plugin", (char *)"inspect",
                             (char *)TALLY, NULL};
    const char *const nothing[] = {NULL};
    char shown[8192] = "";

    (void)state;
    unsetenv("NO_COLOR");
    assert_int_equal(at_terminal(inspect, nothing, shown, sizeof shown), 0);
    assert_non_null(strstr(shown, "\x1b[1mKIND"));
    setenv("NO_COLOR", "1", 1);
    shown[0] = 0;
    assert_int_equal(at_terminal(inspect, nothing, shown, sizeof shown), 0);
    assert_non_null(strstr(shown, "KIND"));
    assert_null(strchr(shown, '\x1b'));
    unsetenv("NO_COLOR");
}

/* ---- Inspecting ------------------------------------------------------------------------------ */

static void inspect_says_what_a_plugin_is(void **state)
{
    struct json_object *object, *manifest, *name;
    run r;

    (void)state;
    expect("plugin inspect " TALLY, NULL, 0, NULL, "");
    run_berth(&r, "plugin inspect " TALLY " --json", NULL);
    assert_int_equal(r.code, 0);
    object = json_tokener_parse(r.output);
    assert_non_null(object);
    assert_true(json_object_object_get_ex(object, "manifest", &manifest));
    assert_true(json_object_object_get_ex(manifest, "name", &name));
    assert_string_equal(json_object_get_string(name), "tally");
    json_object_put(object);
    run_free(&r);
}

static void inspect_refuses_what_is_no_plugin(void **state)
{
    char *text;
    size_t len = 0;

    (void)state;
    write_file("empty.so", "", 0, 0600);
    expect("plugin inspect empty.so", NULL, 4, "", "empty.so");
    write_file("text.so", "hello\n", 6, 0600);
    expect("plugin inspect text.so", NULL, 4, "", "text.so");
    copy_plugin(TALLY, "half.so");
    text = read_whole("half.so", &len);
    write_file("half.so", text, len / 2, 0600);
    free(text);
    expect("plugin inspect half.so", NULL, 4, NULL, NULL);
    expect("plugin inspect {}", NULL, 1, "", "not a regular file");
    expect("plugin inspect nowhere.so", NULL, 1, "", "nowhere.so");
    mkfifo(in_dir("pipe.so"), 0600);
    expect("plugin inspect pipe.so", NULL, 1, "", "not a regular file");
}

/* ---- Starting a project ---------------------------------------------------------------------- */

static void a_new_project_has_its_name_in_all_its_files(void **state)
{
    static const char *const langs[] = {"c", "cpp", "rust"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char words[128], command[256];

        snprintf(words, sizeof words, "plugin new thermo-%s --lang %s", langs[i], langs[i]);
        expect(words, NULL, 0, NULL, "");
        expect(words, NULL, 1, "", "is there already");
        snprintf(command, sizeof command, "! grep -rq '@NAME@' %s/thermo-%s", dir, langs[i]);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof command, "grep -q '\"thermo-%s\"' %s/thermo-%s/berth.json",
                 langs[i], dir, langs[i]);
        assert_int_equal(system(command), 0);
    }
    expect("plugin new Thermo", NULL, 2, "", "cannot be a plugin's name");
    expect("plugin new ..", NULL, 2, "", "cannot be a plugin's name");
    expect("plugin new no/where", NULL, 1, "", "No such file");
    expect("plugin new thermo --lang cobol", NULL, 2, "", "c, cpp, rust");
    assert_int_equal(access(in_dir("thermo"), F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_identity_is_for_its_owner_and_never_overwritten),
        TEST(an_identity_goes_through_a_pipe),
        TEST(what_berth_signs_minisign_verifies),
        TEST(what_minisign_signs_berth_verifies),
        TEST(what_does_not_verify_is_exit_4),
        TEST(a_signed_file_that_is_no_plugin_is_exit_4),
        TEST(the_configured_keys_verify_within_their_scope),
        TEST(keys_are_made_once_and_kept_private),
        TEST(a_password_is_not_shown_and_asked_twice),
        TEST(ctrl_c_at_a_password_makes_nothing),
        TEST(colours_are_for_terminals_without_no_color),
        TEST(inspect_says_what_a_plugin_is),
        TEST(inspect_refuses_what_is_no_plugin),
        TEST(a_new_project_has_its_name_in_all_its_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
