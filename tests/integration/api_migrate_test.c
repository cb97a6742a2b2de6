/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/migrations, at one node of a cluster. */
#include "cluster_help.h"

#define hear api_hear /* both have these */
#define say  api_say
#include "api_client.h"
#undef hear
#undef say

#include <pthread.h>

static berth_cluster *cluster;
static berth_cluster_daemon here;

/* Two nodes; the API is that of the first, where a daemon `here` runs. */
static void begin_with(unsigned jobs)
{
    berth_cluster_config config = cluster_of(2);
    berth_error error = {0};

    config.migrate = true;
    cluster = cluster_up(&config);
    here = one_on(cluster, 0, "script");
    strcpy(host.dir, "/tmp/berth-api-XXXXXX");
    assert_non_null(mkdtemp(host.dir));
    snprintf(host.path, sizeof host.path, "%s/host.sock", host.dir);
    host.rt = (berth_runtime *)cluster->nodes[0].rt;
    if (api_start(&(api_config){.socket = host.path,
                                .rt = cluster->nodes[0].rt,
                                .mesh = cluster->nodes[0].mesh,
                                .moves = cluster->nodes[0].migrations,
                                .node_id = cluster->nodes[0].identity.node_id,
                                .max_jobs = jobs,
                                .tick_ms = 20},
                  &host.api, &error))
        fail_msg("%s", error.text);
}

static int begin(void **state)
{
    (void)state;
    begin_with(0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    migrations_stop(cluster->nodes[0].migrations);
    api_stop(host.api, 10000);
    rmdir(host.dir);
    cluster_end(cluster);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* Order it; the answer's id, or "" when it is refused. */
static const char *order_of(uint64_t origin, const char *node, const char *more, int status)
{
    static char id[33];
    char body[256];
    const char *at;
    reply r;

    snprintf(body, sizeof body, "{\"daemon\":\"%016llx\",\"node\":\"%s\"%s}",
             (unsigned long long)origin, node, more);
    r = ask("POST", "/v1/migrations", body);
    if (r.status != status)
        fail_msg("%s: %d: %s", body, r.status, r.body);
    at = strstr(r.body, "\"id\":\"");
    snprintf(id, sizeof id, "%s", at ? at + 6 : "");
    reply_free(&r);
    return id;
}

/* Its source cannot take its state as long as the gate is closed. */
static const char *begun_and_stuck(void)
{
    kinds_gate_close();
    OK(berth_submit(host.rt, here.origin, &(berth_input){.data = "gate", .len = 4}, 1, NULL, NULL,
                    NULL));
    kinds_gate_await(1);
    return order_of(here.origin, cluster->nodes[1].name, "", 202);
}

static void one_that_is_waited_for_is_answered_when_it_is_over(void **state)
{
    char target[96];

    (void)state;
    snprintf(target, sizeof target, "/v1/migrations/%s?wait_ms=60000",
             order_of(here.origin, cluster->nodes[1].name, "", 202));
    answers(ask("GET", target, NULL), 200, "\"state\":\"moved\",\"role\":\"source\"");
    answers(ask("GET", "/v1/migrations", NULL), 200, "\"phase\":\"complete\",\"percent\":100");
    *strchr(target, '?') = '\0';
    answers(ask("DELETE", target, NULL), 409, "\"reason\":\"too-late\"");
    target[strlen("/v1/migrations/") + 6] = '\0'; /* so much of the id is enough */
    answers(ask("GET", target, NULL), 200, "\"state\":\"moved\"");
}

static void a_dry_run_moves_nothing(void **state)
{
    (void)state;
    order_of(here.origin, cluster->nodes[1].name, ",\"dry_run\":true", 200);
    answers(ask("GET", "/v1/migrations", NULL), 200, "{\"migrations\":[]}");
}

static void each_refusal_has_its_reason(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *part;
    } rows[] = {
        {"{\"daemon\":\"nobody\",\"node\":\"x\"}", 404, "\"reason\":\"daemon-not-found\""},
        {"{\"daemon\":\"0123456789abcdef\",\"auto\":true}", 404, "\"reason\":\"daemon-not-found\""},
        {"{\"daemon\":\"nobody\"}", 400, "node: is missing"},
        {"{", 400, "\"code\":\"INVALID\""},
    };
    char own[17];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        answers(ask("POST", "/v1/migrations", rows[i].body), rows[i].status, rows[i].part);
    order_of(here.origin, "nowhere", "", 404);
    snprintf(own, sizeof own, "%016llx", (unsigned long long)cluster->nodes[0].identity.node_id);
    order_of(here.origin, own, "", 409);
    answers(ask("GET", "/v1/migrations/none", NULL), 404, "there is no migration 'none'");
    answers(ask("DELETE", "/v1/migrations/none", NULL), 404, NULL);
    answers(ask("GET", "/v1/migrations/00?wait_ms=60001", NULL), 400, "wait_ms");
    OK(tell(cluster, &here, "add:1"));
}

static void one_under_way_is_told_and_stopped(void **state)
{
    char target[96], body[256], resolve[112];

    (void)state;
    snprintf(target, sizeof target, "/v1/migrations/%s", begun_and_stuck());
    answers(ask("GET", target, NULL), 200, "\"state\":\"moving\"");
    snprintf(body, sizeof body, "{\"daemon\":\"%016llx\",\"node\":\"%s\"}",
             (unsigned long long)here.origin, cluster->nodes[1].name);
    answers(ask("POST", "/v1/migrations", body), 409, "\"reason\":\"already-migrating\"");
    snprintf(resolve, sizeof resolve, "%s/resolve", target);
    snprintf(body, sizeof body, "{\"dead\":\"%s\"}", cluster->nodes[1].name);
    answers(ask("POST", resolve, body), 403, "is not in doubt");
    answers(ask("POST", resolve, "{\"dead\":\"00000000000000ab\"}"), 403, "is not in doubt");
    answers(ask("POST", resolve, "{\"dead\":\"nobody\"}"), 404, "nobody");
    answers(ask("POST", resolve, "{}"), 400, "dead");
    answers(ask("POST", "/v1/migrations/none/resolve", body), 404, "there is no migration 'none'");
    answers(ask("DELETE", target, NULL), 200, NULL);
    kinds_gate_open();
    strcat(target, "?wait_ms=60000");
    answers(ask("GET", target, NULL), 200, "\"state\":\"failed\"");
    OK(tell(cluster, &here, "add:1")); /* it goes on */
}

/* All changes as they come, and those of one until it is over. */
static void what_happens_is_told_line_by_line(void **state)
{
    char target[96];
    reply all = {0}, one = {0}, old = {0};
    bool cut;
    int every = begin_tail("/v1/migrations/events"), fd;

    (void)state;
    snprintf(target, sizeof target, "/v1/migrations/events?migration=%s", begun_and_stuck());
    fd = begin_tail(target);
    hears(fd, &one, "\"phase\":\"snapshot\"");
    assert_non_null(strstr(one.body, "{\"time\":\"20"));
    assert_null(strstr(one.body, "\"phase\":\"transfer\""));
    kinds_gate_open();
    hears(fd, &one, "\"phase\":\"transfer\"");
    hears(fd, &one, "\"state\":\"moved\"");
    hears(fd, &one, "{\"end\":true,\"reason\":\"it is over\"}\n");
    assert_false(hear_chunk(fd, &one, &cut) || cut);
    close(fd);
    hears(every, &all, "\"state\":\"moved\"");
    assert_non_null(strstr(all.body, "\"phase\":\"cutover\""));
    close(every);
    strcpy(strchr(target, '=') + 1 + 12, ""); /* so much of the id is enough */
    fd = begin_tail(target);
    hears(fd, &old, "\"state\":\"moved\"");
    hears(fd, &old, "\"reason\":\"it is over\"");
    close(fd);
    answers(ask("GET", "/v1/migrations/events?migration=none", NULL), 404,
            "there is no migration 'none'");
    reply_free(&all);
    reply_free(&one);
    reply_free(&old);
    becomes("/v1/status", "streams", 0);
}

/* Its lines have given way to others since: how it ended is told all the same. */
static void one_that_was_over_long_ago_is_told_by_its_end(void **state)
{
    char id[33], target[96];
    reply r = {0};
    int fd;

    (void)state;
    snprintf(id, sizeof id, "%s", order_of(here.origin, cluster->nodes[1].name, "", 202));
    snprintf(target, sizeof target, "/v1/migrations/%s?wait_ms=60000", id);
    answers(ask("GET", target, NULL), 200, "\"state\":\"moved\"");
    for (unsigned i = 0; i < 40; i++) { /* there and back: more than 6 changes each */
        snprintf(target, sizeof target, "/v1/migrations/%s?wait_ms=60000",
                 order_of(here.origin, cluster->nodes[i % 2].name, "", 202));
        answers(ask("GET", target, NULL), 200, "\"state\":\"moved\"");
    }
    snprintf(target, sizeof target, "/v1/migrations/events?migration=%s", id);
    fd = begin_tail(target);
    hears(fd, &r, "\"reason\":\"it is over\"");
    assert_null(strstr(r.body, "\"phase\":\"transfer\""));
    assert_non_null(strstr(r.body, "\"state\":\"moved\""));
    close(fd);
    reply_free(&r);
}

static void *wait_long(void *target)
{
    reply *r = calloc(1, sizeof *r);

    assert_non_null(r);
    do {
        reply_free(r); /* it was too crowded for a moment */
        *r = ask("GET", target, NULL);
    } while (r->status == 503 && strstr(r->body, "WOULD_BLOCK"));
    return r;
}

/* Of four threads two may wait: a third request is told so, and commands are still carried out. */
static void those_who_wait_leave_room_for_commands(void **state)
{
    pthread_t waiting[2];
    char target[96], plain[64];

    (void)state;
    end(NULL);
    begin_with(4);
    snprintf(plain, sizeof plain, "/v1/migrations/%s", begun_and_stuck());
    snprintf(target, sizeof target, "%s?wait_ms=60000", plain);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&waiting[i], NULL, wait_long, target), 0);
    for (int status = 0; status != 503;) {
        char briefly[112];
        reply r;

        snprintf(briefly, sizeof briefly, "%s?wait_ms=1", plain);
        r = ask("GET", briefly, NULL);
        status = r.status;
        reply_free(&r);
    }
    answers(ask("DELETE", plain, NULL), 200, NULL);
    kinds_gate_open();
    for (unsigned i = 0; i < 2; i++) {
        void *r;

        pthread_join(waiting[i], &r);
        answers(*(reply *)r, 200, "\"state\":\"failed\"");
        free(r);
    }
}

static void who_waits_is_answered_when_the_host_stops(void **state)
{
    pthread_t waiting;
    char target[96];
    void *answer;
    reply r;

    (void)state;
    snprintf(target, sizeof target, "/v1/migrations/%s?wait_ms=60000", begun_and_stuck());
    assert_int_equal(pthread_create(&waiting, NULL, wait_long, target), 0);
    migrations_stop(cluster->nodes[0].migrations);
    kinds_gate_open();
    pthread_join(waiting, &answer);
    r = *(reply *)answer;
    free(answer);
    /* Its daemon is in a call, or, if this was late, has returned from it. */
    if (r.status == 503)
        answers(r, 503, "\"code\":\"SHUTTING_DOWN\"");
    else
        answers(r, 200, "\"reason\":\"shutting-down\"");
    order_of(here.origin, cluster->nodes[1].name, "", 503); /* and nothing begins any more */
}

static void a_host_that_is_alone_says_so(void **state)
{
    static const char body[] = "{\"daemon\":\"e\",\"node\":\"b\"}";

    (void)state;
    answers(ask("GET", "/v1/migrations", NULL), 501, "this host is alone");
    answers(ask("POST", "/v1/migrations", body), 501, "this host is alone");
    answers(ask("GET", "/v1/migrations/1", NULL), 501, "this host is alone");
    answers(ask("DELETE", "/v1/migrations/1", NULL), 501, "this host is alone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_that_is_waited_for_is_answered_when_it_is_over),
        TEST(a_dry_run_moves_nothing),
        TEST(each_refusal_has_its_reason),
        TEST(one_under_way_is_told_and_stopped),
        TEST(what_happens_is_told_line_by_line),
        TEST(one_that_was_over_long_ago_is_told_by_its_end),
        TEST(those_who_wait_leave_room_for_commands),
        TEST(who_waits_is_answered_when_the_host_stops),
        test(a_host_that_is_alone_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
