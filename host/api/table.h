/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/table.h: the routes: one row for each method and path, and how a request finds its row. Pure.
 */
#ifndef API_TABLE_H
#define API_TABLE_H

#include "api/target.h"

typedef struct request request;

/* What a body may be. */
typedef enum api_body {
    BODY_NONE,
    BODY_JSON,     /* an object of at most API_JSON_MAX bytes */
    BODY_EVENT,    /* at most max_event bytes */
    BODY_SNAPSHOT, /* at most max_state bytes and the container around it */
    BODY_STREAM    /* of any length; begin sets who takes it */
} api_body;

typedef struct api_route {
    const char *method;
    const char *pattern; /* as in docs/openapi.yaml; {x} stands for one segment */
    api_body body;
    const char *const *params; /* query parameters, NULL-terminated; NULL: none */
    void (*begin)(request *r); /* when the headers are there; may answer; NULL: nothing to do */
    void (*run)(request *r);   /* when the body is there too */
} api_route;

extern const api_route api_routes[];
extern const unsigned api_route_count;

/* The row, or NULL: then *same_path tells whether the path exists with other methods. HEAD is GET.
 */
const api_route *route_find(const target *t, const char *method, bool *same_path);

/* "GET, POST": the methods of a path, for Allow. */
void route_methods(const target *t, char *out, size_t cap);

/* The pattern that is most like the path, for "did you mean". */
const char *route_nearest(const target *t);

/* The names of a NULL-terminated list as "a, b"; "none" when it is empty. */
void names_join(const char *const *names, char *out, size_t cap);

#endif
