/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/token_revocation.h"
#include "base/cursor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/map.h"
#include "base/text.h"
#include "identity/named_lines.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* A floor, or a single token: key is the issuer or the id. */
typedef struct entry {
    uint8_t key[BERTH_ENTITY_SIZE];
    uint64_t value; /* the floor, or when the token ends */
} entry;

struct token_revocations {
    pthread_mutex_t lock;
    strmap floors, tokens;
    uint64_t version;
};

token_revocations *token_revocations_new(void)
{
    token_revocations *r = calloc(1, sizeof *r);

    if (r)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

void token_revocations_free(token_revocations *r)
{
    if (!r)
        return;
    strmap_fini_values(&r->floors);
    strmap_fini_values(&r->tokens);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Raise the value of a key; it never falls. */
static berth_status raise_entry(token_revocations *r, strmap *map, slice key, uint64_t value,
                                size_t max, berth_error *error)
{
    berth_status status = BERTH_OK;
    entry *e;

    pthread_mutex_lock(&r->lock);
    e = strmap_get(map, key);
    if (e) {
        if (e->value < value) {
            e->value = value;
            r->version++;
        }
    } else if (map->count >= max) {
        status = fail(error, BERTH_ERR_LIMIT, "revoked tokens: at most %zu %s can be listed", max,
                      map == &r->floors ? "issuers" : "single tokens; raise the floor instead");
    } else {
        e = calloc(1, sizeof *e);
        if (e)
            memcpy(e->key, key.ptr, key.len);
        if (!e || !strmap_put(map, slice_of(e->key, key.len), e)) {
            free(e);
            status = fail(error, BERTH_ERR_NO_MEMORY, "revoked tokens: out of memory");
        } else {
            e->value = value;
            r->version++;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return status;
}

berth_status token_revocations_raise(token_revocations *r, const uint8_t issuer[BERTH_ENTITY_SIZE],
                                     uint32_t floor, berth_error *error)
{
    if (!floor) /* nothing is below 0 */
        return BERTH_OK;
    return raise_entry(r, &r->floors, slice_of(issuer, BERTH_ENTITY_SIZE), floor,
                       REVOCATION_ISSUERS_MAX, error);
}

berth_status token_revocations_add(token_revocations *r, const uint8_t id[BERTH_TOKEN_ID_SIZE],
                                   uint64_t end_s, berth_error *error)
{
    return raise_entry(r, &r->tokens, slice_of(id, BERTH_TOKEN_ID_SIZE), end_s,
                       REVOCATION_TOKENS_MAX, error);
}

uint32_t token_revocations_floor(token_revocations *r, const uint8_t issuer[BERTH_ENTITY_SIZE])
{
    const entry *e;
    uint32_t floor;

    pthread_mutex_lock(&r->lock);
    e = strmap_get(&r->floors, slice_of(issuer, BERTH_ENTITY_SIZE));
    floor = e ? (uint32_t)e->value : 0;
    pthread_mutex_unlock(&r->lock);
    return floor;
}

bool token_revocations_has(void *ptr, const berth_token *token)
{
    token_revocations *r = ptr;
    uint8_t id[BERTH_TOKEN_ID_SIZE];
    bool has;

    if (token->generation < token_revocations_floor(r, token->issuer))
        return true;
    pthread_mutex_lock(&r->lock);
    has = r->tokens.count > 0;
    pthread_mutex_unlock(&r->lock);
    if (!has)
        return false;
    berth_token_id(id, token);
    pthread_mutex_lock(&r->lock);
    has = strmap_get(&r->tokens, slice_of(id, sizeof id)) != NULL;
    pthread_mutex_unlock(&r->lock);
    return has;
}

uint64_t token_revocations_version(token_revocations *r)
{
    uint64_t version;

    pthread_mutex_lock(&r->lock);
    version = r->version;
    pthread_mutex_unlock(&r->lock);
    return version;
}

size_t token_revocations_count(token_revocations *r)
{
    size_t count;

    pthread_mutex_lock(&r->lock);
    count = r->floors.count + r->tokens.count;
    pthread_mutex_unlock(&r->lock);
    return count;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* Hex digits, blanks, a decimal number. */
static bool pair(slice text, void *key, size_t n, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    size_t at = 2 * n;

    if (text.len <= at || text.ptr[at] != ' ' || !hex_decode(key, n, slice_of(text.ptr, at)))
        return false;
    while (at < text.len && text.ptr[at] == ' ')
        at++;
    for (; at < text.len; at++) {
        unsigned digit = (unsigned)text.ptr[at] - '0';

        if (digit > 9 || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

berth_status token_revocations_parse(token_revocations *r, slice text, berth_error *error)
{
    named_lines l = named_lines_of(text, "berth-revoked-tokens");
    uint8_t key[BERTH_ENTITY_SIZE];
    berth_status status;
    slice name, value;
    uint64_t number;
    bool more;

    while ((status = named_lines_next(&l, &name, &value, &more, error)) == BERTH_OK && more) {
        if (slice_eq(name, slice_str("floor")))
            status =
                pair(value, key, BERTH_ENTITY_SIZE, UINT32_MAX, &number)
                    ? token_revocations_raise(r, key, (uint32_t)number, error)
                    : named_lines_wrong(&l, "'floor' must be an entity id and a generation", error);
        else if (slice_eq(name, slice_str("token")))
            status = pair(value, key, BERTH_TOKEN_ID_SIZE, UINT64_MAX, &number)
                         ? token_revocations_add(r, key, number, error)
                         : named_lines_wrong(&l, "'token' must be an id and the second of its end",
                                             error);
        else
            status = named_lines_wrong(&l, "an unknown name; known are 'floor' and 'token'", error);
        if (status)
            break;
    }
    return status;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const entry *)a)->key, ((const entry *)b)->key, BERTH_ENTITY_SIZE);
}

/* Ordered copies of the entries; NULL when there are none or memory is short. */
static entry *sorted(const strmap *map, size_t *count)
{
    entry *all = malloc((map->count + 1) * sizeof *all);
    size_t at = 0;
    void *value;
    slice key;

    *count = 0;
    while (all && strmap_next(map, &at, &key, &value))
        all[(*count)++] = *(const entry *)value;
    if (all)
        qsort(all, *count, sizeof *all, by_key);
    return all;
}

static void put_line(writer *w, const char *name, slice key, uint64_t value)
{
    char line[160], hex[BERTH_ENTITY_TEXT];
    int n = snprintf(line, sizeof line, "%s: %s %llu\n", name, hex_encode(hex, key),
                     (unsigned long long)value);

    writer_bytes(w, line, (size_t)n);
}

char *token_revocations_format(token_revocations *r, uint64_t now_s)
{
    static const char head[] = "# permission tokens that count no more; `berth token revoke` adds\n"
                               "berth-revoked-tokens: 1\n";
    size_t floor_count, token_count;
    entry *floors, *tokens;
    writer w = {0};

    pthread_mutex_lock(&r->lock);
    floors = sorted(&r->floors, &floor_count);
    tokens = sorted(&r->tokens, &token_count);
    pthread_mutex_unlock(&r->lock);
    writer_bytes(&w, head, sizeof head - 1);
    for (size_t i = 0; floors && i < floor_count; i++)
        put_line(&w, "floor", slice_of(floors[i].key, BERTH_ENTITY_SIZE), floors[i].value);
    for (size_t i = 0; tokens && i < token_count; i++)
        if (tokens[i].value > UINT64_MAX - BERTH_TOKEN_SKEW_MAX ||
            now_s < tokens[i].value + BERTH_TOKEN_SKEW_MAX)
            put_line(&w, "token", slice_of(tokens[i].key, BERTH_TOKEN_ID_SIZE), tokens[i].value);
    writer_u8(&w, 0);
    w.failed |= !floors || !tokens;
    free(floors);
    free(tokens);
    if (w.failed) {
        writer_free(&w);
        return NULL;
    }
    return (char *)w.data;
}

berth_status token_revocations_read(token_revocations *r, const char *path, berth_error *error)
{
    buf *text = NULL;
    berth_status status = file_read(path, REVOCATION_FILE_MAX, FILE_SAFE, &text, error);

    if (status)
        return status;
    status = token_revocations_parse(r, slice_of(text->data, text->len), error);
    if (status)
        fail_prefix(error, "%s", path);
    buf_unref(text);
    return status;
}

berth_status token_revocations_write(token_revocations *r, const char *path, uint64_t now_s,
                                     berth_error *error)
{
    char *text = token_revocations_format(r, now_s);
    berth_status status = text ? file_write(path, text, strlen(text), 0644, error)
                               : fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);

    free(text);
    return status;
}
