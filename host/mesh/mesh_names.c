/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of daemons, which are each host's own: what is called so on another node? An answer to a
 * person who types a name; nothing else rests on it.
 */
#include "mesh/mesh_private.h"

#include "base/error.h"
#include "base/random.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 127
#define ASKED_MAX      1024 /* questions under way */

struct naming {
    mesh_task task;
    struct naming *next;
    uint64_t node, nonce;
    int64_t until_ns;
    void (*answer)(void *ctx, berth_status status, uint64_t origin);
    void *ctx;
    size_t len;
    char name[NAME_MAX_BYTES + 1];
};

static void end(struct naming *n, berth_status status, uint64_t origin)
{
    n->answer(n->ctx, status, origin);
    free(n);
}

static void begin(mesh *m, mesh_task *t, bool closed)
{
    struct naming *n = (struct naming *)t;
    writer w = {0};
    berth_status status = BERTH_ERR_NOT_READY;

    if (!closed && m->stage == STAGE_RUNNING && m->naming_count < ASKED_MAX) {
        n->nonce = random_u64();
        writer_u16(&w, MESSAGE_DIRECTORY_NAME);
        writer_u64(&w, n->nonce);
        writer_bytes(&w, n->name, n->len);
        status = w.failed ? BERTH_ERR_NO_MEMORY
                          : mesh_send(m, n->node, LANE_CONTROL, slice_of(w.data, w.len));
        writer_free(&w);
    }
    if (status != BERTH_OK) {
        end(n, status, 0);
        return;
    }
    n->until_ns += m->now_ns;
    n->next = m->naming;
    m->naming = n;
    m->naming_count++;
    mesh_sweep_in(m, SWEEP_NS);
}

void mesh_find_daemon(mesh *m, uint64_t node, const char *name, int64_t timeout_ns,
                      void (*answer)(void *ctx, berth_status status, uint64_t origin), void *ctx)
{
    size_t len = strlen(name);
    struct naming *n = len && len <= NAME_MAX_BYTES ? calloc(1, sizeof *n) : NULL;

    if (!n) {
        answer(ctx, len && len <= NAME_MAX_BYTES ? BERTH_ERR_NO_MEMORY : BERTH_ERR_INVALID, 0);
        return;
    }
    *n = (struct naming){.task = {.run = begin},
                         .node = node,
                         .until_ns = timeout_ns,
                         .answer = answer,
                         .ctx = ctx,
                         .len = len};
    memcpy(n->name, name, len);
    mesh_post(m, &n->task);
}

/* Those of this node, or all whose time is over. */
static void end_where(mesh *m, uint64_t node, berth_status status)
{
    for (struct naming **at = &m->naming; *at;) {
        struct naming *n = *at;

        if (node ? n->node != node : n->until_ns > m->now_ns && m->stage == STAGE_RUNNING) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        m->naming_count--;
        end(n, status, 0);
    }
}

void names_sweep(mesh *m)
{
    end_where(m, 0, BERTH_ERR_TIMEOUT);
}

void names_node_down(mesh *m, uint64_t node)
{
    end_where(m, node, BERTH_ERR_NOT_READY);
}

static void tell(mesh *m, const mesh_node *from, uint64_t nonce, slice name)
{
    char text[NAME_MAX_BYTES + 1] = "";
    uint64_t origin = 0;
    writer w = {0};

    memcpy(text, name.ptr, name.len);
    if (!policy_takes_from(m, from) || memchr(text, 0, name.len) ||
        !runtime_find_exactly(m->rt, text, &origin) ||
        !policy_daemon_takes_from(m, origin, from->id))
        origin = 0;
    writer_u16(&w, MESSAGE_DIRECTORY_NAMED);
    writer_u64(&w, nonce);
    writer_u64(&w, origin);
    if (!w.failed)
        mesh_send(m, from->id, LANE_CONTROL, slice_of(w.data, w.len));
    writer_free(&w);
}

static void told(mesh *m, uint64_t node, uint64_t nonce, uint64_t origin)
{
    for (struct naming **at = &m->naming; *at; at = &(*at)->next) {
        struct naming *n = *at;

        if (n->node != node || n->nonce != nonce)
            continue;
        *at = n->next;
        m->naming_count--;
        end(n, origin ? BERTH_OK : BERTH_ERR_NOT_FOUND, origin);
        return;
    }
}

void names_message(mesh *m, uint64_t node, uint16_t kind, slice msg)
{
    const mesh_node *from = mesh_node_of(m, node);
    reader r = reader_of(msg.ptr, msg.len);
    uint64_t nonce, origin;
    slice name;

    reader_u16(&r);
    nonce = reader_u64(&r);
    if (kind == MESSAGE_DIRECTORY_NAME) {
        name = reader_bytes(&r, reader_left(&r));
        if (reader_ok(&r) && from && name.len && name.len <= NAME_MAX_BYTES)
            tell(m, from, nonce, name);
        else
            m->flows.malformed++;
        return;
    }
    origin = reader_u64(&r);
    if (reader_done(&r))
        told(m, node, nonce, origin);
    else
        m->flows.malformed++;
}
