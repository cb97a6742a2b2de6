/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/server.h"
#include "base/error.h"
#include "base/map.h"
#include "base/text.h"
#include "berth/token.h"
#include "mesh/mesh.h"

#include <stdlib.h>
#include <string.h>

typedef struct channel_row {
    uint64_t subscribers, tails, published; /* here */
    mesh_channel_view there;
    char name[];
} channel_row;

/* The row of this name, made when there is none; NULL: no memory. */
static channel_row *row_of(strmap *rows, slice name)
{
    channel_row *row = strmap_get(rows, name);

    if (row)
        return row;
    row = calloc(1, sizeof *row + name.len + 1);
    if (!row)
        return NULL;
    memcpy(row->name, name.ptr, name.len);
    if (strmap_put(rows, slice_of(row->name, name.len), row))
        return row;
    free(row);
    return NULL;
}

static void take_here(void *ctx, const channel_info *info)
{
    channel_row *row = row_of(ctx, slice_str(info->name));

    if (!row)
        return;
    row->subscribers = info->subscribers;
    row->tails = info->tails;
    row->published = info->published;
}

static void take_there(void *ctx, const mesh_channel_view *view)
{
    channel_row *row = row_of(ctx, view->name);

    if (row)
        row->there = *view;
}

static void emit_channel(writer *w, const channel_row *row)
{
    const mesh_channel_view *v = &row->there;

    emit_text(w, "{");
    emit_member_string(w, "name", row->name);
    emit_member_u64(w, "subscribers", row->subscribers);
    emit_member_u64(w, "tails", row->tails);
    emit_member_u64(w, "published", row->published);
    emit_member_u64(w, "members", v->members);
    emit_member_u64(w, "nodes", v->nodes);
    emit_member_u64(w, "wanted", v->wanted);
    emit_member_u64(w, "held", v->held);
    emit_member_string(w, "refused", v->reason ? channel_reason_text(v->reason) : NULL);
    emit_text(w, "}");
}

static void list_job(request *r)
{
    strmap rows = {0};
    writer w = {0};
    void *row;

    runtime_channels_each(r->api->rt, take_here, &rows);
    if (r->api->config.mesh)
        mesh_channels_each(r->api->config.mesh, take_there, &rows);
    emit_text(&w, "{\"channels\":[");
    for (size_t at = 0; strmap_next(&rows, &at, NULL, &row);) {
        emit_next(&w);
        emit_channel(&w, row);
    }
    emit_text(&w, "]}");
    strmap_fini_values(&rows);
    request_answer(r, 200, &w);
}

/* Asking the mesh waits for its thread. */
void channels_list(request *r)
{
    if (r->api->config.mesh)
        request_job(r, list_job);
    else
        list_job(r);
}

static void credit_came(void *ctx)
{
    request_wake((request *)ctx);
    request_unref((request *)ctx);
}

/* The chain of tokens that the request shows; *out NULL: none. */
static berth_status read_leave(request *r, buf **out, berth_error *error)
{
    const char *text = request_get_header(r, "Berth-Token");
    berth_token_chain chain;
    uint8_t *bytes = NULL;
    size_t len = 0;
    berth_status status = BERTH_OK;

    *out = NULL;
    if (!text)
        return BERTH_OK;
    if (!base64_decode(slice_str(text), &bytes, &len))
        return fail(error, BERTH_ERR_INVALID, "Berth-Token: must be a chain of tokens in base64");
    if (berth_token_chain_decode(&chain, bytes, len, NULL, error) != BERTH_OK)
        status = fail_prefix(error, "Berth-Token");
    else if (!(*out = buf_copy(bytes, len)))
        status = fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    free(bytes);
    return status;
}

/* Also what runs again when there may be room. */
void messages_post(request *r)
{
    berth_error error = {0};
    uint64_t reached = 0;
    berth_status status;
    slice channel;
    writer w = {0};
    buf *leave;

    if (!request_channel(r, &channel))
        return;
    if (read_leave(r, &leave, &error)) {
        request_fail(r, &error);
        return;
    }
    request_ref(r);
    status = runtime_publish_with(r->api->rt, channel, slice_of(r->body.data, r->body.len), leave,
                                  credit_came, r, &reached, &error);
    buf_unref(leave);
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
