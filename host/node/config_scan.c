/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfuse's scanner drops bytes it has no rule for, ends a word at `//`, takes `a|b` for a path
 * into a section, replaces ${NAME} from the environment, counts a line for each comment, and after
 * an unfinished string reads the next file as if it were inside that string. So the text is looked
 * at first: what would be misread is refused, and comments never reach the scanner.
 */
#include "base/error.h"
#include "base/text.h"
#include "node/config_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct scan {
    const char *path;
    char *text;
    size_t at, len;
    unsigned line;
    unsigned sections;
    bool assigned, list;    /* the last mark was a =, or a { behind one */
    unsigned depth, opened; /* braces, and the line of the last one that went from 0 to 1 */
    berth_error *error;
} scan;

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_-./:@%~", c));
}

static char peek(const scan *s, size_t ahead)
{
    return s->at + ahead < s->len ? s->text[s->at + ahead] : '\0';
}

static berth_status bad(scan *s, unsigned line, const char *what)
{
    return fail(s->error, BERTH_ERR_INVALID, "%s:%u: %s", s->path, line, what);
}

/* Blanks the byte here, unless it ends a line. */
static void blank(scan *s)
{
    if (s->text[s->at] == '\n')
        s->line++;
    else
        s->text[s->at] = ' ';
    s->at++;
}

static berth_status block_comment(scan *s)
{
    unsigned began = s->line;

    blank(s);
    blank(s);
    while (s->at < s->len && !(peek(s, 0) == '*' && peek(s, 1) == '/'))
        blank(s);
    if (s->at >= s->len)
        return bad(s, began, "this comment is never closed: end it with */");
    blank(s);
    blank(s);
    return BERTH_OK;
}

static berth_status quoted(scan *s, char quote)
{
    unsigned began = s->line;

    for (s->at++; s->at < s->len && peek(s, 0) != quote; s->at++) {
        if (peek(s, 0) == '\n')
            s->line++;
        if (quote == '"' && peek(s, 0) == '$' && peek(s, 1) == '{')
            return bad(s, s->line,
                       "environment variables are not replaced here: write \\$ for a $ before {");
        if (peek(s, 0) != '\\')
            continue;
        s->at++;
        if (peek(s, 0) == '\n')
            s->line++;
        if (quote == '"' && s->at < s->len && (!peek(s, 0) || !strchr("\"\\$nrt\n", peek(s, 0))))
            return bad(s, s->line,
                       "a backslash in double quotes stands before one of \" \\ $ n r t "
                       "only: write \\\\ for a backslash");
    }
    if (s->at >= s->len)
        return bad(s, began, "this string is never closed");
    s->at++;
    return BERTH_OK;
}

static berth_status word(scan *s)
{
    size_t began = s->at;

    while (s->at < s->len && is_word(peek(s, 0))) {
        if (peek(s, 0) == '/' && (peek(s, 1) == '/' || peek(s, 1) == '*') && s->at > began)
            return bad(s, s->line, "a word with // or /* in it needs quotes");
        s->at++;
    }
    if (s->at - began > CONFIG_MAX_TOKEN)
        return bad(s, s->line, "this word is too long");
    return BERTH_OK;
}

static berth_status brace(scan *s, char c)
{
    if (c == '{' && ++s->sections > CONFIG_MAX_SECTIONS)
        return bad(s, s->line, "too many sections and lists in one file");
    if (c == '}' && s->depth == 0)
        return bad(s, s->line, "this } closes nothing");
    if (c == '}' && s->list)
        return bad(s, s->line, "an empty list says nothing: leave the option out");
    s->list = c == '{' && s->assigned;
    s->assigned = false;
    if (c == '{' && s->depth++ == 0)
        s->opened = s->line;
    if (c == '}')
        s->depth--;
    s->at++;
    return BERTH_OK;
}

static berth_status other(scan *s, char c)
{
    if (c == '+' && peek(s, 1) == '=')
        return bad(s, s->line, "+= is not known here: write all values in one list, with =");
    if ((unsigned char)c < 0x20 || c == 0x7f)
        return bad(s, s->line, "a control character stands here: this is not a text file");
    return fail(s->error, BERTH_ERR_INVALID,
                "%s:%u: '%.*s' stands outside of quotes: put quotes around "
                "the whole value",
                s->path, s->line, (int)utf8_length(slice_of(s->text + s->at, s->len - s->at)),
                s->text + s->at);
}

static berth_status scan_one(scan *s)
{
    char c = peek(s, 0);

    if (c == '\n') {
        s->line++;
        s->at++;
    } else if (c == '\r' && peek(s, 1) == '\n') {
        blank(s);
    } else if (c == '#' || (c == '/' && peek(s, 1) == '/')) {
        while (s->at < s->len && peek(s, 0) != '\n')
            blank(s);
    } else if (c == '/' && peek(s, 1) == '*') {
        return block_comment(s);
    } else if (c == '"' || c == '\'') {
        s->assigned = s->list = false;
        return quoted(s, c);
    } else if (c == '{' || c == '}') {
        return brace(s, c);
    } else if (c == ' ' || c == '\t') {
        s->at++;
    } else if (c == '=' || c == ',') {
        s->assigned = c == '=';
        s->at++;
    } else if (is_word(c)) {
        s->assigned = s->list = false;
        return word(s);
    } else {
        return other(s, c);
    }
    return BERTH_OK;
}

berth_status config_scan(slice text, const char *path, char **out, berth_error *error)
{
    scan s = {.path = path, .len = text.len, .line = 1, .error = error};
    berth_status status = BERTH_OK;

    *out = NULL;
    if (text.len > CONFIG_MAX_BYTES)
        return fail(error, BERTH_ERR_INVALID, "%s: longer than %d bytes", path, CONFIG_MAX_BYTES);
    if (!utf8_valid(text))
        return fail(error, BERTH_ERR_INVALID, "%s: is not UTF-8 text", path);
    s.text = malloc(text.len + 1);
    if (!s.text)
        return fail(error, BERTH_ERR_NO_MEMORY, "out of memory for %s", path);
    if (text.len)
        memcpy(s.text, text.ptr, text.len);
    s.text[text.len] = '\0';
    while (status == BERTH_OK && s.at < s.len)
        status = scan_one(&s);
    if (status == BERTH_OK && s.depth > 0)
        status = bad(&s, s.opened, "the section that begins here is never closed: a } is missing");
    /* A zero inside quotes would end the text early for the scanner behind this one. */
    if (status == BERTH_OK && strlen(s.text) != s.len)
        status =
            fail(error, BERTH_ERR_INVALID, "%s: holds a zero byte: this is not a text file", path);
    if (status != BERTH_OK) {
        free(s.text);
        return status;
    }
    *out = s.text;
    return BERTH_OK;
}
