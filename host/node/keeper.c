/* SPDX-License-Identifier: Apache-2.0 */
#include "node/keeper.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "chain/channel.h"
#include "identity/keyfile.h"
#include "identity/token_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_TEXT_MAX (64 * 1024)

typedef enum wish_state {
    WISH_WAITING, /* not tried yet, its kind was not there, or its start failed */
    WISH_DONE     /* it runs, or its name is taken: nothing to do until a reload */
} wish_state;

typedef struct wish {
    config_daemon want;
    wish_state state;
    bool reborn;     /* what the section says about its birth is not what it said before */
    bool rewired;    /* nor what it says that it hears and serves */
    char *complaint; /* what was logged last, so that the same is not logged again */
} wish;

typedef struct wishes {
    wish *items;
    size_t count;
    char *file;
} wishes;

struct keeper {
    runtime *rt;
    pthread_mutex_t lock;
    wishes *current; /* touched without the lock by the one who is working */
    wishes *next;    /* in place of it as soon as that is done, or NULL */
    bool working, again;
};

static void wishes_free(wishes *ws)
{
    for (size_t i = 0; ws && i < ws->count; i++) {
        config_daemon_free(&ws->items[i].want);
        free(ws->items[i].complaint);
    }
    if (ws) {
        free(ws->items);
        free(ws->file);
    }
    free(ws);
}

keeper *keeper_new(runtime *rt)
{
    keeper *k = calloc(1, sizeof *k);

    if (k) {
        k->rt = rt;
        pthread_mutex_init(&k->lock, NULL);
    }
    return k;
}

void keeper_free(keeper *k)
{
    if (!k)
        return;
    wishes_free(k->current);
    wishes_free(k->next);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

berth_status keeper_want(keeper *k, config *c, berth_error *error)
{
    wishes *ws = calloc(1, sizeof *ws), *old;

    if (ws) {
        ws->items = calloc(c->daemon_count + 1, sizeof *ws->items);
        ws->file = strdup(c->file ? c->file : "");
    }
    if (!ws || !ws->items || !ws->file) {
        wishes_free(ws);
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
    }
    for (; ws->count < c->daemon_count; ws->count++) {
        ws->items[ws->count].want = c->daemons[ws->count];
        c->daemons[ws->count] = (config_daemon){0};
    }
    c->daemon_count = 0;
    pthread_mutex_lock(&k->lock);
    old = k->next;
    k->next = ws;
    pthread_mutex_unlock(&k->lock);
    wishes_free(old);
    return BERTH_OK;
}

/* ---- One daemon --------------------------------------------------------------------------------
 */

static berth_status read_config(const config_daemon *want, buf **out, berth_error *error)
{
    if (want->config_file)
        return file_read(want->config_file, CONFIG_TEXT_MAX, FILE_SAFE, out, error);
    if (!want->config)
        return BERTH_OK;
    *out = buf_copy(want->config, strlen(want->config));
    return *out ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

typedef struct token_bytes {
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
} token_bytes;

/* What the token files say, named after them; free both. */
static berth_status read_tokens(const config_daemon *want, berth_daemon_token **out,
                                token_bytes **room, berth_error *error)
{
    size_t n = want->tokens.count;
    berth_daemon_token *list = calloc(n + 1, sizeof *list);
    token_bytes *bytes = calloc(n + 1, sizeof *bytes);
    berth_status status =
        list && bytes ? BERTH_OK : fail(error, BERTH_ERR_NO_MEMORY, "out of memory");

    for (size_t i = 0; i < n && status == BERTH_OK; i++) {
        token_file file;

        status = token_file_read(want->tokens.items[i], &file, error);
        if (status == BERTH_OK)
            list[i] =
                (berth_daemon_token){.bytes = bytes[i].bytes,
                                     .len = berth_token_chain_encode(bytes[i].bytes, &file.chain),
                                     .name = want->tokens.items[i]};
    }
    *out = list;
    *room = bytes;
    return status;
}

static berth_status spawn(keeper *k, const config_daemon *want, berth_error *error)
{
    berth_daemon_config how = {.size = sizeof how,
                               .name = want->name,
                               .durability = want->durability,
                               .auto_snapshot = want->auto_snapshot,
                               .subscribe = (const char *const *)want->subscribe.items,
                               .subscribe_count = want->subscribe.count,
                               .serve = (const char *const *)want->serve.items,
                               .serve_count = want->serve.count,
                               .token_count = want->tokens.count};
    char accept[ACCEPT_TEXT_MAX + 1];
    berth_daemon_token *tokens = NULL;
    token_bytes *room = NULL;
    berth_keypair identity = {0};
    uint64_t origin = 0;
    buf *text = NULL;
    berth_status status = read_config(want, &text, error);

    if (status == BERTH_OK)
        status = read_tokens(want, &tokens, &room, error);

    if (status == BERTH_OK && want->identity_file)
        status = keyfile_read(want->identity_file, &identity, error);
    if (status == BERTH_OK) {
        how.config = text ? text->data : NULL;
        how.config_len = text ? text->len : 0;
        how.tokens = tokens;
        config_accept(want, accept);
        how.accept = accept[0] ? accept : NULL;
        status = berth_spawn_kind(k->rt, want->kind, want->identity_file ? &identity : NULL, &how,
                                  &origin, error);
    }
    berth_keypair_wipe(&identity);
    free(tokens);
    free(room);
    buf_unref(text);
    return status;
}

/* Does the daemon of exactly this name run here? */
static bool runs(keeper *k, const config_daemon *want, berth_daemon_info *info)
{
    uint64_t origin;

    *info = (berth_daemon_info){.size = sizeof *info};
    return berth_daemon_find((berth_runtime *)k->rt, want->name, &origin, NULL) == BERTH_OK &&
           berth_daemon_get((berth_runtime *)k->rt, origin, info, NULL) == BERTH_OK &&
           strcmp(info->name, want->name) == 0;
}

/* Logs the outcome, the same one only once. */
static void complain(const wishes *ws, wish *w, log_level level, const char *text)
{
    if (w->complaint && strcmp(w->complaint, text) == 0)
        return;
    free(w->complaint);
    w->complaint = strdup(text);
    log_write(level, "node", "%s:%u: daemon \"%s\": %s", ws->file, w->want.line, w->want.name,
              text);
}

/* Adds a word to a list of them. */
static void add_word(char *list, size_t cap, const char *word)
{
    size_t used = strlen(list);

    snprintf(list + used, cap - used, "%s%s", used ? ", " : "", word);
}

typedef struct searching {
    slice channel, group;
    bool found;
} searching;

static void search(void *ctx, const runtime_hearing *h)
{
    searching *s = ctx;

    if (slice_eq(h->channel, s->channel) && slice_eq(h->group, s->group))
        s->found = true;
}

static bool hears(keeper *k, uint64_t origin, slice channel, slice group)
{
    searching s = {.channel = channel, .group = group};

    runtime_hearings(k->rt, origin, search, &s);
    return s.found;
}

/* Whether it hears and serves all that it is wanted to; what it hears beside that is its own. */
static bool is_wired(keeper *k, const config_daemon *want, uint64_t origin)
{
    char name[CHANNEL_NAME_MAX + 16];
    slice channel, group;

    for (size_t i = 0; i < want->subscribe.count; i++) {
        config_subscription(want->subscribe.items[i], &channel, &group);
        if (!hears(k, origin, channel, group))
            return false;
    }
    for (size_t i = 0; i < want->serve.count; i++) {
        snprintf(name, sizeof name, "%s.requests", want->serve.items[i]);
        if (!hears(k, origin, slice_str(name), (slice){0}))
            return false;
    }
    return true;
}

static void compare_accept(void *ctx, const runtime_face *face)
{
    slice *want = ctx;
    slice has = face->accept.len ? face->accept : slice_str("realm");

    if (slice_eq(has, *want))
        *want = (slice){0};
}

/* Whether those may send to it who are said to. */
static bool accepts_as_wanted(keeper *k, const config_daemon *want, uint64_t origin)
{
    char text[ACCEPT_TEXT_MAX + 1];
    slice differs;

    config_accept(want, text);
    differs = slice_str(text[0] ? text : "realm");
    runtime_face_of(k->rt, origin, compare_accept, &differs);
    return !differs.len;
}

/* A daemon that runs stays what it is; who changed its section has to know. */
static void compare(keeper *k, const wishes *ws, wish *w, const berth_daemon_info *info)
{
    const config_daemon *want = &w->want;
    bool wired = !w->rewired && is_wired(k, want, info->origin);
    char other[128] = "", text[400];

    if (strcmp(info->kind, want->kind) != 0)
        add_word(other, sizeof other, "kind");
    if (w->reborn)
        add_word(other, sizeof other, "config or identity");
    if (info->auto_snapshot != want->auto_snapshot)
        add_word(other, sizeof other, "auto_snapshot");
    if (want->durability && info->durability != want->durability)
        add_word(other, sizeof other, "durability");
    if (!wired)
        add_word(other, sizeof other, "subscribe or serve");
    if (!accepts_as_wanted(k, want, info->origin))
        add_word(other, sizeof other, "accept");
    if (!other[0])
        return;
    snprintf(text, sizeof text,
             "runs on as it was, with another %s than configured; to change that stop it, which "
             "forgets its state, and reload%s",
             other, wired ? "" : "; what it hears `berth channel sub` and `unsub` change");
    complain(ws, w, LOG_LEVEL_WARN, text);
}

/* Tokens end, and are issued anew into the same files: a daemon that runs gets what is there now.
 */
static void give_tokens(keeper *k, const wishes *ws, wish *w, uint64_t origin)
{
    berth_daemon_token *tokens = NULL;
    token_bytes *room = NULL;
    berth_error error = {0};
    berth_status status = read_tokens(&w->want, &tokens, &room, &error);

    for (size_t i = 0; i < w->want.tokens.count && status == BERTH_OK; i++) {
        status = berth_give_token((berth_runtime *)k->rt, origin, tokens[i].bytes, tokens[i].len,
                                  &error);
        if (status != BERTH_OK)
            fail_prefix(&error, "%s", tokens[i].name);
    }
    if (status != BERTH_OK)
        complain(ws, w, LOG_LEVEL_WARN, error.text);
    free(tokens);
    free(room);
}

static void start(keeper *k, const wishes *ws, wish *w)
{
    berth_daemon_info info;
    berth_error error = {0};
    char text[400];
    berth_status status;

    if (runs(k, &w->want, &info)) {
        w->state = WISH_DONE;
        compare(k, ws, w, &info);
        give_tokens(k, ws, w, info.origin);
        return;
    }
    status = spawn(k, &w->want, &error);
    w->state = status == BERTH_OK || status == BERTH_ERR_EXISTS ? WISH_DONE : WISH_WAITING;
    if (status == BERTH_OK) {
        free(w->complaint);
        w->complaint = NULL;
        log_info("node", "started daemon \"%s\" (%s), as %s says", w->want.name, w->want.kind,
                 ws->file);
    } else if (status == BERTH_ERR_KIND_UNKNOWN) {
        snprintf(text, sizeof text, "no loaded plugin provides %s: it starts when one does",
                 w->want.kind);
        complain(ws, w, LOG_LEVEL_WARN, text);
    } else if (status != BERTH_ERR_SHUTTING_DOWN) {
        complain(ws, w, LOG_LEVEL_ERROR, error.text);
    }
}

/* ---- All of them -------------------------------------------------------------------------------
 */

/* What a reload has changed about daemons that were wanted before. */
static void note_changes(keeper *k, const wishes *before, wishes *now)
{
    berth_daemon_info info;

    for (size_t i = 0; before && i < before->count; i++) {
        const config_daemon *old = &before->items[i].want;
        wish *same = NULL;

        for (size_t j = 0; j < now->count && !same; j++)
            if (strcmp(now->items[j].want.name, old->name) == 0)
                same = &now->items[j];
        if (same) {
            same->reborn = !config_daemon_born_same(old, &same->want);
            same->rewired = !config_daemon_wired_same(old, &same->want);
        } else if (runs(k, old, &info))
            log_info("node",
                     "daemon \"%s\" is not in the configuration any more: it runs on until it is "
                     "stopped",
                     old->name);
    }
}

/* Takes the list to work on; NULL when somebody else does, who will look once more. */
static wishes *take(keeper *k)
{
    wishes *ws = NULL, *old = NULL;

    pthread_mutex_lock(&k->lock);
    if (k->working) {
        k->again = true;
    } else {
        if (k->next) {
            old = k->current;
            k->current = k->next;
            k->next = NULL;
        }
        ws = k->current;
        k->working = ws != NULL;
        k->again = false;
    }
    pthread_mutex_unlock(&k->lock);
    if (old)
        note_changes(k, old, ws);
    wishes_free(old);
    return ws;
}

void keeper_start_missing(keeper *k)
{
    bool again = true;

    while (again) {
        wishes *ws = take(k);
        if (!ws)
            return;
        for (size_t i = 0; i < ws->count; i++)
            if (ws->items[i].state != WISH_DONE)
                start(k, ws, &ws->items[i]);
        pthread_mutex_lock(&k->lock);
        k->working = false;
        again = k->again || k->next;
        pthread_mutex_unlock(&k->lock);
    }
}
