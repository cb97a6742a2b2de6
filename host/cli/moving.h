/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/moving.h: daemons on their way, for the commands that begin and watch migrations. All in
 * terms of the JSON of docs/openapi.yaml. One thread.
 */
#ifndef CLI_MOVING_H
#define CLI_MOVING_H

#include "cli/client.h"
#include "cli/format.h"
#include "cli/output.h"

#define MOVING_MOST_MS  UINT64_C(86400000)
#define MOVING_ID_SHOWN 12 /* digits of an id in a table */

/* One host that is asked again and again, and Ctrl-C, which from now on only its answers see. */
typedef struct mover {
    client *client;
    unsigned interrupts;
} mover;

berth_status mover_open(mover *m, const cli_invocation *inv, berth_error *error);
void mover_close(mover *m);

/* Options of the command into the body of POST /v1/migrations; EXIT_USAGE has been said. */
int moving_read_time(const cli_invocation *inv, const char *option, const char *member,
                     struct json_object *body);

/* Puts body. OK with *answer, the caller's to put. */
berth_status mover_begin(mover *m, struct json_object *body, struct json_object **answer,
                         berth_error *error);
/*
 * What is known of it when it is over, or wait_ms have passed, or Ctrl-C was pressed; it is put
 * into *view in place of what was there, which stays on an error and on Ctrl-C.
 */
berth_status mover_look(mover *m, const char *id, unsigned wait_ms, struct json_object **view,
                        berth_error *error);
/* Ask for its end. */
berth_status mover_abort(mover *m, const char *id, berth_error *error);

bool moving_is_over(struct json_object *view);
bool moving_is(struct json_object *view, const char *state);
/* "words", or its origin. */
const char *moving_name(struct json_object *view);
/* "east", or its node id; which: source, target, waits_for. */
const char *moving_node(struct json_object *view, const char *which);
cell_style moving_style(struct json_object *view);
/* What a command that ends with this view answers. */
int moving_exit(struct json_object *view);
/* "refused: node ... may not", of one that is over and was not moved. */
char *moving_why(char *out, size_t cap, struct json_object *view);

/* Whether the target has said what became of its subscriptions, and waits for no answer. */
bool moving_is_heard(struct json_object *view);
/* "1 of 3 subscriptions not yet made: ..."; "" when all are, as far as is known. */
char *moving_unheard(char *out, size_t cap, struct json_object *view);

/* One line of a change: when, which, and all that is known. Pure. */
char *moving_change(char *out, size_t cap, struct json_object *change);

/* The line of a terminal: phase, bytes of all, rate, what waits. Pure. */
char *moving_line(char *out, size_t cap, size_t columns, struct json_object *view);

#endif
