/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What realms have taken back, spread: each node has the newest list of each realm it trusts, and
 * who meets it gets that. It does not matter who brings a list: the realm has signed it.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/log.h"

static void tell(mesh *m, uint64_t node, slice list)
{
    writer w = {0};

    writer_u16(&w, MESSAGE_REVOCATIONS);
    writer_bytes(&w, list.ptr, list.len);
    /* Who has no room is told by another node, or when it is met again. */
    if (!w.failed && mesh_send(m, node, LANE_BULK, slice_of(w.data, w.len)) == BERTH_OK)
        m->revocations_told++;
    writer_free(&w);
}

void revocations_node_up(mesh *m, uint64_t node)
{
    for (size_t i = 0; i < m->realm_count; i++) {
        slice list = trust_revocations(m->trust, m->realms[i]);

        if (list.len)
            tell(m, node, list);
    }
}

void revocations_message(mesh *m, uint64_t node, slice msg)
{
    slice list = slice_of(msg.ptr + MESSAGE_KIND_SIZE, msg.len - MESSAGE_KIND_SIZE);
    berth_error error = {0};
    berth_status status = trust_revoke(m->trust, list, &error);
    void *value;

    if (status == BERTH_ERR_STALE) {
        m->revocations_old++;
        return;
    }
    if (status != BERTH_OK) {
        m->revocations_refused++;
        log_debug("mesh", "a revocation list from node %016llx: %s", (unsigned long long)node,
                  error.text);
        return;
    }
    m->revocations_taken++;
    log_info("mesh", "a newer revocation list has come from node %016llx",
             (unsigned long long)node);
    if (m->config.keep_revocations)
        m->config.keep_revocations(m->config.ctx, list);
    policy_review(m);
    for (size_t at = 0; map64_next(&m->nodes, &at, NULL, &value);) {
        const mesh_node *n = value;

        if (n->up && n->id != node)
            tell(m, n->id, list);
    }
}
