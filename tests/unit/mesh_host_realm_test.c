/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are let in by a realm's certificates, and what becomes of those it takes back. */
#include "mesh_hosts.h"

#include "identity/certificate.h"
#include "identity/revocation.h"

static berth_keypair realm;
static uint8_t certificates[HOSTS_MAX][CERTIFICATE_MAX];

static void certify(hosts *h, unsigned i, int64_t from_s, int64_t to_s)
{
    realm_certificate c = {.serial = i + 1, .not_before = from_s, .not_after = to_s};
    berth_error error = {0};

    snprintf(c.name, sizeof c.name, "node%u", i);
    memcpy(c.entity, h->list[i].key.entity, sizeof c.entity);
    OK(certificate_sign(&c, &realm, &error));
    h->list[i].config.certificate =
        slice_of(certificates[i], certificate_encode(certificates[i], &c));
}

/* Trust the realm; whoever is not host 0 knows where that is, and its static key. */
static mesh_policy policy_of(hosts *h, unsigned i, mesh_peer *first, mesh_realm *of, slice list)
{
    *of = (mesh_realm){.revocations = list};
    memcpy(of->id, realm.entity, sizeof of->id);
    *first = (mesh_peer){.name = "first", .has_key = true};
    crypto_scalarmult_base(first->key, h->list[0].secret);
    first->addresses[0] = h->list[0].at;
    first->address_count = 1;
    return (mesh_policy){.peers = first, .peer_count = i != 0, .realms = of, .realm_count = 1};
}

static void up(hosts *h, unsigned i)
{
    host *x = &h->list[i];
    runtime_parts parts = {.node_id = x->key.node_id};
    mesh_policy policy;
    mesh_peer first;
    mesh_realm of;
    mesh_self self;
    berth_error error = {0};
    char name[16];

    snprintf(name, sizeof name, "node%u", i);
    x->config.name = name;
    x->config.identity = &x->key;
    x->config.boot = ++x->boot;
    memcpy(x->config.static_secret, x->secret, 32);
    x->config.listen[0] = hosts_loopback(0);
    x->config.listen_count = 1;
    OK(mesh_new(&x->config, &x->mesh, &error));
    parts.route = mesh_route(x->mesh);
    OK(runtime_new(&parts, &x->rt, &error));
    OK(berth_runtime_start(x->rt, &error));
    policy = policy_of(h, i, &first, &of, (slice){0});
    OK(mesh_start(x->mesh, x->rt, &policy, &error));
    mesh_get_self(x->mesh, &self);
    x->at = self.listening[0];
}

static void begin(hosts *h, unsigned count)
{
    hosts_init(h, count);
    berth_keypair_generate(&realm);
    for (unsigned i = 0; i < count; i++)
        certify(h, i, clock_wall_ns() / 1000000000 - 10, clock_wall_ns() / 1000000000 + 3600);
}

/* trust §1: whom a realm has certified is let in by all who trust it, with no key known before. */
static void whom_a_realm_has_certified_is_let_in(void **state)
{
    hosts h;
    mesh_peer_view v;
    berth_error error = {0};

    (void)state;
    begin(&h, 3);
    for (unsigned i = 0; i < 3; i++)
        up(&h, i);
    UNTIL(hosts_joined(&h));
    OK(mesh_peer_find(h.list[1].mesh, "node2", &v, &error));
    assert_memory_equal(v.entity, h.list[2].key.entity, 32);
    assert_int_equal(v.may, 0); /* a certificate gives no right beyond that */
    hosts_end(&h);
}

/* One whom only the realm vouches for is no peer by name, and is taken where that is enough. */
static void a_daemon_of_peers_only_refuses_whom_only_the_realm_vouches_for(void **state)
{
    static const char *const accept[] = {"peers", "first", "node1", "realm"};
    static const bool takes_node1[] = {false, false, true, true};
    hosts h;
    mesh_policy policy;
    mesh_peer named;
    mesh_realm of;
    berth_error error = {0};
    uint64_t origin;

    (void)state;
    begin(&h, 2);
    up(&h, 0);
    up(&h, 1);
    UNTIL(hosts_joined(&h));
    OK(berth_register_factory(h.list[0].rt, &kind_script, &error));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4; i++) {
            berth_daemon_config config = {.size = sizeof config, .accept = accept[i]};

            OK(berth_spawn_kind(h.list[0].rt, "script", NULL, &config, &origin, &error));
            assert_int_equal(hosts_tell(&h, 1, origin, "add:1", NULL),
                             takes_node1[i] || (round && !i) ? BERTH_OK : BERTH_ERR_REFUSED);
        }
        /* Named by a section without a key, it is a peer from then on. */
        policy = policy_of(&h, 0, &named, &of, (slice){0});
        named = (mesh_peer){.name = "node1"};
        policy.peer_count = 1;
        OK(mesh_set_policy(h.list[0].mesh, &policy, &error));
    }
    hosts_end(&h);
}

static void one_without_or_with_an_expired_certificate_is_not(void **state)
{
    hosts h;
    mesh_counters c;

    (void)state;
    begin(&h, 3);
    h.list[1].config.certificate = (slice){0};
    certify(&h, 2, clock_wall_ns() / 1000000000 - 7200, clock_wall_ns() / 1000000000 - 3600);
    for (unsigned i = 0; i < 3; i++)
        up(&h, i);
    do {
        mesh_get_counters(h.list[0].mesh, &c);
        help_nap();
    } while (!c.trust[TRUST_UNKNOWN] || !c.trust[TRUST_TIME]);
    assert_int_equal(c.peers_live, 0);
    hosts_end(&h);
}

/* Whose certificate has ended comes in again with another one, without a restart. */
static void a_renewed_certificate_counts_for_sessions_that_begin_then(void **state)
{
    hosts h;
    berth_error error = {0};
    uint8_t large[CERTIFICATE_MAX + 1] = {0};

    (void)state;
    begin(&h, 2);
    certify(&h, 1, clock_wall_ns() / 1000000000 - 7200, clock_wall_ns() / 1000000000 - 3600);
    up(&h, 0);
    up(&h, 1);
    UNTIL(hosts_counters(&h, 0).trust[TRUST_TIME] > 0);
    assert_int_equal(hosts_live(&h, 0), 0);
    certify(&h, 1, clock_wall_ns() / 1000000000 - 10, clock_wall_ns() / 1000000000 + 3600);
    OK(mesh_set_certificate(h.list[1].mesh, h.list[1].config.certificate, &error));
    memset(certificates[1], 0, sizeof certificates[1]); /* it was copied */
    UNTIL(hosts_joined(&h));
    FAILS(mesh_set_certificate(h.list[1].mesh, slice_of(large, sizeof large), &error), INVALID);
    hosts_end(&h);
}

/* trust §1: revocation closes live sessions at once, and the list spreads by itself. */
static void whom_the_realm_takes_back_is_closed_everywhere(void **state)
{
    hosts h;
    revocation_list list = {.number = 1, .issued = clock_wall_ns() / 1000000000};
    writer bytes = {0};
    mesh_policy policy;
    mesh_peer first;
    mesh_realm of;
    mesh_counters c;
    berth_error error = {0};

    (void)state;
    begin(&h, 4);
    for (unsigned i = 0; i < 4; i++)
        up(&h, i);
    UNTIL(hosts_joined(&h));
    OK(revocation_add_entity(&list, h.list[3].key.entity));
    OK(revocation_sign(&list, &realm, &error));
    revocation_encode(&bytes, &list);
    policy = policy_of(&h, 1, &first, &of, slice_of(bytes.data, bytes.len));
    OK(mesh_set_policy(h.list[1].mesh, &policy, &error));
    for (unsigned i = 0; i < 3; i++)
        UNTIL(hosts_live(&h, i) == 2);
    UNTIL(hosts_live(&h, 3) == 0);
    mesh_get_counters(h.list[2].mesh, &c);
    assert_true(c.revocations_taken + c.revocations_old > 0);
    /* An older list, or none, brings nobody back. */
    policy = policy_of(&h, 1, &first, &of, (slice){0});
    OK(mesh_set_policy(h.list[1].mesh, &policy, &error));
    mesh_get_counters(h.list[1].mesh, &c);
    assert_int_equal(c.peers_live, 2);
    revocation_free(&list);
    writer_free(&bytes);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whom_a_realm_has_certified_is_let_in),
        cmocka_unit_test(a_daemon_of_peers_only_refuses_whom_only_the_realm_vouches_for),
        cmocka_unit_test(one_without_or_with_an_expired_certificate_is_not),
        cmocka_unit_test(a_renewed_certificate_counts_for_sessions_that_begin_then),
        cmocka_unit_test(whom_the_realm_takes_back_is_closed_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
