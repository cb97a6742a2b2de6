/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/ask.h: what most commands are: one request, its answer shown.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "cli/client.h"

/*
 * Do it and end up with the answer (the caller's to put; NULL on failure), or with the error said
 * and its exit code.
 */
int ask(const cli_invocation *inv, const client_request *request, struct json_object **answer);

/* The same for one member list of the answer, sorted by the name of its elements. */
int ask_list(const cli_invocation *inv, const char *path, const char *member,
             struct json_object **answer, struct json_object **list);

/* Have one thing shown: as JSON with --json, else by show. The exit code. */
int ask_show(const cli_invocation *inv, const char *path, void (*show)(struct json_object *answer));

/* As ask, with a body that goes piece by piece to request->sink. */
int ask_stream(const cli_invocation *inv, const client_request *request);

/* A JSON body from an object, which it puts; free() the result. */
char *ask_body(struct json_object *object);

/*
 * The body's descriptor: standard input for NULL and "-", else the file. -1 after an error was
 * said. Close it with ask_close.
 */
int ask_open(const char *file);
void ask_close(int fd);

#endif
