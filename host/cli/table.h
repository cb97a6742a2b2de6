/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/table.h: the command line as one table. Parser, help, completions and the check of the man
 * pages all read it; nothing about a command is said anywhere else.
 *
 * Constant data.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* What a program answers to its shell. */
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,  /* the operation failed */
    EXIT_USAGE = 2,   /* the command line makes no sense */
    EXIT_NO_HOST = 3, /* nobody answers at the socket */
    EXIT_REFUSED = 4, /* refused by policy or check */
    EXIT_TIMEOUT = 5, /* a migration took too long: the daemon stays */
    EXIT_DOUBT = 6,   /* nobody here knows yet where a daemon that moves will run */
};

/* What a value is: completions offer it, the parser checks numbers and words. */
typedef enum cli_hint {
    HINT_TEXT,
    HINT_NUMBER, /* 0 to 2^64 - 1 */
    HINT_FILE,
    HINT_DIR,
    HINT_DAEMON,
    HINT_PLUGIN,
    HINT_KIND,
    HINT_CHANNEL,
    HINT_PEER,
    HINT_SERVICE,
    HINT_MIGRATION,
    HINT_WORDS, /* one of `words`; with another hint `words` are only proposals */
} cli_hint;

typedef struct cli_option {
    const char *name;  /* without its two dashes */
    const char *value; /* how help calls the value; NULL: a flag */
    const char *help;
    const char *words; /* HINT_WORDS: separated by spaces */
    cli_hint hint;
    char letter; /* short form, or 0 */
    bool repeat;
} cli_option;

typedef struct cli_argument {
    const char *name;
    const char *help;
    const char *words;
    cli_hint hint;
    bool optional; /* then so are all behind it */
    bool repeat;   /* the last of a command: may be given several times */
} cli_argument;

typedef struct cli_example {
    const char *line;
    const char *what;
} cli_example;

struct cli_invocation;

enum { CLI_ARGUMENTS = 3, CLI_OPTIONS = 8, CLI_EXAMPLES = 4 };

typedef struct cli_command {
    const char *noun;
    const char *verb; /* NULL: the noun says it all */
    const char *summary;
    const char *text; /* more of it, in lines of at most 80 columns; may be NULL */
    int (*run)(const struct cli_invocation *inv);
    /* Each list ends at the first entry without a name, or when it is full. */
    cli_argument arguments[CLI_ARGUMENTS];
    cli_option options[CLI_OPTIONS];
    cli_example examples[CLI_EXAMPLES];
} cli_command;

/* Ends with a command without a noun. The commands of one noun stand together. */
extern const cli_command cli_commands[];

/* Options that every command takes; ends with one without a name. */
extern const cli_option cli_global_options[];

typedef struct cli_noun {
    const char *name;
    const char *summary;
} cli_noun;

/* Nouns that have verbs, with what they are; ends with one without a name. */
extern const cli_noun cli_nouns[];

size_t cli_argument_count(const cli_command *command);
size_t cli_option_count(const cli_command *command);

/* The command of these words, or NULL; verb may be NULL. */
const cli_command *cli_find(const char *noun, const char *verb);
/* Whether it is a noun with verbs. */
bool cli_has_verbs(const char *noun);
/* Of the command, or global; NULL if there is none. A command's own goes before a global one. */
const cli_option *cli_find_option(const cli_command *command, const char *name, size_t len);
const cli_option *cli_find_letter(const cli_command *command, char letter);

/* Whether the command has an option of its own in the place of this global one. */
bool cli_has_own(const cli_command *command, const cli_option *global);

/* Walk words separated by single spaces: start with *at = words; false at the end. */
bool cli_next_word(const char **at, const char **word, size_t *len);

#endif
