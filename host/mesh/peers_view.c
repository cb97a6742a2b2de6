/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/peers_private.h"

session *peers_session(const peers *p, uint64_t node)
{
    const peer *of = peer_by_node(p, node);

    return of && of->current ? of->current->s : NULL;
}

uint64_t peers_node(const peers *p, const session *s)
{
    const held *h = p->t.user(s);

    return h && h->peer && h->proved ? h->peer->node : 0;
}

static void look(const peers *p, const peer *of, peer_view *out)
{
    if (of->bytes)
        peer_get_record(of, p->viewed);
    *out = (peer_view){
        .node = of->node,
        .static_key = of->static_key,
        .name = of->name[0] ? of->name
                : of->bytes ? p->viewed->name
                            : "",
        .configured = of->configured,
        .left = of->left,
        .health = of->node ? detector_health(&p->detector, of->node) : HEALTH_UNKNOWN,
        .session = of->current ? of->current->s : NULL,
        .rtt_ns = of->rtt_ns,
        .failures = of->failures,
        .dialling = !of->current && of->dialling,
        .dial_at_ns = of->current || of->dialling ? NEVER : of->dial_ns,
        .record = of->bytes ? p->viewed : NULL,
        .record_bytes = of->bytes ? slice_of(of->bytes->data, of->bytes->len) : slice_of(NULL, 0)};
    memcpy(out->entity, of->entity, sizeof out->entity);
}

bool peers_find(const peers *p, uint64_t node, peer_view *out)
{
    const peer *of = peer_by_node(p, node);

    if (of)
        look(p, of, out);
    return of != NULL;
}

bool peers_find_name(const peers *p, const char *name, peer_view *out)
{
    const peer *found = NULL;

    /* What the configuration says stands above what a node calls itself. */
    for (const peer *x = p->all; x; x = x->next)
        if (strcmp(x->name, name) == 0 && (!found || x->configured))
            found = x;
    if (found)
        look(p, found, out);
    return found != NULL;
}

void peers_each(const peers *p, void (*call)(void *ctx, const peer_view *v), void *ctx)
{
    for (const peer *x = p->all; x; x = x->next) {
        peer_view v;
        look(p, x, &v);
        call(ctx, &v);
    }
}

void peers_get_counters(const peers *p, peers_counters *out)
{
    *out = p->counters;
}

size_t peers_count(const peers *p)
{
    return p->count;
}

size_t peers_live(const peers *p)
{
    return p->live_count;
}
