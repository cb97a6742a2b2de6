/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/config_parts.h: the pieces of the configuration parser, for each other only.
 *
 * The text goes through config_scan, then through libconfuse, which asks value_check about each
 * value while it knows the line, and value_read turns what it has accepted into the fields of
 * config.h.
 */
#ifndef NODE_CONFIG_PARTS_H
#define NODE_CONFIG_PARTS_H

#include "node/config.h"

typedef enum value_type {
    VALUE_NAME,    /* a-z A-Z 0-9 - _ . , as daemons and plugins are called */
    VALUE_TEXT,    /* anything */
    VALUE_PATH,    /* stored so that it does not depend on the working directory */
    VALUE_COUNT,   /* a number */
    VALUE_SIZE,    /* a number of bytes: 4096, 64KiB, 8MiB, 4GiB */
    VALUE_TIME,    /* a duration: 500us, 10ms, 30s, 5m, 1h; in nanoseconds */
    VALUE_CHOICE,  /* one of `choices`; its index + 1 */
    VALUE_BOOL,    /* yes, no */
    VALUE_KEY,     /* a minisign public key, or the path of a file with one */
    VALUE_DIGEST,  /* 64 hex digits */
    VALUE_PATTERN, /* a name, or the beginning of one and a * */
    VALUE_LIBRARY, /* a soname */
    /* Of the mesh: config_value_mesh.c. */
    VALUE_LISTEN,    /* a numeric address of this machine; port 0: any */
    VALUE_ADDRESS,   /* a numeric address that others can send to */
    VALUE_HOST,      /* the same, or a name in place of it */
    VALUE_STATIC,    /* an X25519 public key, 64 hex digits; config_id */
    VALUE_ENTITY,    /* an Ed25519 public key, 64 hex digits; config_id, config_ids */
    VALUE_NODE,      /* the name of a node, as certificates have it */
    VALUE_GRANTS,    /* a word of TRUST_GRANTS; a list is stored as its bits */
    VALUE_SUBSCRIBE, /* CHANNEL or CHANNEL@GROUP */
    VALUE_SERVICE,   /* a name whose channels are channels */
    VALUE_FILTER     /* as filter_parse takes it, without scope */
} value_type;

/* One option of one section. */
typedef struct value_rule {
    const char *name;
    value_type type;
    bool list;
    bool required;
    bool narrow;   /* a number stored in 32 bits */
    bool live;     /* a reload takes it, though not its section */
    size_t offset; /* into the section's struct, or into config for sections without a title */
    unsigned most; /* values of a list; 0: any number */
    uint64_t min, max;
    const char *const *choices;
} value_rule;

typedef struct section_rule {
    const char *name;
    const value_rule *rules;
    bool at_start;    /* a reload does not take it; but for live ones no keys, grants or channels */
    value_type title; /* of the name that a titled section begins with */
    size_t item;      /* size of one titled section's struct; 0: there is one section, untitled */
    size_t items, count; /* where config keeps the array and its length */
    size_t line;         /* where the line goes, into the same struct; 0: nowhere */
} section_rule;

#define CONFIG_SECTIONS 11
extern const section_rule config_sections[CONFIG_SECTIONS];

/* A flag of ours in libconfuse's options: a value was given. */
#define CONFIG_SEEN (1 << 24)

struct cfg_t;

/*
 * The text with its comments blanked out, zero-terminated, lines as they were; *out is malloc'd.
 * Refuses what libconfuse would misread in silence: see config_scan.c.
 */
berth_status config_scan(slice text, const char *path, char **out, berth_error *error);

/* Parses what config_scan let through; *out is the caller's to config_confuse_free.
 * error is not NULL. */
berth_status config_confuse(const char *text, const char *path, struct cfg_t **out,
                            berth_error *error);

void config_confuse_free(struct cfg_t *tree);

typedef struct config_place {
    const char *path; /* of the file */
    const char *dir;  /* where relative paths start */
    const char *home; /* what ~ stands for, or NULL */
} config_place;

/* Fills c; on failure c is what it is, for config_free. */
berth_status config_tree(struct cfg_t *tree, const config_place *place, config *c,
                         berth_error *error);

/* What no single option can tell: two that contradict each other, the same thing twice. */
berth_status config_check(const config *c, const char *path, berth_error *error);

/* Is text a value of this type? If not, why (at least 256 bytes) says what would be. */
bool value_check(const value_rule *rule, const char *text, char *why, size_t why_cap);
/* The same for the types of the mesh. */
bool value_check_mesh(const value_rule *rule, const char *text, char *why, size_t why_cap);

/* The number behind a value that value_check accepted. */
uint64_t value_number(const value_rule *rule, const char *text);

/* Is it a path that begins with ~? */
bool value_in_home(const value_rule *rule, const char *text);

/* A malloc'd string for a value that value_check accepted; paths start at dir. home stands where a
 * path has ~; NULL: ~ is a letter. Addresses get the port that they lack. */
char *value_string(const value_rule *rule, const char *text, const char *dir, const char *home);

/* An address, port included, malloc'd. */
char *value_address(const char *text);

#endif
