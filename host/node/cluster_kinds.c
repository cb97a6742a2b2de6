/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of nodes: linked in, or out of plugin files; given again to a node that starts again. */
#include "node/cluster_private.h"

#include "base/error.h"
#include "plugin/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static berth_status give(cluster_node *n, const cluster_kind *k, char name[MANIFEST_MAX_NAME + 1],
                         berth_error *error)
{
    plugins_loaded loaded = {0};
    berth_status status;

    if (k->table)
        return berth_register_factory_with(n->rt, k->table, &k->facts, error);
    status = plugins_load(runtime_plugins(n->rt), k->path, NULL, &loaded, error);
    if (name)
        snprintf(name, MANIFEST_MAX_NAME + 1, "%s", loaded.name);
    if (status == BERTH_OK && loaded.already) /* it is not to be taken away again */
        return fail(error, BERTH_ERR_EXISTS, "%s: the node has loaded it already", k->path);
    return status;
}

static void take_away(cluster_node *n, const cluster_kind *k, const char *name)
{
    char why[128];
    bool gone;

    if (k->table) {
        char kind[MANIFEST_MAX_NAME + 1];

        snprintf(kind, sizeof kind, "%.*s", (int)k->table->name.len,
                 (const char *)k->table->name.ptr);
        berth_unregister_factory(n->rt, kind, NULL);
    } else {
        plugins_retire(runtime_plugins(n->rt), slice_str(name), true, &gone, why, sizeof why, NULL);
    }
}

berth_status cluster_kinds_apply(cluster_node *n, berth_error *error)
{
    berth_status status = BERTH_OK;

    for (const cluster_kind *k = n->of->kinds; k && status == BERTH_OK; k = k->next)
        if (k->on[n->number])
            status = give(n, k, NULL, error);
    return status;
}

/* Those of nodes that run; all or none. */
static berth_status give_all(berth_cluster *c, const cluster_kind *k, berth_error *error)
{
    char name[MANIFEST_MAX_NAME + 1] = "";
    berth_status status = BERTH_OK;
    uint32_t i = 0;

    for (; i < c->count && status == BERTH_OK; i++) {
        cluster_node *n = &c->nodes[i];
        const log_capture *before = log_set_capture(&n->lines.capture);

        if (k->on[i] && n->running)
            status = give(n, k, name, error);
        log_set_capture(before);
    }
    if (status == BERTH_OK) {
        for (i = 0; i < c->count; i++)
            if (k->on[i] && c->nodes[i].running)
                mesh_facts_changed(c->nodes[i].mesh);
        return BERTH_OK;
    }
    fail_prefix(error, "node %u", --i);
    while (i-- > 0)
        if (k->on[i] && c->nodes[i].running)
            take_away(&c->nodes[i], k, name);
    return status;
}

static void kind_free(cluster_kind *k)
{
    if (k)
        free(k->path);
    free(k);
}

void cluster_kinds_free(berth_cluster *c)
{
    while (c->kinds) {
        cluster_kind *k = c->kinds;

        c->kinds = k->next;
        kind_free(k);
    }
}

static berth_status add(berth_cluster *c, berth_cluster_set nodes, const cluster_kind *what,
                        berth_error *error)
{
    berth_status status = cluster_check_set(c, nodes, error);
    cluster_kind *k = status == BERTH_OK ? calloc(1, sizeof *k) : NULL, **end;

    if (status != BERTH_OK)
        return status;
    if (k) {
        *k = *what;
        k->path = what->path ? strdup(what->path) : NULL;
    }
    if (!k || (what->path && !k->path)) {
        kind_free(k);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    for (uint32_t i = 0; i < c->count; i++)
        k->on[i] = cluster_has(nodes, i);
    pthread_mutex_lock(&c->change);
    status = c->over ? fail(error, BERTH_ERR_SHUTTING_DOWN, "the cluster is shut down")
                     : give_all(c, k, error);
    if (status == BERTH_OK) {
        for (end = &c->kinds; *end; end = &(*end)->next)
            ;
        *end = k;
        k = NULL;
    }
    pthread_mutex_unlock(&c->change);
    kind_free(k);
    return status;
}

berth_status berth_cluster_register_kind(berth_cluster *c, berth_cluster_set nodes,
                                         const berth_kind *table, berth_error *error)
{
    return berth_cluster_register_kind_with(c, nodes, table, NULL, error);
}

berth_status berth_cluster_register_kind_with(berth_cluster *c, berth_cluster_set nodes,
                                              const berth_kind *table,
                                              const berth_factory_facts *facts, berth_error *error)
{
    cluster_kind k = {.table = table, .facts = {.size = sizeof k.facts}};

    if (facts && facts->size < sizeof *facts)
        return fail(error, BERTH_ERR_INVALID,
                    "the facts of a kind have no size, or one that is too small");
    if (facts)
        k.facts = *facts;
    return add(c, nodes, &k, error);
}

berth_status berth_cluster_load_plugin(berth_cluster *c, berth_cluster_set nodes, const char *path,
                                       berth_error *error)
{
    return add(c, nodes, &(cluster_kind){.path = (char *)(uintptr_t)path}, error);
}
