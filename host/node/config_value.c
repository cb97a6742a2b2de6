/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"
#include "base/text.h"
#include "node/config_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 127
#define PATH_LIMIT     4096

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

static const unit size_units[] = {
    {"", 1}, {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {NULL, 0}};
static const unit time_units[] = {{"ns", 1},         {"us", 1000},       {"ms", 1000000},
                                  {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
                                  {NULL, 0}};
static const unit no_units[] = {{"", 1}, {NULL, 0}};

static const unit *units_of(value_type type)
{
    return type == VALUE_SIZE ? size_units : type == VALUE_TIME ? time_units : no_units;
}

/* Digits, then perhaps a space, then a unit; false on anything else and on overflow. */
static bool number(const char *text, const unit *units, uint64_t *out)
{
    uint64_t n = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*at - '0');
    }
    if (at == text)
        return false;
    if (*at == ' ')
        at++;
    for (; units->name; units++) {
        if (strcmp(at, units->name) == 0) {
            if (units->factor && n > UINT64_MAX / units->factor)
                return false;
            *out = n * units->factor;
            return true;
        }
    }
    return false;
}

static bool name_ok(const char *text, size_t len)
{
    if (len < 1 || len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

static bool pattern_ok(const char *text)
{
    size_t len = strlen(text);

    if (strcmp(text, "*") == 0)
        return true;
    return name_ok(text, len && text[len - 1] == '*' ? len - 1 : len);
}

/* Every minisign key begins with RW; what ends in .pub is a file with one. */
static bool is_key_text(const char *text)
{
    size_t len = strlen(text);

    return strncmp(text, "RW", 2) == 0 && !(len > 4 && strcmp(text + len - 4, ".pub") == 0);
}

static bool key_ok(const char *text)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    bool ok;

    if (!is_key_text(text))
        return text[0] != '\0' && strlen(text) < PATH_LIMIT;
    ok = base64_decode(slice_str(text), &bytes, &count) && count == 42 &&
         memcmp(bytes, "Ed", 2) == 0;
    free(bytes);
    return ok;
}

static bool library_ok(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len < 256 && !strchr(text, '/') && strncmp(text, "lib", 3) == 0 &&
           strstr(text, ".so");
}

static void list_choices(const char *const *choices, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; choices[i] && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i ? ", " : "", choices[i]);
}

static bool number_ok(const value_rule *rule, const char *text, char *why, size_t cap)
{
    uint64_t n;

    if (!number(text, units_of(rule->type), &n)) {
        snprintf(why, cap, "%s",
                 rule->type == VALUE_SIZE ? "must be a number of bytes such as 4096, 64KiB or 8MiB"
                 : rule->type == VALUE_TIME
                     ? "must be a duration such as 500us, 10ms, 30s, 5m or 1h"
                     : "must be a whole number");
        return false;
    }
    if (n < rule->min || n > rule->max) {
        snprintf(why, cap, "must be from %llu to %llu%s", (unsigned long long)rule->min,
                 (unsigned long long)rule->max,
                 rule->type == VALUE_SIZE   ? " bytes"
                 : rule->type == VALUE_TIME ? " nanoseconds"
                                            : "");
        return false;
    }
    return true;
}

static bool choice_ok(const value_rule *rule, const char *text, char *why, size_t cap)
{
    char known[160];
    const char *near;

    for (size_t i = 0; rule->choices[i]; i++)
        if (strcmp(text, rule->choices[i]) == 0)
            return true;
    list_choices(rule->choices, known, sizeof known);
    near = nearest_name(text, rule->choices);
    if (near)
        snprintf(why, cap, "did you mean '%s'? (%s)", near, known);
    else
        snprintf(why, cap, "must be one of: %s", known);
    return false;
}

#define OTHERS_HOME "begins with ~ and no /: write ~/ for this user's home, else the whole path"

static bool others_home(const char *text)
{
    return text[0] == '~' && text[1] != '/' && text[1] != '\0';
}

bool value_check(const value_rule *rule, const char *text, char *why, size_t why_cap)
{
    uint8_t digest[32];
    const char *need = NULL;

    switch (rule->type) {
    case VALUE_COUNT:
    case VALUE_SIZE:
    case VALUE_TIME:
        return number_ok(rule, text, why, why_cap);
    case VALUE_CHOICE:
    case VALUE_BOOL:
        return choice_ok(rule, text, why, why_cap);
    case VALUE_NAME:
        if (!name_ok(text, strlen(text)))
            need = "must be 1 to 127 of a-z A-Z 0-9 - _ and .";
        break;
    case VALUE_PATTERN:
        if (!pattern_ok(text))
            need =
                "must be a name such as 'tally', or the beginning of names such as 'org.example.*'";
        break;
    case VALUE_PATH:
        if (!text[0])
            need = "must be a path, not empty";
        else if (strlen(text) >= PATH_LIMIT)
            need = "is too long for a path";
        else if (others_home(text))
            need = OTHERS_HOME;
        break;
    case VALUE_KEY:
        if (others_home(text))
            need = OTHERS_HOME;
        else if (!key_ok(text))
            need =
                "must be a minisign public key (the second line of its .pub file) or the path of a "
                ".pub file";
        break;
    case VALUE_DIGEST:
        if (!hex_decode(digest, sizeof digest, slice_str(text)))
            need = "must be the 64 hex digits that `berth plugin inspect` shows as the digest";
        break;
    case VALUE_LIBRARY:
        if (!library_ok(text))
            need = "must be a library's soname such as 'libz.so.1'";
        break;
    case VALUE_TEXT:
        break;
    default:
        return value_check_mesh(rule, text, why, why_cap);
    }
    if (need)
        snprintf(why, why_cap, "%s", need);
    return !need;
}

uint64_t value_number(const value_rule *rule, const char *text)
{
    uint64_t n = 0;

    if (rule->type == VALUE_CHOICE || rule->type == VALUE_BOOL) {
        for (size_t i = 0; rule->choices[i]; i++)
            if (strcmp(text, rule->choices[i]) == 0)
                return i + 1;
        return 0;
    }
    (void)number(text, units_of(rule->type), &n);
    return n;
}

static bool is_path(const value_rule *rule, const char *text)
{
    return rule->type == VALUE_PATH || (rule->type == VALUE_KEY && !is_key_text(text));
}

bool value_in_home(const value_rule *rule, const char *text)
{
    return is_path(rule, text) && text[0] == '~' && (text[1] == '/' || text[1] == '\0');
}

char *value_string(const value_rule *rule, const char *text, const char *dir, const char *home)
{
    bool relative = is_path(rule, text) && text[0] != '/' && dir && dir[0];
    char *joined = NULL;

    if (rule->type == VALUE_LISTEN || rule->type == VALUE_ADDRESS || rule->type == VALUE_HOST)
        return value_address(text);
    if (home && value_in_home(rule, text))
        return asprintf(&joined, "%s%s", home, text + 1) < 0 ? NULL : joined;
    if (!relative)
        return strdup(text);
    return asprintf(&joined, "%s/%s", dir, text) < 0 ? NULL : joined;
}
