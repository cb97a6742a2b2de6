/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate/wire.h: the messages of a migration (mesh/message.h, 0x0800 to 0x08ff).
 *
 * Each begins with: kind u16, version u8 (1), attempt 16 bytes, origin u64. What follows is in
 * docs/wire.md. The decoders bound every length by what is there, refuse trailing bytes, and never
 * allocate; slices point into the message. Any thread.
 */
#ifndef MIGRATE_WIRE_H
#define MIGRATE_WIRE_H

#include "identity/envelope.h"
#include "migrate/hearing.h"
#include "migrate/order.h"
#include "migrate/reason.h"

#define MOVE_CHUNK_MAX  (256 * 1024)  /* bytes of the stream, or of a plugin, in one message */
#define MOVE_FETCH_MAX  (1024 * 1024) /* bytes of a plugin that are asked for at once */
#define MOVE_NONCE_SIZE 32
#define MOVE_HASH_SIZE  32 /* BLAKE2b-256 */

typedef struct move_head {
    uint16_t kind;
    uint8_t attempt[ATTEMPT_SIZE];
    uint64_t origin;
} move_head;

/* To the target: will you have it? Nothing is touched yet. */
typedef struct move_offer {
    move_head head;
    uint64_t epoch; /* that it would have there */
    slice kind;
    slice plugin; /* name; empty: no file */
    uint8_t digest[32];
    uint32_t state_version;
    uint64_t state_bytes; /* about; the stream may be longer by what happens meanwhile */
    bool precopy;         /* the stream may hold events that were run at the source */
    order order;
} move_offer;

/* The target's answer. */
typedef struct move_accept {
    move_head head;
    uint8_t nonce[MOVE_NONCE_SIZE];
} move_accept;

typedef struct move_chunk {
    move_head head;
    uint64_t offset;
    slice bytes; /* 1 to MOVE_CHUNK_MAX */
} move_chunk;

/* GOT: the target has the stream up to here without a gap. BUILT: and it has made of it what can be
 * made; only ends of rounds. */
typedef struct move_got {
    move_head head;
    uint64_t through;
} move_got;

/* What the seal will say if nothing changes until then, ahead of the stream, for a target that
 * wants to be quick: it counts for nothing. */
typedef struct move_key {
    move_head head;
    uint64_t incarnation; /* that the daemon goes on in */
    handover handover;
    envelope envelope;
} move_key;
/* Before the daemon has stopped: the stream so far, proven. */
typedef struct move_round {
    move_head head;
    uint64_t total;                          /* bytes so far */
    uint8_t hash[MOVE_HASH_SIZE];            /* of them */
    uint8_t signature[BERTH_SIGNATURE_SIZE]; /* move_round_signed, by the daemon's key */
} move_round;

/* The stream is whole: its proof, and the daemon's key. */
typedef struct move_seal {
    move_head head;
    uint64_t total;
    uint8_t hash[MOVE_HASH_SIZE]; /* of the stream */
    uint32_t held;                /* events in it that were never run */
    handover handover;
    bool has_envelope;
    envelope envelope;
    uint8_t signature[BERTH_SIGNATURE_SIZE]; /* move_seal_signed, by the daemon's key */
} move_seal;

/* PREPARED and OWNED from the target, COMMIT from the source. */
typedef struct move_step {
    move_head head;
    uint64_t epoch;
    uint8_t hash[MOVE_HASH_SIZE]; /* of the stream */
} move_step;

/* REFUSED from target or source, ABORT from source or orchestrator. */
typedef struct move_no {
    move_head head;
    move_reason reason;
    bool final; /* REFUSED: on disk; this attempt will never own it */
    slice text; /* UTF-8, at most MOVE_TEXT_MAX */
} move_no;

/* The target, once it has the daemon, to the source; again when it changes. */
typedef struct move_hears {
    move_head head;
    move_hearing hearing; /* known */
} move_hears;

/* To an inquiry, of the source. */
typedef struct move_kind {
    move_head head;
    slice kind; /* 1 to 255 bytes of text */
} move_kind;

/* The source to the orchestrator. */
typedef struct move_state {
    move_head head;
    move_phase phase;
    bool over, moved, in_doubt;
    bool fetching;      /* the target fetches the plugin: bytes are those of its file */
    move_reason reason; /* if over and not moved */
    uint64_t bytes_sent, bytes_total, held;
    uint64_t blackout_ns, snapshot_ns;
    uint64_t target; /* node */
    slice text;
    move_hearing hearing; /* known only of one that was moved */
} move_state;

/* Of a target that was offered a daemon whose kind it lacks, to the source: the file of its plugin,
 * or, with length 0, how long it is and who has signed it. */
typedef struct move_fetch {
    move_head head;
    uint8_t digest[32];
    uint64_t limit;  /* bytes: a longer file is not to be sent */
    uint64_t offset; /* all before it has come */
    uint32_t length; /* up to MOVE_FETCH_MAX */
} move_fetch;

/* The answer to a FETCH without length. */
typedef struct move_plugin {
    move_head head;
    uint8_t digest[32];
    uint64_t total;  /* bytes of the file, above 0 */
    slice signature; /* its .minisig, not empty */
} move_plugin;

/* Some of what a FETCH asks for. */
typedef struct move_part {
    move_head head;
    uint8_t digest[32];
    uint64_t offset;
    slice bytes; /* 1 to MOVE_CHUNK_MAX */
} move_part;

/* ORDER, to the source. ASK and READY (from the target), LOOK and INQUIRE (from the orchestrator)
 * have a head only. */
typedef struct move_order {
    move_head head;
    uint64_t deadline_ns, max_hold_ns; /* 0: the source's own */
    order order;
} move_order;

void move_offer_write(writer *w, const move_offer *m);
void move_accept_write(writer *w, const move_accept *m);
void move_chunk_write(writer *w, const move_chunk *m);
void move_got_write(writer *w, const move_got *m);
void move_key_write(writer *w, const move_key *m);
void move_round_write(writer *w, const move_round *m);
void move_seal_write(writer *w, const move_seal *m);
void move_step_write(writer *w, const move_step *m);
void move_no_write(writer *w, const move_no *m);
void move_state_write(writer *w, const move_state *m);
void move_hears_write(writer *w, const move_hears *m);
void move_kind_write(writer *w, const move_kind *m);
void move_order_write(writer *w, const move_order *m);
void move_fetch_write(writer *w, const move_fetch *m);
void move_plugin_write(writer *w, const move_plugin *m);
void move_part_write(writer *w, const move_part *m);
void move_bare_write(writer *w, const move_head *m);

/* CORRUPT or VERSION, naming the message and what is wrong; *out is then zeroed. head.kind is what
 * the message says; a reader that is handed another kind than its own answers CORRUPT. */
berth_status move_head_read(move_head *out, slice message, berth_error *error);
berth_status move_offer_read(move_offer *out, slice message, berth_error *error);
berth_status move_accept_read(move_accept *out, slice message, berth_error *error);
berth_status move_chunk_read(move_chunk *out, slice message, berth_error *error);
berth_status move_got_read(move_got *out, slice message, berth_error *error);
berth_status move_key_read(move_key *out, slice message, berth_error *error);
berth_status move_round_read(move_round *out, slice message, berth_error *error);
berth_status move_seal_read(move_seal *out, slice message, berth_error *error);
berth_status move_step_read(move_step *out, slice message, berth_error *error);
berth_status move_no_read(move_no *out, slice message, berth_error *error);
berth_status move_state_read(move_state *out, slice message, berth_error *error);
berth_status move_hears_read(move_hears *out, slice message, berth_error *error);
berth_status move_kind_read(move_kind *out, slice message, berth_error *error);
berth_status move_order_read(move_order *out, slice message, berth_error *error);
berth_status move_fetch_read(move_fetch *out, slice message, berth_error *error);
berth_status move_plugin_read(move_plugin *out, slice message, berth_error *error);
berth_status move_part_read(move_part *out, slice message, berth_error *error);
berth_status move_bare_read(move_head *out, slice message, berth_error *error);

/* What the daemon's key signs in a seal: a domain tag, the order's hash, epoch, the target's nonce
 * and entity, kind, digest, state version, hash and length of the stream, and how many events it
 * holds. Returns the length. */
#define MOVE_SIGNED_MAX 640
size_t move_seal_signed(uint8_t out[MOVE_SIGNED_MAX], const move_offer *offer,
                        const uint8_t nonce[MOVE_NONCE_SIZE], const move_seal *seal);
/* In a round: the same under a tag of its own, without the events. */
size_t move_round_signed(uint8_t out[MOVE_SIGNED_MAX], const move_offer *offer,
                         const uint8_t nonce[MOVE_NONCE_SIZE], const move_round *round);

#endif
