/* SPDX-License-Identifier: Apache-2.0 */
/* Both machines of channels, fed what a peer could send, between calls of our own: each byte of the
 * input chooses what happens next. Nothing may break, and all views agree. */
#include "mesh/membership.h"
#include "mesh/subscriptions.h"

#include <stdlib.h>

static void none(void *ctx, uint64_t node, slice message)
{
    (void)ctx, (void)node, (void)message;
}

static bool some(void *ctx, uint64_t node, slice message)
{
    (void)ctx, (void)message;
    return node % 2;
}

static void seeded(void *ctx, void *out, size_t len)
{
    uint8_t *bytes = out, *next = ctx;

    for (size_t i = 0; i < len; i++) /* small nonces, which the input can hit */
        bytes[i] = i ? 0 : ++*next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "b/c", "d"}, *const groups[] = {"", "g"};
    uint8_t random = 0, entity[32] = {0};
    subscriptions_config wants = {.ctx = &random, .send = some, .random = seeded, .max = 8};
    membership_config gives = {
        .send = none, .failures = 4, .limits = {.members = 8, .channels_per_node = 2}};
    subscriptions *s = subscriptions_new(&wants);
    membership *m = membership_new(&gives);
    roster_picks picks = {0};
    reader r = reader_of(data, size);
    int64_t now_ns = 0;

    while (reader_left(&r) && reader_ok(&r)) {
        uint8_t op = reader_u8(&r), what = reader_u8(&r);
        uint64_t node = what % 4;
        slice name = slice_str(names[what / 4 % 3]), group = slice_str(groups[what / 16 % 2]);
        slice message = reader_bytes(&r, op % 2 && reader_left(&r) ? reader_u8(&r) : 0);

        entity[0] = what / 32;
        now_ns += what * INT64_C(100000000);
        switch (op / 2 % 8) {
        case 0:
            membership_receive(m, node, message, now_ns, 1000, NULL);
            break;
        case 1:
            subscriptions_receive(s, node, message, now_ns, NULL);
            break;
        case 2:
            subscriptions_want(s, node, entity, name, group, message, now_ns, NULL);
            break;
        case 3:
            subscriptions_drop(s, node, entity, name, now_ns);
            break;
        case 4:
            if (what & 128)
                subscriptions_up(s, node, now_ns);
            else
                subscriptions_down(s, node, now_ns);
            break;
        case 5:
            membership_node_gone(m, node);
            break;
        case 6:
            membership_recipients(m, name, 1000, &picks);
            break;
        default:
            subscriptions_expire(s, now_ns);
            membership_expire(m, now_ns, 1000);
        }
        if (roster_count(membership_roster(m)) > 8 || subscriptions_count(s) > 8)
            abort();
    }
    roster_picks_fini(&picks);
    subscriptions_free(s);
    membership_free(m);
    return 0;
}
