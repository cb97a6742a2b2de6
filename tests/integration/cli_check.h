/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of `berth plugin check`: all checks of one plugin, and which of them failed.
 */
#ifndef CLI_CHECK_H_TESTS
#define CLI_CHECK_H_TESTS

#include "cli/check.h"
#include "cli_run.h"

#define PLUGIN(name) BUILD_DIR "/tests/plugins/" name ".so"

#define SECOND_NS 1000000000ll

enum { NAMES_MAX = 1024, TEXT_MAX = 8192, KINDS_MAX = 256 };

typedef struct verdict {
    size_t failed, passed, skipped;
    char names[NAMES_MAX]; /* of failed checks, blanks between, each once for all kinds */
    char text[TEXT_MAX];   /* theirs, a line each */
    char run[CHECK_TEXT], damage[CHECK_TEXT]; /* what these two said */
    char kinds[KINDS_MAX];                    /* whose run was checked */
} verdict;

static inline void on_result(void *ctx, const check_result *r)
{
    verdict *v = ctx;
    size_t n = strlen(v->names), t = strlen(v->text), k = strlen(v->kinds);

    v->passed += r->outcome == CHECK_PASS;
    v->skipped += r->outcome == CHECK_SKIP;
    v->failed += r->outcome == CHECK_FAIL;
    if (strcmp(r->name, "run") == 0) {
        memcpy(v->run, r->text, sizeof v->run);
        snprintf(v->kinds + k, sizeof v->kinds - k, "%s%s", k ? " " : "", r->kind);
    }
    if (strcmp(r->name, "damage") == 0)
        memcpy(v->damage, r->text, sizeof v->damage);
    if (r->outcome != CHECK_FAIL)
        return;
    if (!strstr(v->names, r->name))
        snprintf(v->names + n, sizeof v->names - n, "%s%s", n ? " " : "", r->name);
    snprintf(v->text + t, sizeof v->text - t, "%s: %s: %s\n", r->name, r->text, r->cure);
}

static inline void run_checks(const char *file, check_options o, verdict *v)
{
    berth_error error = {0};
    size_t failed;

    memset(v, 0, sizeof *v);
    o.file = file;
    o.report = on_result;
    o.ctx = v;
    if (check_plugin(&o, &failed, &error) != BERTH_OK)
        fail_msg("%s: %s", file, error.text);
    assert_int_equal(failed, v->failed);
}

static inline void passes_with(const char *file, check_options o)
{
    verdict v;

    run_checks(file, o, &v);
    if (v.failed)
        fail_msg("%s fails\n%s", file, v.text);
    assert_true(v.passed >= 18);
}

static inline void passes(const char *file)
{
    passes_with(file, (check_options){.seed = 1});
}

/* These checks fail and no others; words: in what they say. */
static inline void fails_by(const char *file, const char *checks, const char *words,
                            int64_t limit_ns)
{
    verdict v;

    run_checks(file, (check_options){.seed = 1, .limit_ns = limit_ns}, &v);
    if (strcmp(v.names, checks) != 0 || !strstr(v.text, words))
        fail_msg("%s: should fail by '%s' with '%s', but\n%s", file, checks, words, v.text);
}

typedef struct flaw {
    const char *plugin, *checks, *words;
} flaw;

static inline void each_fails_by(const flaw *flaws, size_t count, int64_t limit_ns)
{
    for (size_t i = 0; i < count; i++) {
        char path[512];

        snprintf(path, sizeof path, BUILD_DIR "/tests/plugins/%s.so", flaws[i].plugin);
        fails_by(path, flaws[i].checks, flaws[i].words, limit_ns);
    }
}

#define EACH_FAILS(flaws, limit_ns) each_fails_by(flaws, sizeof(flaws) / sizeof *(flaws), limit_ns)

static inline int begin(void **state)
{
    (void)state;
    umask(022);
    make_dir();
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    remove_dir();
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
