/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include "base/error.h"
#include "cli/format.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 16, GAP = 2 };

static const char *const codes[] = {
    [STYLE_PLAIN] = "",        [STYLE_BOLD] = "\x1b[1m",  [STYLE_FAINT] = "\x1b[2m",
    [STYLE_GOOD] = "\x1b[32m", [STYLE_WARN] = "\x1b[33m", [STYLE_BAD] = "\x1b[31m",
};

void tab_begin(tab *t, const tab_column *columns, size_t count)
{
    *t = (tab){.columns = columns, .column_count = count < MAX_COLUMNS ? count : MAX_COLUMNS};
}

/* Takes over text. */
static void add(tab *t, cell_style style, char *text)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        tab_cell *cells = (tab_cell *)realloc(t->cells, cap * sizeof *cells);

        if (!cells) {
            t->failed = true;
            free(text);
            return;
        }
        t->cells = cells;
        t->cap = cap;
    }
    t->cells[t->count++] = (tab_cell){text, style};
}

static void add_format(tab *t, cell_style style, const char *format, va_list args)
{
    char *raw = NULL, *text = NULL;
    int n = vasprintf(&raw, format, args);

    /* Escaping makes four bytes of one at most. */
    if (n >= 0 && (text = (char *)malloc((size_t)n * 4 + 1)))
        text_escape(text, (size_t)n * 4 + 1, raw, (size_t)n);
    if (n >= 0)
        free(raw);
    t->failed |= !text;
    add(t, style, text);
}

void tab_add(tab *t, cell_style style, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_format(t, style, format, args);
    va_end(args);
}

static const tab_column page_columns[] = {{NULL, false}, {NULL, false}};

void page_begin(tab *t)
{
    tab_begin(t, page_columns, 2);
}

void page_add(tab *t, cell_style style, const char *name, const char *format, ...)
{
    va_list args;

    tab_add(t, STYLE_FAINT, "%s", name);
    va_start(args, format);
    add_format(t, style, format, args);
    va_end(args);
}

static void put_spaces(FILE *to, size_t n)
{
    fprintf(to, "%*s", (int)n, "");
}

/* One cell; nothing stands behind the last one of a row, so lines have no blanks at their end. */
static void put_cell(FILE *to, const char *text, cell_style style, bool colours, size_t width,
                     bool right, bool last)
{
    size_t used = format_width(text), pad = width > used ? width - used : 0;
    bool coloured = colours && style != STYLE_PLAIN && *text;

    if (right)
        put_spaces(to, pad);
    fprintf(to, "%s%s%s", coloured ? codes[style] : "", text, coloured ? "\x1b[0m" : "");
    if (last)
        fputc('\n', to);
    else
        put_spaces(to, (right ? 0 : pad) + GAP);
}

void tab_end(tab *t, FILE *to, bool colours)
{
    size_t widths[MAX_COLUMNS] = {0}, n = t->column_count;
    bool head = t->columns[0].title != NULL;

    assert(n);
    for (size_t i = 0; head && i < n; i++)
        widths[i] = format_width(t->columns[i].title);
    for (size_t i = 0; i < t->count; i++) {
        size_t width = t->cells[i].text ? format_width(t->cells[i].text) : 0;

        if (width > widths[i % n])
            widths[i % n] = width;
    }
    for (size_t i = 0; head && i < n; i++)
        put_cell(to, t->columns[i].title, STYLE_BOLD, colours, widths[i], t->columns[i].right,
                 i + 1 == n);
    for (size_t i = 0; i < t->count; i++) {
        const tab_cell *cell = &t->cells[i];

        put_cell(to, cell->text ? cell->text : "", cell->style, colours, widths[i % n],
                 t->columns[i % n].right, i % n + 1 == n);
        free(t->cells[i].text);
    }
    if (t->failed)
        output_note("memory is short: the table is not complete");
    free(t->cells);
    *t = (tab){0};
}
