/* SPDX-License-Identifier: Apache-2.0 */
/* init and deinit, and the truth about dlclose. */
#include "base/error.h"
#include "plugin/set.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static _Thread_local const char *initialising;

const char *plugins_initialising(void)
{
    return initialising;
}

berth_status plugin_init(plugin *p, berth_error *error)
{
    berth_code code = BERTH_OK;

    if (p->table.init) {
        initialising = p->manifest->name;
        code = p->table.init(p->set->host);
        initialising = NULL;
    }
    if (code == BERTH_OK)
        return BERTH_OK;
    return fail(error, BERTH_ERR_PLUGIN,
                "refused to start: its init answered %d; see what it logged, or ask its author",
                (int)code);
}

void plugin_deinit(plugin *p)
{
    if (p->table.deinit)
        p->table.deinit();
}

typedef struct search {
    const char *path;
    uintptr_t base;
    bool found;
} search;

static int look(struct dl_phdr_info *info, size_t size, void *ctx)
{
    search *s = ctx;

    (void)size;
    if (info->dlpi_addr == s->base && info->dlpi_name && strcmp(info->dlpi_name, s->path) == 0)
        s->found = true;
    return s->found;
}

bool plugin_unmap(plugin *p, char *why_not, size_t cap)
{
    search s = {.path = p->stored_path, .base = p->base};

    if (!p->has_file) {
        snprintf(why_not, cap, "it is part of the program");
        return false;
    }
    if (p->handle)
        dlclose(p->handle);
    p->handle = NULL;
    dl_iterate_phdr(look, &s);
    if (!s.found) {
        if (cap)
            why_not[0] = 0;
        return true;
    }
    if (p->nodelete)
        snprintf(why_not, cap, "it is linked with -z nodelete");
    else if (p->unique)
        snprintf(why_not, cap, "it has unique symbols (compile it with -fno-gnu-unique)");
    else
        snprintf(why_not, cap,
                 "a thread that ran its code has thread-local objects of it until it ends, or "
                 "another library uses it");
    return false;
}
