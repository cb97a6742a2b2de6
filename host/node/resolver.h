/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/resolver.h: the addresses behind names, looked up on a thread of its own, again every
 * minute: a name may move. One that is not found keeps the addresses that it had.
 *
 * Any thread; nothing here waits for a name server.
 */
#ifndef NODE_RESOLVER_H
#define NODE_RESOLVER_H

#include "mesh/lookup.h"

typedef struct resolver resolver;

/* changed is called on the resolver's thread, without locks, when a name has got other addresses.
 * It may call resolver_get and nothing else of this. */
berth_status resolver_new(void (*changed)(void *ctx), void *ctx, resolver **out,
                          berth_error *error);
/* Waits for a call of changed to return; none comes after it. NULL is allowed. */
void resolver_free(resolver *r);

/* These names from now on, and at once; what is known of those that stay is kept. */
berth_status resolver_want(resolver *r, const address_text *names, size_t count,
                           berth_error *error);

/* How many addresses of this name, with its port, are known; the first cap of them in out. */
unsigned resolver_get(resolver *r, const address_text *name, address *out, unsigned cap);

#endif
