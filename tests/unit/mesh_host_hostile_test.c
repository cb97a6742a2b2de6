/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node that was let in and lies: about origins, presences, cursors, moves; that sends what is no
 * message, or too much. Host 1 is the liar; it speaks through its own mesh, as a changed host
 * would. Nothing is believed, something is counted, and the others go on.
 */
#include "mesh_hosts.h"

#include "mesh/mesh_private.h"

static hosts h;
static uint64_t victim; /* a daemon of host 0 */
static uint64_t honest; /* one of host 2 */

static int begin(void **state)
{
    (void)state;
    hosts_start(&h, 3);
    victim = hosts_spawn(&h, 0, "script", 1);
    honest = hosts_spawn(&h, 2, "script", 3);
    UNTIL(hosts_joined(&h));
    return 0;
}

static int finish(void **state)
{
    (void)state;
    hosts_end(&h);
    return 0;
}

typedef struct lie {
    lane lane;
    writer bytes;
    berth_status status;
} lie;

static void tell_lie(mesh *m, void *ctx)
{
    lie *l = ctx;

    l->status = mesh_send(m, h.list[0].key.node_id, l->lane, slice_of(l->bytes.data, l->bytes.len));
}

/* Frees the bytes. */
static void lies(lane l, writer *bytes)
{
    lie x = {l, *bytes, BERTH_OK};

    do {
        mesh_ask(h.list[1].mesh, tell_lie, &x);
        if (x.status == BERTH_ERR_WOULD_BLOCK)
            help_nap();
    } while (x.status == BERTH_ERR_WOULD_BLOCK);
    assert_int_equal(x.status, BERTH_OK);
    writer_free(bytes);
    *bytes = (writer){0};
}

static mesh_counters counters(void)
{
    return hosts_counters(&h, 0);
}

/* Daemons of honest hosts still reach each other, and it is not the liar's doing what arrived. */
static void assert_others_go_on(void)
{
    char text[64];
    uint64_t before = hosts_count(&h, 0, victim);

    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", victim);
    OK(hosts_tell(&h, 2, honest, text, NULL));
    UNTIL(hosts_count(&h, 0, victim) == before + 1);
}

static void frame_for(writer *w, uint64_t sender, uint64_t incarnation, const char *text)
{
    berth_event e = {.type = BERTH_EVENT_MESSAGE, .data = {text, strlen(text)}};
    buf *event = event_wire_make(&e);
    flow_frame f = {.head = {.id = {sender, incarnation, 1, victim}, .min_epoch = 1},
                    .generation = UINT64_C(1) << 32,
                    .oldest = 1,
                    .first = 1,
                    .count = 1};

    flow_frame_write(w, &f);
    writer_u32(w, (uint32_t)event->len);
    writer_bytes(w, event->data, event->len);
    buf_unref(event);
}

static presence signed_presence(uint64_t key, unsigned node, uint64_t epoch)
{
    berth_keypair daemon = key_of(key);
    presence p = {.epoch = epoch, .incarnation = 1, .not_after_s = clock_wall_ns() / S_NS + 3600};

    memcpy(p.entity, daemon.entity, sizeof p.entity);
    memcpy(p.node, h.list[node].key.entity, sizeof p.node);
    OK(presence_sign(&p, &daemon));
    return p;
}

static void hint_of(writer *w, const presence *p, const handover *give)
{
    writer_u16(w, MESSAGE_DIRECTORY_HINT);
    writer_u8(w, give ? 3 : 1);
    presence_write(w, p);
    if (give)
        handover_write(w, give);
}

/* delivery §3: an event of origin O is accepted only over a session whose node presents one. */
static void events_of_another_nodes_daemon_are_not_taken(void **state)
{
    char text[64];
    writer w = {0};
    uint64_t before;

    (void)state;
    /* host 0 knows where honest lives */
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:0", victim);
    OK(hosts_tell(&h, 2, honest, text, NULL));
    UNTIL(counters().flows.applied > 0);
    before = counters().flows.refused;
    frame_for(&w, honest, 1, "add:1000");
    lies(LANE_EVENT, &w);
    UNTIL(counters().flows.refused > before);
    /* one of whom nobody has heard is asked for, and not taken either */
    before = counters().flows.asked;
    frame_for(&w, 0xabcdef, 1, "add:1000");
    lies(LANE_EVENT, &w);
    UNTIL(counters().flows.asked > before);
    assert_others_go_on();
    assert_true(hosts_count(&h, 0, victim) < 1000);
}

static void an_incarnation_that_the_presence_does_not_have_is_not_taken(void **state)
{
    presence p = signed_presence(77, 1, 1);
    writer w = {0};
    uint64_t before = counters().flows.asked + counters().flows.refused;

    (void)state;
    hint_of(&w, &p, NULL);
    lies(LANE_EVENT, &w);
    frame_for(&w, berth_entity_origin(p.entity), 2, "add:1000");
    lies(LANE_EVENT, &w);
    UNTIL(counters().flows.asked + counters().flows.refused > before);
    assert_others_go_on();
    assert_true(hosts_count(&h, 0, victim) < 1000);
}

static void a_presence_that_its_daemon_did_not_sign_counts_nothing(void **state)
{
    presence p = signed_presence(78, 1, 1);
    uint64_t before = counters().directory.forged;
    directory_place place;
    writer w = {0};

    (void)state;
    p.epoch = 9; /* after it was signed */
    hint_of(&w, &p, NULL);
    lies(LANE_CONTROL, &w);
    UNTIL(counters().directory.forged > before);
    mesh_where(h.list[0].mesh, berth_entity_origin(p.entity), &place);
    assert_false(place.known);
}

/* A node whose daemon once ran elsewhere, and that kept its key: still nobody gave it the epoch. */
static void a_daemon_is_not_pulled_to_another_node_without_its_owner(void **state)
{
    presence p = signed_presence(1, 1, 2); /* the victim's own key, in the liar's hands */
    uint64_t before = counters().directory.refused;
    directory_place place;
    writer w = {0};

    (void)state;
    hint_of(&w, &p, NULL);
    lies(LANE_CONTROL, &w);
    UNTIL(counters().directory.refused > before);
    mesh_where(h.list[0].mesh, victim, &place);
    assert_true(place.local);
    assert_int_equal(place.epoch, 1);
    assert_others_go_on();
}

static void a_presence_that_is_over_or_lasts_too_long_counts_nothing(void **state)
{
    presence p = signed_presence(79, 1, 1);
    berth_keypair key = key_of(79);
    mesh_counters before = counters();
    directory_place place;
    writer w = {0};

    (void)state;
    p.not_after_s = 1000;
    OK(presence_sign(&p, &key));
    hint_of(&w, &p, NULL);
    lies(LANE_CONTROL, &w);
    p.not_after_s = clock_wall_ns() / S_NS + 30 * 86400;
    OK(presence_sign(&p, &key));
    hint_of(&w, &p, NULL);
    lies(LANE_CONTROL, &w);
    UNTIL(counters().directory.stale > before.directory.stale &&
          counters().directory.refused > before.directory.refused);
    mesh_where(h.list[0].mesh, berth_entity_origin(p.entity), &place);
    assert_false(place.known);
}

static void acknowledgements_count_only_from_where_the_receiver_is(void **state)
{
    char text[64];
    uint64_t before = counters().flows.refused;
    flow_ack ack = {.id = {victim, 1, 1, honest},
                    .answer = FLOW_THROUGH,
                    .epoch = 1,
                    .through = 5,
                    .window = 100};
    writer w = {0};

    (void)state;
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:1", honest);
    OK(hosts_tell(&h, 0, victim, text, NULL));
    UNTIL(counters().flows.acknowledged > 0);
    flow_ack_write(&w, &ack);
    lies(LANE_CONTROL, &w);
    UNTIL(counters().flows.refused > before);
}

static void a_flow_with_numbers_far_ahead_takes_no_memory_and_a_jump_no_belief(void **state)
{
    presence p = signed_presence(80, 1, 1);
    uint64_t sender = berth_entity_origin(p.entity), received = counters().flows.received;
    writer w = {0};

    (void)state;
    hint_of(&w, &p, NULL);
    lies(LANE_EVENT, &w);
    frame_for(&w, sender, 1, "add:1");
    lies(LANE_EVENT, &w);
    UNTIL(counters().flows.received > received);
    for (unsigned i = 1; i < 40; i++) {
        flow_frame f = {.head = {.id = {sender, 1, 1, victim}, .min_epoch = 1},
                        .generation = UINT64_C(1) << 32,
                        .oldest = 1,
                        .first = UINT64_C(1) << (i + 20),
                        .count = 1};

        flow_frame_write(&w, &f);
        writer_u32(&w, 2);
        writer_bytes(&w, "\x02\x00", 2);
        lies(LANE_EVENT, &w);
    }
    UNTIL(counters().flows.received >= received + 40);
    assert_others_go_on();
}

static void events_that_are_none_are_dropped_with_their_frame(void **state)
{
    presence p = signed_presence(81, 1, 1);
    uint64_t before = counters().flows.malformed;
    flow_frame f = {.head = {.id = {berth_entity_origin(p.entity), 1, 1, victim}, .min_epoch = 1},
                    .generation = UINT64_C(1) << 32,
                    .oldest = 1,
                    .first = 1,
                    .count = 1};
    writer w = {0};

    (void)state;
    hint_of(&w, &p, NULL);
    lies(LANE_EVENT, &w);
    flow_frame_write(&w, &f);
    writer_u32(&w, 2);
    writer_bytes(&w, "\x07\xff", 2);
    lies(LANE_EVENT, &w);
    UNTIL(counters().flows.malformed > before);
    assert_others_go_on();
}

/* Every kind there is and some that there are not, with nothing, noise and too much behind them. */
static void what_is_no_message_harms_nobody(void **state)
{
    static const uint16_t kinds[] = {0x0000, 0x0101, 0x0102, 0x0103, 0x0104, 0x0201,
                                     0x0202, 0x0203, 0x0300, 0x0301, 0x0400, 0x0500,
                                     0x0501, 0x0502, 0x0503, 0x0601, 0x7fff, 0xffff};
    uint64_t noise = 1;
    writer w = {0};

    (void)state;
    for (unsigned round = 0; round < 60; round++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            size_t len = round < 40 ? round : round * 40;

            writer_u16(&w, kinds[k]);
            for (size_t i = 0; i < len; i++) {
                noise = noise * 6364136223846793005u + 1442695040888963407u;
                writer_u8(&w, (uint8_t)(noise >> 56));
            }
            lies(round % 2 ? LANE_EVENT : LANE_CONTROL, &w);
        }
    writer_u8(&w, 1); /* shorter than a kind */
    lies(LANE_CONTROL, &w);
    UNTIL(counters().unknown_messages >= 60 * 4 && counters().flows.malformed >= 60);
    assert_others_go_on();
    assert_int_equal(hosts_live(&h, 0), 2); /* it was not worth a session */
}

/* What is too much to be verified is dropped and counted, and what is ours stays. */
static void a_flood_of_presences_is_paced_and_evicts_nothing_of_ours(void **state)
{
    mesh_counters before = counters(), after;
    writer w = {0};
    presence p = signed_presence(0x100000, 1, 1);

    (void)state;
    for (uint64_t i = 0; i < 40000; i++) {
        p.entity[0] = (uint8_t)i;
        p.entity[1] = (uint8_t)(i >> 8); /* nobody's signature, which it takes as long to see */
        hint_of(&w, &p, NULL);
        lies(LANE_CONTROL, &w);
    }
    UNTIL(counters().flows.paced > before.flows.paced);
    after = counters();
    assert_true(after.directory.entries <= 65536);
    assert_true(after.directory.local >= 1);
    assert_others_go_on();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_another_nodes_daemon_are_not_taken),
        cmocka_unit_test(an_incarnation_that_the_presence_does_not_have_is_not_taken),
        cmocka_unit_test(a_presence_that_its_daemon_did_not_sign_counts_nothing),
        cmocka_unit_test(a_daemon_is_not_pulled_to_another_node_without_its_owner),
        cmocka_unit_test(a_presence_that_is_over_or_lasts_too_long_counts_nothing),
        cmocka_unit_test(acknowledgements_count_only_from_where_the_receiver_is),
        cmocka_unit_test(a_flow_with_numbers_far_ahead_takes_no_memory_and_a_jump_no_belief),
        cmocka_unit_test(events_that_are_none_are_dropped_with_their_frame),
        cmocka_unit_test(what_is_no_message_harms_nobody),
        cmocka_unit_test(a_flood_of_presences_is_paced_and_evicts_nothing_of_ours),
    };

    return cmocka_run_group_tests(tests, begin, finish);
}
