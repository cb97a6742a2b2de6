/* SPDX-License-Identifier: Apache-2.0 */
/* The file as a whole: loading, and leaving again. */
#include "cli/check_checks.h"
#include "cli/check_host.h"
#include "cli/check_usage.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* The room puts the path of our copy before its words. */
static const char *without_path(const check *c, const berth_error *error)
{
    size_t n = strlen(c->file);

    if (strncmp(error->text, c->file, n) == 0 && strncmp(error->text + n, ": ", 2) == 0)
        return error->text + n + 2;
    return error->text;
}

static void count_plugin(void *ctx, const plugin_info *info)
{
    *(size_t *)ctx += info->manifest->kind_count;
}

void check_table(check *c)
{
    berth_error error = {0};
    size_t kinds = 0;

    if (host_load(c, TABLES_PLAIN, &error) != BERTH_OK)
        check_fail(c, "", "%s", without_path(c, &error));
    plugins_each(c->set, count_plugin, &kinds);
    check_pass(c, "table and manifest agree on %zu kind%s, and init answers OK", kinds,
               kinds == 1 ? "" : "s");
}

static void live_a_little(check *c, const manifest_kind *facts)
{
    check_daemon *d;

    c->facts = facts;
    c->kind = plugins_kind(c->set, slice_str(facts->name));
    if (!c->kind)
        return;
    d = host_create(c, NULL, NULL);
    if (d) {
        host_start(d, BERTH_START_NEW, NULL);
        host_play_all(d, 0, 8, NULL);
        host_destroy(d);
    }
    plugin_kind_unref(c->kind);
}

static void live_all(void *ctx, const plugin_info *info)
{
    check *c = (check *)ctx;

    for (size_t i = 0; i < info->manifest->kind_count; i++) {
        if (c->lives[i])
            live_a_little(c, &info->manifest->kinds[i]);
    }
    snprintf(c->board->places[1].detail, CHECK_DETAIL, "%s", info->manifest->name);
    c->board->places[2].detail[0] =
        info->manifest->runtime && strcmp(info->manifest->runtime, "go") == 0;
}

void check_unload(check *c)
{
    unsigned threads = usage_now().threads;
    char why[256] = "", *name = c->board->places[1].detail;
    berth_error error = {0};
    bool gone = false, is_go;
    usage after;

    if (host_load(c, TABLES_PLAIN, &error) != BERTH_OK)
        check_fail(c, "", "%s", without_path(c, &error));
    plugins_each(c->set, live_all, c);
    is_go = c->board->places[2].detail[0];
    c->facts = NULL;
    check_call(c, "deinit (or a destructor)");
    c->board->unloading = true;
    if (plugins_retire(c->set, slice_str(name), false, &gone, why, sizeof why, &error) != BERTH_OK)
        check_fail(c, "", "%s", error.text);
    check_call(c, NULL);
    check_detail(c, "after unloading");
    after = usage_settled(threads);
    if (after.threads > threads && !is_go)
        check_fail(c, "stop and join every thread in destroy or deinit: its code is gone then",
                   "left %u thread%s running after deinit", after.threads - threads,
                   after.threads - threads == 1 ? "" : "s");
    if (!gone && is_go)
        check_skip(c, "a Go runtime never leaves, and hosts do not expect it to");
    if (!gone)
        check_fail(c, "", "stayed in memory: %s", why);
    check_pass(c, "left the address space, and no thread behind");
}
