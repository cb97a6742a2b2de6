/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/open.h"
#include "base/error.h"
#include "base/log.h"
#include "plugin/load.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static berth_status explain(const content_file *file, berth_error *error)
{
    const char *why = dlerror();
    size_t n = strlen(file->path);

    if (!why)
        why = "no reason given";
    /* It begins with the name of the stored copy, which says nothing to anyone. */
    if (strncmp(why, file->path, n) == 0 && strncmp(why + n, ": ", 2) == 0)
        why += n + 2;
    if (strstr(why, "undefined symbol"))
        return fail(error, BERTH_ERR_ADMISSION,
                    "cannot be opened: %s: link what defines it statically into the plugin "
                    "(-Wl,-z,defs finds this at build time)",
                    why);
    if (strstr(why, "failed to map segment"))
        return fail(error, BERTH_ERR_ADMISSION,
                    "cannot be opened: %s: is %s on a file system mounted noexec?", why,
                    file->path);
    return fail(error, BERTH_ERR_ADMISSION, "cannot be opened: %s: build it for this system", why);
}

static berth_status take(plugin *p, const elf_facts *facts, berth_error *error)
{
    struct link_map *map = NULL;
    const berth_plugin *raw;

    if (dlinfo(p->handle, RTLD_DI_LINKMAP, &map) != 0 || !map)
        return fail(error, BERTH_ERR_INTERNAL, "cannot be found again after opening");
    p->base = map->l_addr;
    raw = dlsym(p->handle, BERTH_PLUGIN_SYMBOL);
    /* The symbol that admission has seen, and not one of the same name elsewhere. */
    if (!raw || (uintptr_t)raw != p->base + facts->entry_address)
        return fail(error, BERTH_ERR_ADMISSION, "does not define %s where its symbols say it does",
                    BERTH_PLUGIN_SYMBOL);
    return plugin_take_table(p, raw, facts->entry_size, facts, NULL, error);
}

berth_status plugin_open(plugin *p, const content_file *file, const elf_facts *facts,
                         berth_error *error)
{
    berth_status status;
    void *before;

    p->nodelete = (facts->flags_1 & DF_1_NODELETE) != 0;
    p->unique = facts->unique_count > 0;
    if (!content_in_place(file))
        return fail(error, BERTH_ERR_CORRUPT,
                    "was replaced in the store between check and use (%s): find out who writes to "
                    "that directory, then load it again",
                    file->path);
    before = dlopen(file->path, RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
    if (before) {
        log_warn("plugin",
                 "%s %s: never left memory since it was last loaded; its static data is "
                 "as it was",
                 p->manifest->name, p->manifest->version);
        dlclose(before);
    }
    p->handle = dlopen(file->path, RTLD_NOW | RTLD_LOCAL);
    if (!p->handle)
        return explain(file, error);
    status = take(p, facts, error);
    if (status) {
        char why_not[256];

        if (!plugin_unmap(p, why_not, sizeof why_not))
            log_warn("plugin", "%s: was not loaded, but stays in memory: %s", p->manifest->name,
                     why_not);
    }
    return status;
}

berth_status plugins_environment_check(berth_error *error)
{
    static const char *const acted[] = {"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"};
    extern char **environ;

    for (size_t i = 0; i < sizeof acted / sizeof *acted; i++) {
        const char *value = getenv(acted[i]);

        if (value && *value)
            return fail(error, BERTH_ERR_REFUSED,
                        "%s is set (%.100s), so code that no signature covers may run in this "
                        "process: start berth without it (env -u %s berth run ...)",
                        acted[i], value, acted[i]);
    }
    for (size_t i = 0; environ && environ[i];) {
        char name[128];
        size_t n = strcspn(environ[i], "=");

        if (strncmp(environ[i], "LD_", 3) != 0 || n >= sizeof name) {
            i++;
            continue;
        }
        memcpy(name, environ[i], n);
        name[n] = 0;
        unsetenv(name); /* shifts the rest down */
    }
    return BERTH_OK;
}
