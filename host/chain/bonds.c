/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/bonds.h"
#include "base/error.h"
#include "base/text.h"
#include "chain/channel.h"
#include "identity/token.h"

#include <stdlib.h>

/* The smallest entry of each list: a count is believed only if so many fit. */
#define CHANNEL_MIN (1 + 1 + 1)
#define TOKEN_MIN   (2 + 1 + BERTH_TOKEN_SIZE)

/* One allocation: the name, then the group, behind the struct. */
struct bonds_entry {
    uint8_t name_len, group_len;
    uint8_t bytes[];
};

static berth_status no_memory(berth_error *error)
{
    return fail(error, BERTH_ERR_NO_MEMORY, "out of memory");
}

static void token_free(bonds_token *t)
{
    if (t)
        buf_unref(t->bytes);
    free(t);
}

void bonds_fini(bonds *b)
{
    for (uint32_t i = 0; i < b->channel_count; i++)
        free(b->channels[i]);
    for (uint32_t i = 0; i < b->token_count; i++)
        token_free(b->tokens[i]);
    free(b->channels);
    free(b->tokens);
    *b = (bonds){0};
}

/* ---- Channels -------------------------------------------------------------------------------- */

berth_status bonds_group_check(slice group, berth_error *error)
{
    if (group.len > BONDS_GROUP_MAX)
        return fail(error, BERTH_ERR_LIMIT, "a queue group's name has at most %d bytes, not %zu",
                    BONDS_GROUP_MAX, group.len);
    if (group.len && !utf8_valid(group))
        return fail(error, BERTH_ERR_INVALID, "a queue group's name must be UTF-8");
    return BERTH_OK;
}

static slice name_of(const struct bonds_entry *e)
{
    return slice_of(e->bytes, e->name_len);
}

static slice group_of(const struct bonds_entry *e)
{
    return slice_of(e->bytes + e->name_len, e->group_len);
}

static int compare(slice a, slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where the channel is (true) or would have to be (false). */
static bool locate(const bonds *b, slice name, uint32_t *at)
{
    uint32_t low = 0, high = b->channel_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(name, name_of(b->channels[middle]));

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

static struct bonds_entry *entry_new(slice name, slice group)
{
    struct bonds_entry *e = malloc(sizeof *e + name.len + group.len);

    if (!e)
        return NULL;
    e->name_len = (uint8_t)name.len;
    e->group_len = (uint8_t)group.len;
    memcpy(e->bytes, name.ptr, name.len);
    if (group.len)
        memcpy(e->bytes + name.len, group.ptr, group.len);
    return e;
}

static bool reserve(bonds *b)
{
    uint32_t cap = b->channel_cap ? 2 * b->channel_cap : 4;
    struct bonds_entry **more;

    if (b->channel_count < b->channel_cap)
        return true;
    more = realloc(b->channels, cap * sizeof(struct bonds_entry *));
    if (!more)
        return false;
    b->channels = more;
    b->channel_cap = cap;
    return true;
}

static bool insert(bonds *b, uint32_t at, slice name, slice group)
{
    struct bonds_entry *e = reserve(b) ? entry_new(name, group) : NULL;

    if (!e)
        return false;
    memmove(b->channels + at + 1, b->channels + at,
            (b->channel_count - at) * sizeof(struct bonds_entry *));
    b->channels[at] = e;
    b->channel_count++;
    return true;
}

berth_status bonds_put(bonds *b, slice channel, slice group, berth_error *error)
{
    berth_status status = channel_name_check(channel, error);
    struct bonds_entry *e;
    uint32_t at;

    if (!status)
        status = bonds_group_check(group, error);
    if (status)
        return status;
    if (locate(b, channel, &at)) {
        e = entry_new(channel, group);
        if (!e)
            return no_memory(error);
        free(b->channels[at]);
        b->channels[at] = e;
        return BERTH_OK;
    }
    if (b->channel_count >= BONDS_CHANNELS_MAX)
        return fail(error, BERTH_ERR_LIMIT, "a daemon may be in queue groups of %d channels",
                    BONDS_CHANNELS_MAX);
    return insert(b, at, channel, group) ? BERTH_OK : no_memory(error);
}

bool bonds_forget(bonds *b, slice channel)
{
    uint32_t at;

    if (!locate(b, channel, &at))
        return false;
    free(b->channels[at]);
    b->channel_count--;
    memmove(b->channels + at, b->channels + at + 1,
            (b->channel_count - at) * sizeof(struct bonds_entry *));
    return true;
}

bool bonds_find(const bonds *b, slice channel, slice *group)
{
    uint32_t at;

    if (!locate(b, channel, &at))
        return false;
    if (group)
        *group = group_of(b->channels[at]);
    return true;
}

bonds_channel bonds_at(const bonds *b, size_t i)
{
    return (bonds_channel){name_of(b->channels[i]), group_of(b->channels[i])};
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static slice bytes_of(const bonds_token *t)
{
    return slice_of(t->bytes->data, t->bytes->len);
}

static bonds_token *token_new(const berth_token_chain *chain)
{
    uint8_t bytes[BERTH_TOKEN_CHAIN_SIZE];
    size_t len = berth_token_chain_encode(bytes, chain);
    bonds_token *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->chain = *chain;
    t->bytes = buf_copy(bytes, len);
    if (!t->bytes) {
        free(t);
        return NULL;
    }
    return t;
}

static void drop_ended(bonds *b, uint64_t now_s)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < b->token_count; i++)
        if (berth_token_chain_end(&b->tokens[i]->chain) > now_s)
            b->tokens[left++] = b->tokens[i];
        else
            token_free(b->tokens[i]);
    b->token_count = left;
}

berth_status bonds_keep(bonds *b, const berth_token_chain *chain, uint64_t now_s,
                        berth_error *error)
{
    bonds_token *t, **more;
    uint32_t at = 0;

    if (!chain->count)
        return fail(error, BERTH_ERR_INVALID, "a chain of no tokens gives leave to nothing");
    t = token_new(chain);
    if (!t)
        return no_memory(error);
    if (b->token_count >= BONDS_TOKENS_MAX)
        drop_ended(b, now_s);
    while (at < b->token_count && compare(bytes_of(b->tokens[at]), bytes_of(t)) < 0)
        at++;
    if (at < b->token_count && slice_eq(bytes_of(b->tokens[at]), bytes_of(t))) {
        token_free(t);
        return BERTH_OK;
    }
    if (b->token_count >= BONDS_TOKENS_MAX) {
        token_free(t);
        return fail(error, BERTH_ERR_LIMIT, "a daemon keeps at most %d tokens", BONDS_TOKENS_MAX);
    }
    more = realloc(b->tokens, (b->token_count + 1) * sizeof(bonds_token *));
    if (!more) {
        token_free(t);
        return no_memory(error);
    }
    b->tokens = more;
    memmove(more + at + 1, more + at, (b->token_count - at) * sizeof(bonds_token *));
    more[at] = t;
    b->token_count++;
    return BERTH_OK;
}

static bool gives(const berth_token_chain *chain, uint32_t action, uint64_t channel, uint64_t now_s,
                  uint32_t skew_s)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (!berth_token_allows(&chain->links[i], action, channel) ||
            token_time_fault(&chain->links[i], now_s, skew_s) != BERTH_TOKEN_FINE)
            return false;
    return true;
}

const bonds_token *bonds_leave(const bonds *b, uint32_t action, uint64_t channel, uint64_t now_s,
                               uint32_t skew_s)
{
    const bonds_token *best = NULL;

    for (uint32_t i = 0; i < b->token_count; i++) {
        const bonds_token *t = b->tokens[i];

        if (gives(&t->chain, action, channel, now_s, skew_s) &&
            (!best || berth_token_chain_end(&t->chain) > berth_token_chain_end(&best->chain)))
            best = t;
    }
    return best;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

void bonds_write(writer *w, const bonds *b)
{
    writer_u32(w, b->channel_count);
    for (uint32_t i = 0; i < b->channel_count; i++) {
        const struct bonds_entry *e = b->channels[i];

        writer_u8(w, e->name_len);
        writer_bytes(w, e->bytes, e->name_len);
        writer_u8(w, e->group_len);
        writer_bytes(w, e->bytes + e->name_len, e->group_len);
    }
    writer_u16(w, (uint16_t)b->token_count);
    for (uint32_t i = 0; i < b->token_count; i++) {
        writer_u16(w, (uint16_t)b->tokens[i]->bytes->len);
        writer_bytes(w, b->tokens[i]->bytes->data, b->tokens[i]->bytes->len);
    }
}

static berth_status corrupt(berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_CORRUPT,
                "a daemon's groups and tokens do not decode (%s): they are damaged or were "
                "tampered with",
                what);
}

static berth_status read_channels(bonds *out, reader *r, berth_error *error)
{
    uint32_t n = reader_u32(r);
    slice before = {0};

    if (!reader_ok(r) || n > BONDS_CHANNELS_MAX || n > reader_left(r) / CHANNEL_MIN)
        return corrupt(error, "more channels than there can be");
    for (uint32_t i = 0; i < n; i++) {
        slice name = reader_bytes(r, reader_u8(r));
        slice group = reader_bytes(r, reader_u8(r));

        if (!reader_ok(r) || channel_name_check(name, NULL) || bonds_group_check(group, NULL))
            return corrupt(error, "a channel or its group is not valid");
        if (i && compare(before, name) >= 0)
            return corrupt(error, "channels are not in order");
        before = name;
        if (!insert(out, i, name, group))
            return no_memory(error);
    }
    return BERTH_OK;
}

static berth_status read_tokens(bonds *out, reader *r, berth_error *error)
{
    uint16_t n = reader_u16(r);
    slice before = {0};

    if (!reader_ok(r) || n > BONDS_TOKENS_MAX || n > reader_left(r) / TOKEN_MIN)
        return corrupt(error, "more tokens than there can be");
    for (uint16_t i = 0; i < n; i++) {
        slice bytes = reader_bytes(r, reader_u16(r));
        berth_token_chain chain;
        berth_status status;

        if (!reader_ok(r) || berth_token_chain_decode(&chain, bytes.ptr, bytes.len, NULL, NULL))
            return corrupt(error, "a token is not valid");
        if (i && compare(before, bytes) >= 0)
            return corrupt(error, "tokens are not in order");
        before = bytes;
        status = bonds_keep(out, &chain, 0, error);
        if (status)
            return status;
    }
    return BERTH_OK;
}

berth_status bonds_read_front(bonds *out, reader *r, berth_error *error)
{
    berth_status status;

    *out = (bonds){0};
    if (!reader_left(r))
        return BERTH_OK;
    status = read_channels(out, r, error);
    if (!status)
        status = read_tokens(out, r, error);
    if (status)
        bonds_fini(out);
    return status;
}

berth_status bonds_read(bonds *out, slice bytes, berth_error *error)
{
    reader r = reader_of(bytes.ptr, bytes.len);
    berth_status status = bonds_read_front(out, &r, error);

    if (!status && reader_left(&r)) {
        bonds_fini(out);
        status = corrupt(error, "bytes follow them");
    }
    return status;
}

berth_status bonds_copy(bonds *out, const bonds *from, berth_error *error)
{
    writer w = {0};
    berth_status status;

    bonds_write(&w, from);
    status = w.failed ? no_memory(error) : bonds_read(out, slice_of(w.data, w.len), error);
    writer_free(&w);
    return status;
}
