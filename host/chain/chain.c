/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/chain.h"

#define XXH_INLINE_ALL /* as in link.c */
#include <xxhash.h>

void chain_resume(chain *c, const berth_link *head, uint64_t next_parent)
{
    c->head = *head;
    c->next_parent = next_parent;
}

void chain_from_head(chain *c, const berth_link *head, slice payload)
{
    chain_resume(c, head, berth_link_parent(head, payload.ptr, payload.len));
}

void chain_init(chain *c, uint64_t origin)
{
    berth_link genesis;

    berth_link_genesis(&genesis, origin, 0);
    chain_from_head(c, &genesis, slice_of(NULL, 0));
}

/* Advance the head; false at the end of all sequences. */
static bool advance(chain *c, uint64_t horizon)
{
    if (c->head.sequence == UINT64_MAX)
        return false;
    c->head.sequence++;
    c->head.horizon = horizon;
    c->head.parent = c->next_parent;
    return true;
}

berth_status chain_append(chain *c, uint8_t *at, size_t payload_len, uint64_t horizon,
                          berth_link *link)
{
    if (!advance(c, horizon))
        return BERTH_ERR_SEQUENCE;
    berth_link_encode(at, &c->head);
    c->next_parent = XXH3_64bits(at, BERTH_LINK_SIZE + payload_len);
    if (link)
        *link = c->head;
    return BERTH_OK;
}

berth_status chain_append_apart(chain *c, slice payload, uint64_t horizon, berth_link *link)
{
    if (!advance(c, horizon))
        return BERTH_ERR_SEQUENCE;
    c->next_parent = berth_link_parent(&c->head, payload.ptr, payload.len);
    if (link)
        *link = c->head;
    return BERTH_OK;
}
