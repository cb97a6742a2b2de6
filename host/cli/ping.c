/* SPDX-License-Identifier: Apache-2.0 */
/* berth peer ping: one line an answer, and a summary. */
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"

#include "base/error.h"

#include <stdlib.h>
#include <time.h>

typedef struct round {
    const cli_invocation *inv;
    client *client;
    char *path;
    uint64_t sent, received;
    uint64_t min_ns, max_ns, sum_ns;
} round_trips;

/* True: the next one makes sense. */
static bool ping_once(round_trips *p, berth_error *error)
{
    struct json_object *answer = NULL;
    client_request request = {.method = "POST", .path = p->path};
    berth_status status = client_json(p->client, &request, &answer, error);
    uint64_t rtt_ns = field_u64(answer, "rtt_ns");
    char text[FORMAT_MAX];

    p->sent++;
    if (status == BERTH_OK) {
        p->min_ns = p->received && p->min_ns < rtt_ns ? p->min_ns : rtt_ns;
        p->max_ns = p->max_ns > rtt_ns ? p->max_ns : rtt_ns;
        p->sum_ns += rtt_ns;
        p->received++;
        if (cli_flag(p->inv, "json"))
            output_json(answer);
        else
            printf("%s: %s\n", field_text(answer, "name"), format_rtt(text, rtt_ns));
    } else if (status == BERTH_ERR_TIMEOUT || (status == BERTH_ERR_NOT_READY && p->received)) {
        output_note("%s", error->text);
        status = BERTH_OK;
    }
    fflush(stdout);
    json_object_put(answer);
    return status == BERTH_OK;
}

static void show_summary(const round_trips *p)
{
    char min[FORMAT_MAX], mean[FORMAT_MAX], max[FORMAT_MAX], share[FORMAT_MAX];
    uint64_t mean_ns = p->received ? p->sum_ns / p->received : 0;
    struct json_object *object;

    if (cli_flag(p->inv, "json")) {
        object = json_object_new_object();
        json_put_u64(object, "sent", p->sent);
        json_put_u64(object, "received", p->received);
        json_put_u64(object, "rtt_min_ns", p->min_ns);
        json_put_u64(object, "rtt_mean_ns", mean_ns);
        json_put_u64(object, "rtt_max_ns", p->max_ns);
        output_json(object);
        json_object_put(object);
        return;
    }
    printf("%llu sent, %llu answered, %s lost", (unsigned long long)p->sent,
           (unsigned long long)p->received, format_share(share, p->sent - p->received, p->sent));
    if (p->received)
        printf("; round trip min %s, mean %s, max %s", format_rtt(min, p->min_ns),
               format_rtt(mean, mean_ns), format_rtt(max, p->max_ns));
    putchar('\n');
}

static void pause_for(uint64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&left, NULL);
}

int cmd_peer_ping(const cli_invocation *inv)
{
    uint64_t count = cli_number(inv, "count", 5), interval_ms = cli_number(inv, "interval", 1000);
    const char *timeout = cli_value(inv, "timeout");
    round_trips p = {.inv = inv};
    berth_error error = {0};
    bool goes_on = true;

    if (!count)
        return output_usage(inv, "--count: must be at least 1");
    p.path = client_path("/v1/peers/%s/ping?timeout_ms=%s", cli_argument_at(inv, 0),
                         timeout ? timeout : "2000");
    if (client_open(&p.client, inv, &error) != BERTH_OK)
        goes_on = false;
    for (uint64_t i = 0; i < count && goes_on; i++) {
        if (i)
            pause_for(interval_ms);
        goes_on = ping_once(&p, &error);
    }
    client_close(p.client);
    free(p.path);
    if (!goes_on)
        return output_fail(&error);
    show_summary(&p);
    return p.received ? EXIT_DONE : EXIT_FAILED;
}
