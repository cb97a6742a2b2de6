/* SPDX-License-Identifier: Apache-2.0 */
/* What the sections of a configuration mean to the mesh. */
#include "node/mesh_sections.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "identity/certificate_file.h"
#include "identity/revocation_file.h"
#include "identity/token_revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STATIC_A "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define STATIC_B "de9edb7d7b7dbc4d35b61c2ece435373f8343c85b78674dadfc7e146f882b84f"
#define ENTITY_A "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

static char dir[64];
static const uint8_t self[BERTH_ENTITY_SIZE] = {7};

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-sections-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static config *parse(const char *text)
{
    config *c = NULL;
    berth_error error = {0};
    char path[96];

    snprintf(path, sizeof path, "%s/berth.conf", dir);
    if (config_parse(slice_str(text), path, NULL, &c, &error) != BERTH_OK)
        fail_msg("%s\nfor: %s", error.text, text);
    return c;
}

static mesh_sections *sections(const char *text)
{
    config *c = parse(text);
    mesh_sections *s;
    berth_error error = {0};

    if (mesh_sections_read(c, self, dir, &s, &error) != BERTH_OK)
        fail_msg("%s", error.text);
    config_free(c); /* nothing of it is needed any more */
    return s;
}

static void refused(const char *text, berth_status status, const char *says)
{
    config *c = parse(text);
    mesh_sections *s;
    berth_error error = {0};

    assert_int_equal(mesh_sections_read(c, self, dir, &s, &error), status);
    assert_null(s);
    if (!strstr(error.text, says))
        fail_msg("'%s' is not in: %s", says, error.text);
    config_free(c);
}

static void peers_have_their_keys_grants_and_addresses(void **state)
{
    mesh_sections *s = sections("peer a {\n key = " STATIC_A "\n entity = " ENTITY_A
                                "\n address = { 192.0.2.7, a.example.org, \"[2001:db8::7]:9\" }\n"
                                " may = { relay, spawn }\n}\n"
                                "peer b { key = " STATIC_B " }\npeer c { may = { relay } }\n");
    mesh_peer list[3];
    resolver *r;
    mesh_policy p;
    char text[ADDRESS_TEXT];

    (void)state;
    assert_int_equal(resolver_new(NULL, NULL, &r, NULL), BERTH_OK); /* knows no name */
    p = mesh_sections_policy(s, r, list);
    assert_int_equal(p.peer_count, 3);
    assert_string_equal(p.peers[0].name, "a");
    assert_true(p.peers[0].has_key && p.peers[0].has_entity);
    assert_int_equal(p.peers[0].may, TRUST_MAY_RELAY | TRUST_MAY_SPAWN);
    assert_int_equal(p.peers[0].address_count, 2);
    assert_string_equal(address_format(text, &p.peers[0].addresses[0]), "192.0.2.7:4700");
    assert_string_equal(address_format(text, &p.peers[0].addresses[1]), "[2001:db8::7]:9");
    assert_int_equal(s->name_count, 1);
    assert_int_equal(s->names[0].peer, 0);
    assert_string_equal(s->names[0].at.host, "a.example.org");
    assert_true(p.peers[1].has_key && !p.peers[1].has_entity);
    assert_true(!p.peers[2].has_key && !p.peers[2].has_entity);
    assert_int_equal(p.peers[2].may, TRUST_MAY_RELAY);
    resolver_free(r);
    mesh_sections_free(s);
}

static void channels_have_their_rules(void **state)
{
    mesh_sections *s = sections("channel news {\n roots = { " ENTITY_A " }\n"
                                " publish = \"memory>=16\"\n}\n"
                                "channel house/ { prefix = yes }\n");

    (void)state;
    assert_int_equal(s->channel_count, 2);
    assert_true(slice_eq(s->channels[0].name, slice_str("news")));
    assert_int_equal(s->channels[0].root_count, 1);
    assert_int_equal(s->channels[0].roots[0], 0xd7);
    assert_int_equal(s->channels[0].publish->min_memory_gb, 16);
    assert_null(s->channels[0].subscribe);
    assert_true(s->channels[1].prefix);
    assert_null(s->channels[1].publish);
    mesh_sections_free(s);
}

/* A realm with a certificate for this entity, in files of the directory; its section in text. */
static void make_realm(char text[512], const uint8_t entity[BERTH_ENTITY_SIZE], berth_keypair *key)
{
    realm_certificate c = {.serial = 1, .not_before = 1, .not_after = 4000000000, .name = "me"};
    revocation_list list = {.number = 3, .issued = 1};
    char path[96], id[65];

    berth_keypair_generate(key);
    memcpy(c.entity, entity, sizeof c.entity);
    assert_int_equal(certificate_sign(&c, key, NULL), BERTH_OK);
    snprintf(path, sizeof path, "%s/cert", dir);
    unlink(path);
    assert_int_equal(certificate_file_write(path, &c, NULL), BERTH_OK);
    assert_int_equal(revocation_sign(&list, key, NULL), BERTH_OK);
    snprintf(path, sizeof path, "%s/revoked", dir);
    assert_int_equal(revocation_file_write(path, &list, NULL), BERTH_OK);
    snprintf(text, 512, "realm r {\n key = %s\n certificate = cert\n revocations = revoked\n}\n",
             hex_encode(id, slice_of(key->entity, sizeof key->entity)));
}

static void assert_list(const char *text, uint64_t number)
{
    mesh_sections *s = sections(text);
    revocation_list list;

    assert_int_equal(s->realm_count, 1);
    assert_int_equal(revocation_read(&list, s->realms[0].revocations, NULL), BERTH_OK);
    assert_int_equal(list.number, number);
    revocation_free(&list);
    mesh_sections_free(s);
}

static void a_realm_brings_its_certificate_and_the_newer_of_its_lists(void **state)
{
    revocation_list kept = {.number = 2, .issued = 1};
    berth_keypair key;
    mesh_sections *s;
    char text[512], path[192], id[65];

    (void)state;
    make_realm(text, self, &key);
    s = sections(text);
    assert_memory_equal(s->realms[0].id, key.entity, sizeof key.entity);
    assert_true(s->certificate_len > 0);
    mesh_sections_free(s);
    assert_list(text, 3);

    /* what another node told, in an earlier run */
    snprintf(path, sizeof path, "%s/mesh", dir);
    assert_int_equal(file_mkdirs(path, NULL), BERTH_OK);
    snprintf(path, sizeof path, "%s/mesh/%s.revoked", dir,
             hex_encode(id, slice_of(key.entity, sizeof key.entity)));
    assert_int_equal(revocation_sign(&kept, &key, NULL), BERTH_OK);
    assert_int_equal(revocation_file_write(path, &kept, NULL), BERTH_OK);
    assert_list(text, 3);
    kept.number = 4;
    assert_int_equal(revocation_sign(&kept, &key, NULL), BERTH_OK);
    assert_int_equal(revocation_file_write(path, &kept, NULL), BERTH_OK);
    assert_list(text, 4);
    snprintf(text, sizeof text, "realm r { key = %s }", id);
    assert_list(text, 4);
}

static void files_that_do_not_fit_are_refused_with_their_section(void **state)
{
    static const uint8_t other[BERTH_ENTITY_SIZE] = {8};
    berth_keypair key, foreign;
    char text[512], unused[512];

    (void)state;
    make_realm(text, other, &key);
    refused(text, BERTH_ERR_INVALID, "realm \"r\": ");
    refused(text, BERTH_ERR_INVALID, "the certificate is for another node");
    make_realm(unused, self, &foreign); /* now the files are of another realm */
    refused(text, BERTH_ERR_INVALID, "is of another realm");
    refused("realm r { key = " ENTITY_A "\n certificate = absent }", BERTH_ERR_NOT_FOUND,
            "realm \"r\": ");
    refused("realm r { key = " ENTITY_A "\n revocations = absent }", BERTH_ERR_NOT_FOUND,
            "realm \"r\": ");
}

static void revoked_tokens_are_read_from_their_file(void **state)
{
    config *c = parse("mesh { listen = { 127.0.0.1:0 }\n revoked_tokens = gone }");
    token_revocations *r = token_revocations_new();
    mesh_sections *s;
    mesh_policy policy;
    char path[96];

    (void)state;
    refused("mesh { revoked_tokens = gone }", BERTH_ERR_NOT_FOUND, "mesh: revoked_tokens: ");
    snprintf(path, sizeof path, "%s/gone", dir);
    assert_int_equal(file_write(path, "junk\n", 5, 0600, NULL), BERTH_OK);
    refused("mesh { revoked_tokens = gone }", BERTH_ERR_INVALID, "mesh: revoked_tokens: ");
    assert_int_equal(token_revocations_raise(r, self, 7, NULL), BERTH_OK);
    assert_int_equal(token_revocations_write(r, path, 1, NULL), BERTH_OK);
    token_revocations_free(r);
    assert_int_equal(mesh_sections_read(c, self, dir, &s, NULL), BERTH_OK);
    policy = mesh_sections_policy(s, NULL, NULL);
    r = token_revocations_new();
    assert_int_equal(token_revocations_parse(r, policy.revoked_tokens, NULL), BERTH_OK);
    assert_int_equal(token_revocations_floor(r, self), 7);
    token_revocations_free(r);
    mesh_sections_free(s);
    config_free(c);
}

static void the_section_mesh_says_what_only_a_start_takes(void **state)
{
    config *c = parse("mesh {\n listen = { 192.0.2.1:1, \"[::1]:2\" }\n advertise = { 192.0.2.9 }\n"
                      " psk_file = psk\n heartbeat = 1s\n timeout = 4s\n max_peers = 9\n"
                      " allow_send = peers\n discover_mtu = no\n}\n");
    berth_error error = {0};
    char path[96], text[66];
    mesh_config m;

    (void)state;
    assert_int_equal(mesh_sections_start(c, &m, &error), BERTH_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "mesh: psk_file: "));
    memset(text, '5', 64);
    strcpy(text + 64, "\n");
    snprintf(path, sizeof path, "%s/psk", dir);
    assert_int_equal(file_write(path, text, 65, 0600, NULL), BERTH_OK);
    assert_int_equal(mesh_sections_start(c, &m, NULL), BERTH_OK);
    assert_int_equal(m.listen_count, 2);
    assert_string_equal(address_format(path, &m.listen[1]), "[::1]:2");
    assert_int_equal(m.advertise_count, 1);
    assert_int_equal(m.psk_count, 1);
    assert_int_equal(m.psks[0][31], 0x55);
    assert_int_equal(m.heartbeat_ns, 1000000000);
    assert_int_equal(m.timeout_ns, 4000000000);
    assert_int_equal(m.max_peers, 9);
    assert_int_equal(m.senders, MESH_SENDERS_PEERS);
    assert_false(m.discover_mtu);
    config_free(c);
}

static void a_node_that_only_calls_has_any_port(void **state)
{
    config *c = parse("peer a { key = " STATIC_A "\n address = { 192.0.2.7 } }");
    mesh_config m;

    (void)state;
    assert_int_equal(mesh_sections_start(c, &m, NULL), BERTH_OK);
    assert_true(m.listen_count >= 1);
    assert_int_equal(m.listen[0].u.any.sa_family, AF_INET);
    assert_int_equal(m.listen[0].u.in.sin_port, 0);
    assert_true(m.discover_mtu);
    assert_int_equal(m.senders, MESH_SENDERS_ALL);
    config_free(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(peers_have_their_keys_grants_and_addresses),
        TEST(channels_have_their_rules),
        TEST(a_realm_brings_its_certificate_and_the_newer_of_its_lists),
        TEST(files_that_do_not_fit_are_refused_with_their_section),
        TEST(revoked_tokens_are_read_from_their_file),
        TEST(the_section_mesh_says_what_only_a_start_takes),
        TEST(a_node_that_only_calls_has_any_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
