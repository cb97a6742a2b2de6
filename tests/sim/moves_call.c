/* SPDX-License-Identifier: Apache-2.0 */
/* Who gives orders: here, at the source, at the target or on a third host; at times wrong ones. */
#include "chain/link.h"
#include "moves.h"

uint64_t moves_hash(const void *bytes, size_t len)
{
    return xxh3(bytes, len);
}

static void sim_signature(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
                          uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    uint8_t bytes[BERTH_ENTITY_SIZE + 1024];

    memcpy(bytes, entity, BERTH_ENTITY_SIZE);
    memcpy(bytes + BERTH_ENTITY_SIZE, message, len);
    memset(signature, 0, BERTH_SIGNATURE_SIZE);
    store_u64(signature, xxh3(bytes, BERTH_ENTITY_SIZE + len));
}

berth_status moves_verify(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
                          const uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    uint8_t right[BERTH_SIGNATURE_SIZE];

    sim_signature(entity, message, len, right);
    return memcmp(right, signature, sizeof right) ? BERTH_ERR_SIGNATURE : BERTH_OK;
}

/* What order_check would have verified is what is signed. */
static uint8_t made[BERTH_SIGNATURE_SIZE];

static berth_status make(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
                         const uint8_t signature[BERTH_SIGNATURE_SIZE])
{
    (void)signature;
    sim_signature(entity, message, len, made);
    return BERTH_OK;
}

void order_sim_sign(world *w, order *o, const uint8_t signer[BERTH_ENTITY_SIZE])
{
    (void)w;
    o->has_signature = true;
    memcpy(o->signer, signer, sizeof o->signer);
    order_check(o, o->not_before_s, make, NULL);
    memcpy(o->signature, made, sizeof o->signature);
}

bool order_is_valid(world *w, const order *o)
{
    return o->has_signature && memcmp(o->signer, w->operator_key, sizeof o->signer) == 0 &&
           order_check(o, moves_wall(w), moves_verify, NULL) == BERTH_OK;
}

/* ---- Calls ---- */

void call_begin(world *w)
{
    call *c = &w->calls[w->call_count];
    int hosts = w->options.hosts;
    orchestrator_config config = {.resend_ns = 200 * MS,
                                  .look_ns = 300 * MS,
                                  .silence_ns = 4 * SEC,
                                  .retry_not_ready_ns = moves_chance(w, 0.7) ? 10 * SEC : 0};

    if (w->healed || w->call_count == CALLS)
        return;
    *c = (call){.daemon = (int)moves_random(w, (uint64_t)w->options.daemons), .attempt = -1};
    c->source =
        moves_chance(w, 0.9) ? w->daemons[c->daemon].at : (int)moves_random(w, (uint64_t)hosts);
    c->target = (c->source + 1 + (int)moves_random(w, (uint64_t)hosts - 1)) % hosts;
    c->host = (int)moves_random(w, (uint64_t)hosts);
    c->bad_order = moves_chance(w, 0.15);
    if (!w->hosts[c->host].up)
        return;
    config.origin = w->daemons[c->daemon].origin;
    config.source = w->hosts[c->source].id;
    config.local = c->local = c->host == c->source && moves_chance(w, 0.5);
    c->o = orchestrator_new(&config, moves_now(w, c->host));
    moves_trace(w, "call %d of host %d: daemon %d from %d to %d", w->call_count, c->host, c->daemon,
                c->source, c->target);
    if (moves_chance(w, 0.25))
        moves_later(w, (int64_t)moves_random(w, 4 * SEC), WHAT_CANCEL, w->call_count, 0);
    w->call_count++;
    host_pump(w, c->host);
    if (moves_chance(w, 0.15)) /* another one at the same time */
        moves_later(w, (int64_t)moves_random(w, 500) * MS, WHAT_CALL, 0, 0);
}

void call_cancel(world *w, int i)
{
    call *c = &w->calls[i];

    if (!c->o)
        return;
    moves_trace(w, "call %d: enough", i);
    orchestrator_cancel(c->o, moves_now(w, c->host));
    host_pump(w, c->host);
}

static order make_order(world *w, const call *c, int a)
{
    order o = {.verbs = ORDER_MOVE,
               .not_before_s = moves_wall(w) - 10,
               .not_after_s = moves_wall(w) + 3600};

    memset(o.attempt, 0x5a, sizeof o.attempt);
    store_u64(o.attempt, (uint64_t)a + 1);
    memcpy(o.entity, w->daemons[c->daemon].entity, sizeof o.entity);
    memcpy(o.source, w->hosts[c->source].entity, sizeof o.source);
    memcpy(o.target, w->hosts[c->target].entity, sizeof o.target);
    order_sim_sign(w, &o, w->operator_key);
    return o;
}

/* Signed by nobody who may, or long ago, or for another daemon. */
static void spoil(world *w, order *o)
{
    switch (moves_random(w, 3)) {
    case 0:
        order_sim_sign(w, o, w->hosts[0].entity);
        break;
    case 1:
        o->not_before_s -= 8000;
        o->not_after_s -= 8000;
        order_sim_sign(w, o, w->operator_key);
        break;
    default:
        o->verbs |= ORDER_ATTEST_DEAD; /* after it was signed */
        break;
    }
}

static void begin_attempt(world *w, int i)
{
    call *c = &w->calls[i];
    int a = w->attempt_count, n = c->host;
    attempt *x = &w->attempts[a];
    move_outcome why = {0};
    move_order m = {0};
    bool begun = true;

    if (a == ATTEMPTS) {
        move_failed(&why, MOVE_REFUSED, "the simulator has no more attempts");
        orchestrator_begun(c->o, BERTH_ERR_LIMIT, NULL, &why, moves_now(w, n));
        return;
    }
    w->attempt_count++;
    *x = (attempt){.daemon = c->daemon, .source = c->source, .target = c->target, .call = i};
    x->order = make_order(w, c, a);
    x->from = n;
    x->valid = !c->bad_order;
    if (c->bad_order)
        spoil(w, &x->order);
    c->attempt = a;
    m.order = x->order;
    memcpy(m.head.attempt, x->order.attempt, ATTEMPT_SIZE);
    m.head.origin = w->daemons[c->daemon].origin;
    if (c->local)
        begun = source_begin(w, n, a, &x->order, &why);
    orchestrator_begun(c->o, begun ? BERTH_OK : BERTH_ERR_REFUSED, &m, &why, moves_now(w, n));
}

/* What a local source says without being asked. */
static void look_locally(world *w, call *c)
{
    move_state m;

    if (c->attempt >= 0 && source_state(w, c->host, c->attempt, &m))
        orchestrator_state(c->o, &m, moves_now(w, c->host));
}

void call_pump(world *w, int i)
{
    call *c = &w->calls[i];
    orchestrator_need need;

    if (c->local)
        look_locally(w, c);
    while (c->o && orchestrator_next(c->o, &need, moves_now(w, c->host)))
        switch (need.kind) {
        case ORCHESTRATOR_SEND:
            moves_send(w, c->host, need.node, need.message);
            break;
        case ORCHESTRATOR_BEGIN:
            begin_attempt(w, i);
            break;
        case ORCHESTRATOR_OVER:
            if (c->over)
                moves_fail(w, "call %d is over twice", i);
            c->over = true;
            c->outcome = *orchestrator_outcome(c->o);
            moves_trace(w, "call %d: over: %s %s", i,
                        c->outcome.moved ? "moved" : move_reason_word(c->outcome.reason),
                        c->outcome.text);
            break;
        default:
            break;
        }
}
