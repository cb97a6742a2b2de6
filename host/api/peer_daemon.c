/* SPDX-License-Identifier: Apache-2.0 */
/* What is a peer's daemon, of which one knows the name, known by everywhere? */
#include "api/emit.h"
#include "api/peers.h"
#include "base/error.h"
#include "daemon/latch.h"

#define NAME_WAIT_MS 5000

typedef struct naming {
    latch done;
    uint64_t origin;
} naming;

static void named(void *ctx, berth_status status, uint64_t origin)
{
    naming *n = ctx;

    n->origin = origin;
    latch_answer(&n->done, status, NULL);
}

static berth_status fail_naming(berth_status status, const mesh_peer_view *v, const char *name,
                                berth_error *error)
{
    switch (status) {
    case BERTH_ERR_NOT_FOUND:
        return fail(error, status,
                    "peer '%s': no daemon that runs there has the name '%.127s', which has to be "
                    "whole",
                    v->name, name);
    case BERTH_ERR_INVALID:
        return fail(error, status, "daemon: a name has 1 to 127 bytes");
    case BERTH_ERR_TIMEOUT:
        return fail(error, status, "peer '%s': no answer within %d ms", v->name, NAME_WAIT_MS);
    default:
        return fail(error, BERTH_ERR_NOT_READY, "peer '%s': is not connected, %s", v->name,
                    peer_state(v));
    }
}

static void daemon_job(request *r)
{
    mesh *m = request_mesh(r);
    const char *name = r->target.segments[4];
    berth_error error = {0};
    naming n = {0};
    mesh_peer_view v;
    berth_status status;
    writer w = {0};

    if (!m)
        return;
    if (mesh_peer_find(m, r->target.segments[2], &v, &error) != BERTH_OK) {
        request_fail(r, &error);
        return;
    }
    latch_init(&n.done, 1);
    mesh_find_daemon(m, v.node, name, NAME_WAIT_MS * INT64_C(1000000), named, &n);
    status = latch_wait(&n.done, NULL);
    latch_fini(&n.done);
    if (status != BERTH_OK) {
        fail_naming(status, &v, name, &error);
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{");
    emit_member_id(&w, "origin", n.origin);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}

void peers_daemon_get(request *r)
{
    request_job(r, daemon_job);
}
