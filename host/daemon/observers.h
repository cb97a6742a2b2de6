/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/observers.h: those who want to be told.
 *
 * Lifecycle events go through one queue to one callback thread, so that those of one daemon arrive
 * in the order in which they happened (compute-core §18.15); so do the answers to berth_submit.
 * Delivery observers are called on the runner's thread, between two events of their daemon
 * (§18.14). No lock is held while either runs; unobserve waits for a running one.
 */
#ifndef DAEMON_OBSERVERS_H
#define DAEMON_OBSERVERS_H

#include "berth/runtime.h"

#include <pthread.h>
#include <stdatomic.h>

struct daemon;
struct observer;

/* Something for the callback thread; run frees it. */
typedef struct callback callback;
struct callback {
    callback *next;
    void (*run)(callback *c);
};

typedef struct observers {
    const struct log_capture *log;
    pthread_mutex_t lock;
    pthread_cond_t work, quiet;
    struct observer *list;
    uint64_t next_id;
    atomic_uint lifecycle, delivery; /* how many of that sort */
    callback *head, *tail;
    pthread_t thread;
    bool started, stop;
} observers;

void observers_init(observers *o);
/* Runs what is queued, then joins the thread. */
void observers_fini(observers *o);

uint64_t observers_add_lifecycle(observers *o, void (*fn)(void *, const berth_lifecycle_event *),
                                 void *ctx);
uint64_t observers_add_delivery(observers *o, uint64_t origin,
                                void (*fn)(void *, uint64_t, const berth_event *), void *ctx);
/* The origin of a delivery observer, else 0. */
uint64_t observers_remove(observers *o, uint64_t id);

/* Queue an event; strings are copied. Costs nothing without observers. */
void observers_tell(observers *o, berth_lifecycle_type type, struct daemon *d, uint32_t value,
                    const char *text);

/* Set d->observed as it is now. After each change, and once d can be found by its origin: whoever
 * observes an origin does so through all its lives. */
void observers_refresh(observers *o, struct daemon *d);

/* The runner's: d applied this event. In the order of registration. */
void observers_delivered(observers *o, uint64_t origin, const berth_event *event);

/* Run c on the callback thread. False: there is no thread to be had; c is the caller's. */
bool observers_call(observers *o, callback *c);

#endif
