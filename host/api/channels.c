/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/server.h"
#include "base/error.h"

static void list_channel(void *ctx, const channel_info *info)
{
    writer *w = (writer *)ctx;

    emit_next(w);
    emit_text(w, "{");
    emit_member_string(w, "name", info->name);
    emit_member_u64(w, "subscribers", info->subscribers);
    emit_member_u64(w, "tails", info->tails);
    emit_member_u64(w, "published", info->published);
    emit_text(w, "}");
}

void channels_list(request *r)
{
    writer w = {0};

    emit_text(&w, "{\"channels\":[");
    runtime_channels_each(r->api->rt, list_channel, &w);
    emit_text(&w, "]}");
    request_answer(r, 200, &w);
}

static void credit_came(void *ctx)
{
    request_wake((request *)ctx);
    request_unref((request *)ctx);
}

/* Also what runs again when there may be room. */
void messages_post(request *r)
{
    berth_error error = {0};
    uint64_t reached = 0;
    berth_status status;
    slice channel;
    writer w = {0};

    if (!request_channel(r, &channel))
        return;
    request_ref(r);
    status = runtime_publish(r->api->rt, channel, slice_of(r->body.data, r->body.len), credit_came,
                             r, &reached, &error);
    if (status == BERTH_ERR_WOULD_BLOCK) {
        r->next = messages_post;
        return;
    }
    request_unref(r);
    if (status) {
        request_fail(r, &error);
        return;
    }
    emit_text(&w, "{");
    emit_member_u64(&w, "reached", reached);
    emit_text(&w, "}");
    request_answer(r, 200, &w);
}
