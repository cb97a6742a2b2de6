/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/impair.h: a network as bad as told, between an endpoint and its socket, for tests.
 *
 * A machine: datagrams are handed in with the time and come out, by impair_next, when they are due.
 * One object serves one direction of one node: what leaves an endpoint before the socket, or what
 * came from the socket before the endpoint. Each remote address is a path of its own, with its own
 * rule or else the rule for all. One thread at a time; nothing blocks; all times are monotonic
 * nanoseconds, and one that lies before the last counts as the last.
 *
 * A datagram goes through the parts of its rule in this order, each of them off when it is zero:
 *
 *     drop       all are lost: a partition, in this direction
 *     burst      a share of datagrams begins a burst, a share of those in it ends it; in a burst
 *                burst_loss of them are lost, outside of it `loss` (Gilbert-Elliott)
 *     loss       a share is lost
 *     duplicate  a share goes on twice; each copy has what follows on its own
 *     corrupt    a share has one bit flipped
 *     rate       a line of so many bytes a second, in front of which `queue` bytes may wait; more
 *                are lost. `bucket` bytes may go at once after a quiet time
 *     delay      delay_ns, and from 0 to jitter_ns more, evenly spread
 *     reorder    a share comes reorder_ns later, and what is behind it may overtake it
 *
 * Without `reorder` the datagrams of a path stay in order: whoever would overtake by jitter waits
 * for the one before. (netem lets jitter alone reorder.) A new rule for a path begins afresh: line
 * and burst are forgotten, and what comes then does not wait behind what was queued before, which
 * still comes out at its time.
 *
 * All chance is in the seed. What happens to the n-th datagram of a path, since a rule first
 * applied to it, depends on the seed, the remote, n, the rules and the times, and on no other path;
 * and a share that is changed leaves the draws for the others as they were. Two objects with one
 * seed do the same: give each its own.
 */
#ifndef MESH_IMPAIR_H
#define MESH_IMPAIR_H

#include "base/buf.h"
#include "mesh/transport.h"

#define IMPAIR_ALL       1000000u        /* shares are in millionths */
#define IMPAIR_MEMORY    (64u << 20)     /* bytes that may be queued, with their bookkeeping */
#define IMPAIR_PATHS_MAX 4096u           /* remotes that are told apart */
#define IMPAIR_TIME_MAX  3600000000000ll /* of each delay */
#define IMPAIR_RATE_MAX  12500000000ull  /* 100 Gbit/s */
#define IMPAIR_TEXT      512             /* the longest rule as text, with its terminating zero */

/* Zeroed: nothing happens to a datagram. In brackets what zero stands for. */
typedef struct impair_rule {
    int64_t delay_ns, jitter_ns;
    int64_t reorder_ns; /* [10 ms] */
    uint64_t rate;      /* bytes a second, of UDP payload */
    uint64_t queue;     /* [256 KiB]; one that finds the line free is always taken */
    uint64_t bucket;    /* 0: each leaves when its last byte has */
    uint32_t loss, duplicate, corrupt, reorder;
    uint32_t burst_enter, burst_leave;
    uint32_t burst_loss; /* [all] */
    bool drop;
} impair_rule;

typedef struct impair impair;

/* NULL when memory is short. */
impair *impair_new(uint64_t seed);
/* With all that is queued; NULL is allowed. */
void impair_free(impair *i);

/*
 * The rule for one remote, or for all that have none of their own (remote NULL). rule NULL: none,
 * so a remote falls back to the rule for all. INVALID with the reason; LIMIT: too many remotes.
 */
berth_status impair_set(impair *i, const address *remote, const impair_rule *rule,
                        berth_error *error);
/* No rules from now on. */
void impair_clear(impair *i);
/* No rule does anything and nothing is queued: whoever asks may pass its datagrams by. */
bool impair_idle(const impair *i);

/* One datagram, copied. local: the node's own address, or NULL. */
void impair_offer(impair *i, const address *remote, const address *local, const void *bytes,
                  size_t len, uint8_t ecn, int64_t now_ns);
/* The datagrams of a run that endpoint_send gave. */
void impair_offer_run(impair *i, const outgoing *run, int64_t now_ns);

/* When a datagram is due next; INT64_MAX: nothing is queued. */
int64_t impair_deadline(const impair *i);

typedef struct impaired {
    address remote, local;
    const uint8_t *bytes; /* until the next impair_next, impair_send or impair_free */
    size_t len;
    uint8_t ecn;
} impaired;
/* The next that is due; false: none is. */
bool impair_next(impair *i, int64_t now_ns, impaired *out);
/* The same as a run of one in the driver's memory, so that it stands where endpoint_send stood. One
 * that is longer than cap is dropped. */
bool impair_send(impair *i, uint8_t *memory, size_t cap, outgoing *out, int64_t now_ns);

/* offered + duplicated = out + queued + all that were dropped. */
typedef struct impair_counters {
    uint64_t offered, out;
    uint64_t queued, memory; /* now: datagrams; bytes */
    uint64_t duplicated, corrupted, reordered;
    uint64_t delayed; /* came out, or will, later than they were offered */
    /* Datagrams that were dropped, by reason. */
    uint64_t dropped_blackhole, dropped_loss, dropped_burst, dropped_queue;
    uint64_t dropped_memory; /* IMPAIR_MEMORY, or that of the process */
    uint64_t dropped_paths;  /* IMPAIR_PATHS_MAX */
    uint64_t dropped_size;   /* over 65,535 bytes, or over what impair_send was given */
} impair_counters;
void impair_get_counters(const impair *i, impair_counters *out);

/* ---- Rules as text (impair_text.c) ----------------------------------------------------------- */

/*
 * Words in any order, each at most once, with spaces between them; no word at all is the rule that
 * does nothing:
 *
 *     drop  loss=1%  burst=0.5%/20%[/90%]  dup=0.1%  corrupt=100ppm  reorder=2%[/20ms]
 *     delay=5ms  jitter=1ms  rate=100Mbit  queue=256KiB  bucket=16KiB
 *
 * burst: ENTER/LEAVE/LOSS; reorder: the share, and how much later. Shares end with % or ppm,
 * times with ns, us, ms or s; rates with bit, kbit, Mbit or Gbit (of 1,000), sizes with B, KiB
 * or MiB (of 1,024). INVALID with the word, what is wrong with it and what is allowed; *out is then
 * zeroed.
 */
berth_status impair_parse(impair_rule *out, slice text, berth_error *error);
/* A text that impair_parse makes the same rule of; the same for equal rules. Returns out. */
char *impair_format(char out[IMPAIR_TEXT], const impair_rule *rule);
/* INVALID when a number is out of range or one contradicts another; impair_set and impair_parse
 * check it themselves. */
berth_status impair_check(const impair_rule *rule, berth_error *error);

#endif
