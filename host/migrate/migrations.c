/* SPDX-License-Identifier: Apache-2.0 */
/* The thread: inputs one by one, deadlines, and what others ask of it. */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "base/random.h"
#include "daemon/latch.h"

#include <sodium.h>

#include <stdlib.h>

/* ---- Inputs and jobs ------------------------------------------------------------------------- */

bool migrations_have_ended(migrations *x)
{
    bool ended;

    pthread_mutex_lock(&x->lock);
    ended = x->ended;
    pthread_mutex_unlock(&x->lock);
    return ended;
}

void migrations_post(migrations *x, input *in)
{
    bool ended;

    in->next = NULL;
    pthread_mutex_lock(&x->lock);
    ended = x->ended;
    if (!ended) {
        if (x->tail)
            x->tail->next = in;
        else
            x->head = in;
        x->tail = in;
        pthread_cond_signal(&x->wake);
    }
    pthread_mutex_unlock(&x->lock);
    if (ended)
        in->run(x, in, true);
}

void migrations_work(migrations *x, job *j)
{
    j->next = NULL;
    pthread_mutex_lock(&x->lock);
    if (x->jobs_tail)
        x->jobs_tail->next = j;
    else
        x->jobs = j;
    x->jobs_tail = j;
    pthread_cond_signal(&x->work);
    pthread_mutex_unlock(&x->lock);
}

static void *worker(void *arg)
{
    migrations *x = arg;

    pthread_mutex_lock(&x->lock);
    for (;;) {
        job *j = x->jobs;

        if (!j && x->ended)
            break;
        if (!j) {
            pthread_cond_wait(&x->work, &x->lock);
            continue;
        }
        x->jobs = j->next;
        if (!x->jobs)
            x->jobs_tail = NULL;
        pthread_mutex_unlock(&x->lock);
        j->work(j);
        migrations_post(x, &j->back);
        pthread_mutex_lock(&x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

void count(migrations *x, uint64_t *which, uint64_t by)
{
    pthread_mutex_lock(&x->lock);
    *which += by;
    pthread_mutex_unlock(&x->lock);
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* Under the lock. */
static void sleep_until(migrations *x, int64_t at)
{
    struct timespec until = {.tv_sec = (time_t)(at / S_NS), .tv_nsec = (long)(at % S_NS)};

    if (at == INT64_MAX)
        pthread_cond_wait(&x->wake, &x->lock);
    else
        pthread_cond_timedwait(&x->wake, &x->lock, &until);
}

static void run_dues(migrations *x)
{
    int64_t now = now_of();
    heap_node *n;

    while ((n = heap_pop_due(&x->dues, now)))
        attempt_expire((attempt *)n, now);
    while ((n = heap_pop_due(&x->orders, now))) {
        migration *g = (migration *)n;

        orchestrator_expire(g->machine, now);
        migration_pump(g);
    }
    if (x->config.store && now >= x->expire_ns) {
        store_attempts_expire(x->config.store, clock_wall_ns() / S_NS, NULL, NULL);
        x->expire_ns = now + 3600 * S_NS;
    }
}

static void *run(void *arg)
{
    migrations *x = arg;

    pthread_mutex_lock(&x->lock);
    for (;;) {
        int64_t next = heap_next(&x->dues), orders = heap_next(&x->orders);
        input *list = x->head;

        if (orders < next)
            next = orders;
        if (!list && x->stopping)
            break;
        if (!list && next > now_of())
            sleep_until(x, next);
        list = x->head;
        x->head = x->tail = NULL;
        pthread_mutex_unlock(&x->lock);
        while (list) {
            input *in = list;

            list = in->next;
            in->run(x, in, false);
        }
        run_dues(x);
        pthread_mutex_lock(&x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void peers_changed(void *ctx, const peer_event *e);

berth_status migrations_new(const migrations_config *config, migrations **out, berth_error *error)
{
    migrations *x = calloc(1, sizeof *x);
    pthread_condattr_t monotonic;
    berth_status status;

    *out = NULL;
    if (!x)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    x->config = *config;
    sodium_ready();
    crypto_scalarmult_base(x->static_public, config->static_secret);
    if (!x->config.max_stream)
        x->config.max_stream = UINT32_MAX;
    if (!x->config.max_bytes)
        x->config.max_bytes = 2 * x->config.max_stream;
    pthread_mutex_init(&x->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&x->wake, &monotonic);
    pthread_cond_init(&x->work, &monotonic);
    pthread_cond_init(&x->change, &monotonic);
    pthread_cond_init(&x->quiet, &monotonic);
    pthread_condattr_destroy(&monotonic);
    x->ended = true; /* until it starts */
    x->changes = calloc(CHANGES_MAX, sizeof *x->changes);
    status = x->changes ? migrations_set_policy(x, &config->policy, error)
                        : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    if (status == BERTH_OK)
        status = mesh_watch(config->mesh, peers_changed, x);
    if (status != BERTH_OK) {
        migrations_free(x);
        return status;
    }
    mesh_on_moving(config->mesh, migrations_received, x);
    *out = x;
    return BERTH_OK;
}

void migrations_on_loaded(migrations *x, void (*loaded)(void *ctx), void *ctx)
{
    x->loaded = loaded;
    x->loaded_ctx = ctx;
}

berth_status migrations_start(migrations *x, runtime *rt, berth_error *error)
{
    berth_status status;
    unsigned made = 0;

    x->rt = rt;
    pthread_mutex_lock(&x->lock);
    x->ended = false;
    pthread_mutex_unlock(&x->lock);
    while (made < WORKERS && pthread_create(&x->workers[made], NULL, worker, x) == 0)
        pthread_setname_np(x->workers[made++], "berth-move-work");
    status = made == WORKERS ? journal_recover(x, error) : BERTH_OK;
    if (status == BERTH_OK && (made < WORKERS || pthread_create(&x->thread, NULL, run, x) != 0))
        status = fail(error, BERTH_ERR_NO_MEMORY, "no thread can be made");
    if (status == BERTH_OK) {
        pthread_setname_np(x->thread, "berth-move");
        x->running = true;
        return BERTH_OK;
    }
    pthread_mutex_lock(&x->lock);
    x->ended = true;
    pthread_cond_broadcast(&x->work);
    pthread_mutex_unlock(&x->lock);
    while (made)
        pthread_join(x->workers[--made], NULL);
    return status;
}

/* On the thread, as its last inputs: what is not decided stays where it is. */
typedef struct stop_input {
    input in;
    latch *done;
} stop_input;

static void stop_all(migrations *x, input *in, bool ended)
{
    stop_input *s = (stop_input *)in;
    attempt **list = NULL;
    size_t n = 0;
    void *value;
    slice key;

    if (!ended)
        list = malloc((x->attempts.count + 1) * sizeof(attempt *));
    for (size_t at = 0; list && strmap_next(&x->attempts, &at, &key, &value);)
        list[n++] = value;
    for (size_t i = 0; i < n; i++) {
        attempt *a = list[i];
        move_outcome why;

        move_failed(&why, MOVE_SHUTTING_DOWN, "the source is being stopped");
        if (a->source && !a->over)
            source_abort(a->source, &why, now_of());
        attempt_pump(a);
    }
    free(list);
    latch_answer(s->done, BERTH_OK, NULL);
}

/* Answers of stores and daemons that are on their way. */
static bool is_quiet(migrations *x)
{
    bool quiet = true;
    void *value;
    slice key;

    pthread_mutex_lock(&x->lock);
    for (size_t at = 0; quiet && strmap_next(&x->attempts, &at, &key, &value);)
        quiet = !((const attempt *)value)->pending;
    pthread_mutex_unlock(&x->lock);
    return quiet;
}

typedef struct quiet_input {
    input in;
    latch *done;
    bool quiet;
} quiet_input;

static void look_if_quiet(migrations *x, input *in, bool ended)
{
    quiet_input *q = (quiet_input *)in;

    q->quiet = ended || is_quiet(x);
    latch_answer(q->done, BERTH_OK, NULL);
}

#define PATIENCE_NS (2 * S_NS)

void migrations_stop(migrations *x)
{
    latch done;
    stop_input s = {.in = {.run = stop_all}, .done = &done};
    int64_t until = now_of() + PATIENCE_NS;

    if (!x || !x->running)
        return;
    latch_init(&done, 1);
    migrations_post(x, &s.in);
    latch_wait(&done, NULL);
    latch_fini(&done);
    for (bool quiet = false; !quiet && now_of() < until;) {
        quiet_input q = {.in = {.run = look_if_quiet}, .done = &done};

        latch_init(&done, 1);
        migrations_post(x, &q.in);
        latch_wait(&done, NULL);
        latch_fini(&done);
        quiet = q.quiet;
        if (!quiet)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    pthread_mutex_lock(&x->lock);
    x->stopping = true;
    pthread_cond_signal(&x->wake);
    pthread_mutex_unlock(&x->lock);
    pthread_join(x->thread, NULL);
    pthread_mutex_lock(&x->lock);
    x->ended = true;
    pthread_cond_broadcast(&x->work);
    pthread_cond_broadcast(&x->change);
    pthread_mutex_unlock(&x->lock);
    changes_stop(x);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(x->workers[i], NULL);
    while (x->head) {
        input *in = x->head;

        x->head = in->next;
        in->run(x, in, true);
    }
    x->running = false;
}

static void free_attempts(migrations *x)
{
    for (;;) {
        size_t at = 0;
        void *value;
        slice key;

        if (!strmap_next(&x->attempts, &at, &key, &value))
            break;
        attempt_free(value);
    }
    strmap_fini(&x->attempts);
    map64_fini(&x->by_origin);
    map64_fini(&x->coming);
    map64_fini(&x->promised);
    heap_fini(&x->dues);
}

void migrations_free(migrations *x)
{
    if (!x)
        return;
    migrations_stop(x);
    fetching_free_all(x);
    free_attempts(x);
    migrations_forget(x);
    free(x->accept);
    free(x->operators);
    free(x->changes);
    pthread_mutex_destroy(&x->lock);
    pthread_cond_destroy(&x->wake);
    pthread_cond_destroy(&x->work);
    pthread_cond_destroy(&x->change);
    pthread_cond_destroy(&x->quiet);
    sodium_memzero(x->config.static_secret, sizeof x->config.static_secret);
    free(x);
}

/* ---- Policy ---------------------------------------------------------------------------------- */

berth_status migrations_set_policy(migrations *x, const migrations_policy *p, berth_error *error)
{
    char(*accept)[128] = NULL;
    uint8_t(*operators)[BERTH_ENTITY_SIZE] = NULL;

    if (p->accept_count > MIGRATIONS_KIND_PATTERNS || p->operator_count > MIGRATIONS_OPERATORS)
        return fail(error, BERTH_ERR_LIMIT,
                    "migration: at most %d patterns of kinds and %d operators can be named",
                    MIGRATIONS_KIND_PATTERNS, MIGRATIONS_OPERATORS);
    accept = calloc(p->accept_count + 1, sizeof *accept);
    operators = calloc(p->operator_count + 1, sizeof *operators);
    if (!accept || !operators) {
        free(accept);
        free(operators);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < p->accept_count; i++)
        snprintf(accept[i], sizeof accept[i], "%s", p->accept[i]);
    if (p->operator_count)
        memcpy(operators, p->operators, p->operator_count * sizeof *operators);
    pthread_mutex_lock(&x->lock);
    free(x->accept);
    free(x->operators);
    x->accept = accept;
    x->accept_count = p->accept_count;
    x->operators = operators;
    x->operator_count = p->operator_count;
    x->expected_only = p->expected_only;
    x->precopy_from = p->precopy_from ? p->precopy_from : PRECOPY_FROM;
    x->fetch = p->fetch;
    pthread_mutex_unlock(&x->lock);
    return BERTH_OK;
}

/* ---- Peers ----------------------------------------------------------------------------------- */

typedef struct peer_input {
    input in;
    uint64_t node;
    bool up;
} peer_input;

static void peer_changed(migrations *x, input *in, bool ended)
{
    peer_input *p = (peer_input *)in;
    attempt **list = ended ? NULL : malloc((x->attempts.count + 1) * sizeof(attempt *));
    size_t n = 0;
    void *value;
    slice key;

    for (size_t at = 0; list && strmap_next(&x->attempts, &at, &key, &value);) {
        attempt *a = value;

        if (a->peer == p->node && (!a->over || (a->hearing.known && a->target)))
            list[n++] = a;
    }
    for (size_t i = 0; i < n; i++) {
        attempt *a = list[i];

        if (a->source && p->up)
            source_target_up(a->source, now_of());
        else if (a->source)
            source_target_gone(a->source, now_of());
        else if (a->target && p->up) {
            target_source_up(a->target, now_of());
            fetching_source_up(a);
        }
        if (a->target && p->up && a->hearing.known)
            hearing_begin(a); /* it may not have heard the last of it */
        attempt_pump(a);
    }
    free(list);
    free(p);
}

/* On the mesh's thread. */
static void peers_changed(void *ctx, const peer_event *e)
{
    bool up = e->change == PEER_UP || e->change == PEER_RENEWED || e->change == PEER_RESTARTED ||
              e->change == PEER_RECOVERED;
    bool gone = e->change == PEER_FAILED || e->change == PEER_LEFT;
    peer_input *p = up || gone ? calloc(1, sizeof *p) : NULL;

    if (!p)
        return;
    *p = (peer_input){{.run = peer_changed}, e->node, up};
    migrations_post(ctx, &p->in);
}
