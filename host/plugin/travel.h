/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/travel.h: plugin files on their way from one host to another: lent by one that has them in
 * its store, received by one that lacks them.
 *
 * A digest says which file is meant, never that it is good. Who receives takes the way of
 * plugin/load.h with all its checks, as PLUGINS_FETCH. Before the first byte it refuses what is too
 * large, revoked, or names no key whose plugins may be fetched.
 *
 * Blocking; any thread but one that runs a plugin's code; one thread at a time per object. Each
 * must end before its set is freed. Since 0.1.
 */
#ifndef PLUGIN_TRAVEL_H
#define PLUGIN_TRAVEL_H

#include "plugin/load.h"

/* ---- Lending */

typedef struct plugin_lent plugin_lent;

/* A stored file, hashed again and verified with the keys of now. REFUSED when it is not signed by
 * one of them, or revoked; otherwise as plugins_load_digest. */
berth_status plugins_lend(plugins *set, const uint8_t digest[DIGEST_BYTES], plugin_lent **out,
                          berth_error *error);
uint64_t plugin_lent_size(const plugin_lent *lent);
/* The bytes of its .minisig; they live as long as lent. */
slice plugin_lent_signature(const plugin_lent *lent);
/* Exactly len bytes from offset, which must be in the file. IO. */
berth_status plugin_lent_read(const plugin_lent *lent, uint64_t offset, void *out, size_t len,
                              berth_error *error);
void plugin_lent_end(plugin_lent *lent); /* NULL is allowed */

/* ---- Receiving */

typedef struct plugin_coming plugin_coming;

/* Bytes of the largest file that the set takes. */
uint64_t plugins_max_file(const plugins *set);

/* Begin. signature: the bytes of a .minisig. LIMIT, SIGNATURE (malformed), REFUSED; NO_SPACE, IO.
 */
berth_status plugins_receive(plugins *set, const uint8_t digest[DIGEST_BYTES], uint64_t size,
                             slice signature, plugin_coming **out, berth_error *error);
/* The next bytes, to a file. On an error it can only be ended. */
berth_status plugin_coming_add(plugin_coming *in, slice bytes, berth_error *error);
/*
 * All has come: load it, for the sake of that kind. INVALID: it is shorter than was said. CORRUPT:
 * it has another digest than was asked for. *judged: it is the file that was asked for, so that
 * another copy of it would be answered the same. in can only be ended then.
 */
berth_status plugin_coming_load(plugin_coming *in, const char *kind, plugins_loaded *out,
                                bool *judged, berth_error *error);
/* Remove what is not in the store. NULL is allowed. */
void plugin_coming_end(plugin_coming *in);

#endif
