/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh in the configuration file: what reaches its field, and what each mistake is told. */
#include "node/config.h"

#include "base/text.h"
#include "chain/channel.h"
#include "mesh/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOME "/home/ann"
#define PATH "/etc/berth/berth.conf"
/* Public keys of RFC 7748 and RFC 8032. */
#define STATIC_A "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define STATIC_B "de9edb7d7b7dbc4d35b61c2ece435373f8343c85b78674dadfc7e146f882b84f"
#define ENTITY_A "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define ENTITY_B "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
#define ZEROS    "0000000000000000000000000000000000000000000000000000000000000000"
#define REALM_A  "realm a { key = " ENTITY_A " "
#define DAEMON   "daemon d { kind = k "

static config *parse(const char *text)
{
    config *c = NULL;
    berth_error error = {0};

    if (config_parse(slice_str(text), PATH, HOME, &c, &error) != BERTH_OK)
        fail_msg("%s\nfor: %s", error.text, text);
    return c;
}

static void assert_id(const config_id *id, const char *hex)
{
    char text[65];

    assert_true(id->said);
    assert_string_equal(hex_encode(text, slice_of(id->bytes, 32)), hex);
}

static void every_option_of_the_mesh_reaches_its_field(void **state)
{
    config *c = parse("mesh {\n"
                      "  listen = { 0.0.0.0:4700, \"[::]:4701\" }\n"
                      "  advertise = { 203.0.113.5:4702 }\n"
                      "  psk_file = psk\n"
                      "  heartbeat = 2s timeout = 9s\n"
                      "  max_peers = 100 max_packet = 8KiB discover_mtu = no\n"
                      "  max_message = 16MiB allow_send = peers impair = \"loss=1%\"\n"
                      "}\n"
                      "peer \"b\" {\n"
                      "  key = " STATIC_A " entity = " ENTITY_A "\n"
                      "  address = { b.example.org:4703, \"[2001:db8::1]:4704\" }\n"
                      "  may = { relay, migrate-in }\n"
                      "}\n"
                      "peer certified { may = { spawn } }\n"
                      "realm home { key = " ENTITY_A "\n"
                      "  certificate = node.cert revocations = ~/home.revoked }\n"
                      "realm guests { key = " ENTITY_B " }\n"
                      "channel sensors/ { prefix = yes require_token = yes\n"
                      "  roots = { " ENTITY_A ", " ENTITY_B " }\n"
                      "  publish = \"gpu memory>=16\" subscribe = region-eu }\n"
                      "channel news { prefix = no require_token = no }\n"
                      "daemon d { kind = k subscribe = { news, sensors/lidar@pool }\n"
                      "  tokens = { a.token } serve = { echo, maths.sum } accept = { b, c } }\n"
                      "daemon e { kind = k accept = none }\n");
    const config_mesh *m = &c->mesh;
    char hex[129], accept[ACCEPT_TEXT_MAX + 1];

    (void)state;
    assert_int_equal(m->line, 8);
    assert_int_equal(m->listen.count, 2);
    assert_string_equal(m->listen.items[0], "0.0.0.0:4700");
    assert_string_equal(m->listen.items[1], "[::]:4701");
    assert_int_equal(m->advertise.count, 1);
    assert_string_equal(m->advertise.items[0], "203.0.113.5:4702");
    assert_string_equal(m->psk_file, "/etc/berth/psk");
    assert_true(m->heartbeat_ns == 2000000000);
    assert_true(m->timeout_ns == 9000000000);
    assert_int_equal(m->max_peers, 100);
    assert_int_equal(m->max_packet, 8192);
    assert_int_equal(m->discover_mtu, CONFIG_NO);
    assert_int_equal(m->max_message, 16 << 20);
    assert_int_equal(m->allow_send, CONFIG_SENDERS_PEERS);
    assert_string_equal(m->impair, "loss=1%");

    assert_int_equal(c->peer_count, 2);
    assert_string_equal(c->peers[0].name, "b");
    assert_id(&c->peers[0].key, STATIC_A);
    assert_id(&c->peers[0].entity, ENTITY_A);
    assert_int_equal(c->peers[0].addresses.count, 2);
    assert_string_equal(c->peers[0].addresses.items[0], "b.example.org:4703");
    assert_string_equal(c->peers[0].addresses.items[1], "[2001:db8::1]:4704");
    assert_int_equal(c->peers[0].may, TRUST_MAY_RELAY | TRUST_MAY_MIGRATE_IN);
    assert_int_equal(c->peers[0].line, 13);
    assert_string_equal(c->peers[1].name, "certified");
    assert_false(c->peers[1].key.said);
    assert_false(c->peers[1].entity.said);
    assert_int_equal(c->peers[1].addresses.count, 0);
    assert_int_equal(c->peers[1].may, TRUST_MAY_SPAWN);

    assert_int_equal(c->realm_count, 2);
    assert_string_equal(c->realms[0].name, "home");
    assert_id(&c->realms[0].key, ENTITY_A);
    assert_string_equal(c->realms[0].certificate, "/etc/berth/node.cert");
    assert_string_equal(c->realms[0].revocations, HOME "/home.revoked");
    assert_int_equal(c->realms[0].line, 16);
    assert_id(&c->realms[1].key, ENTITY_B);
    assert_null(c->realms[1].certificate);

    assert_int_equal(c->channel_count, 2);
    assert_string_equal(c->channels[0].name, "sensors/");
    assert_true(c->channels[0].prefix);
    assert_true(c->channels[0].require_token);
    assert_int_equal(c->channels[0].roots.count, 2);
    assert_string_equal(hex_encode(hex, slice_of(c->channels[0].roots.bytes, 64)),
                        ENTITY_A ENTITY_B);
    assert_string_equal(c->channels[0].publish, "gpu memory>=16");
    assert_string_equal(c->channels[0].subscribe, "region-eu");
    assert_int_equal(c->channels[0].line, 20);
    assert_false(c->channels[1].prefix);
    assert_false(c->channels[1].require_token);
    assert_null(c->channels[1].roots.bytes);
    assert_null(c->channels[1].publish);

    assert_int_equal(c->daemons[0].subscribe.count, 2);
    assert_string_equal(c->daemons[0].subscribe.items[1], "sensors/lidar@pool");
    assert_string_equal(c->daemons[0].tokens.items[0], "/etc/berth/a.token");
    assert_int_equal(c->daemons[0].serve.count, 2);
    assert_string_equal(c->daemons[0].serve.items[1], "maths.sum");
    config_accept(&c->daemons[0], accept);
    assert_string_equal(accept, "b,c");
    config_accept(&c->daemons[1], accept);
    assert_string_equal(accept, "none");
    config_free(c);
}

static void nothing_said_is_no_mesh(void **state)
{
    static const config_mesh none;
    config *c = parse("host { name = x }");

    (void)state;
    assert_memory_equal(&c->mesh, &none, sizeof none);
    assert_int_equal(c->peer_count + c->realm_count + c->channel_count, 0);
    assert_false(config_mesh_on(c));
    config_free(c);
}

static void to_listen_or_a_peer_with_an_address_makes_a_mesh(void **state)
{
    static const struct {
        const char *text;
        bool on;
    } cases[] = {
        {"mesh { }", false},
        {"mesh { timeout = 1m }", false},
        {"mesh { listen = { 127.0.0.1 } }", true},
        {"peer b { key = " STATIC_A " }", false},
        {"peer b { key = " STATIC_A " address = { 10.0.0.1 } }", true},
        {"peer a { } peer b { key = " STATIC_A " address = { b } }", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config *c = parse(cases[i].text);
        if (config_mesh_on(c) != cases[i].on)
            fail_msg("%s", cases[i].text);
        config_free(c);
    }
}

static void an_address_without_a_port_gets_the_usual_one(void **state)
{
    config *c =
        parse("mesh { listen = { 10.0.0.1, \"[::1]\", 0.0.0.0:0 } advertise = { 10.0.0.1 } }\n"
              "peer b { key = " STATIC_A " address = { harbour, \"[fd00::2]\" } }");

    (void)state;
    assert_string_equal(c->mesh.listen.items[0], "10.0.0.1:4700");
    assert_string_equal(c->mesh.listen.items[1], "[::1]:4700");
    assert_string_equal(c->mesh.listen.items[2], "0.0.0.0:0");
    assert_string_equal(c->mesh.advertise.items[0], "10.0.0.1:4700");
    assert_string_equal(c->peers[0].addresses.items[0], "harbour:4700");
    assert_string_equal(c->peers[0].addresses.items[1], "[fd00::2]:4700");
    config_free(c);
}

static void a_subscription_has_a_channel_and_perhaps_a_group(void **state)
{
    slice channel, group;

    (void)state;
    config_subscription("a/b", &channel, &group);
    assert_true(slice_eq(channel, slice_str("a/b")));
    assert_int_equal(group.len, 0);
    config_subscription("a/b@g@h", &channel, &group);
    assert_true(slice_eq(channel, slice_str("a/b")));
    assert_true(slice_eq(group, slice_str("g@h")));
}

static void a_prefix_is_the_beginning_of_a_name(void **state)
{
    static const char *const right[] = {"", "sensors", "sensors/", "a/.", "a.."};

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        char text[128];
        snprintf(text, sizeof text, "channel \"%s\" { prefix = yes }", right[i]);
        config *c = parse(text);
        assert_string_equal(c->channels[0].name, right[i]);
        config_free(c);
    }
}

/* Each mistake: the text, the line that must be named, and what the answer must say. */
static const struct mistake {
    const char *text;
    int line;
    const char *says;
} mistakes[] = {
    /* mesh */
    {"mesh { lisen = { 10.0.0.1 } }", 1, "did you mean 'listen'? (listen, advertise, psk_file"},
    {"meshes { }", 1, "did you mean 'mesh'?"},
    {"mesh { }\nmesh { }", 2, "'mesh' is given twice"},
    {"listen = { 10.0.0.1 }", 1, "it belongs into a section: mesh { listen = ... }"},
    {"mesh {\n listen = { } }", 2, "an empty list says nothing"},
    {"mesh {\n listen = { harbour:4700 } }", 2, "listen: 'harbour:4700': must be numeric, such as"},
    {"mesh { listen = { 10.0.0.256 } }", 1, "is neither an IPv4 address nor the name"},
    {"mesh { listen = { 10.0.0.1: } }", 1, "the port must be a number up to 65535"},
    {"mesh { listen = { 10.0.0.1:65536 } }", 1, "the port must be a number up to 65535"},
    {"mesh { listen = { \"::1\" } }", 1, "an IPv6 address needs brackets"},
    {"mesh { listen = { \"[::1\" } }", 1, "the ] behind the IPv6 address is missing"},
    {"mesh { listen = { \"[1.2.3.4]\" } }", 1, "what stands in brackets is no IPv6 address"},
    {"mesh { listen = { \"[fe80::1]\" } }", 1, "is an address of one wire only"},
    {"mesh { listen = { \"[::ffff:1.2.3.4]\" } }", 1, "is an IPv4 address: write it as one"},
    {"mesh { listen = { 224.0.0.1 } }", 1, "is no address that a machine has"},
    {"mesh { listen = { \"[ff02::1]\" } }", 1, "is no address that a machine has"},
    {"mesh { listen = { \"\" } }", 1, "must be HOST:PORT, [IPV6]:PORT, or either without the port"},
    {"mesh { listen = { 10.0.0.1,\n 10.0.0.1:4700 } }", 2,
     "mesh: listen has '10.0.0.1:4700' twice"},
    {"mesh { listen = { 10.0.0.1 }\nlisten = { 10.0.0.2 } }", 2, "write all values in one list"},
    {"mesh { advertise = { harbour } }", 1, "must be numeric: it is told to others"},
    {"mesh { advertise = { 0.0.0.0:4700 } }", 1, "is no address that others can send to"},
    {"mesh { advertise = { \"[::]\" } }", 1, "is no address that others can send to"},
    {"mesh { advertise = { \"[fe80::1]\" } }", 1, "is no address that others can send to"},
    {"mesh { advertise = { 10.0.0.1:0 } }", 1, "needs a port above 0"},
    {"mesh { advertise = { 10.0.0.1, 10.0.0.1 } }", 1, "mesh: advertise has '10.0.0.1:4700' twice"},
    {"mesh { psk_file = \"\" }", 1, "must be a path, not empty"},
    {"mesh { psk_file = ~eve/psk }", 1, "write ~/ for this user's home"},
    {"mesh { heartbeat = 5 }", 1, "heartbeat: '5': must be a duration such as"},
    {"mesh { heartbeat = 9ms }", 1, "must be from 10000000 to 3600000000000 nanoseconds"},
    {"mesh { heartbeat = 2h timeout = 3h }", 1, "must be from 10000000 to"},
    {"mesh { timeout = 19ms }", 1, "must be from 20000000 to 86400000000000 nanoseconds"},
    {"mesh { timeout = 25h }", 1, "must be from 20000000 to"},
    {"mesh {\n timeout = 5s\n}", 3, "timeout must be longer than heartbeat (if not said they are"},
    {"mesh { heartbeat = 30s }", 1, "timeout must be longer than heartbeat"},
    {"mesh { heartbeat = 1m timeout = 1m }", 1, "timeout must be longer than heartbeat"},
    {"mesh { max_peers = 0 }", 1, "must be from 1 to 16384"},
    {"mesh { max_peers = 16385 }", 1, "must be from 1 to 16384"},
    {"mesh { max_peers = all }", 1, "must be a whole number"},
    {"mesh { max_packet = 1199 }", 1, "must be from 1200 to 65000 bytes"},
    {"mesh { max_packet = 65001 }", 1, "must be from 1200 to 65000 bytes"},
    {"mesh { max_packet = 1452b }", 1, "such as 4096, 64KiB or 8MiB"},
    {"mesh { discover_mtu = maybe }", 1, "must be one of: yes, no"},
    {"mesh { max_message = 65535 }", 1, "must be from 65536 to 4294967295 bytes"},
    {"mesh { max_message = 4GiB }", 1, "must be from 65536 to 4294967295 bytes"},
    {"mesh { allow_send = peer }", 1, "did you mean 'peers'? (realm, peers, none)"},
    {"mesh { allow_send = yes }", 1, "must be one of: realm, peers, none"},
    {"mesh { impair = a\n impair = b }", 2, "'impair' is given twice"},
    /* peer */
    {"peer { }", 1, "missing title"},
    {"peer b { }\npeer b { }", 2, "duplicate title 'b'"},
    {"peer \"-b\" { }", 1, "peer \"-b\": the name must be 1 to 63 of"},
    {"peer \"a b\" { }", 1, "the name must be 1 to 63 of"},
    {"peer b {\n key = abcd }", 2, "key: 'abcd': must be 64 hex digits: the node's static key"},
    {"peer b { key = " STATIC_A "00 }", 1, "must be 64 hex digits"},
    {"peer b { key = " ZEROS " }", 1, "is no key that can be used"},
    {"peer b { entity = abcd }", 1, "must be 64 hex digits: the public key of an identity"},
    {"peer b { entity = " ZEROS " }", 1, "is no public key of an identity"},
    {"peer b { address = { b:0 } key = " STATIC_A " }", 1, "needs a port above 0"},
    {"peer b { address = { \"a b\" } }", 1, "is neither an IPv4 address nor the name of a machine"},
    {"peer b { address = { 0.0.0.0 } }", 1, "is no address that others can send to"},
    {"peer b {\n address = { b }\n}", 3,
     "peer \"b\" has an address and no key, without which nobody can be called there: add `key"},
    {"peer b { address = { b } entity = " ENTITY_A " }", 1, "has an address and no key"},
    {"peer b { may = { everything } }", 1,
     "must be one of: migrate-in, migrate-out, orchestrate, "},
    {"peer b { may = { relays } }", 1, "did you mean 'relay'? (migrate-in, "},
    {"peer a { key = " STATIC_A " }\npeer b { key = " STATIC_A " }", 2,
     "peer \"b\": its key is that of peer \"a\""},
    {"peer a { entity = " ENTITY_A " }\npeer b { entity = " ENTITY_A " }", 2,
     "peer \"b\": its entity is that of peer \"a\""},
    /* realm */
    {"realm a {\n}", 2, "realm \"a\" has no key: add `key = ...`"},
    {"realm a { key = x }", 1, "must be 64 hex digits: the public key of an identity"},
    {"realm a { key = " ZEROS " }", 1, "is no public key of an identity"},
    {"realm \"a b\" { key = " ENTITY_A " }", 1, "the name must be 1 to 127 of"},
    {REALM_A "}\nrealm a { key = " ENTITY_B " }", 2, "duplicate title 'a'"},
    {REALM_A "}\nrealm b { key = " ENTITY_A " }", 2, "realm \"b\": its key is that of realm \"a\""},
    {REALM_A "certificate = \"\" }", 1, "must be a path, not empty"},
    {REALM_A "revocations = \"\" }", 1, "must be a path, not empty"},
    {REALM_A "certificate = x }\nrealm b { key = " ENTITY_B " certificate = y }", 2,
     "realm \"b\" has a certificate, as has realm \"a\": a node shows one, keep one"},
    /* channel */
    {"channel News {\n}", 2, "channel name 'News': only a-z"},
    {"channel \"\" { }", 1, "channel name: is empty"},
    {"channel news/ { }", 1, "'/' may stand between two parts only"},
    {"channel a/../b { prefix = yes }", 1, "no part may be '.' or '..'"},
    {"channel \"a//\" { prefix = yes }", 1, "'/' may stand between two parts only"},
    {"channel a { prefix = both }", 1, "must be one of: yes, no"},
    {"channel a { require_token = always }", 1, "must be one of: yes, no"},
    {"channel a { roots = { " ENTITY_A ",\n x } }", 2, "roots: 'x': must be 64 hex digits"},
    {"channel a { roots = { " ZEROS " } }", 1, "is no public key of an identity"},
    {"channel a { publish = \"\" }", 1, "an empty filter says nothing"},
    {"channel a { publish = \"memory>=lots\" }", 1, "must be a number from 1 up"},
    {"channel a { subscribe = \"gpu=abacus\" }", 1, "is no vendor of GPUs"},
    {"channel a { subscribe = \"scope=global\" }", 1, "scope= says who is found"},
    /* daemon */
    {DAEMON "subscribe = { News } }", 1, "channel name 'News': only a-z"},
    {DAEMON "subscribe = { \"@g\" } }", 1, "channel name: is empty"},
    {DAEMON "subscribe = { news@ } }", 1, "nothing follows the @: name a group, or leave it out"},
    {DAEMON "\nsubscribe = { a, b, a@g }\n}", 3, "daemon \"d\" subscribes to 'a' twice"},
    {DAEMON "tokens = { \"\" } }", 1, "must be a path, not empty"},
    {DAEMON "serve = { Echo } }", 1, "must be 1 to 230 of a-z"},
    {DAEMON "serve = { \"\" } }", 1, "must be 1 to 230 of a-z"},
    {DAEMON "accept = { -b } }", 1, "accept: '-b': must be 1 to 63 of"},
    {DAEMON "accept = { b, none } }", 1, "daemon \"d\": accept: 'none' says it all"},
    {DAEMON "serve = { a, a } }", 1, "daemon \"d\" serves 'a', which daemon \"d\" serves"},
    {DAEMON "serve = { a } }\ndaemon e { kind = k serve = { b, a } }", 2,
     "daemon \"e\" serves 'a', which daemon \"d\" serves"},
};

static void assert_mistake(const char *text, int line, const char *says)
{
    config *c = (config *)(uintptr_t)1;
    berth_error error = {0};
    char where[64];

    if (config_parse(slice_str(text), PATH, HOME, &c, &error) != BERTH_ERR_INVALID)
        fail_msg("accepted: %s", text);
    assert_null(c);
    assert_int_equal(error.code, BERTH_ERR_INVALID);
    snprintf(where, sizeof where, PATH ":%d: ", line);
    if (strncmp(error.text, where, strlen(where)) != 0 || !strstr(error.text, says))
        fail_msg("for: %s\nwanted: %s ... %s\ngot:    %s", text, where, says, error.text);
    assert_null(strchr(error.text, '\n'));
}

static void each_mistake_names_the_line_and_the_cure(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        assert_mistake(mistakes[i].text, mistakes[i].line, mistakes[i].says);
}

static void lists_are_bounded_at_and_above_the_limit(void **state)
{
    static const struct {
        const char *before, *value, *after;
        int most;
    } lists[] = {
        {"mesh { listen = {", " 10.0.0.%d", " } }", 8},
        {"mesh { advertise = {", " 10.0.0.%d", " } }", 8},
        {"peer b { key = " STATIC_A " address = {", " b%d", " } }", 8},
        {DAEMON "subscribe = {", " c%d", " } }", 256},
        {DAEMON "tokens = {", " t%d", " } }", 64},
        {DAEMON "serve = {", " s%d", " } }", 64},
        {DAEMON "accept = {", " p%d", " } }", 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (int extra = 0; extra < 2; extra++) {
            char text[8192], says[64];
            size_t at = (size_t)snprintf(text, sizeof text, "%s", lists[i].before);

            for (int n = 0; n < lists[i].most + extra; n++) {
                char value[64];
                const char *mark = strchr(lists[i].value, '%');
                snprintf(value, sizeof value, "%.*s%d", (int)(mark - lists[i].value),
                         lists[i].value, n);
                at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", n ? "," : "", value);
            }
            snprintf(text + at, sizeof text - at, "%s", lists[i].after);
            snprintf(says, sizeof says, "at most %d values are allowed", lists[i].most);
            if (extra)
                assert_mistake(text, 1, says);
            else
                config_free(parse(text));
        }
    }
}

static void names_are_bounded_at_and_above_the_limit(void **state)
{
    static const struct {
        const char *before, *after, *says;
        int most;
    } names[] = {
        {"peer ", " { }", "the name must be 1 to 63 of", 63},
        {"channel ", " { }", "at most 255 are allowed", 255},
        {"channel ", " { prefix = yes }", "at most 255 are allowed", 255},
        {DAEMON "subscribe = { ", " } }", "at most 255 are allowed", 255},
        {DAEMON "subscribe = { c@", " } }", "a group has at most 255 bytes", 255},
        {DAEMON "serve = { ", " } }", "must be 1 to 230 of", 230},
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int extra = 0; extra < 2; extra++) {
            char text[512], name[300];

            memset(name, 'a', sizeof name);
            snprintf(text, sizeof text, "%s%.*s%s", names[i].before, names[i].most + extra, name,
                     names[i].after);
            if (extra)
                assert_mistake(text, 1, names[i].says);
            else
                config_free(parse(text));
        }
    }
}

static void a_service_of_the_longest_name_has_channels(void **state)
{
    char name[CHANNEL_NAME_MAX + 1];

    (void)state;
    memset(name, 'a', 230);
    strcpy(name + 230, ".replies.0123456789abcdef");
    assert_int_equal(channel_name_check(slice_str(name), NULL), BERTH_OK);
}

static void realms_are_bounded_at_and_above_the_limit(void **state)
{
    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        char text[2048];
        size_t at = 0;

        for (unsigned i = 0; i < TRUST_REALMS_MAX + extra; i++) {
            uint8_t seed[BERTH_SEED_SIZE] = {(uint8_t)(i + 1)};
            char hex[BERTH_ENTITY_TEXT];
            berth_keypair key;

            berth_keypair_from_seed(&key, seed);
            at += (size_t)snprintf(text + at, sizeof text - at, "realm r%u { key = %s }\n", i,
                                   berth_entity_text(hex, key.entity));
        }
        if (extra)
            assert_mistake(text, TRUST_REALMS_MAX + 1, "realm \"r8\": at most 8 realms");
        else
            config_free(parse(text));
    }
}

static const char *changes(const char *before, const char *after)
{
    static char out[512];
    config *a = parse(before), *b = parse(after);
    bool any = config_start_changes(a, b, out, sizeof out);

    assert_int_equal(any, out[0] != '\0');
    config_free(a);
    config_free(b);
    return out;
}

static void every_option_of_the_mesh_waits_for_a_start(void **state)
{
    static const struct {
        const char *before, *after, *says;
    } cases[] = {
        {"listen = { 10.0.0.1 }", "listen = { 10.0.0.2 }", "mesh { listen }"},
        {"listen = { 10.0.0.1 }", "listen = { 10.0.0.1, 10.0.0.2 }", "mesh { listen }"},
        {"listen = { 10.0.0.1 }", "", "mesh { listen }"},
        {"listen = { 10.0.0.1 }", "listen = { 10.0.0.1:4700 }", ""},
        {"", "advertise = { 10.0.0.1 }", "mesh { advertise }"},
        {"psk_file = a", "psk_file = b", "mesh { psk_file }"},
        {"revoked_tokens = a", "revoked_tokens = b", ""}, /* a reload reads it */
        {"heartbeat = 4s", "heartbeat = 4000ms", ""},
        {"heartbeat = 4s", "", "mesh { heartbeat }"},
        {"timeout = 10s", "timeout = 11s", "mesh { timeout }"},
        {"max_peers = 1", "max_peers = 2", "mesh { max_peers }"},
        {"max_packet = 1200", "max_packet = 1452", "mesh { max_packet }"},
        {"discover_mtu = yes", "discover_mtu = no", "mesh { discover_mtu }"},
        {"discover_mtu = no", "", "mesh { discover_mtu }"},
        {"max_message = 1MiB", "max_message = 2MiB", "mesh { max_message }"},
        {"allow_send = none", "allow_send = realm", "mesh { allow_send }"},
        {"impair = a", "impair = b", "mesh { impair }"},
        {"listen = { 10.0.0.1 } impair = a", "timeout = 1m", "mesh { listen, timeout, impair }"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char before[128], after[128];
        snprintf(before, sizeof before, "mesh { %s }", cases[i].before);
        snprintf(after, sizeof after, "mesh { %s }", cases[i].after);
        assert_string_equal(changes(before, after), cases[i].says);
    }
    assert_string_equal(changes("host { threads = 1 }", "mesh { listen = { 10.0.0.1 } }"),
                        "host { threads }, mesh { listen }");
}

static void peers_realms_and_channels_do_not_wait_unless_they_make_the_mesh(void **state)
{
    static const char meshed[] = "mesh { listen = { 10.0.0.1 } } ";
    static const char more[] = "mesh { listen = { 10.0.0.1 } } "
                               "peer b { key = " STATIC_A " address = { b } may = { relay } }"
                               "realm a { key = " ENTITY_A " certificate = x }"
                               "channel c { require_token = yes roots = { " ENTITY_A " } }";
    static const char dials[] = "peer b { key = " STATIC_A " address = { b } }";

    (void)state;
    assert_string_equal(changes(meshed, more), "");
    assert_string_equal(changes(more, meshed), "");
    assert_string_equal(changes("", dials), "mesh");
    assert_string_equal(changes(dials, ""), "mesh");
    assert_string_equal(changes("host { threads = 1 }", dials), "host { threads }, mesh");
    assert_string_equal(changes(dials, meshed), "mesh { listen }");
}

static void changes_that_do_not_fit_are_cut(void **state)
{
    config *a = parse(""), *b = parse("host { name = x threads = 2 } mesh { timeout = 1m }");
    char out[16];

    (void)state;
    assert_true(config_start_changes(a, b, out, sizeof out));
    assert_string_equal(out, "host { name, th");
    config_free(a);
    config_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_of_the_mesh_reaches_its_field),
        cmocka_unit_test(nothing_said_is_no_mesh),
        cmocka_unit_test(to_listen_or_a_peer_with_an_address_makes_a_mesh),
        cmocka_unit_test(an_address_without_a_port_gets_the_usual_one),
        cmocka_unit_test(a_subscription_has_a_channel_and_perhaps_a_group),
        cmocka_unit_test(a_prefix_is_the_beginning_of_a_name),
        cmocka_unit_test(each_mistake_names_the_line_and_the_cure),
        cmocka_unit_test(lists_are_bounded_at_and_above_the_limit),
        cmocka_unit_test(names_are_bounded_at_and_above_the_limit),
        cmocka_unit_test(a_service_of_the_longest_name_has_channels),
        cmocka_unit_test(realms_are_bounded_at_and_above_the_limit),
        cmocka_unit_test(every_option_of_the_mesh_waits_for_a_start),
        cmocka_unit_test(peers_realms_and_channels_do_not_wait_unless_they_make_the_mesh),
        cmocka_unit_test(changes_that_do_not_fit_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
