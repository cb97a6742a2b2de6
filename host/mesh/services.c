/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/services.h"
#include "base/error.h"
#include "base/text.h"
#include "mesh/call_wire.h"

#include <stdlib.h>
#include <string.h>

typedef struct service {
    uint64_t origin;
    size_t len;
    char name[];
} service;

/* Sorted by name: it is read far more often than changed, and told in that order. */
struct services {
    service **rows;
    size_t count, cap, max;
    uint64_t version;
};

services *services_new(size_t max)
{
    services *s = calloc(1, sizeof *s);

    if (s)
        s->max = max ? max : SERVICES_MAX;
    return s;
}

void services_free(services *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        free(s->rows[i]);
    free(s->rows);
    free(s);
}

static int compare(const service *row, slice name)
{
    size_t len = row->len < name.len ? row->len : name.len;
    int order = len ? memcmp(row->name, name.ptr, len) : 0;

    return order ? order : (row->len > name.len) - (row->len < name.len);
}

/* The first row that is not before name; *same: it is that name. */
static size_t find(const services *s, slice name, bool *same)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(s->rows[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *same = low < s->count && compare(s->rows[low], name) == 0;
    return low;
}

static bool grow(services *s)
{
    size_t cap = s->cap ? 2 * s->cap : 8;
    service **rows;

    if (s->count < s->cap)
        return true;
    rows = realloc(s->rows, cap * sizeof *rows);
    if (!rows)
        return false;
    s->rows = rows;
    s->cap = cap;
    return true;
}

static berth_status insert(services *s, size_t at, slice name, uint64_t origin)
{
    service *row = malloc(sizeof *row + name.len + 1);

    if (!row || !grow(s)) {
        free(row);
        return BERTH_ERR_NO_MEMORY;
    }
    row->origin = origin;
    row->len = name.len;
    memcpy(row->name, name.ptr, name.len);
    row->name[name.len] = 0;
    memmove(s->rows + at + 1, s->rows + at, (s->count - at) * sizeof *s->rows);
    s->rows[at] = row;
    s->count++;
    s->version++;
    return BERTH_OK;
}

berth_status services_add(services *s, slice name, uint64_t origin, berth_error *error)
{
    berth_status status = call_service_check(name, error);
    char incumbent[ID_TEXT];
    bool same;
    size_t at;

    if (status)
        return status;
    at = find(s, name, &same);
    if (same && s->rows[at]->origin == origin)
        return BERTH_OK;
    if (same)
        return fail(error, BERTH_ERR_EXISTS,
                    "service '%s': daemon %s serves it already; stop it first, or take another "
                    "name",
                    s->rows[at]->name, id_encode(incumbent, s->rows[at]->origin));
    if (s->count >= s->max)
        return fail(error, BERTH_ERR_LIMIT, "service '%.*s': %zu are served here already",
                    (int)name.len, (const char *)name.ptr, s->max);
    status = insert(s, at, name, origin);
    return status ? fail(error, status, "service: out of memory") : BERTH_OK;
}

static void remove_at(services *s, size_t at)
{
    free(s->rows[at]);
    s->count--;
    memmove(s->rows + at, s->rows + at + 1, (s->count - at) * sizeof *s->rows);
    s->version++;
}

bool services_remove(services *s, slice name, uint64_t origin)
{
    bool same;
    size_t at = find(s, name, &same);

    if (!same || s->rows[at]->origin != origin)
        return false;
    remove_at(s, at);
    return true;
}

size_t services_remove_origin(services *s, uint64_t origin)
{
    size_t before = s->count;

    for (size_t i = s->count; i > 0; i--)
        if (s->rows[i - 1]->origin == origin)
            remove_at(s, i - 1);
    return before - s->count;
}

bool services_find(const services *s, slice name, uint64_t *origin)
{
    bool same;
    size_t at = find(s, name, &same);

    if (same)
        *origin = s->rows[at]->origin;
    return same;
}

size_t services_names(const services *s, const char **out, size_t cap)
{
    for (size_t i = 0; i < s->count && i < cap; i++)
        out[i] = s->rows[i]->name;
    return s->count;
}

uint64_t services_version(const services *s)
{
    return s->version;
}
