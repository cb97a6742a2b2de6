/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/ledger.h"
#include "base/error.h"
#include "chain/channel.h"

#include <stdlib.h>

/* One allocation: the name, then the token, behind the struct. */
struct ledger_entry {
    uint64_t publisher;
    uint16_t channel_len, token_len;
    bool has_token;
    uint8_t bytes[];
};

/* ---- bytes ---- */

static berth_status check(const binding *b, berth_error *error)
{
    berth_status status = channel_name_check(b->channel, error);

    if (!status && b->has_token && b->token.len > BINDING_TOKEN_MAX)
        status = fail(error, BERTH_ERR_LIMIT, "token of %zu bytes: at most %d are allowed",
                      b->token.len, BINDING_TOKEN_MAX);
    return status;
}

berth_status bindings_encode(writer *w, const binding *entries, size_t n, berth_error *error)
{
    berth_status status;

    if (n > UINT32_MAX)
        return fail(error, BERTH_ERR_LIMIT, "bindings: %zu entries are too many", n);
    writer_u32(w, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        const binding *b = &entries[i];

        status = check(b, error);
        if (status) {
            fail_prefix(error, "bindings: entry %zu", i);
            return status;
        }
        writer_u64(w, b->publisher);
        writer_u16(w, (uint16_t)b->channel.len);
        writer_bytes(w, b->channel.ptr, b->channel.len);
        writer_u8(w, b->has_token);
        if (b->has_token) {
            writer_u16(w, (uint16_t)b->token.len);
            writer_bytes(w, b->token.ptr, b->token.len);
        }
    }
    return w->failed ? fail(error, BERTH_ERR_NO_MEMORY, "bindings: out of memory") : BERTH_OK;
}

static berth_status corrupt(berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_CORRUPT,
                "the snapshot's bindings do not decode (%s): it is damaged or was tampered with",
                what);
}

/* NULL, or what is wrong with the entry. */
static const char *read_binding(reader *r, binding *b)
{
    uint8_t flag;

    b->publisher = reader_u64(r);
    b->channel = reader_bytes(r, reader_u16(r));
    flag = reader_u8(r);
    b->has_token = flag == 1;
    b->token = b->has_token ? reader_bytes(r, reader_u16(r)) : slice_of(NULL, 0);
    if (!reader_ok(r))
        return "they end too early";
    if (flag > 1)
        return "an unknown token flag";
    if (channel_name_check(b->channel, NULL))
        return "a channel name that is not allowed";
    return NULL;
}

berth_status bindings_decode(slice bytes, binding **out, size_t *n, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    const char *what = NULL;
    binding *entries;
    uint32_t count;

    *out = NULL;
    *n = 0;
    if (!bytes.len)
        return BERTH_OK;
    count = reader_u32(&r);
    if (!reader_ok(&r))
        return corrupt(error, "they end too early");
    if (count > reader_left(&r) / BINDING_MIN)
        return corrupt(error, "their count exceeds their length");
    entries = calloc(count ? count : 1, sizeof *entries);
    if (!entries)
        return fail(error, BERTH_ERR_NO_MEMORY, "bindings: out of memory");
    for (uint32_t i = 0; i < count && !what; i++)
        what = read_binding(&r, &entries[i]);
    if (!what && !reader_done(&r))
        what = "bytes follow the last entry";
    if (what || !count) {
        free(entries);
        return what ? corrupt(error, what) : BERTH_OK;
    }
    *out = entries;
    *n = count;
    return BERTH_OK;
}

/* ---- the set ---- */

void ledger_fini(ledger *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        free(l->entries[i]);
    free(l->entries);
    *l = (ledger){0};
}

static slice channel_of(const struct ledger_entry *e)
{
    return slice_of(e->bytes, e->channel_len);
}

static int compare_keys(uint64_t publisher, slice channel, uint64_t other, slice other_channel)
{
    size_t n = channel.len < other_channel.len ? channel.len : other_channel.len;
    int order;

    if (publisher != other)
        return publisher < other ? -1 : 1;
    order = n ? memcmp(channel.ptr, other_channel.ptr, n) : 0;
    return order ? order : (channel.len > other_channel.len) - (channel.len < other_channel.len);
}

/* Where the entry is (true) or would have to be (false). */
static bool locate(const ledger *l, uint64_t publisher, slice channel, uint32_t *at)
{
    uint32_t low = 0, high = l->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct ledger_entry *e = l->entries[middle];
        int order = compare_keys(publisher, channel, e->publisher, channel_of(e));

        if (order == 0) {
            *at = middle;
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *at = low;
    return false;
}

static struct ledger_entry *entry_new(const binding *b)
{
    size_t token_len = b->has_token ? b->token.len : 0;
    struct ledger_entry *e = malloc(sizeof *e + b->channel.len + token_len);

    if (!e)
        return NULL;
    e->publisher = b->publisher;
    e->channel_len = (uint16_t)b->channel.len;
    e->token_len = (uint16_t)token_len;
    e->has_token = b->has_token;
    memcpy(e->bytes, b->channel.ptr, b->channel.len);
    if (token_len)
        memcpy(e->bytes + b->channel.len, b->token.ptr, token_len);
    return e;
}

static bool reserve(ledger *l, size_t cap)
{
    struct ledger_entry **entries;

    if (cap <= l->cap)
        return true;
    if (cap > UINT32_MAX)
        return false;
    entries = realloc(l->entries, cap * sizeof(struct ledger_entry *));
    if (!entries)
        return false;
    l->entries = entries;
    l->cap = (uint32_t)cap;
    return true;
}

berth_status ledger_record(ledger *l, uint64_t publisher, slice channel, const slice *token,
                           berth_error *error)
{
    binding b = {publisher, channel, token ? *token : slice_of(NULL, 0), token != NULL};
    berth_status status = check(&b, error);
    struct ledger_entry *e;
    uint32_t at;

    if (status)
        return status;
    e = entry_new(&b);
    if (!e)
        goto no_memory;
    if (locate(l, publisher, channel, &at)) {
        free(l->entries[at]);
        l->entries[at] = e;
        return BERTH_OK;
    }
    if (l->count == l->cap && !reserve(l, l->cap ? 2 * (size_t)l->cap : 4))
        goto no_memory;
    memmove(l->entries + at + 1, l->entries + at, (l->count - at) * sizeof(struct ledger_entry *));
    l->entries[at] = e;
    l->count++;
    return BERTH_OK;

no_memory:
    free(e);
    return fail(error, BERTH_ERR_NO_MEMORY, "ledger: out of memory");
}

bool ledger_forget(ledger *l, uint64_t publisher, slice channel)
{
    uint32_t at;

    if (!locate(l, publisher, channel, &at))
        return false;
    free(l->entries[at]);
    l->count--;
    memmove(l->entries + at, l->entries + at + 1, (l->count - at) * sizeof(struct ledger_entry *));
    return true;
}

bool ledger_has(const ledger *l, uint64_t publisher, slice channel)
{
    uint32_t at;

    return locate(l, publisher, channel, &at);
}

bool ledger_find(const ledger *l, uint64_t publisher, slice channel, binding *out)
{
    uint32_t at;

    if (!locate(l, publisher, channel, &at))
        return false;
    *out = ledger_at(l, at);
    return true;
}

binding ledger_at(const ledger *l, size_t i)
{
    const struct ledger_entry *e = l->entries[i];

    return (binding){e->publisher, channel_of(e), slice_of(e->bytes + e->channel_len, e->token_len),
                     e->has_token};
}

berth_status ledger_encode(writer *w, const ledger *l, berth_error *error)
{
    berth_status status;
    binding *all;

    if (!l->count)
        return BERTH_OK;
    all = malloc(l->count * sizeof *all);
    if (!all)
        return fail(error, BERTH_ERR_NO_MEMORY, "ledger: out of memory");
    for (uint32_t i = 0; i < l->count; i++)
        all[i] = ledger_at(l, i);
    status = bindings_encode(w, all, l->count, error);
    free(all);
    return status;
}

/* By key, then by place in the bytes. */
static int by_key(const void *a, const void *b)
{
    const binding *x = *(const binding *const *)a, *y = *(const binding *const *)b;
    int order = compare_keys(x->publisher, x->channel, y->publisher, y->channel);

    return order ? order : (x > y) - (x < y);
}

/* Inserting one by one would take quadratic time on a hostile order; so they are sorted once. */
static bool fill(ledger *l, const binding *all, size_t n, const binding **sorted)
{
    for (size_t i = 0; i < n; i++)
        sorted[i] = &all[i];
    qsort(sorted, n, sizeof(const binding *), by_key);
    for (size_t i = 0; i < n; i++) {
        const binding *b = sorted[i];

        if (i + 1 < n && compare_keys(b->publisher, b->channel, sorted[i + 1]->publisher,
                                      sorted[i + 1]->channel) == 0)
            continue; /* a later one replaces it */
        l->entries[l->count] = entry_new(b);
        if (!l->entries[l->count])
            return false;
        l->count++;
    }
    return true;
}

berth_status ledger_decode(ledger *out, slice bytes, berth_error *error)
{
    const binding **sorted = NULL;
    berth_status status;
    binding *all;
    size_t n;

    *out = (ledger){0};
    status = bindings_decode(bytes, &all, &n, error);
    if (status || !all)
        return status;
    sorted = malloc(n * sizeof(const binding *));
    if (!sorted || !reserve(out, n) || !fill(out, all, n, sorted)) {
        ledger_fini(out);
        status = fail(error, BERTH_ERR_NO_MEMORY, "ledger: out of memory");
    }
    free(sorted);
    free(all);
    return status;
}
