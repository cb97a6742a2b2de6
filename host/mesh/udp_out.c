/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out. A run is datagrams of one size to one address, in one buffer. With UDP_SEGMENT the
 * kernel cuts it up; without, we do. Either way many go in one call.
 */
#include "mesh/udp_private.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

/* One buffer for the kernel: a part of a run. */
typedef struct piece {
    const outgoing *run;
    size_t at, len;
} piece;

static void control(const udp *u, const outgoing *run, size_t len, struct msghdr *m, void *memory)
{
    struct cmsghdr *c;
    size_t used = 0;

    m->msg_control = memory;
    m->msg_controllen = UDP_CMSG_MAX;
    c = CMSG_FIRSTHDR(m);
#define ADD(lvl, typ, value)                                                                       \
    do {                                                                                           \
        c->cmsg_level = (lvl);                                                                     \
        c->cmsg_type = (typ);                                                                      \
        c->cmsg_len = CMSG_LEN(sizeof(value));                                                     \
        memcpy(CMSG_DATA(c), &(value), sizeof(value));                                             \
        used += CMSG_SPACE(sizeof(value));                                                         \
        c = (struct cmsghdr *)((uint8_t *)memory + used);                                          \
    } while (0)
    if (u->features & UDP_CAN_GSO && len > run->segment) {
        uint16_t size = (uint16_t)run->segment;
        ADD(SOL_UDP, UDP_SEGMENT, size);
    }
    if (u->features & UDP_CAN_ECN && run->ecn) {
        int tos = run->ecn & 3;
        ADD(u->v6 ? IPPROTO_IPV6 : IPPROTO_IP, u->v6 ? IPV6_TCLASS : IP_TOS, tos);
    }
    /* A socket that is bound to one address sends from that one. */
    if (u->features & UDP_CAN_PKTINFO && u->wildcard && run->local.len) {
        if (u->v6) {
            struct in6_pktinfo info = {.ipi6_addr = run->local.u.in6.sin6_addr};
            if (!IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr))
                ADD(IPPROTO_IPV6, IPV6_PKTINFO, info);
        } else {
            struct in_pktinfo info = {.ipi_spec_dst = run->local.u.in.sin_addr};
            if (info.ipi_spec_dst.s_addr)
                ADD(IPPROTO_IP, IP_PKTINFO, info);
        }
    }
#undef ADD
    m->msg_controllen = used;
    if (!used)
        m->msg_control = NULL;
}

/* How much of the run goes into the next buffer. */
static size_t next_len(const udp *u, const outgoing *run, size_t at)
{
    size_t most = run->segment, left = run->len - at;

    if (u->features & UDP_CAN_GSO) {
        size_t count = UDP_RUN_MAX / run->segment;
        most *= count < 1 ? 1 : count > UDP_PIECES ? UDP_PIECES : count;
    }
    return left < most ? left : most;
}

static size_t datagrams(const outgoing *run, size_t len)
{
    return (len + run->segment - 1) / run->segment;
}

/* What the kernel said of a buffer. True: it was dealt with, go on after it; false: try again. */
static bool refused(udp *u, const piece *p, int e)
{
    size_t count = datagrams(p->run, p->len);

    switch (e) {
    case EINVAL:
    case EIO:
        if (p->len > p->run->segment && u->features & UDP_CAN_GSO) {
            udp_give_up(u, UDP_CAN_GSO); /* the device, or its driver, cannot */
            return false;
        }
        if (e == EINVAL && p->run->ecn && u->features & UDP_CAN_ECN) {
            udp_give_up(u, UDP_CAN_ECN);
            return false;
        }
        u->counters.dropped_out_invalid += count;
        return true;
    case EMSGSIZE:
        u->counters.dropped_out_size += count;
        return true;
    case ENOBUFS:
    case ENOMEM:
        u->counters.dropped_out_buffers += count;
        return true;
    case EPERM:
    case EACCES:
        u->counters.dropped_out_refused += count;
        return true;
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        u->counters.dropped_out_unreachable += count;
        return true;
    default:
        u->counters.dropped_out_invalid += count;
        return true;
    }
}

static int submit(udp *u, struct mmsghdr *batch, unsigned count)
{
    u->counters.calls_out++;
    if (count > 1) {
        int sent = sendmmsg(u->fd, batch, count, MSG_DONTWAIT);
        if (sent >= 0 || (errno != ENOSYS && errno != EOPNOTSUPP))
            return sent;
        udp_give_up(u, UDP_CAN_SENDMMSG);
    }
    return sendmsg(u->fd, &batch[0].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1;
}

/* Sends all of the runs, or up to where the socket is full: that run and offset are told. */
static bool send_runs(udp *u, outgoing *runs, unsigned count, unsigned *run_at, size_t *byte_at)
{
    struct mmsghdr batch[UDP_PIECES];
    struct iovec io[UDP_PIECES];
    union {
        struct cmsghdr align;
        uint8_t bytes[UDP_CMSG_MAX];
    } controls[UDP_PIECES];
    piece pieces[UDP_PIECES];

    while (*run_at < count) {
        unsigned n = 0, most = u->features & UDP_CAN_SENDMMSG ? UDP_PIECES : 1;
        size_t at = *byte_at;
        for (unsigned r = *run_at; r < count && n < most; r++, at = 0)
            while (at < runs[r].len && n < most) {
                piece p = {&runs[r], at, next_len(u, &runs[r], at)};
                io[n] = (struct iovec){runs[r].bytes + at, p.len};
                batch[n].msg_hdr = (struct msghdr){.msg_name = &runs[r].to.u,
                                                   .msg_namelen = runs[r].to.len,
                                                   .msg_iov = &io[n],
                                                   .msg_iovlen = 1};
                memset(&controls[n], 0, sizeof controls[n]);
                control(u, &runs[r], p.len, &batch[n].msg_hdr, &controls[n]);
                pieces[n++] = p;
                at += p.len;
            }
        if (!n)
            return true; /* only empty runs were left */
        int sent = submit(u, batch, n), e = errno;
        if (sent < 0 && (e == EAGAIN || e == EWOULDBLOCK)) {
            u->counters.full++;
            return false;
        }
        unsigned done = sent < 0 ? 0 : (unsigned)sent;
        for (unsigned i = 0; i < done; i++) {
            u->counters.datagrams_out += datagrams(pieces[i].run, pieces[i].len);
            u->counters.bytes_out += pieces[i].len;
        }
        if (sent < 0 && e != EINTR && refused(u, &pieces[0], e))
            done = 1;
        if (done) {
            const piece *last = &pieces[done - 1];
            *run_at = (unsigned)(last->run - runs);
            *byte_at = last->at + last->len;
            if (*byte_at == last->run->len) {
                ++*run_at;
                *byte_at = 0;
            }
        }
    }
    return true;
}

/* ---- What waits ------------------------------------------------------------------------------ */

void udp_waiting_free(udp *u)
{
    while (u->waiting) {
        udp_waiting *w = u->waiting;
        u->waiting = w->next;
        free(w);
    }
    u->waiting_end = &u->waiting;
}

/* At most one batch: nothing new is asked for while something waits. */
static void keep(udp *u, const outgoing *run, size_t at)
{
    size_t len = run->len - at;
    udp_waiting *w = malloc(sizeof *w + len);

    if (!w) {
        u->counters.dropped_out_memory += datagrams(run, len);
        return;
    }
    w->next = NULL;
    w->run = *run;
    w->run.bytes = w->bytes;
    w->run.len = len;
    memcpy(w->bytes, run->bytes + at, len);
    *u->waiting_end = w;
    u->waiting_end = &w->next;
}

static bool send_waiting(udp *u)
{
    while (u->waiting) {
        udp_waiting *w = u->waiting;
        unsigned run = 0;
        size_t at = 0;
        if (!send_runs(u, &w->run, 1, &run, &at)) {
            memmove(w->bytes, w->bytes + at, w->run.len - at);
            w->run.len -= at;
            return false;
        }
        u->waiting = w->next;
        free(w);
    }
    u->waiting_end = &u->waiting;
    return true;
}

/* Never give the kernel what it would misread. */
static bool usable(udp *u, outgoing *run)
{
    if (!run->segment || run->segment > run->len)
        run->segment = run->len;
    if (run->len && run->len <= UDP_BUFFER && run->to.len == u->bound.len &&
        run->to.u.any.sa_family == u->bound.u.any.sa_family &&
        (!run->local.len || run->local.u.any.sa_family == u->bound.u.any.sa_family))
        return true;
    u->counters.dropped_out_invalid += run->len ? datagrams(run, run->len) : 1;
    return false;
}

void udp_write(udp *u)
{
    bool more = true;

    if (!send_waiting(u)) {
        udp_want_room(u, true);
        return;
    }
    for (unsigned left = UDP_ROUNDS * UDP_BATCH; left && more;) {
        outgoing runs[UDP_BATCH];
        unsigned n = 0, at = 0;
        size_t byte = 0, sum = 0;
        /* A long run goes at once: who gets it works on it while the next one is made. */
        while (n < UDP_BATCH && left && sum < UDP_ENOUGH &&
               (more = u->config.next(u->config.ctx, u->scratch->out[n], UDP_RUN_MAX, &runs[n]))) {
            left--;
            if (usable(u, &runs[n]))
                sum += runs[n++].len;
        }
        if (!send_runs(u, runs, n, &at, &byte)) {
            for (; at < n; at++, byte = 0)
                keep(u, &runs[at], byte);
            udp_want_room(u, true);
            return;
        }
    }
    udp_want_room(u, more); /* with more to come it is called again when others have had a turn */
}
