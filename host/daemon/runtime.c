/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's life, and what it counts. */
#include "daemon/spawn.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "plugin/load.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_EVENT_HARD (16u << 20)
#define FINISH_MS      5000

/* How far ahead of a chain its sequences are reserved on disk: so far that it hardly ever happens.
 */
#define SEQUENCE_BLOCK (1ull << 32)

static uint64_t or_default(uint64_t value, uint64_t normal)
{
    return value ? value : normal;
}

static berth_status take_config(runtime *rt, const berth_runtime_config *given, unsigned *threads,
                                berth_error *error)
{
    berth_runtime_config c = {.size = sizeof(c)};
    if (given) {
        if (given->size < sizeof(uint64_t) || given->size > sizeof(c))
            return fail(error, BERTH_ERR_INVALID,
                        "berth_runtime_config.size is not set, or of a newer berth");
        memcpy(&c, given, given->size);
    }
    if (c.max_event > MAX_EVENT_HARD)
        return fail(error, BERTH_ERR_LIMIT, "max_event is %llu, at most %u (16 MiB) is possible",
                    (unsigned long long)c.max_event, MAX_EVENT_HARD);
    if (c.max_state > UINT32_MAX)
        return fail(error, BERTH_ERR_LIMIT, "max_state is %llu, at most %u (4 GiB - 1) is possible",
                    (unsigned long long)c.max_state, UINT32_MAX);
    if (c.threads > 1024)
        return fail(error, BERTH_ERR_LIMIT, "threads is %u, at most 1024 are possible", c.threads);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *threads = c.threads ? c.threads : cores > 0 ? (unsigned)cores : 1;
    rt->limits = (runtime_limits){
        .max_event = or_default(c.max_event, 1u << 20),
        .max_outputs = or_default(c.max_outputs, 4096),
        .max_output_bytes = or_default(c.max_output_bytes, 64u << 20),
        .max_state = or_default(c.max_state, UINT32_MAX),
        .mailbox_events = or_default(c.mailbox_events, 1024),
        .mailbox_bytes = or_default(c.mailbox_bytes, 8u << 20),
        .call_budget_ns = (int64_t)or_default(c.call_budget_ns, 10000000),
        .send_deadline_ns = (int64_t)or_default(c.send_deadline_ns, 30000000000),
        .status_period_ns = (int64_t)or_default(c.status_period_ns, 1000000000),
        .horizon_origins = or_default(c.horizon_origins, HORIZON_LIMIT),
        .breaks_allowed = or_default(c.breaks_allowed, 3),
    };
    rt->rings = (ring_budget){
        .items = (uint32_t)or_default(c.ring_outputs, 256),
        .bytes = or_default(c.ring_bytes, 64u << 10),
        .total = or_default(c.ring_total_bytes, 64u << 20),
    };
    return BERTH_OK;
}

uint64_t runtime_seed(runtime *rt)
{
    /* The finaliser of SplitMix64 over a counter that began at random: different for everyone who
     * asks, unpredictable enough for what is never a secret, and no system call. */
    uint64_t z = atomic_fetch_add_explicit(&rt->seed, 0x9e3779b97f4a7c15u, memory_order_relaxed);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

berth_status runtime_new(const runtime_parts *parts, runtime **out, berth_error *error)
{
    unsigned threads = 0;
    runtime *rt = calloc(1, sizeof(*rt));
    if (!rt)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    berth_status status = take_config(rt, parts->config, &threads, error);
    if (status != BERTH_OK) {
        free(rt);
        return status;
    }
    rt->instances = &inline_ops;
    atomic_init(&rt->seed, random_u64());
    rt->plugins = parts->plugins;
    rt->store = parts->store;
    rt->node_id = parts->node_id;
    rt->sequence_block = SEQUENCE_BLOCK;
    if (parts->route)
        rt->route = *parts->route;
    if (parts->host_key)
        memcpy(rt->host_key, parts->host_key, sizeof(rt->host_key));
    factories_init(&rt->factories);
    registry_init(&rt->registry, &rt->factories);
    channels_init(&rt->channels);
    observers_init(&rt->observers);
    pthread_mutex_init(&rt->due_lock, NULL);
    pthread_mutex_init(&rt->block_lock, NULL);
    pthread_mutex_init(&rt->dirty_lock, NULL);
    pthread_mutex_init(&rt->down_lock, NULL);
    if (!rt->plugins) {
        policy_options nothing_said = {0};
        plugins_config own = {.host = runtime_host_table()};
        status = policy_new(&nothing_said, &own.policy, error);
        if (status == BERTH_OK)
            status = plugins_new(&own, &rt->plugins, error);
        policy_unref(own.policy);
        rt->own_plugins = status == BERTH_OK;
    }
    if (status == BERTH_OK)
        status = dispatcher_new(threads, &rt->dispatcher, error);
    if (status == BERTH_OK)
        status = loop_start(rt, error);
    if (status != BERTH_OK) {
        berth_runtime_free(rt);
        return status;
    }
    *out = rt;
    return BERTH_OK;
}

berth_status berth_runtime_new(const berth_runtime_config *config, berth_runtime **out,
                               berth_error *error)
{
    runtime_parts parts = {.config = config};
    return runtime_new(&parts, out, error);
}

berth_status berth_runtime_start(berth_runtime *rt, berth_error *error)
{
    int state = BERTH_RUNTIME_REGISTERING;
    if (atomic_compare_exchange_strong(&rt->state, &state, BERTH_RUNTIME_READY) ||
        state == BERTH_RUNTIME_READY)
        return BERTH_OK;
    return fail(error, BERTH_ERR_SHUTTING_DOWN, "the runtime is shutting down: make a new one");
}

berth_runtime_state berth_runtime_get_state(const berth_runtime *rt)
{
    return (berth_runtime_state)atomic_load(&rt->state);
}

void berth_runtime_free(berth_runtime *rt)
{
    if (!rt)
        return;
    berth_error error = {0};
    if (rt->dispatcher && berth_runtime_shutdown(rt, FINISH_MS, &error) != BERTH_OK)
        log_error("daemon", "%s", error.text);
    loop_stop(rt);
    if (rt->dispatcher && (atomic_load(&rt->underway) ||
                           !dispatcher_free(rt->dispatcher, clock_mono_ns() + 1000000000))) {
        /* Plugin code does not return, or an instance does not answer; they will look at us if they
         * do. */
        log_error("daemon", "a daemon's call does not return: its memory is left behind");
        return;
    }
    observers_fini(&rt->observers);
    channels_fini(&rt->channels);
    registry_fini(&rt->registry);
    factories_fini(&rt->factories);
    down_forget(rt);
    free(rt->dirty);
    heap_fini(&rt->dues);
    if (rt->own_plugins)
        plugins_free(rt->plugins);
    pthread_mutex_destroy(&rt->due_lock);
    pthread_mutex_destroy(&rt->block_lock);
    pthread_mutex_destroy(&rt->dirty_lock);
    pthread_mutex_destroy(&rt->down_lock);
    sodium_memzero(rt->host_key, sizeof(rt->host_key));
    free(rt);
}

plugins *runtime_plugins(runtime *rt)
{
    return rt->plugins;
}

static bool add_living(void *ctx, const berth_daemon_info *i)
{
    runtime_counters *c = ctx;
    c->events_processed += i->events_processed;
    c->events_emitted += i->events_emitted;
    c->events_rejected += i->errors;
    c->events_lost += i->events_lost;
    c->snapshots_taken += i->snapshots_taken;
    c->breaks += i->breaks;
    c->overruns += i->overruns;
    c->mailbox_events += i->mailbox_events;
    return true;
}

static void count_plugin(void *ctx, const plugin_info *info)
{
    runtime_counters *c = ctx;
    if (!info->retired)
        c->kinds += info->manifest->kind_count;
}

void runtime_get_counters(runtime *rt, runtime_counters *out)
{
    dispatcher_stats threads;
    dispatcher_get_stats(rt->dispatcher, &threads);
    *out = (runtime_counters){
        .events_processed = atomic_load(&rt->processed),
        .events_emitted = atomic_load(&rt->emitted),
        .events_rejected = atomic_load(&rt->errors),
        .events_duplicate = atomic_load(&rt->duplicates),
        .events_lost = atomic_load(&rt->lost),
        .snapshots_taken = atomic_load(&rt->snapshots),
        .snapshot_bytes = atomic_load(&rt->snapshot_bytes),
        .breaks = atomic_load(&rt->breaks),
        .quarantined = atomic_load(&rt->quarantined),
        .overruns = atomic_load(&rt->overruns),
        .horizon_full = atomic_load(&rt->horizon_full),
        .horizon_peer_full = atomic_load(&rt->horizon_peer_full),
        .daemons = atomic_load(&rt->registry.count),
        .daemons_spawned = atomic_load(&rt->spawned),
        .daemons_stopped = atomic_load(&rt->stopped),
        .factories = factories_count(&rt->factories),
        .ring_bytes = atomic_load(&rt->rings.used),
        .threads = threads.threads,
        .compensating_threads = threads.compensating,
        .steals = threads.steals,
    };
    berth_daemons_each(rt, add_living, out);
    plugins_each(rt->plugins, count_plugin, out);
    pthread_mutex_lock(&rt->block_lock);
    for (struct daemon *d = rt->blocked; d; d = d->block_next)
        out->blocked_daemons++;
    pthread_mutex_unlock(&rt->block_lock);
    out->timers = atomic_load(&rt->due_count);
}
