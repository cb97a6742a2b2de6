/* SPDX-License-Identifier: Apache-2.0 */
#include "api/emit.h"
#include "api/server.h"
#include "base/error.h"
#include "base/text.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void snapshot_job(request *r)
{
    berth_runtime *rt = r->api->rt;
    berth_daemon_info info = {.size = sizeof info};
    struct MHD_Response *response;
    berth_error error = {0};
    uint64_t origin, len = 0;
    void *bytes = NULL;
    char disposition[192];

    if (!request_daemon(r, 2, &origin))
        return;
    if (berth_daemon_get(rt, origin, &info, &error) ||
        berth_snapshot(rt, origin, &bytes, &len, &error)) {
        request_fail(r, &error);
        return;
    }
    response = MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
    if (response) {
        snprintf(disposition, sizeof disposition, "attachment; filename=\"%s.bsn\"", info.name);
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/octet-stream");
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION, disposition);
    } else {
        free(bytes);
    }
    request_respond(r, 200, response);
}

void snapshot_post(request *r)
{
    request_job(r, snapshot_job);
}

static void drop_identity(void *state)
{
    if (state)
        berth_keypair_wipe((berth_keypair *)state);
    free(state);
}

/* The identity is looked at before the snapshot is sent. */
void restore_begin(request *r)
{
    const char *text = request_get_header(r, "Berth-Identity");
    uint8_t seed[BERTH_SEED_SIZE];
    berth_keypair *identity;
    berth_error error = {0};

    if (!text)
        fail(
            &error, BERTH_ERR_INVALID,
            "Berth-Identity: is missing; a snapshot is restored with the seed of its own identity");
    else if (!hex_decode(seed, sizeof seed, slice_str(text)))
        fail(&error, BERTH_ERR_INVALID, "Berth-Identity: must be the 64 hex digits of a seed");
    if (error.code) {
        request_fail(r, &error);
        return;
    }
    identity = calloc(1, sizeof *identity);
    if (identity)
        berth_keypair_from_seed(identity, seed);
    explicit_bzero(seed, sizeof seed);
    r->state = identity;
    r->drop = drop_identity;
    if (!identity) {
        fail(&error, BERTH_ERR_NO_MEMORY, "restore: out of memory");
        request_fail(r, &error);
    }
}

static bool says_yes(const char *param)
{
    return param && strcmp(param, "yes") == 0;
}

static void restore_job(request *r)
{
    const berth_keypair *identity = (const berth_keypair *)r->state;
    berth_daemon_config config = {.size = sizeof config};
    berth_error error = {0};
    uint64_t origin = 0;
    berth_status status;

    config.name = target_param_get(&r->target, "name");
    config.accept = target_param_get(&r->target, "accept");
    config.takeover = says_yes(target_param_get(&r->target, "takeover"));
    status = berth_spawn_from_snapshot(r->api->rt, target_param_get(&r->target, "kind"), identity,
                                       r->body.data, r->body.len, &config, &origin, &error);
    writer_free(&r->body);
    if (status)
        request_fail(r, &error);
    else
        answer_daemon(r, 201, origin);
}

void restore_post(request *r)
{
    request_job(r, restore_job);
}
