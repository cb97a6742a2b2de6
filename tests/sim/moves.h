/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.h: hosts that move daemons among each other, in one thread, with virtual time, network and
 * disk. The machines are those of host/migrate, built once more with migrate/fault.h switched on.
 *
 * All that happens follows from the seed. Signatures are a hash with the signer's entity, as in
 * sim.h. Clients outside send numbered events to each daemon, one at a time, until each is
 * acknowledged; a daemon's state is how many of each client it has applied.
 */
#ifndef MOVES_H
#define MOVES_H

#include "mesh/message.h"
#include "migrate/fault.h"
#include "migrate/orchestrator.h"
#include "migrate/source.h"
#include "migrate/target.h"

#define MS       INT64_C(1000000)
#define SEC      (1000 * MS)
#define HOSTS    5
#define DAEMONS  4
#define CLIENTS  2
#define ATTEMPTS 160
#define CALLS    32
#define HELD     16
#define LOG      64

/* Of each client: what was applied, and the cursor that keeps it from being applied again. */
typedef struct counts {
    uint64_t seen[CLIENTS], applied[CLIENTS];
} counts;

/* What a host has on its disk of an attempt. */
typedef enum row_kind {
    ROW_NONE,
    ROW_USED,
    ROW_RELEASED,
    ROW_FINISHED,
    ROW_TAKEN_BACK,
    ROW_PREPARED,
    ROW_OWNED,
    ROW_REFUSED
} row_kind;

typedef struct row {
    row_kind kind;
    buf *offer, *seal, *stream;
    uint8_t hash[MOVE_HASH_SIZE];
    move_reason reason; /* TAKEN_BACK, REFUSED */
} row;

/* And of a daemon. */
typedef struct own_row {
    bool owned;
    uint64_t epoch;
    counts counts;
} own_row;

typedef struct held_event {
    int client;
    uint64_t number;
} held_event;

/* A daemon in memory. */
typedef struct running {
    bool loaded, gate, syncing, dirty;
    uint64_t epoch;
    counts counts;
    int moving;                      /* attempt, or -1 */
    held_event held[HELD], log[LOG]; /* log: run since the last piece */
    size_t held_count, log_count;
} running;

typedef struct host {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t id;
    bool up, frees; /* frees: machines as soon as they are over */
    unsigned boot;
    double rate;
    int64_t offset, paused_until, ready_at, wake_at, disk_at;
    own_row own[DAEMONS];
    row rows[ATTEMPTS];
    running run[DAEMONS];
    source *sources[ATTEMPTS];
    target *targets[ATTEMPTS];
    bool beginning[ATTEMPTS];                        /* ROW_USED is being written */
    bool tried[ATTEMPTS];                            /* at the target, since the start */
    bool has_ended[ATTEMPTS], ended_moved[ATTEMPTS]; /* of a source that was freed */
    move_reason ended_reason[ATTEMPTS];
    source_piece piece[ATTEMPTS]; /* that is being taken */
    /* Of the stream that is being sent: its hash and length so far. */
    uint8_t *stream[ATTEMPTS];
    size_t stream_len[ATTEMPTS];
    uint32_t stream_held[ATTEMPTS];
} host;

typedef struct daemon {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t origin, epoch;                 /* epoch: the highest that a gate was opened at */
    int at;                                 /* where */
    uint64_t sent[CLIENTS], acked[CLIENTS]; /* of each client */
    uint64_t promised[CLIENTS];             /* acknowledged by some host */
    int hint;
} daemon;

typedef struct attempt {
    int daemon, source, target, call;
    order order;
    bool valid, begun, commit_sent;
    uint64_t epoch; /* offered */
    uint8_t hash[MOVE_HASH_SIZE];
    bool has_hash;
    int from; /* host of its orchestrator */
} attempt;

typedef struct call {
    int host, daemon, source, target, attempt; /* attempt: the present one, or -1 */
    bool bad_order, local;
    orchestrator *o;
    bool lost; /* its host was killed */
    bool over;
    move_outcome outcome;
} call;

typedef struct options {
    int hosts, daemons;
    double loss, duplicate, slow, flip;
    int64_t delay, late, disk;
    double disk_fails, refuses;
    int64_t active;
    int calls, kills, cuts, pauses, strangers, sessions;
    int dead; /* a host that never comes back, or -1 */
    size_t padding;
    uint32_t chunk;
} options;

typedef enum what {
    WHAT_MESSAGE, /* to a, from b */
    WHAT_WAKE,
    WHAT_PIECE, /* host a, attempt b */
    WHAT_ADMIT,
    WHAT_BUILD,
    WHAT_CHECK,
    WHAT_DISK,
    WHAT_CLIENT, /* daemon a, client b */
    WHAT_EVENT,  /* to host a, daemon b; number, client */
    WHAT_ACK,    /* daemon a, client b; number */
    WHAT_KILL,
    WHAT_RESTART,
    WHAT_PAUSE,
    WHAT_CUT,
    WHAT_MEND,
    WHAT_CALL,
    WHAT_CANCEL,
    WHAT_STRANGER,
    WHAT_SESSION, /* host a hears that sessions come and go */
    WHAT_HEAL
} what;

typedef enum op_kind {
    OP_USED,
    OP_STOPPED, /* used, because somebody does not want it any more */
    OP_RELEASED,
    OP_FINISHED,
    OP_TAKEN_BACK,
    OP_PREPARED,
    OP_OWNED,
    OP_REFUSED,
    OP_DROPPED,
    OP_EVENTS
} op_kind;

typedef struct op {
    op_kind kind;
    int attempt, daemon;
    bool fails;
    row row;
    own_row own;
    struct op *next;
} op;

typedef struct occurrence {
    int64_t at;
    uint64_t serial;
    what what;
    int a, b;
    unsigned boot;
    uint64_t number, client;
    buf *bytes;
} occurrence;

typedef struct world {
    uint64_t seed, random;
    int64_t now;
    options options;
    occurrence *heap;
    size_t count, cap;
    uint64_t serial;
    host hosts[HOSTS];
    op *disk[HOSTS]; /* writes under way, the oldest first */
    daemon daemons[DAEMONS];
    attempt attempts[ATTEMPTS];
    call calls[CALLS];
    int attempt_count, call_count;
    bool cut[HOSTS][HOSTS];
    bool healed, trace;
    int64_t healed_at;
    uint8_t operator_key[BERTH_ENTITY_SIZE];
    uint64_t steps, messages, applied, moved;
    char failure[256];
} world;

/* ---- moves_world.c: time, chance, network ---- */
uint64_t moves_random(world *w, uint64_t below);
bool moves_chance(world *w, double share);
occurrence *moves_later(world *w, int64_t in, what kind, int a, int b);
void moves_send(world *w, int from, uint64_t to, buf *message);
void moves_trace(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void moves_fail(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t moves_now(const world *w, int n); /* of a host's clock */
int64_t moves_wall(const world *w);
bool moves_run(world *w, uint64_t seed, bool trace);

/* ---- moves_host.c: life of a host, messages that no machine is there for ---- */
void host_start(world *w, int n);
void host_kill(world *w, int n);
void host_message(world *w, int n, int from, buf *bytes);
void host_pump(world *w, int n);
void host_wake(world *w, int n);
void host_stranger(world *w, int n);
void host_session(world *w, int n);
int host_attempt(const world *w, const uint8_t attempt[ATTEMPT_SIZE]);
bool host_may_run(const world *w, int n, int d, uint64_t epoch);
void host_open(world *w, int n, int d, uint64_t epoch, const counts *c);

/* ---- moves_disk.c ---- */
void disk_write(world *w, int n, op_kind kind, int a, int d, const row *r, const own_row *own);
void disk_done(world *w, int n);
void disk_kill(world *w, int n);
void row_free(row *r);
void row_copy(row *to, const row *from);

/* ---- moves_source.c ---- */
/* Why not, or 0 with *why unset. */
bool source_begin(world *w, int n, int a, const order *o, move_outcome *why);
void source_create(world *w, int n, int a);
void source_recover_row(world *w, int n, int a);
void source_pump(world *w, int n, int a);
void source_piece_due(world *w, int n, int a);
/* How it goes; false: nothing is known of it. */
bool source_state(world *w, int n, int a, move_state *m);
void source_tell(world *w, int n, int a, int to);
void source_freed(world *w, int n, int a);

/* ---- moves_target.c ---- */
void target_offered(world *w, int n, int from, int a, slice offer);
void target_recover_row(world *w, int n, int a);
void target_pump(world *w, int n, int a);
void target_admit(world *w, int n, int a);
void target_build(world *w, int n, int a);
void target_check(world *w, int n, int a);
bool stream_decode(slice stream, counts *out, uint32_t *held);

/* ---- moves_call.c: orders, and who gives them ---- */
void call_begin(world *w);
void call_pump(world *w, int c);
void call_cancel(world *w, int c);
void order_sim_sign(world *w, order *o, const uint8_t signer[BERTH_ENTITY_SIZE]);
bool order_is_valid(world *w, const order *o);
uint64_t moves_hash(const void *bytes, size_t len);
verify_signature moves_verify;

/* ---- moves_client.c: events ---- */
void client_tick(world *w, int d, int c);
void client_event(world *w, int n, int d, int c, uint64_t number);
void client_ack(world *w, int d, int c, uint64_t number);
void client_resume(world *w, int n, int d);
void client_synced(world *w, int n, int d, const own_row *own);

/* ---- moves_check.c: what must hold ---- */
void check_sent(world *w, int from, int to, const buf *message);
void check_step(world *w);
void check_opened(world *w, int n, int d, uint64_t epoch, const counts *c);
bool check_quiet(const world *w);
void check_end(world *w);

#endif
