/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key goes ahead of the state (migrate/early.c): one host as it is, and one whose part in a
 * move the test plays, message by message, over a real session.
 */
#include "mesh_hosts.h"

#include "base/clock.h"
#include "daemon/moving.h"
#include "mesh/message.h"
#include "migrate/migrations_private.h"
#include "migrate/wire.h"

#include <pthread.h>

#define HOST   0 /* with the driver of migrations */
#define PLAYED 1
#define COUNT  3 /* events that the daemon has had when it is to move */

typedef struct letter {
    struct letter *next;
    buf *message;
} letter;

static hosts h;
static migrations *driver;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    letter *first;
} inbox = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};

static void take_letter(void *ctx, uint64_t node, const uint8_t entity[BERTH_ENTITY_SIZE], buf *msg)
{
    letter *l = calloc(1, sizeof *l), **end = &inbox.first;

    (void)ctx;
    (void)entity;
    assert_true(node == h.list[HOST].key.node_id);
    l->message = buf_ref(msg);
    pthread_mutex_lock(&inbox.lock);
    while (*end)
        end = &(*end)->next;
    *end = l;
    pthread_cond_signal(&inbox.came);
    pthread_mutex_unlock(&inbox.lock);
}

static uint16_t kind_of(const buf *b)
{
    return (uint16_t)(b->data[0] | b->data[1] << 8);
}

/* The next of that kind; those of others before it are dropped, but what would contradict it. */
static buf *await(uint16_t kind)
{
    buf *found = NULL;

    pthread_mutex_lock(&inbox.lock);
    while (!found) {
        letter *l = inbox.first;

        if (!l) {
            pthread_cond_wait(&inbox.came, &inbox.lock);
            continue;
        }
        inbox.first = l->next;
        if (kind_of(l->message) == kind)
            found = l->message;
        else if (kind_of(l->message) == MESSAGE_MOVE_REFUSED ||
                 (kind == MESSAGE_MOVE_REFUSED && kind_of(l->message) == MESSAGE_MOVE_PREPARED))
            fail_msg("0x%04x came, and 0x%04x was to come", kind_of(l->message), kind);
        else
            buf_unref(l->message);
        free(l);
    }
    pthread_mutex_unlock(&inbox.lock);
    return found;
}

static void drop_await(uint16_t kind)
{
    buf_unref(await(kind));
}

static void tell(writer *w, lane l)
{
    buf *b = buf_copy(w->data, w->len);

    assert_false(w->failed);
    mesh_tell(h.list[PLAYED].mesh, h.list[HOST].key.node_id, l, b);
    buf_unref(b);
    writer_free(w);
}

static bool up(unsigned of, unsigned other)
{
    mesh_peer_view v;

    return mesh_proven(h.list[of].mesh, h.list[other].key.node_id, &v);
}

static int begin_hosts(void **state)
{
    migrations_config config = {.max_stream = 1 << 20};
    berth_error error = {0};

    (void)state;
    hosts_init(&h, 2);
    h.may = TRUST_MAY_MIGRATE_IN | TRUST_MAY_ORCHESTRATE;
    hosts_up(&h, HOST);
    config.identity = &h.list[HOST].key;
    config.mesh = h.list[HOST].mesh;
    config.plugins = runtime_plugins(h.list[HOST].rt);
    memcpy(config.static_secret, h.list[HOST].secret, sizeof config.static_secret);
    OK(migrations_new(&config, &driver, &error));
    OK(migrations_start(driver, h.list[HOST].rt, &error));
    hosts_up(&h, PLAYED);
    mesh_on_moving(h.list[PLAYED].mesh, take_letter, NULL);
    UNTIL(up(HOST, PLAYED) && up(PLAYED, HOST));
    return 0;
}

static int end_hosts(void **state)
{
    (void)state;
    migrations_stop(driver);
    hosts_end(&h);
    migrations_free(driver);
    while (inbox.first) {
        letter *l = inbox.first;

        inbox.first = l->next;
        buf_unref(l->message);
        free(l);
    }
    return 0;
}

static uint64_t spawn_counted(unsigned i)
{
    uint64_t origin = hosts_spawn(&h, i, "counter", 77);

    for (int k = 0; k < COUNT; k++)
        OK(hosts_tell(&h, i, origin, "x", NULL));
    return origin;
}

/* What it says is how often it was told something. */
static void assert_counts_on(unsigned i, uint64_t origin, const char *expected)
{
    char out[256];

    OK(hosts_tell(&h, i, origin, "x", out));
    assert_string_equal(out, expected);
}

/* ---- The host is the source ------------------------------------------------------------------ */

/* Up to where its key has come. */
static migration_id begin_move(uint64_t origin, move_key *key)
{
    migration_spec spec = {
        .origin = origin, .target = h.list[PLAYED].key.node_id, .transport_identity = true};
    berth_error error = {0};
    move_outcome why;
    move_offer offer;
    move_accept accept = {.nonce = {1, 2, 3}};
    migration_id id;
    writer w = {0};
    buf *b;

    OK(migrations_begin(driver, &spec, &id, &why, &error));
    b = await(MESSAGE_MOVE_OFFER);
    OK(move_offer_read(&offer, slice_of(b->data, b->len), &error));
    accept.head = offer.head;
    buf_unref(b);
    move_accept_write(&w, &accept);
    tell(&w, LANE_CALL);
    b = await(MESSAGE_MOVE_KEY);
    OK(move_key_read(key, slice_of(b->data, b->len), &error));
    buf_unref(b);
    return id;
}

static void say_ready(const move_key *key)
{
    move_head head = key->head;
    writer w = {0};

    head.kind = MESSAGE_MOVE_READY;
    move_bare_write(&w, &head);
    tell(&w, LANE_CALL);
}

/* The seal is right, and then the target has no room: the daemon stays. */
static move_seal take_seal_and_refuse(const migration_id *id)
{
    move_no no = {.reason = MOVE_NO_ROOM};
    berth_error error = {0};
    move_outcome out;
    move_seal seal;
    writer w = {0};
    buf *b = await(MESSAGE_MOVE_SEAL);

    OK(move_seal_read(&seal, slice_of(b->data, b->len), &error));
    buf_unref(b);
    OK(handover_verify(&seal.handover, berth_verify));
    no.head = seal.head;
    no.head.kind = MESSAGE_MOVE_REFUSED;
    move_no_write(&w, &no);
    tell(&w, LANE_CALL);
    OK(migrations_wait(driver, id, -1, &out, &error));
    assert_false(out.moved);
    assert_int_equal(out.reason, MOVE_NO_ROOM);
    return seal;
}

static void opens(const envelope *e, const handover *at)
{
    berth_error error = {0};
    berth_keypair key;

    OK(envelope_open(&key, e, h.list[PLAYED].secret, at->head, at->entity, NULL, &error));
    berth_keypair_wipe(&key);
}

static void a_seal_says_what_the_key_said(void **state)
{
    uint64_t origin = spawn_counted(HOST);
    move_seal seal;
    move_key key;
    migration_id id = begin_move(origin, &key);

    (void)state;
    OK(handover_verify(&key.handover, berth_verify));
    opens(&key.envelope, &key.handover);
    say_ready(&key);
    seal = take_seal_and_refuse(&id);
    assert_memory_equal(&seal.handover, &key.handover, sizeof key.handover);
    assert_true(seal.has_envelope);
    assert_memory_equal(&seal.envelope, &key.envelope, sizeof key.envelope);
    assert_counts_on(HOST, origin, "4");
}

/* The gate is open until the target is ready; what is emitted until then is another place in the
 * chain. */
static void what_is_emitted_behind_the_key_is_in_the_seal(void **state)
{
    uint64_t origin = spawn_counted(HOST);
    move_seal seal;
    move_key key;
    migration_id id = begin_move(origin, &key);

    (void)state;
    assert_counts_on(HOST, origin, "4");
    say_ready(&key);
    seal = take_seal_and_refuse(&id);
    assert_memory_not_equal(seal.handover.head, key.handover.head, sizeof key.handover.head);
    opens(&seal.envelope, &seal.handover);
    assert_counts_on(HOST, origin, "5");
}

static void a_target_that_is_never_ready_gets_it_all_the_same(void **state)
{
    uint64_t origin = spawn_counted(HOST);
    move_key key;
    migration_id id = begin_move(origin, &key);

    (void)state;
    take_seal_and_refuse(&id);
    assert_counts_on(HOST, origin, "4");
}

static void what_is_cancelled_while_it_waits_has_not_closed_its_gate(void **state)
{
    uint64_t origin = spawn_counted(HOST);
    berth_error error = {0};
    move_outcome out;
    move_key key;
    migration_id id = begin_move(origin, &key);

    (void)state;
    OK(migrations_cancel(driver, &id, &error));
    OK(migrations_wait(driver, &id, -1, &out, &error));
    assert_false(out.moved);
    assert_int_equal(out.reason, MOVE_CANCELLED);
    drop_await(MESSAGE_MOVE_ABORT);
    say_ready(&key); /* too late */
    assert_counts_on(HOST, origin, "4");
}

/* ---- The host is the target ------------------------------------------------------------------ */

typedef struct played {
    uint64_t origin;
    move_offer offer;
    char kind[32];
    uint8_t nonce[MOVE_NONCE_SIZE];
    berth_keypair key;
    handover handover;
    envelope envelope;
    departure *departure;
    buf *stream;
    uint64_t incarnation;
} played;

static void take_facts(void *ctx, const moving_facts *f)
{
    played *p = ctx;

    snprintf(p->kind, sizeof p->kind, "%s", f->kind);
    p->offer.kind = slice_str(p->kind);
    p->offer.epoch = f->epoch + 1;
    memcpy(p->offer.digest, f->digest, sizeof p->offer.digest);
    p->offer.state_version = f->state_version;
    p->key = *f->key;
    p->incarnation = f->incarnation;
}

static void begin_order(played *p)
{
    order *o = &p->offer.order;

    memset(o->attempt, 0x5a, sizeof o->attempt);
    memcpy(o->entity, p->key.entity, sizeof o->entity);
    memcpy(o->source, h.list[PLAYED].key.entity, sizeof o->source);
    memcpy(o->target, h.list[HOST].key.entity, sizeof o->target);
    o->verbs = ORDER_MOVE;
    o->transport_identity = true;
    o->not_before_s = clock_wall_ns() / 1000000000;
    o->not_after_s = o->not_before_s + 600;
}

static void is_held(void *ctx, departure *x, berth_status status, const berth_error *error)
{
    (void)x, (void)error;
    assert_int_equal(status, BERTH_OK);
    atomic_store((atomic_bool *)ctx, true);
}

static void take_state(played *p)
{
    atomic_bool done = false;
    berth_error error = {0};

    OK(departure_begin(h.list[PLAYED].rt, p->origin, is_held, &done, &p->departure, &error));
    UNTIL(atomic_load(&done));
    p->stream = source_last_piece(departure_state(p->departure));
    memcpy(p->handover.head, departure_state(p->departure)->head, sizeof p->handover.head);
}

/* Offered and accepted, its gate closed, and all that does not depend on the state signed. */
static void begin_played(played *p)
{
    berth_error error = {0};
    uint8_t public[32];
    move_accept accept;
    writer w = {0};
    buf *b;

    *p = (played){.origin = spawn_counted(PLAYED)};
    OK(runtime_moving_facts(h.list[PLAYED].rt, p->origin, take_facts, p, &error));
    begin_order(p);
    p->offer.head = (move_head){.kind = MESSAGE_MOVE_OFFER, .origin = p->origin};
    memcpy(p->offer.head.attempt, p->offer.order.attempt, sizeof p->offer.head.attempt);
    move_offer_write(&w, &p->offer);
    tell(&w, LANE_CALL);
    b = await(MESSAGE_MOVE_ACCEPT);
    OK(move_accept_read(&accept, slice_of(b->data, b->len), &error));
    buf_unref(b);
    memcpy(p->nonce, accept.nonce, sizeof p->nonce);
    take_state(p);
    p->handover.epoch = p->offer.epoch;
    memcpy(p->handover.from, p->offer.order.source, sizeof p->handover.from);
    memcpy(p->handover.to, p->offer.order.target, sizeof p->handover.to);
    memcpy(p->handover.attempt, p->offer.order.attempt, sizeof p->handover.attempt);
    OK(handover_sign(&p->handover, &p->key, &h.list[PLAYED].key));
    crypto_scalarmult_base(public, h.list[HOST].secret);
    OK(envelope_seal(&p->envelope, &p->key, public, p->handover.head, NULL, &error));
}

static void send_key(const played *p)
{
    move_key key = {.head = p->offer.head,
                    .incarnation = p->incarnation,
                    .handover = p->handover,
                    .envelope = p->envelope};
    writer w = {0};

    move_key_write(&w, &key);
    tell(&w, LANE_CALL);
}

static move_seal seal_of(const played *p)
{
    move_seal seal = {.head = p->offer.head,
                      .total = p->stream->len,
                      .handover = p->handover,
                      .has_envelope = true,
                      .envelope = p->envelope};
    uint8_t text[MOVE_SIGNED_MAX];

    crypto_generichash(seal.hash, sizeof seal.hash, p->stream->data, p->stream->len, NULL, 0);
    OK(berth_sign(&p->key, text, move_seal_signed(text, &p->offer, p->nonce, &seal),
                  seal.signature));
    return seal;
}

static void send_state(const played *p, const move_seal *seal)
{
    move_chunk chunk = {.head = p->offer.head, .bytes = slice_of(p->stream->data, p->stream->len)};
    writer w = {0}, end = {0};

    move_chunk_write(&w, &chunk);
    tell(&w, LANE_BULK);
    move_seal_write(&end, seal);
    tell(&end, LANE_BULK);
}

static void end_played(played *p, bool moved)
{
    if (moved)
        departure_release(p->departure);
    else
        departure_resume(p->departure, 0);
    departure_free(p->departure);
    buf_unref(p->stream);
    berth_keypair_wipe(&p->key);
}

static void commit(played *p, const move_seal *seal)
{
    move_step step = {.head = p->offer.head, .epoch = p->offer.epoch};
    writer w = {0};

    drop_await(MESSAGE_MOVE_PREPARED);
    step.head.kind = MESSAGE_MOVE_COMMIT;
    memcpy(step.hash, seal->hash, sizeof step.hash);
    move_step_write(&w, &step);
    tell(&w, LANE_CALL);
    drop_await(MESSAGE_MOVE_OWNED);
    end_played(p, true);
    assert_counts_on(HOST, p->origin, "4");
}

static void is_refused(played *p, move_reason reason)
{
    berth_error error = {0};
    move_no no;
    buf *b = await(MESSAGE_MOVE_REFUSED);

    OK(move_no_read(&no, slice_of(b->data, b->len), &error));
    assert_int_equal(no.reason, reason);
    buf_unref(b);
    assert_false(runtime_has(h.list[HOST].rt, p->origin));
    end_played(p, false);
    assert_counts_on(PLAYED, p->origin, "4");
}

static void a_daemon_whose_key_went_ahead_comes(void **state)
{
    move_seal seal;
    played p;

    (void)state;
    begin_played(&p);
    seal = seal_of(&p);
    send_key(&p);
    drop_await(MESSAGE_MOVE_READY);
    send_state(&p, &seal);
    commit(&p, &seal);
}

static void of_an_attempt_one_key_is_taken(void **state)
{
    move_seal seal;
    played p;
    migrations_counters c;

    (void)state;
    begin_played(&p);
    seal = seal_of(&p);
    send_key(&p);
    drop_await(MESSAGE_MOVE_READY);
    send_key(&p);
    send_state(&p, &seal);
    commit(&p, &seal);
    migrations_get_counters(driver, &c);
    assert_int_equal(c.unauthorized, 1);
}

/* It would be a daemon that its host never gave away. */
static void a_handover_that_was_wrong_ahead_is_wrong(void **state)
{
    move_seal seal;
    played p;

    (void)state;
    begin_played(&p);
    p.handover.by_signature[7] ^= 1;
    seal = seal_of(&p);
    send_key(&p);
    drop_await(MESSAGE_MOVE_READY);
    send_state(&p, &seal);
    is_refused(&p, MOVE_STATE_FAILED);
}

static void what_was_right_ahead_does_not_make_the_seal_right(void **state)
{
    enum { HANDOVER, ENVELOPE, SIGNATURE };
    int wrong = *(const int *)*state;
    move_seal seal;
    played p;

    begin_played(&p);
    seal = seal_of(&p);
    send_key(&p);
    drop_await(MESSAGE_MOVE_READY);
    if (wrong == HANDOVER)
        seal.handover.by_signature[7] ^= 1;
    else if (wrong == ENVELOPE)
        seal.envelope.sealed[7] ^= 1;
    else
        seal.signature[7] ^= 1;
    send_state(&p, &seal);
    is_refused(&p, wrong == ENVELOPE ? MOVE_IDENTITY_TRANSPORT_FAILED : MOVE_STATE_FAILED);
}

static int wrongs[] = {0, 1, 2};

static int begin_wrong(void **state)
{
    void *which = *state;

    begin_hosts(state);
    *state = which;
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_hosts, end_hosts)
#define WRONG(i)                                                                                   \
    cmocka_unit_test_prestate_setup_teardown(what_was_right_ahead_does_not_make_the_seal_right,    \
                                             begin_wrong, end_hosts, &wrongs[i])

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_seal_says_what_the_key_said),
        TEST(what_is_emitted_behind_the_key_is_in_the_seal),
        TEST(a_target_that_is_never_ready_gets_it_all_the_same),
        TEST(what_is_cancelled_while_it_waits_has_not_closed_its_gate),
        TEST(a_daemon_whose_key_went_ahead_comes),
        TEST(of_an_attempt_one_key_is_taken),
        TEST(a_handover_that_was_wrong_ahead_is_wrong),
        WRONG(0),
        WRONG(1),
        WRONG(2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
