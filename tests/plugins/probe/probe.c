/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <stdlib.h>
#include <string.h>

const berth_host *probe_host;
berth_daemon *probe_dead;

static berth_code read_state(probe *p, const berth_birth *birth)
{
    berth_reader state = berth_reader_of(birth->state);
    berth_bytes memo;

    if (birth->state_version < 1 || birth->state_version > 2)
        return BERTH_E_VERSION;
    p->value = berth_read_u64(&state);
    memo = berth_read_blob(&state);
    if (memo.len >= sizeof p->memo)
        return BERTH_E_STATE;
    if (memo.len)
        memcpy(p->memo, memo.ptr, memo.len);
    p->memo_len = memo.len;
    if (birth->state_version == 2) {
        for (int i = 0; i < 4; i++)
            p->kept.w[i] = berth_read_u64(&state);
        p->pad = berth_read_u64(&state);
        berth_read_bytes(&state, p->pad);
    }
    return berth_reader_done(&state) ? BERTH_OK : BERTH_E_STATE;
}

static berth_code create(berth_call *call, const berth_birth *birth, void **self, int stateful)
{
    probe *p;
    berth_code code;

    if (birth->state.ptr && !stateful)
        return berth_fail(call, BERTH_E_STATE, "probe.plain keeps no state");
    p = calloc(1, sizeof *p);
    if (!p)
        return BERTH_E_MEMORY;
    p->daemon = birth->daemon;
    p->origin = birth->origin;
    p->max_event = birth->max_event;
    p->max_outputs = birth->max_outputs;
    p->max_output_bytes = birth->max_output_bytes;
    p->max_state = birth->max_state;
    p->state_version = birth->state_version;
    code = birth->state.ptr ? read_state(p, birth) : BERTH_OK;
    if (code == BERTH_OK)
        code = probe_run(p, call, NULL, birth->config);
    if (code != BERTH_OK) {
        free(p);
        return code;
    }
    p->last_call = call;
    *self = p;
    return BERTH_OK;
}

static berth_code probe_create(berth_call *call, const berth_birth *birth, void **self)
{
    return create(call, birth, self, 1);
}

static berth_code plain_create(berth_call *call, const berth_birth *birth, void **self)
{
    return create(call, birth, self, 0);
}

static void probe_destroy(void *self, berth_call *call)
{
    probe *p = self;

    probe_run(p, call, NULL, berth_str(p->in_destroy));
    probe_dead = p->daemon;
    free(p);
}

static berth_code handle(void *self, berth_call *call, const berth_event *event)
{
    probe *p = self;
    berth_code code = probe_run(p, call, event, event->data);

    p->last_call = call;
    return code;
}

/* Controls and starts have no data; they are told of. */
static berth_code tell(void *self, berth_call *call, const berth_event *event)
{
    return probe_run(self, call, event, BERTH_LIT("dump"));
}

static berth_code probe_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    static const uint8_t zeroes[4096];
    probe *p = self;
    berth_writer state;
    berth_code code;

    if (want_version < 1 || want_version > 2)
        return BERTH_E_VERSION;
    code = probe_run(p, call, NULL, berth_str(p->in_snapshot));
    if (code != BERTH_OK)
        return code;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, p->value);
    berth_write_blob(&state, berth_bytes_of(p->memo, p->memo_len));
    if (want_version == 2) {
        for (int i = 0; i < 4; i++)
            berth_write_u64(&state, p->kept.w[i]);
        berth_write_u64(&state, p->pad);
        for (uint64_t left = p->pad; left > 0 && state.code == BERTH_OK;) {
            uint64_t n = left < sizeof zeroes ? left : sizeof zeroes;
            berth_write_bytes(&state, zeroes, n);
            left -= n;
        }
    }
    return berth_writer_end(&state);
}

static berth_code probe_status(void *self, berth_call *call, berth_daemon_status *out)
{
    probe *p = self;

    out->health = p->value % 3 == 0   ? BERTH_HEALTHY
                  : p->value % 3 == 1 ? BERTH_DEGRADED
                                      : BERTH_UNHEALTHY;
    out->saturation_ppm = (uint32_t)(p->value % 1000001);
    out->state_bytes = 8 + p->memo_len + p->pad;
    return probe_run(p, call, NULL, berth_str(p->in_status));
}

static const berth_kind probe_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("probe"),
    .create = probe_create,
    .destroy = probe_destroy,
    .process = handle,
    .snapshot = probe_snapshot,
    .status = probe_status,
    .on_start = tell,
    .on_timer = handle,
    .on_reply = tell,
    .on_post = handle,
    .on_control = tell,
};

static const berth_kind plain_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("probe.plain"),
    .create = plain_create,
    .destroy = probe_destroy,
    .process = handle,
};

static const berth_kind *const kinds[] = {&probe_kind, &plain_kind};

static berth_code init(const berth_host *host)
{
    probe_host = host;
    if (host->extension(host, "org.example.nonsense/1"))
        return BERTH_E_BROKEN;
    berth_host_log(host, BERTH_LOG_DEBUG, "probe: init");
    return BERTH_OK;
}

static void deinit(void)
{
    probe_host = NULL;
}

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 2,
    .kinds = kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
    .init = init,
    .deinit = deinit,
};
