/* SPDX-License-Identifier: Apache-2.0 */
#include "node/load.h"

#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

typedef struct digests {
    uint8_t (*items)[DIGEST_BYTES];
    size_t count;
    bool failed;
} digests;

static bool collect(void *ctx, const store_daemon *row)
{
    static const uint8_t none[DIGEST_BYTES];
    digests *d = ctx;
    void *more;

    if (row->desired != STORE_RUN || memcmp(row->digest, none, DIGEST_BYTES) == 0)
        return true;
    for (size_t i = d->count; i > 0; i--) /* rows of one plugin mostly follow each other */
        if (memcmp(d->items[i - 1], row->digest, DIGEST_BYTES) == 0)
            return true;
    more = realloc(d->items, (d->count + 1) * sizeof *d->items);
    if (!more) {
        d->failed = true;
        return false;
    }
    d->items = more;
    memcpy(d->items[d->count++], row->digest, DIGEST_BYTES);
    return true;
}

berth_status load_recorded(plugins *set, store *s, berth_error *error)
{
    static const plugins_load_options options = {.source = PLUGINS_RESTART};
    digests d = {0};
    berth_status status = s ? store_each_daemon(s, collect, &d, error) : BERTH_OK;

    if (status == BERTH_OK && d.failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; status == BERTH_OK && i < d.count; i++) {
        berth_error why = {0};

        if (plugins_load_digest(set, d.items[i], &options, NULL, &why) != BERTH_OK)
            log_error("node", "its daemons stay down: %s", why.text);
    }
    free(d.items);
    return status;
}

berth_status load_named(plugins *set, const config *c, berth_error *error)
{
    static const plugins_load_options options = {.source = PLUGINS_CONFIG};

    for (size_t i = 0; i < c->load.count; i++) {
        berth_error why = {0};
        berth_status status = plugins_load(set, c->load.items[i], &options, NULL, &why);

        if (status == BERTH_ERR_EXISTS)
            log_warn("node", "%s", why.text);
        else if (status != BERTH_OK)
            return fail(error, status, "%s", why.text);
    }
    return BERTH_OK;
}
