/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/announcement.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void announcement_fini(announcement *a)
{
    capabilities_fini(&a->set);
    *a = (announcement){0};
}

/* ---- writing ---- */

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(writer *w, const char *format, ...)
{
    char text[192];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    writer_bytes(w, text, (size_t)n);
}

static void put_hex(writer *w, const char *name, slice bytes)
{
    char text[2 * BERTH_SIGNATURE_SIZE + 1];

    put(w, ",\"%s\":\"%s\"", name, hex_encode(text, bytes));
}

/* [[1,2],[3,4]] */
static void put_ids(writer *w, const char *name, const uint8_t *ids, size_t count, size_t size)
{
    if (!count)
        return;
    put(w, ",\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < size; k++)
            put(w, "%s%u", k ? "," : i ? ",[" : "[", ids[i * size + k]);
        put(w, "]");
    }
    put(w, "]");
}

static void write_members(writer *w, const announcement *a, bool travelling)
{
    put(w, "{\"node_id\":%" PRIu64, a->node_id);
    put_hex(w, "entity_id", slice_of(a->entity, sizeof a->entity));
    put(w, ",\"version\":%" PRIu64 ",\"timestamp_ns\":%" PRIu64 ",\"ttl_secs\":%" PRIu32,
        a->version, a->timestamp_ns, a->ttl_s);
    put(w, ",\"capabilities\":");
    capabilities_write(w, &a->set);
    if (travelling && a->is_signed)
        put_hex(w, "signature", slice_of(a->signature, sizeof a->signature));
    if (travelling && a->hop_count)
        put(w, ",\"hop_count\":%u", a->hop_count);
    if (a->reflex[0]) {
        put(w, ",\"reflex_addr\":");
        capabilities_write_string(w, slice_str(a->reflex));
    }
    if (a->node_count) {
        put(w, ",\"allowed_nodes\":[");
        for (size_t i = 0; i < a->node_count; i++)
            put(w, "%s%" PRIu64, i ? "," : "", a->nodes[i]);
        put(w, "]");
    }
    put_ids(w, "allowed_subnets", a->subnets[0], a->subnet_count, ANNOUNCEMENT_SUBNET_ID);
    put_ids(w, "allowed_groups", a->groups[0], a->group_count, ANNOUNCEMENT_GROUP_ID);
    put(w, "}");
}

void announcement_write_signed(writer *w, const announcement *a)
{
    write_members(w, a, false);
}

void announcement_write(writer *w, const announcement *a)
{
    write_members(w, a, true);
}

berth_status announcement_sign(writer *w, announcement *a, const berth_keypair *key,
                               berth_error *error)
{
    size_t start = w->len;
    writer plain = {0};
    berth_status status;

    memcpy(a->entity, key->entity, sizeof a->entity);
    a->node_id = key->node_id;
    announcement_write_signed(&plain, a);
    if (plain.failed) {
        status = fail(error, BERTH_ERR_NO_MEMORY, "announcement: out of memory");
        goto out;
    }
    status = berth_sign(key, plain.data, plain.len, a->signature);
    if (status) {
        fail(error, status, "announcement: the key has no secret half");
        goto out;
    }
    a->is_signed = true;
    announcement_write(w, a);
    if (w->failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "announcement: out of memory");
    else if (w->len - start > ANNOUNCEMENT_MAX_OWN)
        status = fail(error, BERTH_ERR_LIMIT,
                      "announcement of %zu bytes: at most %d are allowed; announce fewer tags",
                      w->len - start, ANNOUNCEMENT_MAX_OWN);
    if (status)
        w->len = start;
out:
    writer_free(&plain);
    return status;
}

/* ---- reading ---- */

static berth_status wrong(berth_error *error, const char *key, const char *what)
{
    return fail(error, BERTH_ERR_INVALID, "announcement: %s: %s", key, what);
}

/* null stands for nothing where a member may be missing, but only in two of them. */
static bool null_where_none_may_be(struct json_object *o, const char **key)
{
    static const char *const strict[] = {"hop_count", "allowed_nodes", "allowed_subnets",
                                         "allowed_groups"};
    struct json_object *value;

    for (size_t i = 0; i < sizeof strict / sizeof *strict; i++) {
        *key = strict[i];
        if (json_object_object_get_ex(o, strict[i], &value) && !value)
            return true;
    }
    return false;
}

static bool number_at(struct json_object *array, size_t i, uint64_t max, uint64_t *out)
{
    struct json_object *value = json_object_array_get_idx(array, i);

    if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
        return false;
    *out = json_object_get_uint64(value);
    return *out <= max;
}

static berth_status read_list(struct json_object *o, const char *key, struct json_object **list,
                              size_t *count, berth_error *error)
{
    berth_status status;

    *list = NULL;
    status = json_get_array(o, "announcement", key, JSON_OPTIONAL, list, error);
    *count = !status && *list ? json_object_array_length(*list) : 0;
    if (*count <= ANNOUNCEMENT_LIST_MAX)
        return status;
    *count = 0;
    return wrong(error, key, "more than 64 entries");
}

static berth_status read_nodes(announcement *out, struct json_object *o, berth_error *error)
{
    struct json_object *list;
    berth_status status = read_list(o, "allowed_nodes", &list, &out->node_count, error);

    for (size_t i = 0; !status && i < out->node_count; i++)
        if (!number_at(list, i, UINT64_MAX, &out->nodes[i]))
            status = wrong(error, "allowed_nodes", "not a list of 64-bit numbers");
    return status;
}

static berth_status read_ids(struct json_object *o, const char *key, uint8_t *ids, size_t *count,
                             size_t size, berth_error *error)
{
    struct json_object *list, *id;
    uint64_t byte;
    berth_status status = read_list(o, key, &list, count, error);

    for (size_t i = 0; !status && i < *count; i++) {
        id = json_object_array_get_idx(list, i);
        if (!json_object_is_type(id, json_type_array) || json_object_array_length(id) != size)
            return wrong(error, key, "an id of another length");
        for (size_t k = 0; k < size; k++) {
            if (!number_at(id, k, UINT8_MAX, &byte))
                return wrong(error, key, "not a list of bytes");
            ids[i * size + k] = (uint8_t)byte;
        }
    }
    return status;
}

/* a.b.c.d:port, or [v6]:port */
static bool is_address(slice text)
{
    char host[ANNOUNCEMENT_REFLEX];
    struct in6_addr address;
    size_t colon = text.len, start = 0, end;
    uint64_t port;

    if (text.len >= sizeof host || memchr(text.ptr, 0, text.len))
        return false;
    while (colon && text.ptr[colon - 1] != ':')
        colon--;
    if (!colon || text.len - colon == 0 || text.len - colon > 5)
        return false;
    port = tag_number(slice_of(text.ptr + colon, text.len - colon));
    if (port > UINT16_MAX || !tag_is_number(slice_of(text.ptr + colon, text.len - colon)))
        return false;
    end = colon - 1;
    if (end >= 2 && text.ptr[0] == '[' && text.ptr[end - 1] == ']') {
        start = 1;
        end--;
    }
    memcpy(host, text.ptr + start, end - start);
    host[end - start] = 0;
    return inet_pton(start ? AF_INET6 : AF_INET, host, &address) == 1;
}

static berth_status read_small(announcement *out, struct json_object *o, berth_error *error)
{
    uint64_t ttl = 0, hops = 0;
    slice reflex = {0};
    berth_status status;

    status = json_get_u64(o, "announcement", "ttl_secs", JSON_REQUIRED, &ttl, error);
    if (!status)
        status = json_get_u64(o, "announcement", "hop_count", JSON_OPTIONAL, &hops, error);
    if (!status)
        status = json_get_string(o, "announcement", "reflex_addr", JSON_OPTIONAL, &reflex, error);
    if (status)
        return status;
    if (ttl > UINT32_MAX || hops > UINT8_MAX)
        return wrong(error, ttl > UINT32_MAX ? "ttl_secs" : "hop_count", "is too large");
    if (reflex.ptr && !is_address(reflex))
        return wrong(error, "reflex_addr", "is not an address and a port");
    if (reflex.ptr)
        memcpy(out->reflex, reflex.ptr, reflex.len);
    out->ttl_s = (uint32_t)ttl;
    out->hop_count = (uint8_t)hops;
    return BERTH_OK;
}

static berth_status read_all(announcement *out, struct json_object *o, berth_error *error)
{
    struct json_object *set = NULL;
    slice signature = {0};
    const char *key;
    berth_status status;

    if (!json_object_is_type(o, json_type_object))
        return wrong(error, "the text", "is not an object");
    if (null_where_none_may_be(o, &key))
        return wrong(error, key, "is null");
    status = json_get_u64(o, "announcement", "node_id", JSON_REQUIRED, &out->node_id, error);
    if (!status)
        status = json_get_hex(o, "announcement", "entity_id", JSON_REQUIRED, out->entity,
                              sizeof out->entity, error);
    if (!status)
        status = json_get_u64(o, "announcement", "version", JSON_REQUIRED, &out->version, error);
    if (!status)
        status = json_get_u64(o, "announcement", "timestamp_ns", JSON_REQUIRED, &out->timestamp_ns,
                              error);
    if (!status)
        status = read_small(out, o, error);
    if (!status)
        status = json_get_string(o, "announcement", "signature", JSON_OPTIONAL, &signature, error);
    if (!status && signature.ptr) {
        out->is_signed = hex_decode(out->signature, sizeof out->signature, signature);
        if (!out->is_signed)
            status = wrong(error, "signature", "must be 128 hex digits");
    }
    if (!status)
        status = read_nodes(out, o, error);
    if (!status)
        status = read_ids(o, "allowed_subnets", out->subnets[0], &out->subnet_count,
                          ANNOUNCEMENT_SUBNET_ID, error);
    if (!status)
        status = read_ids(o, "allowed_groups", out->groups[0], &out->group_count,
                          ANNOUNCEMENT_GROUP_ID, error);
    if (!status)
        status = json_get_object(o, "announcement", "capabilities", JSON_REQUIRED, &set, error);
    return status ? status : capabilities_read(&out->set, set, error);
}

/* ---- members in the text ---- */

/* A member from the comma in front of it (or its first byte, if it is the first) to the end of its
 * value. */
typedef struct span {
    size_t from, value, to; /* to is 0: there is none */
} span;

typedef struct places {
    span signature, hop_count;
    size_t capabilities_to;
} places;

/* The index behind the string whose opening quote is at i. */
static size_t after_string(slice t, size_t i)
{
    for (i++; t.ptr[i] != '"'; i++)
        i += t.ptr[i] == '\\';
    return i + 1;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t after_space(slice t, size_t i)
{
    while (is_space(t.ptr[i]))
        i++;
    return i;
}

/* The index behind the value that begins at i. */
static size_t after_value(slice t, size_t i)
{
    int depth = 0;

    if (t.ptr[i] == '"')
        return after_string(t, i);
    for (; depth > 0 ||
           (t.ptr[i] != ',' && t.ptr[i] != '}' && t.ptr[i] != ']' && !is_space(t.ptr[i]));) {
        if (t.ptr[i] == '"') {
            i = after_string(t, i);
            continue;
        }
        depth += t.ptr[i] == '{' || t.ptr[i] == '[';
        depth -= t.ptr[i] == '}' || t.ptr[i] == ']';
        i++;
        if (depth == 0 && (t.ptr[i - 1] == '}' || t.ptr[i - 1] == ']'))
            break;
    }
    return i;
}

/* Text is an object that json_scan let through. False if a top-level key is written with escapes:
 * then the same member could be told from another in one reader and not in the next. */
static bool find_places(places *out, slice t)
{
    size_t i = after_space(t, 0) + 1, key, key_end, from;

    *out = (places){0};
    i = after_space(t, i);
    from = i;
    while (t.ptr[i] != '}') {
        span s;

        key = i;
        key_end = after_string(t, i);
        if (memchr(t.ptr + key, '\\', key_end - key))
            return false;
        s.from = from;
        s.value = after_space(t, after_space(t, key_end) + 1);
        s.to = after_value(t, s.value);
        if (slice_eq(slice_of(t.ptr + key, key_end - key), slice_str("\"signature\"")))
            out->signature = s;
        else if (slice_eq(slice_of(t.ptr + key, key_end - key), slice_str("\"hop_count\"")))
            out->hop_count = s;
        else if (slice_eq(slice_of(t.ptr + key, key_end - key), slice_str("\"capabilities\"")))
            out->capabilities_to = s.to;
        i = after_space(t, s.to);
        from = i;
        if (t.ptr[i] == ',')
            i = after_space(t, i + 1);
    }
    return true;
}

/* The same for a text that ends with its signature and hop_count, as ours do on their way, without
 * looking at what is before them. Behind a comma a quote begins a key, so nothing else looks so;
 * and no member is there twice. */
static bool find_tail(places *out, slice t)
{
    static const char hops[] = ",\"hop_count\":", signature[] = ",\"signature\":\"";
    const size_t hops_len = sizeof hops - 1, length = sizeof signature - 1;
    const size_t hex = 2 * BERTH_SIGNATURE_SIZE;
    size_t end = t.len - 1, digits = end;

    *out = (places){0};
    while (digits && t.ptr[digits - 1] >= '0' && t.ptr[digits - 1] <= '9')
        digits--;
    if (digits == end || digits < hops_len + length + hex + 1 ||
        memcmp(t.ptr + digits - hops_len, hops, hops_len) != 0)
        return false;
    out->hop_count = (span){.from = digits - hops_len, .value = digits, .to = end};
    end = digits - hops_len;
    const uint8_t *value = t.ptr + end - 1 - hex; /* behind its opening quote */
    if (t.ptr[end - 1] != '"' || memcmp(value - length, signature, length) != 0 ||
        memchr(value, '"', hex) || memchr(value, '\\', hex))
        return false;
    out->signature = (span){.from = end - 1 - hex - length, .value = end - 2 - hex, .to = end};
    return true;
}

static bool find_members(places *out, slice text)
{
    return find_tail(out, text) || find_places(out, text);
}

berth_status announcement_read(announcement *out, slice text, berth_error *error)
{
    struct json_object *o = NULL;
    berth_status status;
    places at;

    *out = (announcement){0};
    status = json_parse(text, ANNOUNCEMENT_MAX, &o, error);
    if (status)
        return status;
    status = read_all(out, o, error);
    json_object_put(o);
    if (!status && !find_places(&at, text))
        status = wrong(error, "a key", "is written with escapes");
    if (status)
        announcement_fini(out);
    return status;
}

/* text without the two members. The member behind one that stood first keeps its comma: such a
 * text was never signed, and does not verify. */
static void write_excised(writer *w, slice text, const places *at)
{
    span first = at->signature, second = at->hop_count;

    if (second.to && (!first.to || second.from < first.from)) {
        span swap = first;

        first = second;
        second = swap;
    }
    writer_bytes(w, text.ptr, first.from);
    if (second.to) {
        writer_bytes(w, text.ptr + first.to, second.from - first.to);
        first = second;
    }
    writer_bytes(w, text.ptr + first.to, text.len - first.to);
}

berth_status announcement_verify(const announcement *a, slice text, verify_signature *verify,
                                 berth_error *error)
{
    berth_status status;
    writer plain = {0};
    places at;

    if (!a->is_signed || !find_members(&at, text) || !at.signature.to)
        return fail(error, BERTH_ERR_SIGNATURE, "announcement: is not signed");
    write_excised(&plain, text, &at);
    if (plain.failed)
        status = fail(error, BERTH_ERR_NO_MEMORY, "announcement: out of memory");
    else if ((verify ? verify : berth_verify)(a->entity, plain.data, plain.len, a->signature))
        status = fail(error, BERTH_ERR_SIGNATURE, "announcement: the signature does not verify");
    else
        status = BERTH_OK;
    writer_free(&plain);
    return status;
}

berth_status announcement_write_hop(writer *w, slice text, uint8_t hop_count, berth_error *error)
{
    places at;
    size_t cut;

    if (!find_members(&at, text))
        return wrong(error, "a key", "is written with escapes");
    if (at.hop_count.to) {
        writer_bytes(w, text.ptr, at.hop_count.value);
        put(w, "%u", hop_count);
        cut = at.hop_count.to;
    } else {
        cut = at.signature.to ? at.signature.to : at.capabilities_to;
        writer_bytes(w, text.ptr, cut);
        put(w, ",\"hop_count\":%u", hop_count);
    }
    writer_bytes(w, text.ptr + cut, text.len - cut);
    return w->failed ? fail(error, BERTH_ERR_NO_MEMORY, "announcement: out of memory") : BERTH_OK;
}

/* The number behind these bytes, up to a comma. */
static bool peek_number(reader *r, const char *before, uint64_t *out)
{
    slice same = reader_bytes(r, strlen(before));
    uint64_t value = 0;
    unsigned digits = 0;

    if (!slice_eq(same, slice_str(before)))
        return false;
    for (uint8_t c; (c = reader_u8(r)) >= '0' && c <= '9'; digits++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = 10 * value + (c - '0');
    }
    *out = value;
    return digits && reader_ok(r);
}

bool announcement_peek(slice text, uint64_t *node_id, uint64_t *version)
{
    static const char hops[] = ",\"hop_count\":";
    const size_t len = sizeof hops - 1;
    reader r = reader_of(text.ptr, text.len);

    /* the last member, one or two digits long */
    if (text.len > ANNOUNCEMENT_MAX || text.len < len + 3 || text.ptr[text.len - 1] != '}' ||
        (memcmp(text.ptr + text.len - len - 2, hops, len) != 0 &&
         memcmp(text.ptr + text.len - len - 3, hops, len) != 0))
        return false;
    if (!peek_number(&r, "{\"node_id\":", node_id))
        return false;
    reader_bytes(&r, strlen("\"entity_id\":\"\"") + 2 * BERTH_ENTITY_SIZE);
    return peek_number(&r, ",\"version\":", version);
}
