/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include "cli/commands.h"

#define THE_DAEMON                                                                                 \
    {                                                                                              \
        .name = "D", .help = "name, origin in hex, or a unique prefix of either",                  \
        .hint = HINT_DAEMON                                                                        \
    }
#define THE_PEER                                                                                   \
    {                                                                                              \
        .name = "PEER", .help = "name, node in hex, or a unique prefix of either",                 \
        .hint = HINT_PEER                                                                          \
    }
#define THE_CHANNEL                                                                                \
    {                                                                                              \
        .name = "NAME", .help = "the channel", .hint = HINT_CHANNEL                                \
    }
#define PLUGIN_FILE                                                                                \
    {                                                                                              \
        .name = "FILE", .help = "the plugin's shared object", .hint = HINT_FILE                    \
    }
#define ACCEPT                                                                                     \
    {                                                                                              \
        .name = "accept", .value = "realm|peers|none|PEER,...", .words = "realm peers none",       \
        .hint = HINT_PEER,                                                                         \
        .help = "who on other nodes may send to it (default: realm, all that are let in)"          \
    }
#define IDENTITY                                                                                   \
    {                                                                                              \
        .name = "identity", .value = "FILE", .hint = HINT_FILE,                                    \
        .help = "the daemon's secret identity, as `berth identity new` made it"                    \
    }

const cli_option cli_global_options[] = {
    {.name = "json", .help = "print JSON for programs instead of tables for people"},
    {.name = "socket",
     .value = "PATH",
     .hint = HINT_FILE,
     .help = "the host's socket (default: $BERTH_SOCKET, else the user's own)"},
    {.name = "help", .letter = 'h', .help = "say what this command does, with examples"},
    {0},
};

const cli_noun cli_nouns[] = {
    {"plugin", "shared objects that provide kinds of daemons"},
    {"daemon", "running instances of a kind"},
    {"channel", "named streams between daemons, of this host and of other nodes"},
    {"service", "names that daemons serve, on this host and on other nodes"},
    {"mesh", "this host as a node among others"},
    {"peer", "the other nodes of the mesh"},
    {"migration", "daemons on their way from one host to another"},
    {"identity", "the key pairs that daemons and hosts are known by"},
    {"token", "leave to publish on channels and to subscribe to them"},
    {"realm", "whose nodes make up one mesh: certificates and their revocation"},
    {0},
};

const cli_command cli_commands[] = {
    {
        .noun = "run",
        .summary = "be a host: load plugins, run daemons, answer at a socket",
        .text =
            "Runs in the foreground and logs to standard error, one line when ready. SIGTERM or\n"
            "SIGINT drains, takes the last snapshots and stops; a second one stops at once.\n"
            "SIGHUP reads the configuration again and looks at the plugin directory.",
        .run = cmd_run,
        .options =
            {
                {.name = "config",
                 .value = "FILE",
                 .hint = HINT_FILE,
                 .help =
                     "configuration (default: ~/.config/berth/berth.conf, /etc/berth/berth.conf)"},
                {.name = "state",
                 .value = "DIR",
                 .hint = HINT_DIR,
                 .help = "where plugins, snapshots and the table of daemons are kept"},
                {.name = "socket",
                 .value = "PATH",
                 .hint = HINT_FILE,
                 .help = "where to listen (default: $BERTH_SOCKET, else the user's own)"},
                {.name = "threads",
                 .value = "N",
                 .hint = HINT_NUMBER,
                 .help = "threads that run daemons (default: one per core)"},
                {.name = "plugin",
                 .value = "FILE",
                 .hint = HINT_FILE,
                 .repeat = true,
                 .help = "load this plugin before the start; may be given several times"},
                {.name = "ephemeral", .help = "keep nothing: no state directory at all"},
            },
        .examples =
            {
                {"berth run", "with the configuration and state of this user"},
                {"berth run --ephemeral --plugin ./libtally.so", "to try a plugin out"},
                {"berth run --state /srv/berth --socket /srv/berth/sock --threads 8",
                 "everything said"},
            },
    },
    {
        .noun = "status",
        .summary = "what the host is and how it does",
        .run = cmd_status,
        .examples = {{"berth status", NULL}, {"berth status --json | jq .counters", NULL}},
    },
    {
        .noun = "metrics",
        .summary = "the host's metrics, as Prometheus reads them",
        .run = cmd_metrics,
        .examples = {{"berth metrics | promtool check metrics", NULL}},
    },

    {
        .noun = "plugin",
        .verb = "inspect",
        .summary = "what a file says about itself, and whether a host would take it",
        .text = "No code of the file runs. Exit 4 when a host would refuse it.",
        .run = cmd_plugin_inspect,
        .arguments = {PLUGIN_FILE},
        .examples = {{"berth plugin inspect build/libthermostat.so", NULL}},
    },
    {
        .noun = "plugin",
        .verb = "verify",
        .summary = "whether a file's signature holds, by the configured keys or given ones",
        .text = "The signature is FILE.minisig. Exit 4 when it does not hold.",
        .run = cmd_plugin_verify,
        .arguments = {PLUGIN_FILE},
        .options =
            {
                {.name = "key",
                 .value = "PUBKEY|FILE",
                 .hint = HINT_FILE,
                 .repeat = true,
                 .help = "a minisign public key, or a file with one; may be given several times"},
                {.name = "config",
                 .value = "FILE",
                 .hint = HINT_FILE,
                 .help = "take the keys of this configuration"},
            },
        .examples =
            {
                {"berth plugin verify libtally.so", "by the keys of the configuration"},
                {"berth plugin verify libtally.so --key berth.pub", "by this key alone"},
            },
    },
    {
        .noun = "plugin",
        .verb = "check",
        .summary = "try a plugin hard, each check in a process of its own",
        .text =
            "Runs the plugin's code, as this user: it is for authors, not for files of strangers.\n"
            "A line for each check says what was found, and the cure. Exit 0 only if every check\n"
            "holds, 4 otherwise.",
        .run = cmd_plugin_check,
        .arguments = {PLUGIN_FILE},
        .options =
            {
                {.name = "seed",
                 .value = "N",
                 .hint = HINT_NUMBER,
                 .help = "repeat the random checks of an earlier run"},
                {.name = "config",
                 .value = "TEXT|@FILE",
                 .hint = HINT_TEXT,
                 .help = "configuration for create, for kinds that want one"},
                {.name = "events",
                 .value = "FILE",
                 .hint = HINT_FILE,
                 .help = "realistic events, one a line, beside the usual ones"},
                {.name = "kind",
                 .value = "KIND",
                 .hint = HINT_TEXT,
                 .help = "check this kind only"},
                {.name = "time-limit",
                 .value = "SECONDS",
                 .hint = HINT_TEXT,
                 .help = "for each check (default: 10)"},
            },
        .examples =
            {
                {"berth plugin check build/libthermostat.so", NULL},
                {"berth plugin check thermostat.so --config 21.5 --events readings.txt",
                 "with what it will meet"},
                {"berth plugin check tally.so --json | jq '.[] | select(.result == \"fail\")'",
                 NULL},
            },
    },
    {
        .noun = "plugin",
        .verb = "sign",
        .summary = "sign a file as minisign does: FILE.minisig",
        .text = "Asks for the key's password at the terminal, or reads a line of standard input.\n"
                "A key without a password is taken as it is.",
        .run = cmd_plugin_sign,
        .arguments = {PLUGIN_FILE},
        .options =
            {
                {.name = "key",
                 .value = "KEYFILE",
                 .hint = HINT_FILE,
                 .help = "the minisign secret key (required)"},
            },
        .examples = {{"berth plugin sign libtally.so --key ~/keys/berth.key", NULL}},
    },
    {
        .noun = "plugin",
        .verb = "keygen",
        .summary = "make a key pair to sign plugins with: berth.key and berth.pub",
        .text = "Asks for a password at the terminal, or reads a line of standard input. An empty\n"
                "one leaves the secret key unencrypted. `minisign` reads both files.",
        .run = cmd_plugin_keygen,
        .options =
            {
                {.name = "output",
                 .letter = 'o',
                 .value = "DIR",
                 .hint = HINT_DIR,
                 .help = "where to put the files (default: here)"},
            },
        .examples = {{"berth plugin keygen -o ~/keys", NULL}},
    },
    {
        .noun = "plugin",
        .verb = "new",
        .summary = "start a plugin project in a new directory",
        .run = cmd_plugin_new,
        .arguments = {{.name = "DIR",
                       .help = "where; its last part becomes the plugin's name",
                       .hint = HINT_DIR}},
        .options =
            {
                {.name = "lang",
                 .value = "LANG",
                 .hint = HINT_WORDS,
                 .words = "c cpp rust",
                 .help = "language of the sources: c (default), cpp or rust"},
            },
        .examples =
            {
                {"berth plugin new thermostat", NULL},
                {"berth plugin new thermostat --lang rust", "needs nothing but rustc"},
            },
    },
    {
        .noun = "plugin",
        .verb = "load",
        .summary = "load a file into the running host",
        .text = "The host keeps a copy of its own: FILE may change or go away afterwards.",
        .run = cmd_plugin_load,
        .arguments = {PLUGIN_FILE},
        .options =
            {
                {.name = "allow-downgrade",
                 .help = "accept a lower version than this key has signed before"},
            },
        .examples = {{"berth plugin load build/plugins/tally.so", NULL}},
    },
    {
        .noun = "plugin",
        .verb = "unload",
        .summary = "take a plugin out of the host; refused while daemons need it",
        .run = cmd_plugin_unload,
        .arguments = {{.name = "NAME", .help = "the plugin's name", .hint = HINT_PLUGIN}},
        .examples = {{"berth plugin unload tally", NULL}},
    },
    {
        .noun = "plugin",
        .verb = "ls",
        .summary = "the plugins of the host",
        .run = cmd_plugin_ls,
        .examples = {{"berth plugin ls", NULL}},
    },
    {
        .noun = "plugin",
        .verb = "show",
        .summary = "one plugin: its kinds, its signature, who uses it",
        .run = cmd_plugin_show,
        .arguments = {{.name = "NAME", .help = "the plugin's name", .hint = HINT_PLUGIN}},
        .examples = {{"berth plugin show tally", NULL}},
    },

#include "cli/table_daemon.def"

    {
        .noun = "send",
        .summary = "send a daemon an event, or one per line",
        .text = "Sends the exact bytes of FILE, or of standard input, and waits until they are\n"
                "applied. A daemon of another node is named by its origin, or by its whole name\n"
                "there and the peer: NAME@PEER.",
        .run = cmd_send,
        .arguments = {{.name = "D",
                       .help = "name, origin in hex, or a unique prefix of either; NAME@PEER",
                       .hint = HINT_DAEMON},
                      {.name = "FILE",
                       .help = "what to send; - or nothing: standard input",
                       .hint = HINT_FILE,
                       .optional = true}},
        .options =
            {
                {.name = "lines", .help = "each line is an event, without its newline"},
                {.name = "reply", .help = "print the outputs that the events caused"},
            },
        .examples =
            {
                {"echo -n '?top 10' | berth send words --reply", NULL},
                {"berth send words --lines /usr/share/common-licenses/GPL-3", NULL},
                {"journalctl -f | berth send words --lines", NULL},
                {"echo -n hello | berth send words@east", "to the daemon `words` of peer east"},
            },
    },
    {
        .noun = "tail",
        .summary = "print a daemon's outputs as they come, one a line",
        .text = "A reader that is too slow is told how many outputs it missed. Ctrl-C ends it.",
        .run = cmd_tail,
        .arguments = {THE_DAEMON},
        .options =
            {
                {.name = "from",
                 .value = "WHERE",
                 .hint = HINT_WORDS,
                 .words = "now start-of-ring",
                 .help = "now (default), or start-of-ring: what the host still holds first"},
            },
        .examples =
            {
                {"berth tail words", NULL},
                {"berth tail words --from start-of-ring --json | jq -r .data.text", NULL},
            },
    },

#include "cli/table_mesh.def"

#include "cli/table_move.def"

#include "cli/table_keys.def"

    {
        .noun = "completion",
        .summary = "print what a shell needs to complete berth's commands",
        .run = cmd_completion,
        .arguments = {{.name = "SHELL", .help = "which one", .words = "bash zsh fish"}},
        .examples =
            {
                {"berth completion bash > ~/.local/share/bash-completion/completions/berth", NULL},
                {"berth completion zsh > ~/.zfunc/_berth", "with ~/.zfunc in fpath"},
                {"berth completion fish > ~/.config/fish/completions/berth.fish", NULL},
            },
    },
    {
        .noun = "help",
        .summary = "say how a command is used, with examples",
        .run = cmd_help,
        .arguments =
            {
                {.name = "COMMAND", .help = "which one (default: all)", .optional = true},
                {.name = "VERB", .help = "which part of it", .optional = true},
            },
        .examples = {{"berth help daemon spawn", NULL}},
    },
    {0},
};
