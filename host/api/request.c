/* SPDX-License-Identifier: Apache-2.0 */
#include "api/request.h"
#include "api/emit.h"
#include "api/exchange.h"
#include "api/find.h"
#include "api/source.h"
#include "base/error.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned http_status_of(berth_status status)
{
    switch (status) {
    case BERTH_OK:
        return 200;
    case BERTH_ERR_INVALID:
    case BERTH_ERR_AMBIGUOUS:
    case BERTH_ERR_CORRUPT:
    case BERTH_ERR_VERSION:
    case BERTH_ERR_IDENTITY_MISMATCH:
        return 400;
    case BERTH_ERR_REFUSED:
    case BERTH_ERR_ADMISSION:
    case BERTH_ERR_SIGNATURE:
    case BERTH_ERR_PERMISSION:
        return 403;
    case BERTH_ERR_NOT_FOUND:
    case BERTH_ERR_KIND_UNKNOWN:
        return 404;
    case BERTH_ERR_EXISTS:
    case BERTH_ERR_KIND_EXISTS:
    case BERTH_ERR_BUSY:
    case BERTH_ERR_STALE:
    case BERTH_ERR_LOCKED:
        return 409;
    case BERTH_ERR_LIMIT:
        return 413;
    case BERTH_ERR_REJECTED:
    case BERTH_ERR_BROKEN:
    case BERTH_ERR_PLUGIN:
        return 422;
    case BERTH_ERR_UNSUPPORTED:
        return 501;
    case BERTH_ERR_WOULD_BLOCK:
    case BERTH_ERR_NOT_READY:
    case BERTH_ERR_SHUTTING_DOWN:
        return 503;
    case BERTH_ERR_TIMEOUT:
        return 504;
    case BERTH_ERR_NO_SPACE:
        return 507;
    default:
        return 500;
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

bool request_answered(const request *r)
{
    return ((const exchange *)r)->answered;
}

void request_answer(request *r, unsigned status, writer *w)
{
    exchange *e = exchange_of(r);

    if (w->failed && !e->answered) {
        writer_free(w);
        emit_error(w, BERTH_ERR_NO_MEMORY, "answer: out of memory", 0);
        emit_text(w, "}");
        status = 500;
    }
    if (e->answered) {
        writer_free(w);
        return;
    }
    emit_text(w, "\n");
    e->text = *w;
    e->status = status;
    e->answered = true;
    *w = (writer){0};
}

void request_respond(request *r, unsigned status, struct MHD_Response *response)
{
    exchange *e = exchange_of(r);
    berth_error error = {0};

    if (!response) {
        fail(&error, BERTH_ERR_NO_MEMORY, "answer: out of memory");
        request_fail(r, &error);
    } else if (e->answered) {
        MHD_destroy_response(response);
    } else {
        e->response = response;
        e->status = status;
        e->answered = true;
    }
}

void request_header(request *r, const char *name, const char *value)
{
    exchange *e = exchange_of(r);

    if (e->header_count == sizeof e->headers / sizeof *e->headers)
        return;
    e->headers[e->header_count].name = name;
    snprintf(e->headers[e->header_count++].value, sizeof e->headers->value, "%s", value);
}

void emit_error(writer *w, berth_status code, const char *text, uint64_t line)
{
    emit_text(w, "{\"error\":{");
    emit_member_string(w, "code", berth_status_name(code));
    emit_member_string(w, "message", *text ? text : berth_status_text(code));
    if (line)
        emit_member_u64(w, "line", line);
    emit_text(w, "}");
}

void request_fail_as(request *r, unsigned status, const berth_error *error)
{
    writer w = {0};

    emit_error(&w, error->code, error->text, 0);
    emit_text(&w, "}");
    request_answer(r, status, &w);
}

void request_fail(request *r, const berth_error *error)
{
    request_fail_as(r, http_status_of(error->code), error);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void run_job(void *ctx)
{
    exchange *e = (exchange *)ctx;

    e->job(&e->r);
    atomic_store_explicit(&e->job_done, true, memory_order_release);
    request_wake(&e->r);
    request_unref(&e->r);
}

void request_job(request *r, request_fn *fn)
{
    exchange *e = exchange_of(r);
    berth_error error = {0};

    e->job = fn;
    atomic_store(&e->job_done, false);
    request_ref(r);
    if (jobs_add(r->api->jobs, run_job, e))
        return;
    e->job = NULL;
    request_unref(r);
    fail(&error, BERTH_ERR_WOULD_BLOCK,
         "the host is busy with %u other commands; try again shortly", jobs_running(r->api->jobs));
    request_fail(r, &error);
}

/* ---- What came ------------------------------------------------------------------------------- */

const char *request_get_header(request *r, const char *name)
{
    return MHD_lookup_connection_value(exchange_of(r)->connection, MHD_HEADER_KIND, name);
}

static void wrong_param(request *r, const char *name, const char *wanted)
{
    berth_error error = {0};

    fail(&error, BERTH_ERR_INVALID, "%s: must be %s, not '%.64s'", name, wanted,
         target_param_get(&r->target, name));
    request_fail(r, &error);
}

bool request_bool(request *r, const char *name, bool *out)
{
    const char *value = target_param_get(&r->target, name);

    if (!value)
        return true;
    if (strcmp(value, "1") == 0 || strcmp(value, "true") == 0) {
        *out = true;
    } else if (strcmp(value, "0") == 0 || strcmp(value, "false") == 0) {
        *out = false;
    } else {
        wrong_param(r, name, "true or false");
        return false;
    }
    return true;
}

bool request_number(request *r, const char *name, uint64_t max, uint64_t *out)
{
    const char *value = target_param_get(&r->target, name);
    char wanted[64];

    if (!value || decimal_parse(value, max, out))
        return true;
    snprintf(wanted, sizeof wanted, "a number from 0 to %llu", (unsigned long long)max);
    wrong_param(r, name, wanted);
    return false;
}

bool request_daemon(request *r, unsigned index, uint64_t *origin)
{
    berth_error error = {0};
    found_daemon found;
    berth_status status = find_daemon(r->api, r->target.segments[index], &found, &error);

    if (!status && found.down)
        status = fail_down(&found, &error);
    *origin = found.origin;
    found_daemon_fini(&found);
    if (status)
        request_fail(r, &error);
    return !status;
}

bool request_receiver(request *r, unsigned index, uint64_t *origin)
{
    const char *text = r->target.segments[index];
    uint8_t bytes[8];
    found_daemon found;
    berth_error none = {0};
    bool here = find_daemon(r->api, text, &found, &none) == BERTH_OK;

    found_daemon_fini(&found);
    if (here || none.code != BERTH_ERR_NOT_FOUND || !runtime_reaches_others(r->api->rt) ||
        strlen(text) != 16 || !hex_decode(bytes, sizeof bytes, slice_str(text)))
        return request_daemon(r, index, origin);
    *origin = strtoull(text, NULL, 16); /* it may live on another host */
    return true;
}

bool request_channel(request *r, slice *out)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_./";
    const char *name = target_param_get(&r->target, "name");
    berth_error error = {0};
    size_t len = name ? strlen(name) : 0;

    if (len >= 1 && len <= 255 && strspn(name, allowed) == len) {
        *out = slice_of(name, len);
        return true;
    }
    fail(&error, BERTH_ERR_INVALID,
         "name: must be the channel's name: 1 to 255 of a-z 0-9 - _ . /");
    request_fail(r, &error);
    return false;
}
