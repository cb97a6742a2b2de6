/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about subscriptions. What decodes is written and decoded as the same. */
#include "chain/channel.h"
#include "mesh/channel_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    channel_message m, again;
    writer w = {0};

    if (channel_message_decode(slice_of(data, size), &m, NULL) != BERTH_OK)
        return 0;
    if (m.kind != MESSAGE_CHANNEL_ACK && channel_name_check(m.name, NULL) != BERTH_OK)
        abort();
    if (channel_message_encode(&w, &m, NULL) != BERTH_OK || w.len > size + 2 ||
        channel_message_decode(slice_of(w.data, w.len), &again, NULL) != BERTH_OK)
        abort();
    if (again.kind != m.kind || again.nonce != m.nonce || !slice_eq(again.name, m.name) ||
        !slice_eq(again.token, m.token) || !slice_eq(again.group, m.group) ||
        again.accepted != m.accepted || again.reason != m.reason)
        abort();
    writer_free(&w);
    return 0;
}
