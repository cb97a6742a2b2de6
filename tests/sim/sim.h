/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h: a world of nodes and daemons in one thread, with virtual time, network and disk.
 *
 * The machines are those of host/mesh, built once more with mesh/fault.h switched on. All that
 * happens follows from the seed. Signatures are a hash with the signer's entity: whoever does not
 * use sim_sign cannot make one, and thousands of seeds a minute are possible.
 */
#ifndef SIM_H
#define SIM_H

#include "mesh/directory.h"
#include "mesh/fault.h"
#include "mesh/flow.h"

#include <stdio.h>

#define MS          INT64_C(1000000)
#define SEC         (1000 * MS)
#define NODES_MAX   64
#define DAEMONS_MAX 64
#define MOVES_MAX   32
#define EPOCHS_MAX  (MOVES_MAX + 2)
#define TICK        (50 * MS)

/* How many events of a pair, of which incarnation of the sender. */
typedef struct count {
    uint64_t incarnation, n;
} count;

/* One transaction of a daemon: what it took in, and what it sent. */
typedef enum record_kind { RECORD_RUN, RECORD_OUT_CLOSE, RECORD_IN_CLOSE } record_kind;
typedef struct record {
    record_kind kind;
    flow_id id; /* of the input, or of the closed flow; sender 0: no input */
    uint64_t through;
    count input;
    int from;           /* daemon that sent the input */
    int to[2];          /* outputs, or the receiver of the closed flow; -1: none */
    uint64_t number[2]; /* of the outputs, from 1 for each pair */
} record;

/* What a node has on its disk of a daemon: a snapshot, and the journal since. */
typedef struct image {
    bool owned;
    uint64_t epoch, incarnation, generation;
    writer outbox;
    flow_cursor *cursors;
    size_t cursor_count;
    count seen[DAEMONS_MAX];         /* from each sender */
    uint64_t made[DAEMONS_MAX];      /* to each receiver */
    uint64_t life_base[DAEMONS_MAX]; /* of these, before the present flow began */
    record *journal;
    size_t length, cap, durable; /* records; those that a kill leaves */
    bool has_handover;
    handover handover;
    uint8_t former[DIRECTORY_FORMER_MAX][BERTH_ENTITY_SIZE];
    size_t former_count;
} image;

/* A running daemon. */
typedef struct instance {
    flow_in *inbox;
    flow_out *outbox;
    uint64_t epoch, incarnation;
    count seen[DAEMONS_MAX];
    uint64_t made[DAEMONS_MAX], life_base[DAEMONS_MAX];
    uint64_t out[DAEMONS_MAX]; /* of made, those handed to the flows */
    size_t released;           /* records of the journal whose effects are out */
    size_t syncing;            /* the disk is at work up to here; 0: it is not */
    int hold;                  /* the move that holds it, or -1 */
    bool closing_in[DAEMONS_MAX], closing_out[DAEMONS_MAX];
} instance;

typedef struct node {
    uint8_t entity[BERTH_ENTITY_SIZE];
    bool up, evil;
    unsigned boot;
    double rate; /* of its clock */
    directory *directory;
    instance *running[DAEMONS_MAX];
    image disk[DAEMONS_MAX];
    directory_place last[DAEMONS_MAX]; /* for: epochs never fall */
} node;

typedef struct daemon {
    uint8_t entity[BERTH_ENTITY_SIZE];
    uint64_t origin;
    bool keeps_journal; /* else: only sends, and begins anew after a kill */
    bool cloned;
    uint64_t incarnation;       /* the highest there was */
    int owner_at[EPOCHS_MAX];   /* node, -1 */
    uint64_t epoch;             /* the highest that was given */
    count sent[DAEMONS_MAX];    /* that may have left, to each receiver */
    count durable[DAEMONS_MAX]; /* applied for good here, from each sender */
} daemon;

typedef struct move {
    int daemon, from, to;
    uint64_t epoch;
    image image;
    handover handover;
    int64_t began;
    bool abandoned;                              /* before it was released */
    bool asked, prepared, released, owned, done; /* asked: the disk is at work on the next one */
} move;

typedef struct options {
    int nodes, daemons;
    double loss, duplicate, slow; /* shares of messages */
    int64_t delay, late;          /* at most; late: of slow ones */
    int64_t active;               /* for so long daemons send and faults happen */
    int kills, cuts, moves;
    bool tombstones, evil, clone, closes;
    uint32_t cursors, window, outbox;
} options;

typedef struct occurrence occurrence;

typedef struct world {
    uint64_t seed, random;
    int64_t now;
    options options;
    occurrence *heap;
    size_t count, cap;
    uint64_t serial;
    node nodes[NODES_MAX];
    daemon daemons[DAEMONS_MAX];
    move moves[MOVES_MAX];
    int move_count;
    bool cut[NODES_MAX][NODES_MAX]; /* from, to */
    bool healed, trace;
    uint64_t steps, messages, applied;
    char failure[256];
} world;

/* ---- world.c: time, chance, network ---- */
typedef enum what {
    WHAT_MESSAGE,
    WHAT_TICK,
    WHAT_SEND,
    WHAT_SYNC,
    WHAT_KILL,
    WHAT_RESTART,
    WHAT_CUT,
    WHAT_MEND,
    WHAT_MOVE,
    WHAT_MOVE_SYNC,
    WHAT_CLONE,
    WHAT_HEAL
} what;
struct occurrence {
    int64_t at;
    uint64_t serial;
    what what;
    int a, b; /* nodes, daemons, moves */
    unsigned boot;
    buf *bytes;
};
uint64_t sim_random(world *w, uint64_t below);
bool sim_chance(world *w, double share);
void sim_later(world *w, int64_t in, what kind, int a, int b, buf *bytes);
void sim_send(world *w, int from, int to, const writer *message);
void sim_trace(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
int sim_node_of(const world *w, const uint8_t entity[BERTH_ENTITY_SIZE]);
int sim_daemon_of(const world *w, uint64_t origin);
void sim_sign(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message, size_t len,
              uint8_t signature[BERTH_SIGNATURE_SIZE]);
verify_signature sim_verify;
/* Everything from one seed; false, with failure filled in. print: the trace on standard output. */
bool sim_run(world *w, uint64_t seed, bool print);

/* ---- node.c: what a host does with the machines ---- */
void node_start(world *w, int n);
void node_kill(world *w, int n);
void node_tick(world *w, int n);
void node_message(world *w, int n, int from, buf *bytes);
void node_pump(world *w, int n);
void node_announce(world *w, int n, int d);
instance *node_open(world *w, int n, int d);
void node_close(world *w, int n, int d);
void node_send(world *w, int n, int d);
void node_sync(world *w, int n, int d);
void node_save(world *w, int n, int d);
bool node_gate_open(const world *w, int n, int d);
presence node_presence(const world *w, int n, int d, uint64_t epoch, uint64_t incarnation);
void node_evil(world *w, int n);
int64_t node_now(const world *w, int n);
int64_t node_wall(const world *w);
void image_free(image *i);
void image_copy(image *to, const image *from);

/* ---- daemon.c: its disk, and what that lets out ---- */
void node_append(world *w, int n, int d, const record *r);
void node_release(world *w, int n, int d);
void node_commit(world *w, int n, int d);
void node_put_out(world *w, int d, instance *i, int to, uint64_t number, bool *blocked);

/* ---- move.c: from one node to another ---- */
enum { MOVE_PREPARE = 0xff01, MOVE_PREPARED, MOVE_COMMIT, MOVE_OWNED };
void move_begin(world *w, int d, int to);
void move_tick(world *w, int n);
void move_message(world *w, int n, int from, uint16_t kind, int attempt);
void move_sync(world *w, int n, int attempt);
void move_restart(world *w, int n);
void move_kill(world *w, int n);

/* ---- check.c: what must hold ---- */
void check_apply(world *w, int n, int d, const flow_event *e);
void check_sent(world *w, int from, int to, slice message);
void check_answer(world *w, int n, int d, uint64_t receiver);
void check_node(world *w, int n);
void check_world(world *w);
bool check_quiet(world *w);
void check_why(world *w);
void check_end(world *w);

/* What an event of a simulated daemon says. */
#define PAYLOAD 24
buf *payload_make(int from, int to, uint64_t incarnation, uint64_t number);
bool payload_read(slice bytes, int *from, int *to, count *number);

#endif
