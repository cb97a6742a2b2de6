/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/capability_tag.h: the grammar of one tag, the unit in which a node says what it can do.
 *
 * A tag is a non-empty string, kept as it was written. Parsing only looks at it: the parts that it
 * gives are borrowed from the text. Any thread; nothing allocates.
 */
#ifndef MESH_CAPABILITY_TAG_H
#define MESH_CAPABILITY_TAG_H

#include "base/buf.h"
#include "berth/status.h"

#include <stdbool.h>

/* Longest tag that we put into a set of our own; what others send is bounded by its message. */
#define TAG_MAX 255

typedef enum tag_form {
    TAG_RESERVED, /* one of five prefixes that a set's owner may not add freely */
    TAG_AXIS,     /* hardware. software. devices. dataforts. */
    TAG_LEGACY    /* any other string: opaque, freely addable */
} tag_form;

typedef enum tag_axis { AXIS_HARDWARE, AXIS_SOFTWARE, AXIS_DEVICES, AXIS_DATAFORTS } tag_axis;

typedef struct tag_parts {
    tag_form form;
    tag_axis axis;
    slice prefix;   /* reserved: with its colon */
    slice key;      /* reserved: the rest; axis: up to the separator; legacy: everything */
    slice value;    /* axis with a separator */
    char separator; /* '=' or ':' as written; 0: the tag only says that something is there */
} tag_parts;

/* INVALID for an empty tag and for one that is not UTF-8. */
berth_status tag_parse(tag_parts *out, slice text, berth_error *error);

/* Equal but for the separator: "hardware.gpu=a" and "hardware.gpu:a". */
bool tag_same(slice a, slice b);

/* The value of an axis tag with this key; false when it is not one. */
bool tag_value(slice text, tag_axis axis, const char *key, slice *value);

/* One decimal digit or more and nothing else, of any length. */
bool tag_is_number(slice value);
/* Decimal digits that fit; anything else is 0, as every reader of tags takes it. */
uint64_t tag_number(slice value);

/*
 * causal:<16 hex>, causal:<16 hex>:<tip>, causal:<16 hex>[a..b]: the chain that the tag claims.
 * Nothing else is such a claim, whatever it begins with.
 */
bool tag_causal(slice text, uint64_t *chain);

/* heat:<16 hex>=<rate> is TAG_HEAT_CHAIN, heat:blob:... is TAG_HEAT_BLOB. */
typedef enum tag_heat { TAG_HEAT_NONE, TAG_HEAT_CHAIN, TAG_HEAT_BLOB } tag_heat;
tag_heat tag_heat_of(slice text, uint64_t *chain);

/* subprotocol:0x%04x, and room for it. */
#define TAG_SUBPROTOCOL 20
char *tag_subprotocol(char out[TAG_SUBPROTOCOL], uint16_t id);

#endif
