/* SPDX-License-Identifier: Apache-2.0 */
/* What the host gives to plugins: log, post, extensions. Any thread, at any time. */
#include "daemon/runtime_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_TEXT_MAX   1024
#define LOG_PER_SECOND 200

/* Lines of all plugins together; what is over is counted and told with the next line that passes.
 */
static struct {
    _Atomic int64_t second;
    _Atomic uint32_t lines, dropped;
} log_rate;

static bool may_log(uint32_t *dropped)
{
    int64_t now = clock_mono_ns() / 1000000000;
    int64_t second = atomic_load(&log_rate.second);
    if (second != now && atomic_compare_exchange_strong(&log_rate.second, &second, now))
        atomic_store(&log_rate.lines, 0);
    if (atomic_fetch_add(&log_rate.lines, 1) >= LOG_PER_SECOND) {
        atomic_fetch_add(&log_rate.dropped, 1);
        return false;
    }
    *dropped = atomic_exchange(&log_rate.dropped, 0);
    return true;
}

static void host_log(const berth_host *host, berth_daemon *handle, int32_t level,
                     const berth_bytes *text)
{
    (void)host;
    uint32_t dropped = 0;
    const struct daemon *d = (const struct daemon *)handle;
    if (d && atomic_load(&d->muted))
        return;
    if (!text || !text->ptr || level < BERTH_LOG_ERROR || level > BERTH_LOG_DEBUG ||
        !may_log(&dropped))
        return;
    int len = text->len < LOG_TEXT_MAX ? (int)text->len : LOG_TEXT_MAX;
    if (dropped)
        log_warn("plugin", "%u lines of plugins were dropped: they log too much", dropped);
    log_write((log_level)level, "plugin", "%s%s%.*s", d ? d->name : "", d ? ": " : "", len,
              (const char *)text->ptr);
}

static berth_code host_post(berth_daemon *handle, const void *ptr, uint64_t len)
{
    struct daemon *d = (struct daemon *)handle;
    if (!d || (len && !ptr) || !d->make->kind->table.on_post)
        return BERTH_E_ARGUMENT;
    if (len > d->rt->limits.max_event)
        return BERTH_E_LIMIT;
    if (atomic_load(&d->muted)) /* it was posted where it ran first, and comes from there */
        return BERTH_OK;
    buf *data = buf_copy(ptr, len);
    if (!data)
        return BERTH_E_MEMORY;
    berth_event event = {.type = BERTH_EVENT_POST, .data = {data->data, len}};
    batch *b = batch_of_event(&event, data);
    if (!b)
        return BERTH_E_MEMORY;
    berth_status status = mailbox_put(d, b, MAIL_SEND, NULL);
    if (status == BERTH_OK)
        return BERTH_OK;
    batch_free(b);
    return status == BERTH_ERR_WOULD_BLOCK ? BERTH_E_FULL : BERTH_E_NOT_NOW;
}

static const void *host_extension(const berth_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL; /* none yet; the names in docs/abi.md are reserved */
}

static const berth_host table = {
    .size = sizeof(berth_host),
    .abi_minor = BERTH_ABI_MINOR,
    .log = host_log,
    .post = host_post,
    .extension = host_extension,
};

const berth_host *runtime_host_table(void)
{
    return &table;
}
