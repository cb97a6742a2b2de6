/* SPDX-License-Identifier: Apache-2.0 */
#include "api/find.h"

#include "api/emit.h"
#include "base/error.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* A search among the daemons that are down, by the same rules as among those that run. */
typedef struct search {
    const char *text;
    bool whole_only;
    unsigned exact, prefixed;
    found_daemon *out;
} search;

static bool is_whole(const char *text, const char *name, uint64_t origin)
{
    char hex[ID_TEXT];

    return strcmp(name, text) == 0 || strcasecmp(id_encode(hex, origin), text) == 0;
}

static void look_at(void *ctx, const store_daemon *row, const char *reason)
{
    search *s = (search *)ctx;
    found_daemon *out = s->out;
    size_t len = strlen(s->text);
    char hex[ID_TEXT];
    bool exact = is_whole(s->text, row->name, row->origin);

    if (!exact && (s->whole_only || (strncmp(row->name, s->text, len) != 0 &&
                                     strncasecmp(id_encode(hex, row->origin), s->text, len) != 0)))
        return;
    s->prefixed += !exact;
    if (!exact && (s->exact || s->prefixed > 1))
        return;
    s->exact += exact;
    out->down = true;
    out->origin = row->origin;
    snprintf(out->name, sizeof out->name, "%s", row->name);
    snprintf(out->reason, sizeof out->reason, "%s", reason);
    out->json.len = 0;
    emit_down_daemon(&out->json, row, reason);
}

/* A running daemon is meant, unless one that is down is called just that. */
static berth_status found_running(api *a, search *s, found_daemon *out)
{
    berth_daemon_info info = {.size = sizeof info};

    if (berth_daemon_get(a->rt, out->origin, &info, NULL) == BERTH_OK)
        snprintf(out->name, sizeof out->name, "%s", info.name);
    if (is_whole(s->text, out->name, out->origin))
        return BERTH_OK;
    s->whole_only = true;
    runtime_down_each(a->rt, look_at, s);
    return BERTH_OK;
}

berth_status find_daemon(api *a, const char *text, found_daemon *out, berth_error *error)
{
    search s = {.text = text, .out = out};
    berth_error none = {0};
    berth_status status;

    *out = (found_daemon){0};
    status = berth_daemon_find(a->rt, text, &out->origin, &none);
    if (status == BERTH_OK)
        return found_running(a, &s, out);
    if (status == BERTH_ERR_NOT_FOUND || status == BERTH_ERR_AMBIGUOUS) {
        s.whole_only = status == BERTH_ERR_AMBIGUOUS;
        runtime_down_each(a->rt, look_at, &s);
    }
    if (s.exact || s.prefixed == 1)
        return BERTH_OK;
    if (s.prefixed)
        return fail(error, BERTH_ERR_AMBIGUOUS,
                    "daemon '%.64s': %u daemons that are down begin so; write more of the name",
                    text, s.prefixed);
    *error = none;
    return status;
}

void found_daemon_fini(found_daemon *found)
{
    writer_free(&found->json);
}

berth_status fail_down(const found_daemon *found, berth_error *error)
{
    return fail(error, BERTH_ERR_NOT_READY,
                "daemon '%s' is down: %.260s; when its plugin can be loaded, `berth plugin load` "
                "brings it back (`berth daemon show` has the details)",
                found->name, found->reason);
}
