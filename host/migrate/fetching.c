/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kind that is not here: its plugin is fetched from the source of an offer (docs/migration.md,
 * "Fetching the plugin"), once for all attempts that wait for the same file. One of them leads: it
 * is its source that is asked. Files are written, and plugins loaded, on the workers.
 */
#include "migrate/migrations_private.h"

#include "base/error.h"
#include "plugin/travel.h"

#include <stdlib.h>

#define FETCHINGS_MAX       4
#define FETCHINGS_OF_A_NODE 2

struct fetching {
    job job; /* first; one at a time */
    migrations *x;
    fetch *machine;
    attempt *leader;
    uint8_t digest[DIGEST_BYTES];
    char kind[128];        /* of the leader */
    plugin_coming *coming; /* the job's while it is out */
    bool out, dead;        /* dead: nobody waits for it, and it is in no list */
    bool inherited;        /* what is loaded came from the source of a former leader */
    fetching *next;
    /* What the job does, and what came of it. */
    fetch_need_kind step; /* OVER: drop the file */
    fetch_need need;
    berth_status status;
    berth_error error;
    bool judged; /* by what the file is: the same source has no better one */
};

static bool is_on(migrations *x)
{
    bool on;

    pthread_mutex_lock(&x->lock);
    on = x->fetch;
    pthread_mutex_unlock(&x->lock);
    return on;
}

/* An attempt that waits for it beside the leader, of any node (0) or of this one; or NULL. */
static attempt *waiting(const fetching *f, uint64_t of_node)
{
    void *value;
    slice key;

    for (size_t at = 0; strmap_next(&f->x->attempts, &at, &key, &value);) {
        attempt *a = value;

        if (a->fetching == f && a != f->leader && (!of_node || a->peer == of_node))
            return a;
    }
    return NULL;
}

/* ---- On a worker ----------------------------------------------------------------------------- */

static void load(fetching *f)
{
    plugins_loaded loaded;

    f->status = plugin_coming_load(f->coming, f->kind, &loaded, &f->judged, &f->error);
    plugin_coming_end(f->coming);
    f->coming = NULL;
    if (f->status != BERTH_OK || loaded.already)
        return;
    mesh_facts_changed(f->x->config.mesh);
    if (f->x->loaded)
        f->x->loaded(f->x->loaded_ctx);
}

static void work(job *j)
{
    fetching *f = (fetching *)j;

    f->error = (berth_error){0};
    f->status = BERTH_OK;
    switch (f->step) {
    case FETCH_OPEN:
        f->status = plugins_receive(f->x->config.plugins, f->digest, f->need.total,
                                    f->need.signature, &f->coming, &f->error);
        f->judged = f->status == BERTH_ERR_REFUSED;
        break;
    case FETCH_WRITE:
        f->status = plugin_coming_add(f->coming, slice_of(f->need.bytes->data, f->need.bytes->len),
                                      &f->error);
        break;
    case FETCH_LOAD:
        load(f);
        break;
    default:
        plugin_coming_end(f->coming);
        f->coming = NULL;
        break;
    }
}

/* ---- Its life -------------------------------------------------------------------------------- */

static void destroy(fetching *f)
{
    plugin_coming_end(f->coming);
    fetch_free(f->machine);
    free(f);
}

static void has_worked(migrations *x, input *in, bool ended);

static void submit(fetching *f, fetch_need_kind step)
{
    f->step = step;
    f->out = true;
    f->job = (job){.back = {.run = has_worked}, .work = work};
    migrations_work(f->x, &f->job);
}

/* Nobody waits for it any more. */
static void release(fetching *f)
{
    fetching **at = &f->x->fetchings;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->dead = true;
    if (!f->out && f->coming)
        submit(f, FETCH_OVER);
    else if (!f->out)
        destroy(f);
}

static fetching *create(attempt *a)
{
    const move_offer *o = target_offer(a->target);
    migrations *x = a->x;
    fetch_config config = {.head = o->head,
                           .source = a->peer,
                           .limit = plugins_max_file(x->config.plugins),
                           .resend_ns = x->config.resend_ns};
    fetching *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    memcpy(config.digest, o->digest, sizeof config.digest);
    *f = (fetching){.x = x, .leader = a, .machine = fetch_new(&config, now_of())};
    if (!f->machine) {
        free(f);
        return NULL;
    }
    memcpy(f->digest, o->digest, sizeof f->digest);
    memcpy(f->kind, a->kind, sizeof f->kind);
    f->next = x->fetchings;
    x->fetchings = f;
    a->fetching = f;
    log_info("migrate", "kind '%s' is not here: fetching plugin '%.*s' from node %016llx", a->kind,
             (int)o->plugin.len, (const char *)o->plugin.ptr, (unsigned long long)a->peer);
    return f;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void refuse(attempt *a, const move_outcome *why)
{
    const move_offer *o = target_offer(a->target);
    char digest[2 * DIGEST_BYTES + 1];
    move_outcome whole;

    a->fetching = NULL;
    move_failed(&whole, why->reason,
                "kind '%s' (state version %u, plugin '%.*s' %s) is not on the target, and its "
                "plugin was not fetched: %s",
                a->kind, o->state_version, (int)o->plugin.len, (const char *)o->plugin.ptr,
                hex_encode(digest, slice_of(o->digest, 8)), why->text);
    count(a->x, &a->x->counters.fetches_refused, 1);
    target_answer(a, &whole);
}

/* Those that wait for it, but the leader: all, or those of one node. */
static void refuse_others(fetching *f, uint64_t of_node, const move_outcome *why)
{
    for (attempt *a; (a = waiting(f, of_node)) != NULL;) {
        refuse(a, why);
        attempt_pump(a);
    }
}

static void admit_anew(attempt *a)
{
    a->fetching = NULL;
    a->fetched = true;
    target_admission(a);
}

static void loaded(fetching *f)
{
    count(f->x, &f->x->counters.plugins_fetched, 1);
    admit_anew(f->leader); /* it is being pumped */
    for (attempt *a; (a = waiting(f, 0)) != NULL;) {
        admit_anew(a);
        attempt_pump(a);
    }
}

/* What came from the leader's source was no good, or will not come: from the start, from the source
 * of another that waits. */
static void pass_to_another(fetching *f)
{
    attempt *next = waiting(f, 0);
    move_outcome why;
    fetching *g = next ? create(next) : NULL;

    if (next && !g) {
        move_failed(&why, MOVE_FACTORY_NOT_FOUND, "out of memory");
        refuse_others(f, 0, &why);
    }
    for (attempt *a; g && (a = waiting(f, 0)) != NULL;)
        a->fetching = g;
    if (g)
        attempt_pump(next);
}

static void finished(fetching *f)
{
    const move_outcome *why = fetch_outcome(f->machine);
    fetch_view v;

    fetch_look(f->machine, &v);
    if (v.loaded) {
        loaded(f);
    } else if (f->inherited) {
        f->leader = NULL;
        pass_to_another(f);
    } else {
        refuse(f->leader, why);
        if (f->judged)
            refuse_others(f, f->leader->peer, why);
        pass_to_another(f);
    }
    release(f);
}

static void tell(fetching *f)
{
    move_outcome why;
    bool refused = f->status == BERTH_ERR_REFUSED || f->status == BERTH_ERR_SIGNATURE;

    if (f->status != BERTH_OK)
        move_failed(&why, refused ? MOVE_REFUSED : MOVE_FACTORY_NOT_FOUND, "the plugin: %s",
                    f->error.text);
    fetch_answered(f->machine, f->status, f->status == BERTH_OK ? NULL : &why, now_of());
}

static void has_worked(migrations *x, input *in, bool ended)
{
    fetching *f = (fetching *)in;

    (void)x;
    buf_unref(f->need.bytes);
    f->need.bytes = NULL;
    f->out = false;
    if (f->dead && f->coming && !ended) {
        submit(f, FETCH_OVER);
    } else if (f->dead) {
        destroy(f);
    } else if (!ended) {
        tell(f);
        attempt_pump(f->leader);
    }
}

/* ---- For the attempts ------------------------------------------------------------------------ */

static bool has_room(const attempt *a, move_outcome *why)
{
    unsigned all = 0, of_node = 0;

    for (const fetching *f = a->x->fetchings; f; f = f->next) {
        all++;
        of_node += f->leader->peer == a->peer;
    }
    if (all < FETCHINGS_MAX && of_node < FETCHINGS_OF_A_NODE)
        return true;
    move_failed(why, MOVE_NOT_READY, "too many other plugins are being fetched already");
    return false;
}

bool fetching_begin(attempt *a, move_outcome *why)
{
    static const uint8_t none[DIGEST_BYTES];
    const move_offer *o = target_offer(a->target);
    fetching *f = a->x->fetchings;

    if (a->fetched || memcmp(o->digest, none, sizeof none) == 0)
        return false;
    if (!is_on(a->x)) {
        move_outcome lacks = *why;

        move_failed(why, lacks.reason,
                    "%s: load it there, or have it fetched with `migration { fetch = yes }`",
                    lacks.text);
        return false;
    }
    while (f && memcmp(f->digest, o->digest, sizeof f->digest) != 0)
        f = f->next;
    a->fetching = f;
    return f || (has_room(a, why) && create(a));
}

/* Late ones of what was asked for are no offence. */
static bool is_about(const attempt *a, uint64_t node, slice msg)
{
    const move_offer *o = target_offer(a->target);
    move_plugin whole;
    move_part part;

    if (node != a->peer)
        return false;
    if (move_part_read(&part, msg, NULL) == BERTH_OK)
        return memcmp(part.digest, o->digest, sizeof part.digest) == 0;
    return move_plugin_read(&whole, msg, NULL) == BERTH_OK &&
           memcmp(whole.digest, o->digest, sizeof whole.digest) == 0;
}

bool fetching_message(attempt *a, uint64_t node, slice msg)
{
    fetching *f = a->fetching;

    if (!f || f->leader != a || !fetch_message(f->machine, node, msg, now_of()))
        return is_about(a, node, msg);
    count(a->x, &a->x->counters.plugin_bytes_in, msg.len);
    return true;
}

/* Its attempt has ended before it had its plugin. */
static void leave(attempt *a)
{
    fetching *f = a->fetching;
    attempt *next;

    a->fetching = NULL;
    if (f->leader != a)
        return;
    /* All of it is here: whoever else waits gets it. */
    if (f->out && f->step == FETCH_LOAD && (next = waiting(f, 0)) != NULL) {
        f->leader = next;
        f->inherited = true;
        return;
    }
    pass_to_another(f);
    release(f);
}

static void drain(fetching *f)
{
    while (fetch_next(f->machine, &f->need, now_of())) {
        switch (f->need.kind) {
        case FETCH_SEND:
            mesh_tell(f->x->config.mesh, f->leader->peer, LANE_CALL, f->need.message);
            buf_unref(f->need.message);
            break;
        case FETCH_OVER:
            finished(f);
            return;
        default:
            submit(f, f->need.kind);
            return;
        }
    }
}

bool fetching_pump(attempt *a)
{
    fetching *f = a->fetching;
    target_view v;

    if (!f)
        return false;
    target_look(a->target, &v);
    if (v.stage == TARGET_OFFERED) {
        if (f->leader == a && !f->out)
            drain(f);
        return !a->fetching;
    }
    leave(a);
    /* The source has said that it is over, or is silent: nobody hears this. */
    target_admitted(a->target, BERTH_ERR_CANCELLED, NULL, NULL, now_of());
    return true;
}

void fetching_source_up(attempt *a)
{
    if (a->fetching && a->fetching->leader == a)
        fetch_source_up(a->fetching->machine, now_of());
}

int64_t fetching_deadline(const attempt *a)
{
    const fetching *f = a->fetching;

    return f && f->leader == a ? fetch_deadline(f->machine) : INT64_MAX;
}

void fetching_expire(attempt *a, int64_t now_ns)
{
    if (fetching_deadline(a) <= now_ns)
        fetch_expire(a->fetching->machine, now_ns);
}

bool fetching_progress(const attempt *a, uint64_t *bytes, uint64_t *total)
{
    fetch_view v;

    if (!a->fetching)
        return false;
    fetch_look(a->fetching->machine, &v);
    *bytes = v.bytes;
    *total = v.total;
    return true;
}

void fetching_free_all(migrations *x)
{
    void *value;
    slice key;

    for (size_t at = 0; strmap_next(&x->attempts, &at, &key, &value);)
        ((attempt *)value)->fetching = NULL;
    while (x->fetchings) {
        fetching *f = x->fetchings;

        x->fetchings = f->next;
        destroy(f);
    }
}
