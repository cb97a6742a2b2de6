/* SPDX-License-Identifier: Apache-2.0 */
/* Which checks there are, in which order, and what each needs; and running them all. */
#include "cli/check_checks.h"

#include "base/error.h"
#include "base/file.h"
#include "plugin/admit.h"
#include "plugin/examine.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (256ull << 20)

typedef enum plan_for { FOR_FILE, FOR_ALL, FOR_STATEFUL, FOR_STATELESS } plan_for;

typedef struct plan_entry {
    const char *name;
    check_fn *fn; /* NULL: done before anything runs, by the parent */
    plan_for whom;
    const char *needs[2]; /* checks of the same kind that must not have failed */
} plan_entry;

static const plan_entry plan[] = {
    {"admission", NULL, FOR_FILE, {0}},
    {"hygiene", NULL, FOR_FILE, {0}},
    {"table", check_table, FOR_FILE, {0}},
    {"run", check_life_run, FOR_ALL, {0}},
    {"growth", check_cost_growth, FOR_ALL, {"run"}},
    {"config", check_life_config, FOR_ALL, {"run"}},
    {"bounds", check_events_bounds, FOR_ALL, {"run"}},
    {"read-only", check_events_read_only, FOR_ALL, {"run"}},
    {"borrowed", check_events_borrowed, FOR_ALL, {"run"}},
    {"unknown", check_events_unknown, FOR_ALL, {"run"}},
    {"calls", check_rules_calls, FOR_ALL, {"run"}},
    {"limits", check_rules_limits, FOR_ALL, {"run"}},
    {"refusals", check_rules_refusals, FOR_ALL, {"run"}},
    {"status", check_life_status, FOR_ALL, {"run"}},
    {"replay", check_state_replay, FOR_ALL, {"run"}},
    {"tables", check_rules_tables, FOR_ALL, {"run", "replay"}},
    {"instances", check_threads_instances, FOR_ALL, {"run", "replay"}},
    {"thread-change", check_threads_hops, FOR_ALL, {"run", "replay"}},
    {"snapshot", check_state_snapshot, FOR_STATEFUL, {"run"}},
    {"snapshot-bytes", check_state_bytes, FOR_STATEFUL, {"snapshot", "replay"}},
    {"restore", check_state_restore, FOR_STATEFUL, {"snapshot", "replay"}},
    {"reject", check_events_reject, FOR_STATEFUL, {"snapshot"}},
    {"damage", check_damage, FOR_STATEFUL, {"snapshot"}},
    {"stateless", check_state_stateless, FOR_STATELESS, {"run"}},
    {"time", check_cost_time, FOR_ALL, {"run"}},
    {"unload", check_unload, FOR_FILE, {"table"}},
};

enum { PLAN = sizeof plan / sizeof *plan };

const char *check_name(size_t i)
{
    return i < PLAN ? plan[i].name : NULL;
}

/* One run of all checks. */
typedef struct running {
    const check_options *options;
    check c;
    char dir[PATH_MAX], file[PATH_MAX + 16];
    char *config; /* with its zero */
    script *script;
    examination found;
    size_t done, total, failed;
    bool file_failed[PLAN], kind_failed[PLAN]; /* or were left out for one that failed */
    bool lives[MANIFEST_MAX_KINDS]; /* which kinds can be played when the file is unloaded */
    bool stopped;
} running;

/* ---- Reporting ------------------------------------------------------------------------------- */

static void report(running *r, check_result *result)
{
    r->done++;
    r->failed += result->outcome == CHECK_FAIL;
    if (r->options->report)
        r->options->report(r->options->ctx, result);
}

/* One that needed no process. text may be longer than fits: it is cut. */
static void report_text(running *r, const char *name, check_outcome outcome, const char *text)
{
    check_result result = {.name = name, .outcome = outcome};

    text_escape(result.text, sizeof result.text, text, strlen(text));
    report(r, &result);
}

/* ---- Before anything of it runs -------------------------------------------------------------- */

/* The hosts of this version have no extensions; one that needs some would be refused by them. */
static berth_status judge_file(running *r, berth_error *error)
{
    admit_policy policy = {0};
    admission a = {0};
    size_t noted = 0;
    char text[CHECK_TEXT] = "";
    berth_status status = admit(r->found.facts, r->found.manifest, &policy, &a, error);

    if (status != BERTH_OK)
        return status;
    if (!r->found.manifest)
        report_text(r, "admission", CHECK_FAIL,
                    r->found.manifest_error.code ? r->found.manifest_error.text
                                                 : "there is no manifest in it");
    for (size_t i = 0; i < a.count; i++) {
        if (a.items[i].level == ADMIT_REFUSED)
            report_text(r, "admission", CHECK_FAIL, a.items[i].text);
    }
    if (r->failed || !r->found.manifest) {
        admission_free(&a);
        return BERTH_OK;
    }
    report_text(r, "admission", CHECK_PASS, "a host would take this file");
    for (size_t i = 0; i < a.count; i++, noted++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s",
                 text[0] ? "; " : "noted: ", a.items[i].text);
    for (size_t i = 0; i < r->found.manifest->warnings.count; i++, noted++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s",
                 text[0] ? "; " : "noted: ", r->found.manifest->warnings.items[i]);
    report_text(r, "hygiene", CHECK_PASS, noted ? text : "nothing to note");
    admission_free(&a);
    return BERTH_OK;
}

static const char *without_path(const running *r, const char *text)
{
    size_t n = strlen(r->options->file);

    return strncmp(text, r->options->file, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2
                                                                                      : text;
}

/* A copy of our own: it has no signature beside it, and nobody builds over it meanwhile. */
static berth_status take_copy(running *r, berth_error *error)
{
    const char *parent = getenv("TMPDIR");
    buf *bytes = NULL;
    berth_status status = file_read(r->options->file, FILE_MAX_BYTES, 0, &bytes, error);

    if (status != BERTH_OK)
        return status;
    snprintf(r->dir, sizeof r->dir, "%s/berth-check-XXXXXX",
             parent && parent[0] == '/' ? parent : "/tmp");
    if (!mkdtemp(r->dir)) {
        status = fail_errno(error, errno, "%s", r->dir);
        r->dir[0] = 0;
    } else {
        snprintf(r->file, sizeof r->file, "%s/plugin.so", r->dir);
        status = file_write(r->file, bytes->data, bytes->len, 0600, error);
    }
    buf_unref(bytes);
    return status;
}

/* ---- The checks ------------------------------------------------------------------------------ */

static void *shared_memory(size_t size)
{
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        abort();
    return p;
}

static size_t plan_find(const char *name)
{
    size_t i = 0;

    while (strcmp(plan[i].name, name) != 0)
        i++;
    return i;
}

/* The check that failed and that this one needs, or NULL. */
static const char *failed_need(const plan_entry *e, const bool *failed)
{
    for (size_t i = 0; i < 2 && e->needs[i]; i++) {
        if (failed[plan_find(e->needs[i])])
            return e->needs[i];
    }
    return NULL;
}

static void run_entry(running *r, size_t i, bool *failed)
{
    const plan_entry *e = &plan[i];
    const char *need = failed_need(e, failed);
    check_result result = {.name = e->name, .kind = r->c.facts ? r->c.facts->name : NULL};

    if (r->stopped)
        return;
    r->c.name = e->name;
    r->c.number = (unsigned)r->done;
    if (r->options->begin)
        r->options->begin(r->options->ctx, e->name, result.kind, r->done, r->total);
    if (need) {
        result.outcome = CHECK_SKIP;
        snprintf(result.text, sizeof result.text, "'%s' failed", need);
    } else if (!check_run(&r->c, e->fn, &result)) {
        r->stopped = true;
        return;
    }
    failed[i] = need || result.outcome == CHECK_FAIL;
    report(r, &result);
}

static bool concerns(plan_for whom, const manifest_kind *facts)
{
    return whom == FOR_ALL || (whom == FOR_STATEFUL && facts->stateful) ||
           (whom == FOR_STATELESS && !facts->stateful);
}

static bool is_chosen(const running *r, const manifest_kind *facts)
{
    return !r->options->kind || strcmp(r->options->kind, facts->name) == 0;
}

static void check_kind(running *r, const manifest_kind *facts, bool *lives)
{
    check_shared *of_file = r->c.shared;

    memset(r->kind_failed, 0, sizeof r->kind_failed);
    r->c.facts = facts;
    r->c.shared = (check_shared *)shared_memory(sizeof *r->c.shared);
    for (size_t i = 0; i < PLAN; i++) {
        if (concerns(plan[i].whom, facts))
            run_entry(r, i, r->kind_failed);
    }
    *lives = !r->kind_failed[plan_find("run")] && !r->kind_failed[plan_find("growth")];
    munmap(r->c.shared, sizeof *r->c.shared);
    r->c.shared = of_file;
    r->c.facts = NULL;
}

static berth_status check_all(running *r, berth_error *error)
{
    const manifest *m = r->found.manifest;
    size_t chosen = 0;

    r->total = r->done + 2;
    for (size_t k = 0; k < m->kind_count; k++) {
        chosen += is_chosen(r, &m->kinds[k]);
        for (size_t i = 0; is_chosen(r, &m->kinds[k]) && i < PLAN; i++)
            r->total += concerns(plan[i].whom, &m->kinds[k]);
    }
    if (!chosen)
        return fail(error, BERTH_ERR_INVALID,
                    "%s: has no kind '%s': 'berth plugin inspect' lists those it has",
                    r->options->file, r->options->kind);
    run_entry(r, plan_find("table"), r->file_failed);
    for (size_t k = 0; k < m->kind_count && !r->file_failed[plan_find("table")]; k++) {
        if (is_chosen(r, &m->kinds[k]))
            check_kind(r, &m->kinds[k], &r->lives[k]);
    }
    run_entry(r, plan_find("unload"), r->file_failed);
    return BERTH_OK;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(name);
}

static berth_status run_all(running *r, berth_error *error)
{
    const check_options *o = r->options;
    char *before = getenv("TMPDIR"), *saved = before ? strdup(before) : NULL;
    berth_status status;

    r->config = (char *)calloc(o->config.len + 1, 1);
    if (!r->config || (before && !saved))
        abort();
    if (o->config.len)
        memcpy(r->config, o->config.ptr, o->config.len);
    r->script = script_new(o->events, o->seed);
    r->c = (check){.options = o,
                   .file = r->file,
                   .config = slice_of(r->config, o->config.len),
                   .script = r->script,
                   .lives = r->lives,
                   .limit_ns = o->limit_ns ? o->limit_ns : CHECK_LIMIT_NS,
                   .board = (check_board *)shared_memory(sizeof *r->c.board),
                   .shared = (check_shared *)shared_memory(sizeof *r->c.shared)};
    /* Checks of the file play a little, too. */
    r->c.shared->event_count = r->script->count;
    /* What children that crash leave behind goes with our directory. */
    setenv("TMPDIR", r->dir, 1);
    check_run_begin();
    status = check_all(r, error);
    check_run_end();
    if (saved)
        setenv("TMPDIR", saved, 1);
    else
        unsetenv("TMPDIR");
    if (status == BERTH_OK && r->stopped)
        status =
            fail(error, BERTH_ERR_CANCELLED, "stopped after %zu of %zu checks", r->done, r->total);
    free(saved);
    munmap(r->c.board, sizeof *r->c.board);
    munmap(r->c.shared, sizeof *r->c.shared);
    script_free(r->script);
    free(r->config);
    return status;
}

berth_status check_plugin(const check_options *options, size_t *failed, berth_error *error)
{
    running *r = (running *)calloc(1, sizeof *r);
    berth_status status;

    if (!r)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    r->options = options;
    status = take_copy(r, error);
    if (status == BERTH_OK) {
        status = examine_file(options->file, FILE_MAX_BYTES, &r->found, error);
        if (status == BERTH_ERR_ADMISSION) {
            report_text(r, "admission", CHECK_FAIL, without_path(r, error->text));
            *error = (berth_error){0};
            status = BERTH_OK;
        } else if (status == BERTH_OK) {
            status = judge_file(r, error);
        }
    }
    if (status == BERTH_OK && !r->failed)
        status = run_all(r, error);
    if (r->dir[0])
        nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    *failed = r->failed;
    examination_free(&r->found);
    free(r);
    return status;
}
