/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with a runtime inside: a kind of its own, a daemon, events, the chain of its outputs, a
 * snapshot, and the daemon again from that.
 */
#include <berth/plugin.h>
#include <berth/runtime.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A kind: adds up the numbers it gets, and says the sum. ---- */

static berth_code sum_create(berth_call *call, const berth_birth *birth, void **self)
{
    berth_reader state = berth_reader_of(birth->state);
    int64_t *sum = calloc(1, sizeof *sum);

    if (!sum)
        return BERTH_E_MEMORY;
    if (birth->state.ptr)
        *sum = berth_read_i64(&state);
    if (!berth_reader_done(&state)) {
        free(sum);
        return berth_fail(call, BERTH_E_STATE, "the state is a number of 8 bytes");
    }
    *self = sum;
    return BERTH_OK;
}

static void sum_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code sum_process(void *self, berth_call *call, const berth_event *event)
{
    int64_t *sum = self;
    char text[24] = "", *end;

    if (event->data.len > 0 && event->data.len < 10)
        memcpy(text, event->data.ptr, event->data.len);
    long number = strtol(text, &end, 10);
    if (end == text || *end)
        return berth_fail(call, BERTH_E_REJECT, "an event is a number of 1 to 9 characters");
    *sum += number;
    snprintf(text, sizeof text, "%" PRId64, *sum);
    return berth_emit_str(call, text);
}

static berth_code sum_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const int64_t *sum = self;
    berth_writer state;

    (void)want_version;
    berth_writer_begin(&state, call);
    berth_write_i64(&state, *sum);
    return berth_writer_end(&state);
}

static const berth_kind sum_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("sum"),
    .create = sum_create,
    .destroy = sum_destroy,
    .process = sum_process,
    .snapshot = sum_snapshot,
};

/* ---- The program ---- */

static void must(berth_status status, const berth_error *error, const char *what)
{
    if (status == BERTH_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, berth_status_name(status), error->text);
    exit(1);
}

/* On the runtime's callback thread. */
static void on_lifecycle(void *ctx, const berth_lifecycle_event *event)
{
    unsigned *registered = ctx;

    if (event->type == BERTH_LIFECYCLE_REGISTERED)
        ++*registered;
}

/* Three events at once; each output is a link in the daemon's chain. */
static void deliver(berth_runtime *rt, uint64_t origin)
{
    const berth_input inputs[] = {{"40", 2, NULL}, {"two", 3, NULL}, {"2", 1, NULL}};
    berth_outputs *outputs = berth_outputs_new();
    berth_error error = {0};
    berth_status status = berth_deliver_batch(rt, origin, inputs, 3, outputs, &error);

    /* REJECTED tells of the first that failed; the others were applied. */
    printf("%" PRIu64 " of 3 failed: %s\n", berth_outputs_failed(outputs), error.text);
    if (status != BERTH_ERR_REJECTED)
        must(status, &error, "deliver");
    for (uint64_t i = 0; i < berth_outputs_count(outputs); i++) {
        berth_output_view now = berth_outputs_at(outputs, i);

        printf("event %" PRIu64 " -> %.*s, number %" PRIu64 " of the chain", now.input,
               (int)now.len, (const char *)now.data, now.link.sequence);
        if (i > 0) {
            berth_output_view before = berth_outputs_at(outputs, i - 1);
            berth_chain_fault fault;

            status = berth_link_validate(&before.link, before.data, before.len, &now.link, &fault);
            printf(status == BERTH_OK ? ", follows the one before" : ", does not follow");
        }
        putchar('\n');
    }
    berth_outputs_free(outputs);
}

int main(void)
{
    berth_runtime_config config = {.size = sizeof config, .threads = 2};
    berth_daemon_config daemon = {.size = sizeof daemon, .name = "account"};
    berth_daemon_info info = {.size = sizeof info};
    berth_runtime *rt = NULL;
    berth_keypair identity;
    berth_error error = {0};
    unsigned registered = 0;
    uint64_t origin, len;
    void *snapshot;

    must(berth_runtime_new(&config, &rt, &error), &error, "runtime");
    must(berth_register_factory(rt, &sum_kind, &error), &error, "kind");
    must(berth_runtime_start(rt, &error), &error, "start");
    berth_observe_lifecycle(rt, on_lifecycle, &registered);

    berth_keypair_generate(&identity);
    must(berth_spawn_kind(rt, "sum", &identity, &daemon, &origin, &error), &error, "spawn");
    deliver(rt, origin);

    must(berth_snapshot(rt, origin, &snapshot, &len, &error), &error, "snapshot");
    must(berth_stop(rt, origin, 1000, &error), &error, "stop");
    printf("snapshot of %" PRIu64 " bytes; %" PRIu64 " daemons run\n", len, berth_daemon_count(rt));

    must(berth_spawn_from_snapshot(rt, NULL, &identity, snapshot, len, &daemon, &origin, &error),
         &error, "restore");
    free(snapshot);
    berth_outputs *outputs = berth_outputs_new();
    must(berth_deliver(rt, origin, "-7", 2, outputs, &error), &error, "deliver");
    berth_output_view last = berth_outputs_at(outputs, 0);
    printf("restored: %.*s\n", (int)last.len, (const char *)last.data);
    berth_outputs_free(outputs);

    must(berth_daemon_get(rt, origin, &info, &error), &error, "look");
    printf("%s, a %s, runs in incarnation %" PRIu64 "\n", info.name, info.kind, info.incarnation);

    must(berth_runtime_shutdown(rt, 5000, &error), &error, "shutdown");
    berth_runtime_free(rt); /* the observer has been told all there was */
    printf("%u daemons were registered in all\n", registered);
    berth_keypair_wipe(&identity);
    return 0;
}
