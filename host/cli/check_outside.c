/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins call from any thread, outside of calls: log, post, extension. */
#include "cli/check_host_parts.h"

#include <string.h>

/* Every byte is looked at, as one that is written out is. */
static void host_log(const berth_host *host, berth_daemon *daemon, int32_t level,
                     const berth_bytes *text)
{
    check_daemon *d = (check_daemon *)daemon;
    volatile uint64_t seen = script_mix((uint64_t)level, text->ptr, (size_t)text->len);

    (void)host;
    (void)seen;
    if (d && !atomic_load(&d->live))
        record_broken(d->host, RULE_DEAD_DAEMON, "called log for a daemon that was destroyed");
}

static berth_code host_post_event(berth_daemon *daemon, const void *ptr, uint64_t len)
{
    check_daemon *d = (check_daemon *)daemon;
    berth_code code = BERTH_OK;
    host_post *p;

    if (!atomic_load(&d->live)) {
        record_broken(d->host, RULE_DEAD_DAEMON, "called post for a daemon that was destroyed");
        return BERTH_E_NOT_NOW;
    }
    if (!d->host->c->kind->table.on_post || (!ptr && len))
        return BERTH_E_ARGUMENT;
    if (len > HOST_MAX_EVENT)
        return BERTH_E_LIMIT;
    if (record_refused(d->host, &code))
        return BERTH_E_FULL;
    /* What is too long for us is taken and lost. */
    if (len > HOST_POST_BYTES)
        return BERTH_OK;
    pthread_mutex_lock(&d->lock);
    if (d->post_count == HOST_POSTS) {
        code = BERTH_E_FULL;
    } else {
        p = &d->posts[(d->post_first + d->post_count++) % HOST_POSTS];
        p->len = len;
        if (len)
            memcpy(p->data, ptr, len);
    }
    pthread_mutex_unlock(&d->lock);
    return code;
}

static const void *host_extension(const berth_host *host, const char *id)
{
    (void)host;
    (void)id;
    if (!plugins_initialising())
        record_broken(host_current, RULE_EXTENSION, "called extension outside of init");
    return NULL;
}

const berth_host host_table = {
    .size = sizeof(berth_host),
    .log = host_log,
    .post = host_post_event,
    .extension = host_extension,
};
