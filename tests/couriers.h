/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemons of a cluster that send each other numbered events, judge what they get, and are moved.
 */
#ifndef TESTS_COURIERS_H
#define TESTS_COURIERS_H

#include "cluster_help.h"
#include "daemon/moving.h"

static inline uint64_t id_of(berth_cluster *c, uint32_t node)
{
    return c->nodes[node].identity.node_id;
}

/* Begun at one node; until it is over. */
static inline move_outcome move_by(berth_cluster *c, uint32_t by, uint64_t origin, uint32_t to)
{
    migration_spec spec = {.origin = origin, .target = id_of(c, to), .transport_identity = true};
    migrations *x = c->nodes[by].migrations;
    move_outcome out = {.moved = false};
    migration_id id;

    memset(&why, 0, sizeof why);
    if (migrations_begin(x, &spec, &id, &out, &why) == BERTH_OK)
        GOOD(c, migrations_wait(x, &id, HELP_PATIENCE_NS, &out, &why));
    return out;
}

static inline void moved(berth_cluster *c, uint32_t by, berth_cluster_daemon *d, uint32_t to)
{
    move_outcome out = move_by(c, by, d->origin, to);

    if (!out.moved) {
        berth_cluster_log(c, BERTH_CLUSTER_ALL, NULL, NULL);
        fail_msg("it stays: %s: %s", move_reason_word(out.reason), out.text);
    }
    d->node = to;
    d->life = c->nodes[to].life;
    d->node_id = id_of(c, to);
}

/* ---- Who counts what it gets ----------------------------------------------------------------- */

#define COURIERS 4

/*
 * A kind that sends numbered events and judges those it gets: "go ORIGIN N" sends N events to that
 * origin, "pub CHANNEL N" publishes as many; all are numbered on from the last time. Its
 * configuration is its own number. Its state is what it has sent and got, and goes with it; what is
 * wrong is told outside of it, as is how far it has come.
 */
static struct {
    _Atomic uint64_t got[COURIERS][COURIERS], heard[COURIERS][COURIERS]; /* by receiver, sender */
    atomic_uint wrong;
} judged;

typedef struct courier {
    uint32_t self;
    struct {
        uint64_t origin, sent;
    } to[COURIERS];
    uint64_t published, got[COURIERS], heard[COURIERS];
    uint64_t bytes; /* of all this */
    uint8_t ballast[];
} courier;

typedef struct courier_config {
    uint32_t self, ballast; /* bytes that it drags along */
} courier_config;

typedef struct parcel {
    uint32_t from, to_all;
    uint64_t number;
} parcel;

static berth_code courier_create(berth_call *call, const berth_birth *birth, void **self)
{
    courier_config config;
    courier *me;

    (void)call;
    memcpy(&config, birth->config.ptr, sizeof config);
    me = calloc(1, sizeof *me + config.ballast);
    me->self = config.self;
    me->bytes = sizeof *me + config.ballast;
    if (birth->state.ptr)
        memcpy(me, birth->state.ptr, me->bytes);
    *self = me;
    return BERTH_OK;
}

static void courier_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code courier_snapshot(void *self, berth_call *call, uint32_t version)
{
    (void)version;
    return call->api->write(call, self, ((const courier *)self)->bytes);
}

static berth_code courier_status(void *self, berth_call *call, berth_daemon_status *out)
{
    (void)call;
    out->state_bytes = ((const courier *)self)->bytes;
    return BERTH_OK;
}

static berth_code send_some(courier *me, berth_call *call, uint64_t origin, uint64_t count)
{
    unsigned i = 0;

    while (me->to[i].origin && me->to[i].origin != origin)
        i++;
    me->to[i].origin = origin;
    for (; count; count--) {
        parcel p = {me->self, 0, ++me->to[i].sent};
        berth_output o = {
            .size = sizeof o, .to = BERTH_TO_DAEMON, .origin = origin, .data = {&p, sizeof p}};
        berth_code code = call->api->output(call, &o);

        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static berth_code publish_some(courier *me, berth_call *call, const char *channel, uint64_t count)
{
    for (; count; count--) {
        parcel p = {me->self, 1, ++me->published};
        berth_output o = {.size = sizeof o,
                          .to = BERTH_TO_CHANNEL,
                          .channel = {channel, strlen(channel)},
                          .data = {&p, sizeof p}};
        berth_code code = call->api->output(call, &o);

        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static void judge(courier *me, const parcel *p)
{
    uint64_t *last = p->to_all ? &me->heard[p->from] : &me->got[p->from];

    if (p->number != ++*last) {
        if (!judged.wrong++)
            print_error("courier %u: %llu of %u after %llu%s\n", me->self,
                        (unsigned long long)p->number, p->from, (unsigned long long)*last - 1,
                        p->to_all ? ", published" : "");
        *last = p->number;
    }
    (p->to_all ? judged.heard : judged.got)[me->self][p->from] = *last;
}

static berth_code courier_process(void *self, berth_call *call, const berth_event *event)
{
    courier *me = self;
    uint64_t origin, count;
    char text[64], channel[32];
    parcel p;

    if (event->data.len == sizeof p) {
        memcpy(&p, event->data.ptr, sizeof p);
        judge(me, &p);
        return BERTH_OK;
    }
    snprintf(text, sizeof text, "%.*s", (int)event->data.len, (const char *)event->data.ptr);
    if (sscanf(text, "go %" SCNx64 " %" SCNu64, &origin, &count) == 2)
        return send_some(me, call, origin, count);
    if (sscanf(text, "pub %31s %" SCNu64, channel, &count) == 2)
        return publish_some(me, call, channel, count);
    if (sscanf(text, "sub %31s", channel) == 1)
        return call->api->subscribe(call,
                                    &(berth_subscription){.size = sizeof(berth_subscription),
                                                          .channel = {channel, strlen(channel)}});
    return BERTH_E_REJECT;
}

static const berth_kind kind_courier = {.size = sizeof kind_courier,
                                        .name = {"courier", 7},
                                        .create = courier_create,
                                        .destroy = courier_destroy,
                                        .snapshot = courier_snapshot,
                                        .status = courier_status,
                                        .process = courier_process};

typedef struct couriers {
    berth_cluster *c;
    berth_cluster_daemon d[COURIERS];
    uint64_t sent[COURIERS][COURIERS], published[COURIERS];
} couriers;

static inline berth_status one_courier(void *ctx, uint32_t node, berth_cluster_spawn *out,
                                       berth_error *error)
{
    static berth_daemon_config how;

    (void)node;
    (void)error;
    how = (berth_daemon_config){
        .size = sizeof how, .config = ctx, .config_len = sizeof(courier_config)};
    out->kind = "courier";
    out->how = &how;
    return BERTH_OK;
}

/* Courier i on node i, or the last node. */
static inline void couriers_up(couriers *x, uint32_t nodes, uint32_t ballast)
{
    static const berth_factory_facts facts = {sizeof facts, true};
    berth_cluster_config config = cluster_of(nodes);
    uint32_t n;

    memset(x, 0, sizeof *x);
    memset(&judged, 0, sizeof judged);
    config.migrate = true;
    x->c = cluster_made(&config);
    GOOD(x->c,
         berth_cluster_register_kind_with(x->c, BERTH_CLUSTER_ALL, &kind_courier, &facts, &why));
    GOOD(x->c, berth_cluster_boot(x->c, &why));
    for (uint32_t i = 0; i < COURIERS; i++) {
        uint32_t node = i < nodes ? i : nodes - 1;
        courier_config as = {i, ballast};

        GOOD(x->c,
             berth_cluster_spawn_where(x->c, is_node, &node, one_courier, &as, &x->d[i], &n, &why));
    }
}

static inline void go(couriers *x, unsigned from, unsigned to, unsigned count)
{
    GOOD(x->c, tell(x->c, &x->d[from], say("go %016" PRIx64 " %u", x->d[to].origin, count)));
    x->sent[from][to] += count;
}

static inline bool all_there(couriers *x)
{
    for (unsigned i = 0; i < COURIERS; i++)
        for (unsigned k = 0; k < COURIERS; k++)
            if (judged.got[i][k] != x->sent[k][i])
                return false;
    return true;
}

/* Of all channels, at nodes where they do not live. */
static inline uint64_t members(couriers *x, uint32_t nodes)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < nodes; i++) {
        mesh_counters m;

        mesh_get_counters(x->c->nodes[i].mesh, &m);
        sum += m.members;
    }
    return sum;
}

static inline bool all_heard(couriers *x)
{
    for (unsigned i = 0; i < COURIERS; i++)
        for (unsigned k = 0; k < COURIERS; k++)
            if (i != k && judged.heard[i][k] != x->published[k])
                return false;
    return true;
}

#endif
