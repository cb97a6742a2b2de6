/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/watch.h"
#include "base/error.h"
#include "base/map.h"
#include "plugin/list.h"

#include <stdlib.h>
#include <string.h>

typedef enum entry_state {
    ENTRY_WAITING, /* to be stable, or to get its signature */
    ENTRY_LOADING, /* WATCH_LOAD was said */
    ENTRY_DONE,    /* loaded, reported or failed: until it changes */
} entry_state;

typedef struct entry {
    char *name;
    watch_stamp file, signature;
    entry_state state;
    bool loaded;       /* some content of this name is loaded */
    bool unsigned_yet; /* is stable, waits for its signature */
    int64_t since_ns;  /* when it was first seen like this */
    uint64_t seen;     /* number of the look */
} entry;

struct watch {
    strmap entries;
    uint64_t looks;
};

watch *watch_new(void)
{
    return calloc(1, sizeof(watch));
}

static void entry_free(entry *e)
{
    if (e)
        free(e->name);
    free(e);
}

void watch_free(watch *w)
{
    size_t at = 0;
    slice key;
    void *value;

    if (!w)
        return;
    while (strmap_next(&w->entries, &at, &key, &value))
        entry_free(value);
    strmap_fini(&w->entries);
    free(w);
}

static bool same_stamp(const watch_stamp *a, const watch_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_ns == b->modified_ns;
}

static bool present(const watch_stamp *s)
{
    return s->device || s->inode || s->size || s->modified_ns;
}

static entry *entry_of(watch *w, const char *name)
{
    entry *e = strmap_get(&w->entries, slice_str(name));

    if (e)
        return e;
    e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->name = text_dup(slice_str(name));
    if (!e->name || !strmap_put(&w->entries, slice_str(e->name), e)) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static void see(watch *w, entry *e, const watch_file *f, bool need_signature, int64_t now_ns,
                watch_fn *fn, void *ctx)
{
    e->seen = w->looks;
    if (!same_stamp(&e->file, &f->file) || !same_stamp(&e->signature, &f->signature)) {
        e->file = f->file;
        e->signature = f->signature;
        e->since_ns = now_ns;
        e->state = ENTRY_WAITING;
        e->unsigned_yet = false;
    }
    if (e->state != ENTRY_WAITING || now_ns - e->since_ns < WATCH_STABLE_NS)
        return;
    e->unsigned_yet = need_signature && !present(&e->signature);
    if (e->unsigned_yet)
        return;
    e->state = e->loaded ? ENTRY_DONE : ENTRY_LOADING;
    fn(ctx, e->loaded ? WATCH_NEW_VERSION : WATCH_LOAD, e->name);
}

/* Names that are gone. Deleting moves entries of the map, so look from the start after each. */
static void forget(watch *w)
{
    size_t at = 0;
    slice key;
    void *value;

    while (strmap_next(&w->entries, &at, &key, &value)) {
        entry *e = value;

        if (e->seen == w->looks)
            continue;
        strmap_del(&w->entries, key);
        entry_free(e);
        at = 0;
    }
}

berth_status watch_scan(watch *w, const watch_file *files, size_t count, bool need_signature,
                        int64_t now_ns, watch_fn *fn, void *ctx, berth_error *error)
{
    w->looks++;
    for (size_t i = 0; i < count; i++) {
        entry *e = entry_of(w, files[i].name);

        if (!e)
            return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
        see(w, e, &files[i], need_signature, now_ns, fn, ctx);
    }
    forget(w);
    return BERTH_OK;
}

void watch_result(watch *w, const char *name, watch_outcome outcome, int64_t now_ns)
{
    entry *e = strmap_get(&w->entries, slice_str(name));

    /* It may have gone, or changed, since the load began. */
    if (!e)
        return;
    e->loaded = e->loaded || outcome == WATCH_LOADED || outcome == WATCH_OTHER_VERSION;
    if (e->state != ENTRY_LOADING)
        return;
    e->state = outcome == WATCH_AGAIN ? ENTRY_WAITING : ENTRY_DONE;
    e->since_ns = now_ns;
}

int64_t watch_next_ns(const watch *w)
{
    int64_t next = INT64_MAX;
    size_t at = 0;
    slice key;
    void *value;

    while (strmap_next(&w->entries, &at, &key, &value)) {
        const entry *e = value;

        if (e->state == ENTRY_WAITING && !e->unsigned_yet && e->since_ns + WATCH_STABLE_NS < next)
            next = e->since_ns + WATCH_STABLE_NS;
    }
    return next;
}
