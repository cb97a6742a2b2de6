/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/output.h: what people see: messages on standard error, tables and pages on standard output.
 *
 * One thread. Everything that came from a host or a file is shown with control bytes escaped.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/parse.h"

#include "base/json.h"

#include <stdio.h>

typedef enum cell_style {
    STYLE_PLAIN,
    STYLE_BOLD,
    STYLE_FAINT,
    STYLE_GOOD,
    STYLE_WARN,
    STYLE_BAD,
} cell_style;

/* Whether colours make sense there: a terminal that is not dumb, and no NO_COLOR. */
bool output_has_colours(FILE *to);

/* ---- Tables ---------------------------------------------------------------------------------- */

typedef struct tab_column {
    const char *title; /* NULL in all columns: a table without a head */
    bool right;
} tab_column;

typedef struct tab_cell {
    char *text;
    cell_style style;
} tab_cell;

typedef struct tab {
    const tab_column *columns;
    size_t column_count;
    tab_cell *cells;
    size_t count, cap;
    bool failed; /* memory was short */
} tab;

void tab_begin(tab *t, const tab_column *columns, size_t count);
/* The next cell, row by row; control bytes are escaped. */
void tab_add(tab *t, cell_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Print and free. */
void tab_end(tab *t, FILE *to, bool colours);

/* A page of facts: two columns, no head. */
void page_begin(tab *t);
void page_add(tab *t, cell_style style, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- Payloads -------------------------------------------------------------------------------- */

/*
 * One payload and a line feed. Exact bytes, but on a terminal what is not printable is escaped
 * (tabs and line feeds are let through).
 */
void output_payload(FILE *to, bool terminal, slice payload);

/* ---- Ends of commands ------------------------------------------------------------------------ */

/* "berth: text" on standard error. */
void output_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print the error; the exit code that belongs to it. */
int output_fail(const berth_error *error);
/* EXIT_USAGE, with a line that says what is wrong and how to get help. */
int output_usage(const cli_invocation *inv, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int output_exit_code(berth_status status);

/* Pretty on a terminal, one line otherwise. */
void output_json(struct json_object *object);

/*
 * Flush standard output. code, or EXIT_FAILED with a message when the output could not be written;
 * a reader that has left (`| head`) is no failure.
 */
int output_finish(int code);

#endif
