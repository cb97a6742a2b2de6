/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/config.h: the configuration file as a plain struct.
 *
 * Parsing touches nothing but the text it is given: no file, clock, environment or key. What the
 * options mean is carried out elsewhere (node/state.h, node/policy.h, node/keeper.h). Any thread.
 *
 * Every mistake is BERTH_ERR_INVALID with one line `FILE:LINE: what is wrong, and what would have
 * been right`. docs/operators.md describes the options for people.
 */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include "base/buf.h"
#include "berth/node.h"
#include "daemon/accept.h"

#include <stdbool.h>

#define CONFIG_MAX_BYTES    (256 * 1024)
#define CONFIG_MAX_SECTIONS 4096
#define CONFIG_MAX_TOKEN    4096 /* of a word without quotes */

typedef struct config_list {
    char **items; /* ends with NULL; NULL when count is 0 */
    size_t count;
} config_list;

/* What becomes of a plugin without a signature. */
typedef enum config_unsigned {
    CONFIG_UNSIGNED_UNSAID, /* refused as soon as any key is configured, else a warning */
    CONFIG_UNSIGNED_REFUSE,
    CONFIG_UNSIGNED_WARN
} config_unsigned;

typedef enum config_isolation {
    CONFIG_ISOLATION_UNSAID,
    CONFIG_ISOLATION_INLINE,
    CONFIG_ISOLATION_PROCESS
} config_isolation;

/* A minisign public key, and what it may sign. */
typedef struct config_key {
    char *name;
    char *key;         /* as minisign prints it, or the path of its .pub file */
    config_list names; /* patterns of plugin names; none: all */
    config_list kinds; /* patterns of kinds; none: all */
    config_isolation isolation;
    bool fetch;
    unsigned line;
} config_key;

typedef struct config_plugin {
    char *name;
    config_isolation isolation;
} config_plugin;

/* Said with yes or no, where it matters whether anything was said. */
typedef enum config_answer { CONFIG_UNSAID, CONFIG_YES, CONFIG_NO } config_answer;

/* Who on other nodes may send events to daemons here. */
typedef enum config_senders {
    CONFIG_SENDERS_UNSAID, /* as realm */
    CONFIG_SENDERS_REALM,  /* every node that is let in */
    CONFIG_SENDERS_PEERS,  /* those with a section `peer` */
    CONFIG_SENDERS_NONE
} config_senders;

/* A public key, or nothing said. */
typedef struct config_id {
    bool said;
    uint8_t bytes[32];
} config_id;

typedef struct config_ids {
    uint8_t *bytes; /* count times 32, one behind the other; NULL when count is 0 */
    size_t count;
} config_ids;

/* Addresses are as mesh/address.h takes them, with a port. */
typedef struct config_mesh {
    config_list listen;    /* numeric; port 0: any */
    config_list advertise; /* numeric; where others reach this node */
    char *psk_file;        /* node/psk.h */
    char *revoked_tokens;  /* identity/token_revocation.h */
    uint64_t heartbeat_ns, timeout_ns;
    uint32_t max_peers, max_packet;
    uint64_t max_message;
    config_answer discover_mtu;
    config_senders allow_send;
    char *impair;  /* faults to make on purpose, as written; for tests */
    unsigned line; /* 0: there is no such section */
} config_mesh;

/* Who and what may come here by migration, beside what peers are granted. */
typedef struct config_migration {
    config_list accept;    /* patterns of kinds; none: all that this host has */
    config_ids operators;  /* whose signed orders count */
    bool expected_only;    /* only daemons that were announced to this host */
    bool fetch;            /* a plugin that lacks is fetched from the source */
    uint64_t precopy_from; /* a daemon with so much state goes on while it is sent */
    uint64_t max_bytes;    /* of all states that come at once */
    unsigned line;         /* 0: there is no such section */
} config_migration;

/* Another node: who it is, where it is, what it may ask for. */
typedef struct config_peer {
    char *name;            /* as certificate_name_check wants it */
    config_id key;         /* X25519, its static key */
    config_id entity;      /* neither: grants for the certified node of this name */
    config_list addresses; /* numeric or names */
    uint32_t may;          /* TRUST_MAY_* */
    unsigned line;
} config_peer;

/* A realm whose certificates count. At most one has a certificate. */
typedef struct config_realm {
    char *name;
    config_id key;
    char *certificate; /* the file with this node's own, or NULL */
    char *revocations; /* the file with its list, or NULL */
    unsigned line;
} config_realm;

/* A rule for one channel, or for all whose names begin so; as channel_rule. */
typedef struct config_channel {
    char *name;
    bool prefix, require_token;
    config_ids roots;
    char *publish, *subscribe; /* filters that filter_parse takes, without scope; or NULL */
    unsigned line;
} config_channel;

/* A daemon that the host keeps running. */
typedef struct config_daemon {
    char *name, *kind;
    char *config;        /* its bytes, or NULL */
    char *config_file;   /* a file with them, or NULL; not both */
    char *identity_file; /* or NULL: made at the first start */
    uint64_t auto_snapshot;
    uint32_t durability;   /* as berth_daemon_config.durability */
    config_list subscribe; /* CHANNEL or CHANNEL@GROUP: config_subscription; no channel twice */
    config_list tokens;    /* files with the leave that it shows (identity/token_file.h) */
    config_list serve;     /* services; no other daemon of the file has the same */
    config_list accept;    /* words of daemon/accept.h: config_accept; empty: everybody */
    unsigned line;
} config_daemon;

/* NULL, 0 and UNSAID: not said. Paths are absolute or start where the file lies. */
typedef struct config {
    char *file; /* for errors; NULL: there is none */
    char *name, *state_dir, *socket, *key_file;
    char *plugin_dir;
    config_list keys, libs, revoked;
    config_unsigned unsigned_plugins;
    config_key *scoped;
    size_t scoped_count;
    config_plugin *plugins;
    size_t plugin_count;
    config_daemon *daemons;
    size_t daemon_count;
    config_mesh mesh;
    config_migration migration;
    config_peer *peers;
    size_t peer_count;
    config_realm *realms;
    size_t realm_count;
    config_channel *channels;
    size_t channel_count;
    berth_runtime_config limits;
    /* From the command line alone. */
    config_list load;
    bool ephemeral;
} config;

/* Nothing said. NULL when memory is short. */
config *config_new(void);
void config_free(config *c);
/* What one of its daemons holds. */
void config_daemon_free(config_daemon *d);

/*
 * path: where the text came from, for errors and for what relative paths start from. home: what a ~
 * at the beginning of a path stands for; NULL: nobody knows, and such a path is a mistake.
 */
berth_status config_parse(slice text, const char *path, const char *home, config **out,
                          berth_error *error);

/* Reads the file, which must be a regular one, ours or root's, and not writable by others. ~ is
 * $HOME, or the home that the user database says. */
berth_status config_read(const char *path, config **out, berth_error *error);

/* What the command line says stands above what the file says. */
berth_status config_override(config *c, const berth_node_options *options, berth_error *error);

/* Is this host to be a node among others: does it listen, or has any peer an address? */
bool config_mesh_on(const config *c);

/* The two halves of what a daemon subscribes to, in text; group is empty without one. */
void config_subscription(const char *text, slice *channel, slice *group);

/* Who may send to a daemon, as accept_check takes it; "" where nothing is said. */
void config_accept(const config_daemon *d, char out[ACCEPT_TEXT_MAX + 1]);

/* Whether settings differ that only a start takes; out gets their names: `host { threads }`. Also
 * when peers make the difference between a mesh and none: `mesh`. */
bool config_start_changes(const config *running, const config *now, char *out, size_t cap);

/* Whether both say the same about what a daemon is told at its birth, and who it is. */
bool config_daemon_born_same(const config_daemon *a, const config_daemon *b);
/* Whether both say the same about what it hears and serves. */
bool config_daemon_wired_same(const config_daemon *a, const config_daemon *b);

#endif
