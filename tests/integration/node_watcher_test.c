/* SPDX-License-Identifier: Apache-2.0 */
/* The watched plugin directory, with real files and the kernel's own notices. */
#include "plugin_fixture.h"

#include "node/watcher.h"

#include <pthread.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned loaded; /* looks that loaded something */
    char log[8192];  /* all lines of the log */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_loaded(void *ctx)
{
    (void)ctx;
    pthread_mutex_lock(&seen.lock);
    seen.loaded++;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static void on_log(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    pthread_mutex_lock(&seen.lock);
    if (strlen(seen.log) + strlen(text) + 2 < sizeof seen.log)
        strcat(strcat(seen.log, text), "\n");
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static bool log_has(const char *text)
{
    bool found;

    pthread_mutex_lock(&seen.lock);
    found = strstr(seen.log, text) != NULL;
    pthread_mutex_unlock(&seen.lock);
    return found;
}

/* Until the condition holds; what takes a minute has failed. */
static void wait_for(const char *text, unsigned loads)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 60;
    pthread_mutex_lock(&seen.lock);
    while ((text && !strstr(seen.log, text)) || seen.loaded < loads)
        if (pthread_cond_timedwait(&seen.changed, &seen.lock, &end) != 0)
            break;
    if ((text && !strstr(seen.log, text)) || seen.loaded < loads) {
        pthread_mutex_unlock(&seen.lock);
        fail_msg("waited in vain for '%s' and %u loads; the log: %s", text ? text : "", loads,
                 seen.log);
    }
    pthread_mutex_unlock(&seen.lock);
}

static int setup(void **state)
{
    int result = fixture_setup(state);

    seen.loaded = 0;
    seen.log[0] = '\0';
    log_set_sink(on_log, NULL);
    return result;
}

static int teardown(void **state)
{
    log_set_sink(NULL, NULL);
    return fixture_teardown(state);
}

static watcher *watch_drop(fixture *f)
{
    watcher_config config = {
        .dir = f->drop, .set = f->set, .need_signature = true, .loaded = on_loaded};
    watcher *w = NULL;

    assert_ok(watcher_open(&config, &w, ERROR));
    return w;
}

static bool provides(fixture *f, const char *kind)
{
    plugin_kind *k = plugins_kind(f->set, slice_str(kind));

    if (k)
        plugin_kind_unref(k);
    return k != NULL;
}

/* As if it had lain there for a day. */
static void age(const char *path)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - 86400}, {.tv_sec = time(NULL) - 86400}};
    char beside[PATH_MAX + 16];

    snprintf(beside, sizeof beside, "%s.minisig", path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, beside, times, 0), 0);
}

static void what_lies_there_at_the_start_is_loaded_at_once(void **state)
{
    fixture *f = *state;
    watcher *w;

    age(operator_file(f, PLUGIN("plain"), &f->key));
    w = watch_drop(f);
    assert_true(provides(f, "plain"));
    watcher_close(w);
    assert_true(provides(f, "plain"));
}

static void what_arrives_is_loaded_and_its_removal_unloads_nothing(void **state)
{
    fixture *f = *state;
    watcher *w = watch_drop(f);

    assert_false(provides(f, "plain"));
    assert_ok(watcher_run(w, ERROR));
    unlink(operator_file(f, BUILD_DIR "/plugins/echo.so", &f->key));
    operator_file(f, PLUGIN("plain"), &f->key);
    wait_for(NULL, 1);
    assert_true(provides(f, "plain"));
    unlink(f->path);
    watcher_again(w, true);
    assert_true(provides(f, "plain"));
    watcher_close(w);
}

static void a_file_waits_for_its_signature(void **state)
{
    fixture *f = *state;
    watcher *w = watch_drop(f);

    operator_file(f, PLUGIN("plain"), NULL);
    assert_ok(watcher_run(w, ERROR));
    watcher_again(w, true);
    assert_false(provides(f, "plain"));
    sign_file(f->path, &f->key);
    wait_for(NULL, 1);
    assert_true(provides(f, "plain"));
    watcher_close(w);
    assert_false(log_has("not signed"));
}

static void what_is_refused_is_logged_with_its_path_and_tried_again_when_asked(void **state)
{
    fixture *f = *state;
    const char *const trusted[] = {f->key.line, f->other.line, NULL};
    watcher *w;

    age(operator_file(f, PLUGIN("plain"), &f->other));
    w = watch_drop(f);
    assert_false(provides(f, "plain"));
    assert_true(log_has(f->path));
    assert_true(log_has("does not trust"));
    assert_ok(watcher_run(w, ERROR));
    fixture_policy(f, &(policy_options){.trusted = trusted});
    watcher_again(w, true);
    assert_true(provides(f, "plain"));
    watcher_close(w);
}

static void a_newer_file_is_reported_and_not_taken(void **state)
{
    fixture *f = *state;
    watcher *w;
    buf *bytes;

    age(operator_file(f, PLUGIN("plain"), &f->key));
    w = watch_drop(f);
    assert_ok(watcher_run(w, ERROR));
    bytes = whole_file(PLUGIN("plain-2"));
    assert_ok(file_write(f->path, bytes->data, bytes->len, 0644, ERROR));
    buf_unref(bytes);
    sign_file(f->path, &f->key);
    wait_for("is a new version", 0);
    assert_false(log_has("2.0.0: loaded"));
    watcher_close(w);
}

static void a_directory_that_others_may_write_is_refused_and_left_alone_later(void **state)
{
    fixture *f = *state;
    watcher_config config = {.dir = f->drop, .set = f->set};
    berth_error error = {0};
    watcher *w = watch_drop(f);

    assert_ok(watcher_run(w, ERROR));
    assert_int_equal(chmod(f->drop, 0777), 0);
    age(operator_file(f, PLUGIN("plain"), &f->key));
    watcher_again(w, true);
    assert_true(log_has("chmod go-w"));
    assert_false(provides(f, "plain"));
    assert_int_equal(chmod(f->drop, 0700), 0);
    watcher_again(w, true);
    assert_true(provides(f, "plain"));
    watcher_close(w);

    assert_int_equal(chmod(f->drop, 0777), 0);
    assert_int_equal(watcher_open(&config, &w, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "chmod go-w"));
    config.dir = "/nonexistent/berth";
    assert_int_equal(watcher_open(&config, &w, &error), BERTH_ERR_NOT_FOUND);
    config.dir = PLUGIN("plain");
    assert_int_not_equal(watcher_open(&config, &w, &error), BERTH_OK);
    assert_non_null(strstr(error.text, PLUGIN("plain")));
}

static void a_directory_put_in_place_of_another_is_watched(void **state)
{
    fixture *f = *state;
    watcher *w = watch_drop(f);
    char aside[100];

    assert_ok(watcher_run(w, ERROR));
    snprintf(aside, sizeof aside, "%s/aside", f->dir);
    assert_int_equal(rename(f->drop, aside), 0);
    watcher_again(w, true);
    assert_true(log_has("No such file"));
    assert_int_equal(mkdir(f->drop, 0700), 0);
    operator_file(f, PLUGIN("plain"), &f->key);
    wait_for("can be used again", 0);
    wait_for(NULL, 1);
    assert_true(provides(f, "plain"));
    watcher_close(w);
}

static void other_files_are_not_touched(void **state)
{
    fixture *f = *state;
    char path[100];
    watcher *w;

    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {".hidden.so", "text.txt", "x.so.new", ".so"};
        snprintf(path, sizeof path, "%s/%s", f->drop, names[i]);
        assert_ok(file_write(path, "x", 1, 0644, ERROR));
    }
    w = watch_drop(f);
    watcher_close(w);
    assert_string_equal(seen.log, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_lies_there_at_the_start_is_loaded_at_once),
        TEST(what_arrives_is_loaded_and_its_removal_unloads_nothing),
        TEST(a_file_waits_for_its_signature),
        TEST(what_is_refused_is_logged_with_its_path_and_tried_again_when_asked),
        TEST(a_newer_file_is_reported_and_not_taken),
        TEST(a_directory_that_others_may_write_is_refused_and_left_alone_later),
        TEST(a_directory_put_in_place_of_another_is_watched),
        TEST(other_files_are_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
