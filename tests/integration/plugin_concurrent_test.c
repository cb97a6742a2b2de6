/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads, a file that changes, and a process that is killed: nothing half done is ever seen.
 */
#include "plugin_fixture.h"

#include "base/text.h"
#include "plugin/content_store.h"
#include "plugin/open.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define THREADS 8
#define ROUNDS  60

static const char *const built[] = {
    PLUGIN("plain"),     PLUGIN("plain-2"),     PLUGIN("two-kinds"),
    PLUGIN("same-kind"), PLUGIN("versioned-1"), PLUGIN("versioned-2"),
};
#define FILES (sizeof built / sizeof *built)
static const char *const kinds[] = {"plain", "plain-2", "two-kinds", "two-kinds.second",
                                    "versioned"};
static const char *const names[] = {"plain", "plain-2", "two-kinds", "same-kind", "versioned"};

typedef struct crowd {
    fixture *f;
    char paths[FILES][PATH_MAX];
    uint8_t digests[FILES][DIGEST_BYTES];
    atomic_uint loads, uses, strange;
} crowd;

typedef struct member {
    crowd *c;
    unsigned seed;
} member;

static unsigned dice(member *m, unsigned sides)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return (m->seed >> 8) % sides;
}

static void load_one(member *m)
{
    berth_error error = {0};
    plugins_load_options options = {.allow_downgrade = true};
    berth_status status =
        plugins_load(m->c->f->set, m->c->paths[dice(m, FILES)], &options, NULL, &error);

    if (status == BERTH_OK)
        atomic_fetch_add(&m->c->loads, 1);
    else if (status != BERTH_ERR_EXISTS && status != BERTH_ERR_KIND_EXISTS) {
        atomic_fetch_add(&m->c->strange, 1);
        fprintf(stderr, "load: %s\n", error.text);
    }
}

/* Run code of a kind while we hold it, whatever the others do. */
static void use_one(member *m)
{
    plugin_kind *kind =
        plugins_kind(m->c->f->set, slice_str(kinds[dice(m, sizeof kinds / sizeof *kinds)]));
    plugin_info info;

    if (!kind)
        return;
    plugin_kind_info(kind, &info);
    if (strcmp(kind->facts->name, "versioned") != 0)
        kind->table.destroy(NULL, NULL);
    if (info.kind_refs == 0 || !info.manifest->name[0])
        atomic_fetch_add(&m->c->strange, 1);
    atomic_fetch_add(&m->c->uses, 1);
    plugin_kind_unref(kind);
}

static void retire_one(member *m)
{
    char why_not[128];
    bool gone;

    plugins_retire(m->c->f->set, slice_str(names[dice(m, sizeof names / sizeof *names)]),
                   dice(m, 2) == 0, &gone, why_not, sizeof why_not, NULL);
}

/* Whatever is loaded keeps its file. */
static void forget_one(member *m)
{
    unsigned i = dice(m, FILES);

    plugins_forget(m->c->f->set, m->c->digests[i], NULL);
}

static void check_stored(void *ctx, const plugin_info *info)
{
    crowd *c = ctx;
    char hex[2 * DIGEST_BYTES + 1], path[256];

    snprintf(path, sizeof path, "%s/plugins/%s.so", c->f->state,
             hex_encode(hex, slice_of(info->digest, DIGEST_BYTES)));
    if (access(path, F_OK) != 0)
        atomic_fetch_add(&c->strange, 1);
}

static void *mingle(void *arg)
{
    member *m = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned n = 0;

        load_one(m);
        for (unsigned j = 0; j < 8; j++)
            use_one(m);
        plugins_each(m->c->f->set, count_plugin, &n);
        retire_one(m);
        forget_one(m);
    }
    return NULL;
}

/* Each plugin is published whole or not at all: both kinds of two-kinds, or neither. */
static void *watch_wholeness(void *arg)
{
    member *m = arg;

    for (unsigned i = 0; i < ROUNDS * 20; i++) {
        plugin_kind *first = plugins_kind(m->c->f->set, slice_str("two-kinds"));
        plugin_kind *second;
        plugin_info info;

        if (!first)
            continue;
        plugin_kind_info(first, &info);
        second = plugins_kind_of(m->c->f->set, info.digest, slice_str("two-kinds.second"));
        if (!second || second->owner != first->owner)
            atomic_fetch_add(&m->c->strange, 1);
        if (second)
            plugin_kind_unref(second);
        plugin_kind_unref(first);
    }
    return NULL;
}

/* compute-core §18.30 */
static void loading_using_and_retiring_from_many_threads_is_safe(void **state)
{
    fixture *f = *state;
    crowd *c = calloc(1, sizeof *c);
    pthread_t threads[THREADS + 1];
    member members[THREADS + 1];

    c->f = f;
    for (size_t i = 0; i < FILES; i++) {
        plugins_load_options dry = {.dry_run = true};
        plugins_loaded loaded;

        strcpy(c->paths[i], operator_file(f, built[i], &f->key));
        assert_ok(plugins_load(f->set, c->paths[i], &dry, &loaded, ERROR));
        memcpy(c->digests[i], loaded.digest, DIGEST_BYTES);
    }
    for (unsigned i = 0; i <= THREADS; i++) {
        members[i] = (member){.c = c, .seed = i + 1};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < THREADS ? mingle : watch_wholeness, &members[i]),
            0);
    }
    for (unsigned i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    plugins_each(f->set, check_stored, c);
    assert_int_equal(atomic_load(&c->strange), 0);
    assert_true(atomic_load(&c->loads) > 0);
    assert_true(atomic_load(&c->uses) > 0);
    fixture_restart(f);
    assert_int_equal(mappings(f), 0);
    assert_int_equal(stored_files(f) % 2, 0); /* each with its signature */
    free(c);
}

static void *load_it(void *arg)
{
    crowd *c = arg;

    if (plugins_load(c->f->set, c->paths[0], NULL, NULL, NULL) == BERTH_OK)
        atomic_fetch_add(&c->loads, 1);
    return NULL;
}

static void one_file_loaded_by_all_at_once_is_loaded_once(void **state)
{
    fixture *f = *state;
    crowd *c = calloc(1, sizeof *c);
    pthread_t threads[THREADS];
    char mark[64] = "";
    int fd;

    c->f = f;
    strcpy(c->paths[0], operator_file(f, PLUGIN("plain"), &f->key));
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_it, c), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&c->loads), THREADS);
    assert_int_equal(loaded_plugins(f->set), 1);
    fd = open(f->mark, O_RDONLY);
    assert_true(read(fd, mark, sizeof mark) > 0);
    close(fd);
    assert_string_equal(mark, "plain\n"); /* its constructor ran once */
    free(c);
}

typedef struct latecomer {
    plugins *set;
    loading l;
    atomic_bool started;
    bool already, met_the_old;
} latecomer;

static void *come_again(void *arg)
{
    latecomer *late = arg;

    atomic_store(&late->started, true);
    if (set_reserve(late->set, &late->l, &late->already, NULL) != BERTH_OK)
        return late;
    late->met_the_old = loaded_plugins(late->set) > 0;
    set_release(late->set, &late->l);
    return NULL;
}

/* init of the new and deinit of the old would otherwise run in one copy of the library. */
static void a_file_is_not_loaded_again_before_its_last_copy_is_closed(void **state)
{
    fixture *f = *state;
    latecomer late = {.set = f->set};
    plugins_loaded loaded;
    pthread_t thread;
    char why_not[128];
    void *failed;
    plugin *p;

    assert_ok(
        plugins_load(f->set, operator_file(f, PLUGIN("plain"), &f->key), NULL, &loaded, ERROR));
    /* As plugins_retire does it, held up in the middle of deinit. */
    pthread_mutex_lock(&f->set->lock);
    p = f->set->list;
    p->state = PLUGIN_CLOSING;
    strmap_del(&f->set->kinds, slice_str("plain"));
    pthread_mutex_unlock(&f->set->lock);
    late.l = (loading){.has_digest = true};
    memcpy(late.l.digest, loaded.digest, DIGEST_BYTES);
    assert_ok(manifest_parse(slice_str("{\"name\":\"plain\",\"version\":\"1.0.0\",\"abi\":[0,0],"
                                       "\"kinds\":[{\"name\":\"plain\"}]}"),
                             (manifest **)&late.l.manifest, ERROR));
    assert_int_equal(pthread_create(&thread, NULL, come_again, &late), 0);
    while (!atomic_load(&late.started))
        sched_yield();
    usleep(10000); /* time to do the wrong thing */
    set_close(p, why_not, sizeof why_not);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_false(late.already);
    assert_false(late.met_the_old);
    manifest_free((manifest *)late.l.manifest);
}

/* ---- A file replaced between verify and open */

typedef struct swapper {
    fixture *f;
    atomic_bool stop;
    char good[128], evil[128];
} swapper;

/* Put the good and the evil file in the operator's place by turns; the signature stays the good
 * one's. */
static void *swap(void *arg)
{
    swapper *s = arg;
    char next[160], place[128];

    snprintf(next, sizeof next, "%s/next", s->f->dir);
    snprintf(place, sizeof place, "%s/plain.so", s->f->drop);
    for (unsigned i = 0; !atomic_load(&s->stop); i++) {
        unlink(next);
        if (link(i % 2 ? s->good : s->evil, next) != 0 || rename(next, place) != 0)
            return s;
    }
    return NULL;
}

static void a_file_that_is_swapped_meanwhile_never_gets_other_code_in(void **state)
{
    fixture *f = *state;
    swapper s = {.f = f};
    char mark[64] = "", why_not[128];
    pthread_t thread;
    void *failed;
    bool gone;
    int fd;

    operator_file(f, PLUGIN("plain-2"), NULL);
    snprintf(s.evil, sizeof s.evil, "%s/evil", f->dir);
    assert_int_equal(rename(f->path, s.evil), 0);
    operator_file(f, PLUGIN("plain"), &f->key);
    snprintf(s.good, sizeof s.good, "%s/good", f->dir);
    assert_int_equal(link(f->path, s.good), 0);
    assert_int_equal(pthread_create(&thread, NULL, swap, &s), 0);
    for (unsigned i = 0; i < 200; i++) {
        berth_status status = plugins_load(f->set, f->path, NULL, NULL, ERROR);

        if (status != BERTH_OK && status != BERTH_ERR_SIGNATURE)
            fail_msg("%s", ERROR->text);
        if (status == BERTH_OK)
            plugins_retire(f->set, slice_str("plain"), false, &gone, why_not, sizeof why_not, NULL);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, &failed);
    assert_null(failed);
    fd = open(f->mark, O_RDONLY);
    while (fd >= 0 && read(fd, mark, strlen("plain\n")) > 0)
        assert_string_equal(mark, "plain\n");
    if (fd >= 0)
        close(fd);
}

static void a_stored_file_replaced_between_check_and_open_is_not_opened(void **state)
{
    fixture *f = *state;
    content_store *store;
    content_file file = {.fd = -1};
    examination e;
    char dir[128], other[PATH_MAX];
    bool created;
    plugin p = {.set = f->set};
    void *image;

    snprintf(dir, sizeof dir, "%s/store", f->dir);
    assert_ok(content_store_open(dir, 0, &store, ERROR));
    assert_ok(content_take(store, operator_file(f, PLUGIN("plain"), NULL), &file, ERROR));
    assert_ok(content_keep(store, &file, &created, ERROR));
    assert_true(created);
    image = content_bytes(&file);
    assert_ok(examine_here(image, file.size, &e, ERROR));
    free(image);
    assert_true(content_in_place(&file));

    operator_file(f, PLUGIN("plain-2"), NULL);
    snprintf(other, sizeof other, "%s", f->path);
    assert_int_equal(rename(other, file.path), 0);
    assert_false(content_in_place(&file));
    p.manifest = e.manifest;
    assert_int_equal(plugin_open(&p, &file, e.facts, ERROR), BERTH_ERR_CORRUPT);
    assert_non_null(strstr(ERROR->text, "was replaced in the store"));
    assert_false(constructor_ran(f));
    examination_free(&e);
    content_drop(&file);
    content_store_close(store);
}

/* ---- Killed */

static void a_load_that_is_killed_at_any_moment_leaves_a_usable_store(void **state)
{
    fixture *f = *state;

    operator_file(f, PLUGIN("plain"), &f->key);
    for (unsigned i = 0; i < 40; i++) {
        pid_t pid;

        plugins_free(f->set);
        f->set = NULL;
        pid = fork();
        if (pid == 0) {
            plugins_config config = {
                .state_dir = f->state, .policy = f->policy, .host = &test_host};
            plugins *set;

            if (plugins_new(&config, &set, NULL) == BERTH_OK)
                plugins_load(set, f->path, NULL, NULL, NULL);
            _exit(0);
        }
        usleep(i * 150); /* any moment is as good as another */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        fixture_start(f);
        if (stored_files(f) != 0 && stored_files(f) != 2)
            fail_msg("%u files are left", stored_files(f));
        assert_ok(plugins_load(f->set, f->path, NULL, NULL, ERROR));
        if (i % 2) { /* so that the next one begins with an empty store */
            char command[160];

            plugins_free(f->set);
            f->set = NULL;
            snprintf(command, sizeof command, "rm -rf %s/plugins", f->state);
            assert_int_equal(system(command), 0);
            fixture_start(f);
        }
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(loading_using_and_retiring_from_many_threads_is_safe),
        test(one_file_loaded_by_all_at_once_is_loaded_once),
        test(a_file_is_not_loaded_again_before_its_last_copy_is_closed),
        test(a_file_that_is_swapped_meanwhile_never_gets_other_code_in),
        test(a_stored_file_replaced_between_check_and_open_is_not_opened),
        test(a_load_that_is_killed_at_any_moment_leaves_a_usable_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
