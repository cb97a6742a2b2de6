/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/announcement_own.h"
#include "base/error.h"

#include <inttypes.h>
#include <string.h>

#define SECOND_NS 1000000000ll
#define GB        (UINT64_C(1) << 30)

berth_status host_facts_write(capabilities *set, const host_facts *facts, berth_error *error)
{
    static const char *const ours[] = {
        "abi:",  "hardware.cpu_cores=", "hardware.memory_gb=", "kind:",
        "nrpc:", "software.os=",        "subprotocol:"};
    uint64_t memory_gb = (facts->memory_bytes + GB / 2) / GB;
    char text[TAG_SUBPROTOCOL];
    berth_status status;

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        capabilities_remove_prefix(set, ours[i]);
    status = capabilities_put_text(set, error, "abi:%u.%u", facts->abi_major, facts->abi_minor);
    if (!status && facts->cores)
        status = capabilities_put_text(set, error, "hardware.cpu_cores=%u", facts->cores);
    if (!status && memory_gb)
        status = capabilities_put_text(set, error, "hardware.memory_gb=%" PRIu64, memory_gb);
    if (!status && facts->os)
        status = capabilities_put_text(set, error, "software.os=%s", facts->os);
    for (size_t i = 0; !status && i < facts->kind_count; i++)
        status = capabilities_put_text(set, error, "kind:%s", facts->kinds[i]);
    for (size_t i = 0; !status && i < facts->subprotocol_count; i++)
        status =
            capabilities_put(set, slice_str(tag_subprotocol(text, facts->subprotocols[i])), error);
    for (size_t i = 0; !status && i < facts->service_count; i++)
        status = capabilities_put_text(set, error, "nrpc:%s", facts->services[i]);
    return status;
}

uint32_t announcer_ttl(int64_t refresh_ns, int64_t min_interval_ns)
{
    int64_t cadence = refresh_ns > min_interval_ns ? refresh_ns : min_interval_ns;
    int64_t seconds = cadence / SECOND_NS + (cadence % SECOND_NS != 0);

    if (seconds > UINT32_MAX / 2)
        return UINT32_MAX;
    return seconds ? (uint32_t)(2 * seconds) : 1;
}

void announcer_init(announcer *a, const announcer_config *config, const berth_keypair *key)
{
    *a = (announcer){.config = *config, .key = key, .version = config->last_version};
    if (!a->config.refresh_ns)
        a->config.refresh_ns = 150 * SECOND_NS;
    if (!a->config.min_interval_ns)
        a->config.min_interval_ns = 10 * SECOND_NS;
    if (!a->config.burst)
        a->config.burst = 4;
    a->spent_ns = a->last_ns = a->retry_ns = INT64_MIN / 2;
}

void announcer_fini(announcer *a)
{
    capabilities_fini(&a->set);
    *a = (announcer){0};
}

/* Would it fit, with the longest numbers that it could get? */
static berth_status fits(const capabilities *set, berth_error *error)
{
    announcement longest = {.node_id = UINT64_MAX,
                            .version = UINT64_MAX,
                            .timestamp_ns = UINT64_MAX,
                            .ttl_s = UINT32_MAX,
                            .is_signed = true,
                            .set = *set};
    berth_status status = BERTH_OK;
    writer w = {0};

    announcement_write(&w, &longest);
    if (w.failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "announcement: out of memory");
    else if (w.len > ANNOUNCEMENT_MAX_OWN)
        status = fail(error, BERTH_ERR_LIMIT,
                      "announcement of %zu bytes: at most %d are allowed; announce fewer tags",
                      w.len, ANNOUNCEMENT_MAX_OWN);
    writer_free(&w);
    return status;
}

berth_status announcer_set(announcer *a, const capabilities *set, berth_error *error)
{
    capabilities copy = {0};
    berth_status status;

    if ((a->announced || a->changed) && capabilities_equal(&a->set, set))
        return BERTH_OK;
    status = fits(set, error);
    if (!status)
        status = capabilities_copy(&copy, set, error);
    if (status)
        return status;
    capabilities_fini(&a->set);
    a->set = copy;
    a->changed = true;
    return BERTH_OK;
}

void announcer_withdraw(announcer *a)
{
    a->withdrawn = true;
    a->changed = a->announced; /* who was never told need not forget */
    a->last_ns = a->spent_ns = a->retry_ns = INT64_MIN / 2;
}

int64_t announcer_deadline(const announcer *a)
{
    int64_t due = a->last_ns + a->config.refresh_ns;

    if (!a->changed && (!a->announced || a->withdrawn))
        return INT64_MAX;
    if (a->changed)
        due = a->spent_ns - (a->config.burst - 1) * a->config.min_interval_ns;
    return due > a->retry_ns ? due : a->retry_ns;
}

/* Receivers count what the process before said, its farewell included: after a start there is one
 * less to spend, so that a restart stays within what they allow. */
static void spend(announcer *a, int64_t now_ns)
{
    int64_t from = a->spent_ns > now_ns ? a->spent_ns : now_ns;
    int64_t count = !a->announced && a->config.burst > 1 ? 2 : 1;

    a->spent_ns = from + count * a->config.min_interval_ns;
    a->last_ns = now_ns;
}

/* The next version, kept before anybody sees it. */
static berth_status raise_version(announcer *a, uint64_t wall_ns, berth_error *error)
{
    uint64_t clock = wall_ns / 1000000;

    if (a->version == UINT64_MAX)
        return fail(error, BERTH_ERR_LIMIT, "announcement: there is no higher version");
    a->version = clock > a->version ? clock : a->version + 1;
    if (a->config.keep_version && a->config.keep_version(a->config.ctx, a->version) != BERTH_OK)
        a->versions_not_kept++;
    return BERTH_OK;
}

berth_status announcer_next(announcer *a, writer *text, announcement *out, int64_t mono_ns,
                            uint64_t wall_ns, berth_error *error)
{
    announcement next = {0};
    berth_status status;

    if (announcer_deadline(a) > mono_ns)
        return fail(error, BERTH_ERR_NOT_READY, "announcement: not yet");
    a->retry_ns = mono_ns + a->config.min_interval_ns;
    status = raise_version(a, wall_ns, error);
    if (!status)
        status = capabilities_copy(&next.set, &a->set, error);
    if (status)
        return status;
    next.version = a->version;
    next.timestamp_ns = wall_ns;
    next.ttl_s = a->withdrawn ? 0 : announcer_ttl(a->config.refresh_ns, a->config.min_interval_ns);
    status = announcement_sign(text, &next, a->key, error);
    if (!status) {
        spend(a, mono_ns);
        a->announced = true;
        a->changed = false;
        a->retry_ns = mono_ns;
    }
    if (!status && out)
        *out = next;
    else
        announcement_fini(&next);
    return status;
}
