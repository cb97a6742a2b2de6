/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/capability_filter.h: what one looks for in a set, how well a set serves, and who may be
 * found by whom.
 *
 * Any thread; nothing blocks. A filter of zeros lets everything through. Its strings are borrowed.
 */
#ifndef MESH_CAPABILITY_FILTER_H
#define MESH_CAPABILITY_FILTER_H

#include "mesh/capability_view.h"

/* Terms of one kind in a filter. */
#define FILTER_TERMS_MAX 16

typedef struct capability_filter {
    slice tags[FILTER_TERMS_MAX], models[FILTER_TERMS_MAX], tools[FILTER_TERMS_MAX];
    size_t tag_count, model_count, tool_count; /* all of the tags, any model, any tool */
    bool gpu;
    gpu_vendor vendor;
    uint64_t min_memory_gb, min_vram_gb, min_context_length;
    unsigned modalities; /* all of them */
} capability_filter;

/* Every condition is met; those on models by some model each. Tags exactly as written. */
bool filter_matches(const capability_filter *f, const capabilities *set);

typedef struct capability_weights {
    double memory, vram, speed, loaded;
} capability_weights;

/* 0 when the filter does not match; else 1 and what the weights add, each for a share of 0 to 1 */
double filter_score(const capability_filter *f, const capability_weights *w,
                    const capabilities *set);

/* ---- scope ---- */

typedef enum scope_kind {
    SCOPE_ANY,
    SCOPE_GLOBAL,
    SCOPE_TENANTS,
    SCOPE_REGIONS,
    SCOPE_SAME_SUBNET
} scope_kind;

typedef struct capability_scope {
    scope_kind kind;
    slice names[FILTER_TERMS_MAX]; /* tenants or regions */
    size_t count;
} capability_scope;

/* What is known of the other node's subnet. Nothing is known before its announcement came; then a
 * node with a policy lets it through, and one without does not. */
typedef enum subnet_relation {
    SUBNET_OTHER,
    SUBNET_SAME, /* also: this node itself */
    SUBNET_UNKNOWN
} subnet_relation;

bool scope_admits(const capability_scope *scope, const capabilities *set, subnet_relation relation,
                  bool subnet_policy);

/* ---- text ---- */

/*
 * A filter as people write it: terms between blanks, all of which must hold.
 *
 *   memory>=N vram>=N context>=N   at least so many GB, or tokens
 *   gpu  gpu=VENDOR                a GPU; one of this vendor
 *   model=ID tool=ID               one of the models, one of the tools that are named
 *   modality=NAME                  text image audio video code embedding tool_use
 *   scope=any|global|same-subnet|tenant:ID|region:NAME
 *   tag=TAG, or any other TAG      this tag exactly
 *
 * INVALID with the term that is wrong, LIMIT for too many. The strings lie in text.
 */
berth_status filter_parse(capability_filter *f, capability_scope *scope, slice text,
                          berth_error *error);

#endif
