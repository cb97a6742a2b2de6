/* SPDX-License-Identifier: Apache-2.0 */
/* What comes: batches of buffers, each of them one datagram or several of one sender. */
#include "mesh/udp_private.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

typedef struct arrival {
    address local;
    uint8_t ecn;
    size_t segment; /* 0: it is one datagram */
} arrival;

static arrival details(const udp *u, struct msghdr *m)
{
    arrival a = {.local = u->bound};

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            a.local.u.in.sin_addr = info.ipi_addr;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            a.local.u.in6.sin6_addr = info.ipi6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                a.local.u.in6.sin6_scope_id = info.ipi6_ifindex;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            uint8_t tos;
            memcpy(&tos, CMSG_DATA(c), sizeof tos);
            a.ecn = tos & 3;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int tos;
            memcpy(&tos, CMSG_DATA(c), sizeof tos);
            a.ecn = tos & 3;
        } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            a.segment = size > 0 ? (size_t)size : 0;
        }
    }
    return a;
}

static void give(udp *u, struct msghdr *m, size_t len)
{
    const uint8_t *at = m->msg_iov->iov_base;
    const address *from = m->msg_name;
    address sender = *from;

    sender.len = m->msg_namelen;
    if (m->msg_flags & MSG_TRUNC) {
        u->counters.dropped_in_truncated++;
        return;
    }
    if (sender.len != u->bound.len || sender.u.any.sa_family != u->bound.u.any.sa_family) {
        u->counters.dropped_in_source++;
        return;
    }
    if (!len) {
        u->counters.dropped_in_empty++;
        return;
    }
    arrival a = details(u, m);
    if (!a.segment || a.segment > len)
        a.segment = len;
    while (len && !u->closing) {
        size_t piece = len < a.segment ? len : a.segment;
        u->counters.datagrams_in++;
        u->counters.bytes_in += piece;
        u->config.receive(u->config.ctx, &a.local, &sender, at, piece, a.ecn);
        at += piece;
        len -= piece;
    }
}

/* One call. False: there is nothing more for now. */
static bool read_batch(udp *u)
{
    struct mmsghdr batch[UDP_BATCH] = {0};
    struct iovec io[UDP_BATCH];
    address from[UDP_BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[UDP_CMSG_MAX];
    } control[UDP_BATCH];
    int want = u->features & UDP_CAN_RECVMMSG ? UDP_BATCH : 1, got;

    for (int i = 0; i < want; i++) {
        io[i] = (struct iovec){u->scratch->in[i], UDP_BUFFER};
        batch[i].msg_hdr = (struct msghdr){.msg_name = &from[i].u,
                                           .msg_namelen = sizeof from[i].u,
                                           .msg_iov = &io[i],
                                           .msg_iovlen = 1,
                                           .msg_control = &control[i],
                                           .msg_controllen = sizeof control[i]};
    }
    u->counters.calls_in++;
    if (want > 1) {
        got = recvmmsg(u->fd, batch, UDP_BATCH, MSG_DONTWAIT, NULL);
        if (got < 0 && (errno == ENOSYS || errno == EINVAL)) {
            udp_give_up(u, UDP_CAN_RECVMMSG);
            return true;
        }
    } else {
        ssize_t len = recvmsg(u->fd, &batch[0].msg_hdr, MSG_DONTWAIT);
        got = len < 0 ? -1 : 1;
        batch[0].msg_len = len < 0 ? 0 : (unsigned)len;
    }
    if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return false;
        u->counters.errors_in += errno != EINTR; /* of an earlier send, perhaps: it is told once */
        return errno != EBADF && errno != ENOTSOCK;
    }
    for (int i = 0; i < got && !u->closing; i++)
        give(u, &batch[i].msg_hdr, batch[i].msg_len);
    return got == want;
}

void udp_read(udp *u)
{
    /* One datagram a call: as many calls as a batch would have had buffers. */
    unsigned rounds = UDP_ROUNDS * (u->features & UDP_CAN_RECVMMSG ? 1 : UDP_BATCH);

    while (rounds-- && !u->closing && read_batch(u))
        ;
    if (!u->closing && u->config.received)
        u->config.received(u->config.ctx);
}
