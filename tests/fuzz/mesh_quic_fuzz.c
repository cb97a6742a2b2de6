/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet path from end to end: two nodes with a session, and an input that decides what becomes
 * of their datagrams and what others send meanwhile. Whatever it is: no assertion of the library is
 * reached, a session that is up stays up, and its messages arrive.
 *
 * The input is a row of orders: one byte says what, the following say how.
 */
#include "base/cursor.h"
#include "mesh_net.h"

static net n;

static void order(reader *r)
{
    net_node *a = &n.nodes[0], *b = &n.nodes[1];
    uint8_t what = reader_u8(r);
    net_node *to = what & 1 ? a : b;
    address from = what & 2 ? (to == a ? b->at : a->at) : net_address(50, 50);
    size_t len = reader_u8(r);
    static uint8_t bytes[2048];

    switch (what >> 2 & 7) {
    case 0:   /* bytes as they are, short */
    case 1:   /* the same, padded to a first packet */
    case 2: { /* as a long header of our version */
        slice given = reader_bytes(r, len < reader_left(r) ? len : reader_left(r));
        static const uint8_t head[] = {0xc0, 0x42, 0x45, 0x00, 0x01, 8};

        memset(bytes, 0, sizeof bytes);
        if (given.len)
            memcpy(bytes, given.ptr, given.len);
        len = given.len;
        if ((what >> 2 & 7) == 2) {
            memcpy(bytes + 1, head + 1, sizeof head - 1);
            bytes[0] |= 0xc0;
            bytes[14] = 8;
        }
        if ((what >> 2 & 7) != 0)
            len = 1200 + len;
        if (len)
            endpoint_receive(to->e, &to->at, &from, bytes, len, what >> 6, n.now_ns);
        break;
    }
    case 3: /* the next datagram of the network, changed */
    case 4: /* and cut */
        if (n.queue && n.queue->len) {
            uint16_t at = reader_u16(r);

            if ((what >> 2 & 7) == 3)
                n.queue->bytes[at % n.queue->len] ^= (uint8_t)(len | 1);
            else
                n.queue->len = 1 + at % n.queue->len;
        }
        break;
    case 5: /* swallow it */
        if (n.queue) {
            net_datagram *d = n.queue;

            n.queue = d->next;
            free(d);
        }
        break;
    case 6: /* again, to either, from wherever */
        if (n.queue)
            endpoint_receive(to->e, &to->at, &from, n.queue->bytes, n.queue->len, what >> 6,
                             n.now_ns);
        break;
    default:
        for (unsigned i = 0; i < 1 + len / 16u; i++)
            net_step(&n, n.now_ns + 20 * NET_MS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    reader r = reader_of(data, size);
    net_session *of = NULL;
    uint64_t sent = 0;
    bool early;

    net_pair(&n, 1);
    early = reader_u8(&r) & 1;
    net_start(&n.nodes[0]);
    net_start(&n.nodes[1]);
    of = net_dial(&n.nodes[0], &n.nodes[1]);
    if (!early)
        net_run(&n, NET_SECOND);
    for (unsigned i = 0; i < 200 && reader_left(&r); i++) {
        if (!early && i % 8 == 0 &&
            net_send(&n, of, (lane)(i / 8 % LANE_COUNT), sent / LANE_COUNT, 200) == BERTH_OK)
            sent++;
        order(&r);
    }
    net_run(&n, 20 * NET_SECOND);
    if (!early) {
        uint64_t taken = 0;

        if (!of->up || of->over || !n.nodes[1].sessions[0].s)
            abort();
        for (unsigned l = 0; l < LANE_COUNT; l++)
            taken += n.nodes[1].sessions[0].messages[l];
        if (taken != sent)
            abort();
    }
    net_fini(&n);
    return 0;
}
