/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/peer_book.h: the signed records of other nodes, kept in <state>/mesh/peers, so that a host
 * finds its peers again when those of its configuration are away.
 *
 * The file is a help, nothing hangs on it: what is in it proves itself (mesh/record.h), and without
 * it the configured peers tell everything again. A crash leaves the former file or the new one.
 * Blocking; one thread at a time for a directory.
 */
#ifndef NODE_PEER_BOOK_H
#define NODE_PEER_BOOK_H

#include "base/buf.h"
#include "berth/status.h"

#define PEER_BOOK_RECORDS_MAX 16384 /* as many as a host can know */

typedef void peer_book_fn(void *ctx, slice record);

/* Calls fn for every record, in the order written; how many there were. Without a file none; also
 * with one that is damaged, or that others may write to, and a warning in the log. */
size_t peer_book_read(const char *state_dir, peer_book_fn *fn, void *ctx);

/* Replaces the file; makes <state>/mesh. INVALID: a record that is empty or longer than any;
 * LIMIT: too many. */
berth_status peer_book_write(const char *state_dir, const slice *records, size_t count,
                             berth_error *error);

/* The bytes alone: "BPB1", a count, each record behind its length, a digest of all before. CORRUPT,
 * and fn was not called; fn may be NULL. */
berth_status peer_book_decode(slice bytes, peer_book_fn *fn, void *ctx, size_t *count,
                              berth_error *error);

#endif
