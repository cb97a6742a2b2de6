/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "mesh/address.h"
#include "mesh/udp_private.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

udp_scratch *udp_scratch_new(void)
{
    udp_scratch *s = malloc(sizeof *s); /* untouched pages cost nothing */

    if (s)
        s->refs = 1;
    return s;
}

void udp_scratch_unref(udp_scratch *s)
{
    if (s && --s->refs == 0)
        free(s);
}

void udp_give_up(udp *u, unsigned feature)
{
    if (u->features & feature)
        u->counters.fallbacks++;
    u->features &= ~feature;
}

/* What is not wanted or not there is off; a socket works without any of it. */
static void probe(udp *u)
{
    int on = 1, off = 0, some = 1200, level = u->v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    unsigned f = UDP_CAN_ALL & ~u->config.without;

    if (f & UDP_CAN_GSO && (setsockopt(u->fd, SOL_UDP, UDP_SEGMENT, &some, sizeof some) ||
                            setsockopt(u->fd, SOL_UDP, UDP_SEGMENT, &off, sizeof off)))
        f &= ~UDP_CAN_GSO;
    if (f & UDP_CAN_GRO && setsockopt(u->fd, SOL_UDP, UDP_GRO, &on, sizeof on))
        f &= ~UDP_CAN_GRO;
    if (f & UDP_CAN_ECN &&
        setsockopt(u->fd, level, u->v6 ? IPV6_RECVTCLASS : IP_RECVTOS, &on, sizeof on))
        f &= ~UDP_CAN_ECN;
    if (f & UDP_CAN_PKTINFO &&
        setsockopt(u->fd, level, u->v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof on))
        f &= ~UDP_CAN_PKTINFO;
    u->features = f;
    /* Datagrams are never cut up on the way, and we find out the size ourselves. */
    int mtu = u->v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    (void)setsockopt(u->fd, level, u->v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &mtu, sizeof mtu);
    /* The kernel gives what its administrator allows; less is no error. */
    int size = (int)u->config.buffer;
    (void)setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    (void)setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    udp *u = poll->data;

    if (status < 0) { /* the descriptor is none any more: nothing can come */
        u->counters.errors_in++;
        uv_poll_stop(poll);
        return;
    }
    if (events & UV_READABLE)
        udp_read(u);
    if (events & UV_WRITABLE && !u->closing)
        udp_write(u);
}

static void watch(udp *u, int events)
{
    if (u->watching == events || u->closing)
        return;
    u->watching = events;
    uv_poll_start(&u->poll, events, on_poll);
}

void udp_send(udp *u)
{
    if (!u->closing && !(u->watching & UV_WRITABLE))
        udp_write(u);
}

void udp_want_room(udp *u, bool want)
{
    watch(u, want ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

void udp_hold(udp *u, bool hold)
{
    watch(u, hold ? 0 : u->waiting ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

berth_status udp_open(const udp_config *config, udp **out, berth_error *error)
{
    char where[ADDRESS_TEXT];
    berth_status s;
    int on = 1;

    *out = NULL;
    sa_family_t family = config->bind.u.any.sa_family;
    if (family != AF_INET && family != AF_INET6)
        return fail(error, BERTH_ERR_INVALID,
                    "mesh: the address to listen on is not an IP address");
    address_format(where, &config->bind);
    udp *u = calloc(1, sizeof *u);
    if (!u)
        return fail(error, BERTH_ERR_NO_MEMORY, "mesh: out of memory");
    u->config = *config;
    if (!u->config.buffer)
        u->config.buffer = 4u << 20;
    if (u->config.buffer > INT32_MAX)
        u->config.buffer = INT32_MAX;
    u->v6 = family == AF_INET6;
    u->waiting_end = &u->waiting;
    u->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (u->fd < 0) {
        s = fail_errno(error, errno, "mesh: listen on %s", where);
        goto fail;
    }
    if (u->v6)
        (void)setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    probe(u);
    u->bound.len = u->v6 ? sizeof u->bound.u.in6 : sizeof u->bound.u.in;
    if (bind(u->fd, &config->bind.u.any, u->bound.len) ||
        getsockname(u->fd, &u->bound.u.any, &u->bound.len)) {
        s = fail_errno(error, errno, "mesh: listen on %s", where);
        goto fail;
    }
    u->wildcard = u->v6 ? IN6_IS_ADDR_UNSPECIFIED(&u->bound.u.in6.sin6_addr)
                        : u->bound.u.in.sin_addr.s_addr == 0;
    u->scratch = config->scratch;
    if (u->scratch)
        u->scratch->refs++;
    else
        u->scratch = udp_scratch_new();
    if (!u->scratch) {
        s = fail(error, BERTH_ERR_NO_MEMORY, "mesh: out of memory");
        goto fail;
    }
    int e = uv_poll_init(config->loop, &u->poll, u->fd);
    if (e) {
        s = fail(error, BERTH_ERR_IO, "mesh: listen on %s: %s", where, uv_strerror(e));
        goto fail;
    }
    u->poll.data = u;
    watch(u, UV_READABLE);
    *out = u;
    return BERTH_OK;
fail:
    if (u->fd >= 0)
        close(u->fd);
    udp_scratch_unref(u->scratch);
    free(u);
    return s;
}

static void on_closed(uv_handle_t *h)
{
    udp *u = h->data;
    void (*closed)(void *) = u->closed;
    void *ctx = u->closed_ctx;

    close(u->fd);
    udp_waiting_free(u);
    udp_scratch_unref(u->scratch);
    free(u);
    if (closed)
        closed(ctx);
}

void udp_close(udp *u, void (*closed)(void *ctx), void *ctx)
{
    if (u->closing)
        return;
    u->closing = true;
    u->closed = closed;
    u->closed_ctx = ctx;
    uv_close((uv_handle_t *)&u->poll, on_closed);
}

const address *udp_address(const udp *u)
{
    return &u->bound;
}

unsigned udp_features(const udp *u)
{
    return u->features;
}

void udp_get_counters(const udp *u, udp_counters *out)
{
    *out = u->counters;
}
