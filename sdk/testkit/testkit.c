/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_BEGIN INT64_C(1700000000000000000)

/* ---- What the plugin sees of its host ---- */

static void host_log(const berth_host *host, berth_daemon *daemon, int32_t level,
                     const berth_bytes *text)
{
    berth_test *t = (berth_test *)host;
    char *line = kit_escape(text ? text->ptr : NULL, text && text->ptr ? text->len : 0);

    (void)daemon;
    pthread_mutex_lock(&t->lock);
    t->lines = kit_grow(t->lines, (t->line_count + 1) * sizeof *t->lines);
    t->lines[t->line_count++] = (kit_line){level, line};
    pthread_mutex_unlock(&t->lock);
}

static berth_code queue_post(kit_instance *i, const void *ptr, uint64_t len)
{
    berth_test_daemon *d = i->daemon;

    if (!i->live)
        return BERTH_E_NOT_NOW;
    if ((!ptr && len) || !d->kind->on_post)
        return BERTH_E_ARGUMENT;
    if (len > d->birth.max_event)
        return BERTH_E_LIMIT;
    if (d->post_count >= d->birth.max_posts)
        return BERTH_E_FULL;
    kit_post *post = kit_grow(NULL, sizeof *post + len);
    post->next = NULL;
    post->len = len;
    if (len)
        memcpy(post->bytes, ptr, len);
    *d->posts_end = post;
    d->posts_end = &post->next;
    d->post_count++;
    return BERTH_OK;
}

static berth_code host_post(berth_daemon *daemon, const void *ptr, uint64_t len)
{
    kit_instance *i = (kit_instance *)daemon;

    pthread_mutex_lock(&i->test->lock);
    berth_code code = queue_post(i, ptr, len);
    pthread_mutex_unlock(&i->test->lock);
    return code;
}

static const void *host_extension(const berth_host *host, const char *id)
{
    const berth_test *t = (const berth_test *)host;

    for (size_t i = 0; t->in_init && i < t->extension_count; i++) {
        if (strcmp(t->extension_ids[i], id) == 0)
            return t->extension_tables[i];
    }
    return NULL;
}

/* ---- Plugins ---- */

static const char *check_kind(const berth_kind *kind)
{
    if (!kind || kind->size < sizeof(berth_kind))
        return "a kind's size is not sizeof(berth_kind)";
    if (!kind->name.ptr || kind->name.len == 0)
        return "a kind has no name";
    if (!kind->create || !kind->destroy || !kind->process)
        return "a kind lacks create, destroy or process";
    return NULL;
}

static const char *check_plugin(const berth_plugin *plugin)
{
    if (!plugin || plugin->size < sizeof *plugin)
        return "the table's size is not sizeof(berth_plugin)";
    if (plugin->kind_count == 0 || !plugin->kinds)
        return "the plugin has no kinds";
    if (!plugin->manifest)
        return "the table does not point to the manifest (BERTH_EMBEDDED_MANIFEST)";
    for (uint32_t i = 0; i < plugin->kind_count; i++) {
        const char *why = check_kind(plugin->kinds[i]);
        if (why)
            return why;
        for (uint32_t j = 0; j < i; j++) {
            berth_bytes a = plugin->kinds[i]->name, b = plugin->kinds[j]->name;
            if (a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0)
                return "two kinds have the same name";
        }
    }
    return NULL;
}

static void free_test(berth_test *t)
{
    while (t->instances) {
        kit_instance *next = t->instances->next;
        free(t->instances);
        t->instances = next;
    }
    for (size_t i = 0; i < t->line_count; i++)
        free(t->lines[i].text);
    free(t->lines);
    free(t->kinds);
    free(t->last_failure);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

berth_test *berth_test_open_with(const berth_plugin *plugin, size_t extensions,
                                 const char *const *ids, const void *const *tables,
                                 const char **why)
{
    const char *mistake = check_plugin(plugin);
    berth_test *t;

    if (why)
        *why = mistake;
    if (mistake)
        return NULL;
    t = kit_alloc(sizeof *t);
    t->host = (berth_host){sizeof t->host, BERTH_ABI_MINOR, host_log, host_post, host_extension};
    t->plugin = plugin;
    t->kinds = kit_alloc(plugin->kind_count * sizeof *t->kinds);
    for (uint32_t i = 0; i < plugin->kind_count; i++)
        memcpy(&t->kinds[i], plugin->kinds[i], sizeof *t->kinds);
    t->extension_count = extensions;
    t->extension_ids = ids;
    t->extension_tables = tables;
    t->now = CLOCK_BEGIN;
    t->seed[0] = 1;
    t->seed[1] = 2;
    t->next_origin = 0x1000;
    t->last_failure = kit_copy("", 0);
    pthread_mutex_init(&t->lock, NULL);

    t->in_init = true;
    berth_code code = plugin->init ? plugin->init(&t->host) : BERTH_OK;
    t->in_init = false;
    if (code != BERTH_OK) {
        if (why)
            *why = "init failed";
        free_test(t);
        return NULL;
    }
    return t;
}

berth_test *berth_test_open(const berth_plugin *plugin, const char **why)
{
    return berth_test_open_with(plugin, 0, NULL, NULL, why);
}

berth_test *berth_test_open_file(const char *path, const char **why)
{
    const char *mistake = NULL;
    berth_test *t = NULL;
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const berth_plugin *plugin = file ? dlsym(file, BERTH_PLUGIN_SYMBOL) : NULL;

    if (plugin)
        t = berth_test_open(plugin, &mistake);
    else
        mistake = dlerror();
    if (t)
        t->file = file;
    else if (plugin)
        dlclose(file);
    if (why)
        *why = mistake;
    return t;
}

void berth_test_close(berth_test *t)
{
    if (!t)
        return;
    while (t->daemons)
        berth_test_destroy(t->daemons);
    if (t->plugin->deinit)
        t->plugin->deinit();
    if (t->file)
        dlclose(t->file);
    free_test(t);
}

int64_t berth_test_now(const berth_test *t)
{
    return t->now;
}

void berth_test_advance(berth_test *t, int64_t ns)
{
    if (ns > 0)
        t->now = ns > INT64_MAX - t->now ? INT64_MAX : t->now + ns;
}

void berth_test_set_seed(berth_test *t, uint64_t a, uint64_t b)
{
    t->seed[0] = a;
    t->seed[1] = b;
}

/* The next seed of the sequence: any well-mixed step will do. */
void kit_take_seed(berth_test *t, uint64_t out[2])
{
    for (int i = 0; i < 2; i++) {
        out[i] = t->seed[i];
        t->seed[i] = (t->seed[i] ^ t->seed[i] >> 29) * UINT64_C(0xbf58476d1ce4e5b9) +
                     UINT64_C(0x9e3779b97f4a7c15);
    }
}

size_t berth_test_log_count(berth_test *t)
{
    pthread_mutex_lock(&t->lock);
    size_t count = t->line_count;
    pthread_mutex_unlock(&t->lock);
    return count;
}

static kit_line log_line(berth_test *t, size_t i)
{
    kit_line line = {-1, NULL};

    pthread_mutex_lock(&t->lock);
    if (i < t->line_count)
        line = t->lines[i];
    pthread_mutex_unlock(&t->lock);
    return line;
}

const char *berth_test_log_text(berth_test *t, size_t i)
{
    return log_line(t, i).text;
}

int32_t berth_test_log_level(berth_test *t, size_t i)
{
    return log_line(t, i).level;
}
