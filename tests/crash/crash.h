/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/crash: three real hosts between which a daemon is moved all the time, while hosts are
 * killed with -9 or stopped at random instants; and a history of everything that was acknowledged,
 * which the daemon's own list has to agree with.
 *
 *     main.c      rounds: a move, a fault in the middle of it, healing, the questions
 *     hosts.c     processes, and what is asked of them
 *     http.c      one request over a host's socket
 *     senders.c   threads that send numbered events, and the one that looks at who runs the daemon
 *     history.c   what must be in the list, and what may be missing
 */
#ifndef CRASH_H
#define CRASH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define HOSTS      3
#define SENDERS    (2 * HOSTS) /* a client and a pen at each host */
#define PATIENCE_S 60
#define UNSURE_MAX (1 << 20) /* numbers of one sender */

typedef struct host {
    char name[4], dir[96], socket[104], address[32], key[80];
    _Atomic pid_t pid; /* 0: down */
    char pen[24];      /* the origin of its pen */
} host;

extern host hosts[HOSTS];
extern char the_dir[64], ledger[24]; /* the origin of the daemon that is moved */
extern const char *build_dir;

/* ---- main.c ---- */
/* Says what is wrong with this run, once, and ends it. */
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ms(void);
uint64_t random_below(uint64_t n); /* the main thread's */
void nap_us(uint64_t us);

/* ---- http.c ---- */
typedef struct reply {
    int status; /* 0: no answer */
    char *body; /* zero-terminated; never NULL */
    size_t len;
} reply;

reply http(const host *h, const char *method, const char *path, const char *headers,
           const char *body, unsigned timeout_ms);
void reply_free(reply *r);
/* A member's value as it stands there, of the first of this name at or after `at`; "" if none. */
const char *member(const char *json, const char *name, char *out, size_t size);
uint64_t member_u64(const char *json, const char *name);

/* ---- hosts.c ---- */
void hosts_begin(void);
void host_start(host *h);
void host_kill(host *h);
void hosts_end(void);
bool host_ready(const host *h);
/* All are up and have sessions with each other. */
bool hosts_connected(void);
void make_durable(const host *h);

typedef struct place {
    bool answered, there, running;
    uint64_t epoch, incarnation;
} place;

place place_on(const host *h, const char *origin, unsigned timeout_ms);

/* ---- senders.c ---- */
typedef struct sender {
    char who[2];
    bool pen;
    host *at;
    /* Numbers up to: handed in; answered. A pen's are handed in once, a client's until they are in.
     */
    _Atomic uint64_t sent, acknowledged;
    _Atomic bool idle;
    bool unsure[UNSURE_MAX]; /* of a pen: its host did not answer */
} sender;

extern sender senders[SENDERS];

/* Whether it has been said that this number was taken. */
bool sender_knows(const sender *s, uint64_t number);
void senders_begin(void);
void senders_go(void);
void senders_pause(void); /* returns when all is acknowledged, or was given up */
void senders_end(void);

/* ---- history.c ---- */
/* What happened in a round, besides what was sent. */
typedef struct happened {
    unsigned from, to; /* where it was, and where it was to go */
    unsigned now_on;   /* where it is */
    uint64_t epoch[2]; /* before and after */
    uint64_t incarnation[2];
    bool killed[HOSTS], pen_lost[HOSTS]; /* it, or what it had in its outbox */
    uint64_t at_order[SENDERS];          /* acknowledged when the move was ordered */
} happened;

/* The list as the daemon tells it, against all that is known. false: pens' events are still to
 * come; what is otherwise wrong ends the run. */
bool history_check(const char *list, const happened *what, bool last_try);
/* What was checked last is durable from now on. The number to cut at. */
uint64_t history_settled(void);

#endif
