/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/paths.h"
#include "node/config_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

config *config_new(void)
{
    config *c = calloc(1, sizeof *c);

    if (c)
        c->limits.size = sizeof c->limits;
    return c;
}

static void free_list(config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

void config_daemon_free(config_daemon *d)
{
    free(d->name);
    free(d->kind);
    free(d->config);
    free(d->config_file);
    free(d->identity_file);
    free_list(&d->subscribe);
    free_list(&d->tokens);
    free_list(&d->serve);
    free_list(&d->accept);
}

static void free_mesh(config *c)
{
    free_list(&c->mesh.listen);
    free_list(&c->mesh.advertise);
    free(c->mesh.psk_file);
    free(c->mesh.revoked_tokens);
    free(c->mesh.impair);
    free_list(&c->migration.accept);
    free(c->migration.operators.bytes);
    for (size_t i = 0; i < c->peer_count; i++) {
        free(c->peers[i].name);
        free_list(&c->peers[i].addresses);
    }
    for (size_t i = 0; i < c->realm_count; i++) {
        free(c->realms[i].name);
        free(c->realms[i].certificate);
        free(c->realms[i].revocations);
    }
    for (size_t i = 0; i < c->channel_count; i++) {
        free(c->channels[i].name);
        free(c->channels[i].roots.bytes);
        free(c->channels[i].publish);
        free(c->channels[i].subscribe);
    }
    free(c->peers);
    free(c->realms);
    free(c->channels);
}

void config_free(config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->scoped_count; i++) {
        free(c->scoped[i].name);
        free(c->scoped[i].key);
        free_list(&c->scoped[i].names);
        free_list(&c->scoped[i].kinds);
    }
    for (size_t i = 0; i < c->plugin_count; i++)
        free(c->plugins[i].name);
    for (size_t i = 0; i < c->daemon_count; i++)
        config_daemon_free(&c->daemons[i]);
    free_mesh(c);
    free(c->scoped);
    free(c->plugins);
    free(c->daemons);
    free(c->file);
    free(c->name);
    free(c->state_dir);
    free(c->socket);
    free(c->key_file);
    free(c->plugin_dir);
    free_list(&c->keys);
    free_list(&c->libs);
    free_list(&c->revoked);
    free_list(&c->load);
    free(c);
}

/* The directory part of a path, malloc'd: "" when there is none. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? strdup("/") : strndup(path, slash ? (size_t)(slash - path) : 0);
}

berth_status config_parse(slice text, const char *path, const char *home, config **out,
                          berth_error *error)
{
    berth_error unread = {0};
    char *dir = directory_of(path), *scanned = NULL;
    config *c = config_new();
    struct cfg_t *tree = NULL;
    berth_status status;

    if (!error)
        error = &unread;
    *out = NULL;
    if (c)
        c->file = strdup(path);
    if (!dir || !c || !c->file) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory for %s", path);
        goto out;
    }
    status = config_scan(text, path, &scanned, error);
    if (status == BERTH_OK)
        status = config_confuse(scanned, path, &tree, error);
    if (status == BERTH_OK)
        status = config_tree(tree, &(config_place){path, dir, home}, c, error);
    if (status == BERTH_OK) {
        *out = c;
        c = NULL;
    }
out:
    config_confuse_free(tree);
    config_free(c);
    free(dir);
    free(scanned);
    return status;
}

berth_status config_read(const char *path, config **out, berth_error *error)
{
    buf *text = NULL;
    char *absolute = NULL, home[PATHS_MAX];
    bool housed = paths_home(home, sizeof home, NULL) == BERTH_OK;
    berth_status status = file_read(path, CONFIG_MAX_BYTES, FILE_SAFE, &text, error);

    *out = NULL;
    if (status != BERTH_OK)
        return status;
    absolute = realpath(path, NULL);
    status = config_parse(slice_of(text->data, text->len), absolute ? absolute : path,
                          housed ? home : NULL, out, error);
    free(absolute);
    buf_unref(text);
    return status;
}

/* Relative to the working directory, as everything that is typed; a ~ was the shell's to replace.
 */
static berth_status set_path(char **at, const char *value, berth_error *error)
{
    static const value_rule rule = {.type = VALUE_PATH};
    char *cwd = value ? getcwd(NULL, 0) : NULL;
    char *made = value ? value_string(&rule, value, cwd, NULL) : NULL;

    free(cwd);
    if (!value)
        return BERTH_OK;
    if (!made)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    free(*at);
    *at = made;
    return BERTH_OK;
}

berth_status config_override(config *c, const berth_node_options *options, berth_error *error)
{
    berth_status status = set_path(&c->state_dir, options->state_dir, error);

    if (status == BERTH_OK)
        status = set_path(&c->socket, options->socket, error);
    if (status != BERTH_OK)
        return status;
    if (options->threads)
        c->limits.threads = options->threads;
    c->ephemeral = options->ephemeral;
    if (!options->plugin_count)
        return BERTH_OK;
    c->load.items = calloc(options->plugin_count + 1, sizeof *c->load.items);
    if (!c->load.items)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (; c->load.count < options->plugin_count; c->load.count++) {
        status = set_path(&c->load.items[c->load.count], options->plugins[c->load.count], error);
        if (status != BERTH_OK)
            return status;
    }
    return BERTH_OK;
}
