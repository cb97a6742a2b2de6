/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of impairment as text, and which rules make sense. */
#include "base/error.h"
#include "base/nearest.h"
#include "mesh/impair.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX   3
#define SIZE_MAX_B   (64u << 20) /* of queue and bucket */
#define SHOWN_MAX    60          /* bytes of a word in an error */
#define DIGITS_LIMIT 1000000000000000ull
#define DECIMALS_MAX 9 /* a ns of a second */

typedef enum quantity { SHARE, TIME, RATE, SIZE, QUANTITIES } quantity;

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* By quantity; the largest first, so that the first which divides gives the shortest text. Rates
 * are written in bits and kept in bytes. */
static const unit units[QUANTITIES][5] = {
    [SHARE] = {{"%", IMPAIR_ALL / 100}, {"ppm", 1}},
    [TIME] = {{"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}},
    [RATE] = {{"Gbit", 1000000000}, {"Mbit", 1000000}, {"kbit", 1000}, {"bit", 1}},
    [SIZE] = {{"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}},
};

static const struct {
    const char *must; /* of what is no such quantity, */
    const char *fine; /* of one that is too fine, */
    const char *range;
    uint64_t max;
} quantities[QUANTITIES] = {
    [SHARE] = {"must be a share such as 1%, 0.05% or 200ppm", "must be a whole number of ppm",
               "must be from 0% to 100%", IMPAIR_ALL},
    [TIME] = {"must be a time such as 500us, 5ms or 1.5s", "must be a whole number of ns",
              "must be from 0ms to 3600s", IMPAIR_TIME_MAX},
    [RATE] = {"must be a rate such as 64kbit, 100Mbit or 1Gbit", "must be a multiple of 8bit",
              "must be from 8bit to 100Gbit", IMPAIR_RATE_MAX},
    [SIZE] = {"must be a size such as 1500B, 256KiB or 1MiB", "must be a whole number of bytes",
              "must be from 1B to 64MiB", SIZE_MAX_B},
};

typedef struct field {
    quantity type;
    size_t offset;
} field;

/* A word with no fields is a flag. */
typedef struct word {
    const char *name;
    const char *shape; /* of its value */
    size_t least, most;
    field fields[FIELDS_MAX];
} word;

#define AT(field) offsetof(impair_rule, field)
static const word words[] = {
    {"drop", NULL, 0, 0, {{0}}},
    {"loss", "SHARE, such as loss=1%", 1, 1, {{SHARE, AT(loss)}}},
    {"burst",
     "ENTER/LEAVE or ENTER/LEAVE/LOSS, such as burst=0.5%/20%",
     2,
     3,
     {{SHARE, AT(burst_enter)}, {SHARE, AT(burst_leave)}, {SHARE, AT(burst_loss)}}},
    {"dup", "SHARE, such as dup=0.1%", 1, 1, {{SHARE, AT(duplicate)}}},
    {"corrupt", "SHARE, such as corrupt=0.01%", 1, 1, {{SHARE, AT(corrupt)}}},
    {"reorder",
     "SHARE or SHARE/TIME, such as reorder=2%/20ms",
     1,
     2,
     {{SHARE, AT(reorder)}, {TIME, AT(reorder_ns)}}},
    {"delay", "TIME, such as delay=5ms", 1, 1, {{TIME, AT(delay_ns)}}},
    {"jitter", "TIME, such as jitter=1ms", 1, 1, {{TIME, AT(jitter_ns)}}},
    {"rate", "RATE, such as rate=100Mbit", 1, 1, {{RATE, AT(rate)}}},
    {"queue", "SIZE, such as queue=256KiB", 1, 1, {{SIZE, AT(queue)}}},
    {"bucket", "SIZE, such as bucket=16KiB", 1, 1, {{SIZE, AT(bucket)}}},
};
enum { WORDS = sizeof words / sizeof *words };

static uint64_t load(const impair_rule *rule, const field *f)
{
    const char *at = (const char *)rule + f->offset;
    uint32_t share;
    uint64_t n;

    if (f->type == SHARE) {
        memcpy(&share, at, sizeof share);
        return share;
    }
    memcpy(&n, at, sizeof n);
    return n;
}

static void store(impair_rule *rule, const field *f, uint64_t n)
{
    char *at = (char *)rule + f->offset;
    uint32_t share = (uint32_t)n;

    if (f->type == SHARE)
        memcpy(at, &share, sizeof share);
    else
        memcpy(at, &n, sizeof n);
}

/* ---- Which make sense ------------------------------------------------------------------------ */

berth_status impair_check(const impair_rule *rule, berth_error *error)
{
    for (size_t w = 0; w < WORDS; w++)
        for (size_t f = 0; f < words[w].most; f++)
            if (load(rule, &words[w].fields[f]) > quantities[words[w].fields[f].type].max)
                return fail(error, BERTH_ERR_INVALID, "impairment '%s': %s", words[w].name,
                            quantities[words[w].fields[f].type].range);
    if (rule->burst_enter && !rule->burst_leave)
        return fail(error, BERTH_ERR_INVALID,
                    "impairment 'burst': never ends: its second share must be at least 1ppm");
    if ((rule->burst_leave || rule->burst_loss) && !rule->burst_enter)
        return fail(error, BERTH_ERR_INVALID,
                    "impairment 'burst': never begins: its first share must be at least 1ppm");
    if (rule->reorder_ns && !rule->reorder)
        return fail(error, BERTH_ERR_INVALID,
                    "impairment 'reorder': a time needs a share of at least 1ppm");
    if (rule->queue && !rule->rate)
        return fail(error, BERTH_ERR_INVALID,
                    "impairment 'queue': needs a rate, such as "
                    "rate=100Mbit");
    if (rule->bucket && !rule->rate)
        return fail(error, BERTH_ERR_INVALID,
                    "impairment 'bucket': needs a rate, such as "
                    "rate=100Mbit");
    return BERTH_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Digits from *at on, into *n, which is at most DIGITS_LIMIT: out of every range; how many. */
static size_t digits(slice text, size_t *at, uint64_t *n)
{
    size_t from = *at;

    for (*n = 0; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; (*at)++)
        *n = *n < DIGITS_LIMIT ? *n * 10 + (uint64_t)(text.ptr[*at] - '0') : DIGITS_LIMIT;
    return *at - from;
}

static const unit *unit_of(quantity type, slice name)
{
    for (const unit *u = units[type]; u->name; u++)
        if (slice_eq(name, slice_str(u->name)))
            return u;
    return NULL;
}

/* What is wrong with a value; NULL: nothing, and it is in *out. */
static const char *value_read(quantity type, slice text, uint64_t *out)
{
    uint64_t whole, part = 0, scale = 1, max = quantities[type].max;
    size_t at = 0, decimals = 0;
    const unit *u;

    if (!digits(text, &at, &whole))
        return quantities[type].must;
    if (at < text.len && text.ptr[at] == '.') {
        at++;
        if (!(decimals = digits(text, &at, &part)))
            return quantities[type].must;
    }
    if (!(u = unit_of(type, slice_of(text.ptr + at, text.len - at))))
        return quantities[type].must;
    if (decimals > DECIMALS_MAX)
        return quantities[type].fine;
    while (decimals--)
        scale *= 10;
    max *= type == RATE ? 8 : 1;
    if (whole > max / u->factor)
        return quantities[type].range;
    if (part * u->factor % scale)
        return quantities[type].fine;
    whole = whole * u->factor + part * u->factor / scale;
    if (whole > max || (!whole && (type == RATE || type == SIZE)))
        return quantities[type].range;
    if (type == RATE && whole % 8)
        return quantities[type].fine;
    *out = type == RATE ? whole / 8 : whole;
    return NULL;
}

static int shown(slice text)
{
    return (int)(text.len < SHOWN_MAX ? text.len : SHOWN_MAX);
}

static berth_status bad(slice text, berth_error *error, const char *what)
{
    return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': %s", shown(text),
                (const char *)text.ptr, what);
}

static berth_status bad_name(slice text, slice name, berth_error *error)
{
    char typed[SHOWN_MAX + 1], known[128] = "";
    const char *names[WORDS + 1], *near;
    size_t len = 0;

    for (size_t w = 0; w < WORDS; w++) {
        names[w] = words[w].name;
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", w ? ", " : "", names[w]);
    }
    names[WORDS] = NULL;
    snprintf(typed, sizeof typed, "%.*s", shown(name), (const char *)name.ptr);
    near = nearest_name(typed, names);
    if (near)
        return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': did you mean '%s'? (%s)",
                    shown(text), (const char *)text.ptr, near, known);
    return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': must begin with one of: %s",
                shown(text), (const char *)text.ptr, known);
}

/* Where c is in text from `from` on, or its end. */
static size_t find(slice text, size_t from, char c)
{
    while (from < text.len && text.ptr[from] != (uint8_t)c)
        from++;
    return from;
}

static berth_status values_read(impair_rule *out, const word *w, slice text, slice values,
                                berth_error *error)
{
    size_t count = 0, from = 0, end;

    do {
        const char *wrong;
        uint64_t n = 0;

        end = find(values, from, '/');
        if (count == w->most)
            return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': too many values: must be %s",
                        shown(text), (const char *)text.ptr, w->shape);
        wrong = value_read(w->fields[count].type, slice_of(values.ptr + from, end - from), &n);
        if (!wrong && count && !n)
            wrong = "only its first value may be zero";
        if (wrong)
            return bad(text, error, wrong);
        store(out, &w->fields[count++], n);
        from = end + 1;
    } while (end < values.len);
    if (count < w->least)
        return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': too few values: must be %s",
                    shown(text), (const char *)text.ptr, w->shape);
    return BERTH_OK;
}

static berth_status word_read(impair_rule *out, slice text, unsigned *seen, berth_error *error)
{
    size_t equals = find(text, 0, '='), at = 0;
    slice name = slice_of(text.ptr, equals);
    const word *w;

    while (at < WORDS && !slice_eq(name, slice_str(words[at].name)))
        at++;
    if (at == WORDS)
        return bad_name(text, name, error);
    w = &words[at];
    if (*seen & 1u << at)
        return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': '%s' was given before; once only",
                    shown(text), (const char *)text.ptr, w->name);
    *seen |= 1u << at;
    if (!w->most) {
        out->drop = true;
        return equals == text.len ? BERTH_OK : bad(text, error, "takes no value: write drop");
    }
    if (equals == text.len)
        return fail(error, BERTH_ERR_INVALID, "impairment '%.*s': needs a value: %s", shown(text),
                    (const char *)text.ptr, w->shape);
    return values_read(out, w, text, slice_of(text.ptr + equals + 1, text.len - equals - 1), error);
}

berth_status impair_parse(impair_rule *out, slice text, berth_error *error)
{
    berth_status status = BERTH_OK;
    unsigned seen = 0;

    *out = (impair_rule){0};
    for (size_t at = 0, end; at < text.len && status == BERTH_OK; at = end + 1) {
        end = find(text, at, ' ');
        if (end > at)
            status = word_read(out, slice_of(text.ptr + at, end - at), &seen, error);
    }
    if (status == BERTH_OK)
        status = impair_check(out, error);
    if (status != BERTH_OK)
        *out = (impair_rule){0};
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void put(char out[IMPAIR_TEXT], const char *text)
{
    size_t len = strlen(out);

    snprintf(out + len, IMPAIR_TEXT - len, "%s", text);
}

static void put_value(char out[IMPAIR_TEXT], quantity type, uint64_t n)
{
    const unit *u = units[type];
    char text[32];

    n *= type == RATE ? 8 : 1;
    if (type == SHARE) {
        size_t len =
            (size_t)snprintf(text, sizeof text, "%llu.%04llu", (unsigned long long)(n / u->factor),
                             (unsigned long long)(n % u->factor));

        while (text[len - 1] == '0')
            len--;
        snprintf(text + len - (text[len - 1] == '.'), sizeof text - len, "%s", u->name);
    } else {
        while (n % u->factor)
            u++;
        snprintf(text, sizeof text, "%llu%s", (unsigned long long)(n / u->factor), u->name);
    }
    put(out, text);
}

char *impair_format(char out[IMPAIR_TEXT], const impair_rule *rule)
{
    out[0] = '\0';
    if (rule->drop)
        put(out, "drop");
    for (size_t w = 0; w < WORDS; w++) {
        size_t count = words[w].most;

        while (count && !load(rule, &words[w].fields[count - 1]))
            count--;
        for (size_t f = 0; f < count; f++) {
            put(out, f ? "/" : out[0] ? " " : "");
            put(out, f ? "" : words[w].name);
            put(out, f ? "" : "=");
            put_value(out, words[w].fields[f].type, load(rule, &words[w].fields[f]));
        }
    }
    return out;
}
