/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/abi.h: the contract between a host and a plugin. Nothing else is.
 *
 * A plugin is a shared object that carries a manifest (JSON in an ELF note, see berth_note) and
 * exports one data symbol, berth_plugin_<major>. It provides kinds; the host makes daemons of them,
 * drives each by the functions of its berth_kind, and records what the daemon wants done through
 * the berth_call of the running call.
 *
 * Version history
 *   0.0  first version. Major 0 promises nothing: rebuild the plugin with every new header.
 *
 * HOW A DAEMON IS CALLED
 *
 * Calls on one daemon never overlap. Each may come on another thread than the last, so a daemon
 * keeps nothing in thread-local variables from one call to the next. The stack has at least 1 MiB,
 * signals are blocked. Daemons of one kind may or may not share an address space. A handler should
 * return within microseconds: past the call budget (10 ms by default) the host marks the daemon as
 * overrunning. Leave signals, locale, working directory, umask and floating-point mode as they are;
 * do not fork, exec, exit or register atexit functions. An exception or panic that leaves a
 * function aborts the process: catch it and return BERTH_E_BROKEN.
 *
 * EFFECTS ARE ONE TRANSACTION
 *
 * emit, output, commit, subscribe, unsubscribe and spawn record an effect and do nothing else. When
 * the handler returns BERTH_OK, all its effects happen, in the order recorded; on any other code
 * none does. The same if any of them answered BERTH_E_LIMIT, whatever the handler returns.
 * Recording never tells an outcome: outcomes arrive later, as events. Nothing re-enters: a message
 * to oneself is an event of its own, after this one.
 *
 * THE SAME EVENTS GIVE THE SAME EFFECTS
 *
 * Time and randomness are fields of the event. What else a daemon learns from the world it brings
 * in with post, from a thread of its own, as an event. A host may then replay a journal.
 *
 * WHAT MAY BE CALLED WHERE
 *
 *                          init  create  on_*, process  snapshot  status  destroy  own thread
 *   call: emit, output,
 *     reserve, commit,
 *     subscribe, spawn ..    -     no         yes          no       no      no         -
 *   call: write              -     no         no           yes      no      no         -
 *   call: fail               -     yes        yes          yes      yes     no         -
 *   host: log                yes   yes        yes          yes      yes     yes        yes
 *   host: post               -     yes        yes          yes      yes     yes        yes
 *   host: extension          yes   no         no           no       no      no         no
 *
 *   no: answers BERTH_E_NOT_NOW and does nothing. -: there is no handle to call it with.
 *   A berth_call is dead when its call returns; a berth_daemon when destroy returns.
 *
 * MEMORY NEVER CHANGES OWNER
 *
 * What the host passes in is borrowed for the call, may be unaligned, and is read-only. What the
 * plugin passes out is copied before the function returns. Nobody frees what the other allocated.
 *
 * GROWTH
 *
 * A struct that may grow begins with its size in bytes; later minor versions append members, and no
 * member ever changes its offset. The plugin sets size in what it passes (sizeof does); zero in a
 * member means the default. Bytes beyond what the host knows must be zero, else it answers
 * BERTH_E_NEWER. A member that the host passes is there if size reaches past it: BERTH_HAS tells.
 * Values unknown to a plugin (event types, reasons, controls) are to be ignored. Reserved members
 * are zero.
 */
#ifndef BERTH_ABI_H
#define BERTH_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_ABI_MAJOR 0
#define BERTH_ABI_MINOR 0

/* Define it before including this header to see members of later minor versions; the manifest's
 * "abi" then has to say the same, since the plugin will not work with an older host. */
#ifndef BERTH_TARGET_MINOR
#define BERTH_TARGET_MINOR 0
#endif

/* Every function of the contract is one that throws nothing; in C++17 one that might does not
 * compile. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define BERTH_NOEXCEPT noexcept
#else
#define BERTH_NOEXCEPT
#endif

/* What makes the table visible. It stands in the declaration below, so the definition needs none:
 * `const berth_plugin berth_plugin_0 = {...};`, in C and in C++. */
#if defined(__GNUC__)
#define BERTH_EXPORT __attribute__((visibility("default")))
#else
#define BERTH_EXPORT
#endif

/* Whether the struct that p points to, written by the other side, reaches past the named member. */
#define BERTH_HAS(p, member)                                                                       \
    ((p)->size >= (size_t)((const char *)(&(p)->member + 1) - (const char *)(p)))

/* ---- Values ---------------------------------------------------------------------------------- */

/* What a function answers. */
typedef int32_t berth_code;

#define BERTH_OK 0
/* From a handler: this event is refused, my state is as before. Counted, never tried again. Any
 * code that is not listed here counts as this one. */
#define BERTH_E_REJECT 1
/* From any function: destroy me. The host rebuilds the daemon from its last snapshot. */
#define BERTH_E_BROKEN 2
/* From the host: this function may not be called here, or the handle is dead. */
#define BERTH_E_NOT_NOW 3
/* From the host: a limit of berth_birth was passed. Sticky: all effects of this call are dropped.
 */
#define BERTH_E_LIMIT 4
/* From the host: an argument makes no sense. Nothing was recorded; the call goes on. */
#define BERTH_E_ARGUMENT 5
/* From the host: a struct has non-zero members that this host does not know. Nothing was recorded.
 */
#define BERTH_E_NEWER 6
/* From post only: the daemon's mailbox is full. Try again later. */
#define BERTH_E_FULL 7
/* From create: I do not read this state_version. From snapshot: I do not write want_version. */
#define BERTH_E_VERSION 8
/* From create: the state is damaged, or (a stateless kind) there is one. */
#define BERTH_E_STATE 9
/* From create: the configuration is not understood; say what and where with fail. */
#define BERTH_E_CONFIG 10
/* From either side: out of memory. */
#define BERTH_E_MEMORY 11

/* Borrowed bytes. ptr may be NULL when len is 0, and is never to be read past len. */
typedef struct berth_bytes {
    const void *ptr;
    uint64_t len;
} berth_bytes;

/* Where an answer goes. Opaque and plain: it may be copied, lie in a snapshot, and be used after
 * the daemon moved. All zero: nobody waits for an answer. */
typedef struct berth_ref {
    uint64_t w[4];
} berth_ref;

/* One running call, from its begin until it returns. Only on the thread of that call. */
typedef struct berth_call berth_call;

/* One daemon, from the begin of its create until its destroy returns. Any thread. */
typedef struct berth_daemon berth_daemon;

/* ---- Events ---------------------------------------------------------------------------------- */

/* berth_event.type; each says which handler gets it. */
#define BERTH_EVENT_START   1 /* on_start: once, before everything else; status is BERTH_START_* */
#define BERTH_EVENT_MESSAGE 2 /* process: from a client, another daemon, or a channel */
#define BERTH_EVENT_TIMER   3 /* on_timer: request is the timer's number, data as it was set */
#define BERTH_EVENT_REPLY   4 /* on_reply: to `request` of ours; status is BERTH_REPLY_* */
#define BERTH_EVENT_POST    5 /* on_post: from a thread of the plugin */
#define BERTH_EVENT_CONTROL 6 /* on_control: status is BERTH_CONTROL_*, request its operand */

/* berth_event.status of START: why this instance exists. */
#define BERTH_START_NEW      1 /* born now */
#define BERTH_START_RESTORED 2 /* from a snapshot, after a restart or by the operator */
#define BERTH_START_MIGRATED 3 /* came from another host */
#define BERTH_START_UPGRADED 4 /* other code than before */
#define BERTH_START_PROMOTED 5 /* was a standby */
#define BERTH_START_FORKED   6 /* a copy of another daemon, with an identity of its own */

/* berth_event.status of REPLY. */
#define BERTH_REPLY_OK      0 /* data is the answer; with BERTH_MORE in flags another one follows */
#define BERTH_REPLY_TIMEOUT 1 /* the deadline passed; a later answer will be dropped */
#define BERTH_REPLY_UNKNOWN 2 /* no such daemon (spawn: no such kind) */
#define BERTH_REPLY_REFUSED 3 /* refused; data may say why, as text */
#define BERTH_REPLY_LOST    4 /* the destination is gone, or had no room until the deadline */

/* berth_event.status of CONTROL; `request` holds the operand. */
#define BERTH_CONTROL_SHUTDOWN         1 /* grace period, ms */
#define BERTH_CONTROL_DRAIN_START      2 /* grace period, ms: finish what is begun, begin nothing */
#define BERTH_CONTROL_DRAIN_FINISH     3
#define BERTH_CONTROL_BACKPRESSURE_ON  4 /* level, parts per million */
#define BERTH_CONTROL_BACKPRESSURE_OFF 5

/* berth_event.flags and berth_output.flags. */
#define BERTH_MORE   0x1 /* this answer is not the last one to its request */
#define BERTH_CANCEL 0x2 /* output to SELF: cancel the timer with this number */
#define BERTH_REFUSE 0x4 /* output to REPLY: the answer's status is BERTH_REPLY_REFUSED */

/* What happened. Borrowed for the call, with all that it points to. Since 0.0. */
typedef struct berth_event {
    uint32_t size;
    uint16_t type;  /* BERTH_EVENT_* */
    uint16_t flags; /* BERTH_MORE */
    /* The daemon that sent it; 0: a client, or the daemon itself. */
    uint64_t origin;
    /* Its number in the sender's chain; gaps are normal. 0 when it has none. */
    uint64_t sequence;
    /* Nanoseconds since the Unix epoch when the host took it; never less than in the event before.
     */
    int64_t time_ns;
    /* Random bits of this event's own. They stand in the journal: never make keys of them. */
    uint64_t seed[2];
    berth_bytes data;
    /* The channel it came by; empty: sent to this daemon. */
    berth_bytes channel;
    /* Where to answer, now or later (output to REPLY); all zero: nobody waits. */
    berth_ref reply_to;
    /* See type. */
    uint64_t request;
    int32_t status;
    /* 1, or how often this event has been tried, where it is run again after a crash. */
    uint32_t attempt;
} berth_event;

/* What create gets. Borrowed for the call, except daemon and the limits' values. Since 0.0. */
typedef struct berth_birth {
    uint32_t size;
    /* Version that wrote state, as in the manifest; 0 when there is no state. */
    uint32_t state_version;
    uint64_t origin;
    /* For log and post; valid until destroy returns. */
    berth_daemon *daemon;
    /* What people call it; may be empty. UTF-8. */
    berth_bytes name;
    /* As the operator gave it, at most 64 KiB, followed by a zero byte that len does not count. */
    berth_bytes config;
    /* ptr NULL: born new. Else what snapshot wrote, in one piece, to continue from. */
    berth_bytes state;
    /* Limits of one call and of the snapshot; passing one fails the call with its name. */
    uint64_t max_event;        /* bytes of event data that may come */
    uint64_t max_outputs;      /* effects of one call */
    uint64_t max_output_bytes; /* bytes of all effects of one call: data, names, configurations */
    uint64_t max_state;        /* bytes that snapshot may write */
    int64_t time_ns;
    uint64_t seed[2];
} berth_birth;

/* ---- Effects --------------------------------------------------------------------------------- */

/* berth_output.to */
#define BERTH_TO_CALLER  0 /* as emit: whoever waits for this event, and everyone who tails */
#define BERTH_TO_DAEMON  1 /* the daemon `origin`; with a request its answer comes to on_reply */
#define BERTH_TO_CHANNEL 2 /* everyone subscribed to `channel` */
#define BERTH_TO_REPLY   3 /* the sender of the request that `reply_to` came with */
#define BERTH_TO_SELF    4 /* this daemon, as on_timer, in delay_ns, under the number `request` */

/*
 * The general effect. Members that its `to` has no use for are not looked at. BERTH_E_ARGUMENT: an
 * unknown `to`, a flag that does not go with it, a bad channel name, a negative delay, an empty
 * reply_to, a request in use, and what the kind has no handler for (SELF without on_timer, a
 * request without on_reply). Since 0.0.
 *
 * To CALLER: outputs go to the client that waits for this event, or, where the event is a daemon's
 * request, answer it: the last output of the call is the final answer, those before bear
 * BERTH_MORE. A handler that emits nothing leaves a request open, to be answered by reply_to.
 */
typedef struct berth_output {
    uint32_t size;
    uint16_t to;    /* BERTH_TO_* */
    uint16_t flags; /* REPLY: BERTH_MORE, BERTH_REFUSE. SELF: BERTH_CANCEL. */
    berth_bytes data;
    uint64_t origin;     /* DAEMON */
    berth_bytes channel; /* CHANNEL: 1 to 255 bytes of a-z 0-9 - _ . / */
    berth_ref reply_to;  /* REPLY */
    /* DAEMON: 0, or a number of your choice that on_reply will show; in use: BERTH_E_ARGUMENT.
     * SELF: the timer's number; setting a number again replaces the timer. */
    uint64_t request;
    /* DAEMON with a request: deadline, 0: 30 s. SELF: delay; 0: after what is in the mailbox. */
    int64_t delay_ns;
} berth_output;

/* A channel to hear. It belongs to the daemon and moves with it. Since 0.0. */
typedef struct berth_subscription {
    uint32_t size;
    uint32_t flags; /* 0 */
    /* Node that publishes it; 0: any. */
    uint64_t publisher;
    berth_bytes channel;
} berth_subscription;

/* A daemon to start here. The outcome comes to on_reply under `request`, if that is not 0: OK has
 * the new daemon in event.origin and its 32-byte entity id in data. Since 0.0. */
typedef struct berth_spawn {
    uint32_t size;
    uint32_t flags; /* 0 */
    berth_bytes kind;
    berth_bytes name; /* empty: the host makes one */
    berth_bytes config;
    uint64_t request;
} berth_spawn;

/* What a call can do: call->api->emit(call, ...). See the matrix above. Functions answer at once,
 * never block, and cost nanoseconds. Since 0.0. */
typedef struct berth_call_api {
    uint32_t size;
    uint32_t reserved;
    /* Output to CALLER; the hot path. Copies the bytes. */
    berth_code (*emit)(berth_call *call, const void *ptr, uint64_t len) BERTH_NOEXCEPT;
    /* Any output. Copies everything. */
    berth_code (*output)(berth_call *call, const berth_output *output) BERTH_NOEXCEPT;
    /* cap bytes of host memory to write one output into, or NULL past a limit or when not allowed.
     * It is uninitialised, aligned to 16, and dead at the next effect or when the call returns.
     * Past a limit it sticks as with any effect. */
    void *(*reserve)(berth_call *call, uint64_t cap)BERTH_NOEXCEPT;
    /* Emit the first len bytes of what reserve gave. BERTH_E_ARGUMENT: more than cap, or nothing is
     * reserved. */
    berth_code (*commit)(berth_call *call, uint64_t len) BERTH_NOEXCEPT;
    /* In snapshot: append to the state. As often as wanted; copies. */
    berth_code (*write)(berth_call *call, const void *ptr, uint64_t len) BERTH_NOEXCEPT;
    /* A text for the code that the handler is about to return. The last one wins; cut at 1 KiB.
     * Returns code, so that `return call->api->fail(...)` reads well. */
    berth_code (*fail)(berth_call *call, berth_code code, const char *ptr,
                       uint64_t len) BERTH_NOEXCEPT;
    berth_code (*subscribe)(berth_call *call, const berth_subscription *what) BERTH_NOEXCEPT;
    berth_code (*unsubscribe)(berth_call *call, const berth_subscription *what) BERTH_NOEXCEPT;
    berth_code (*spawn)(berth_call *call, const berth_spawn *spawn) BERTH_NOEXCEPT;
} berth_call_api;

struct berth_call {
    const berth_call_api *api;
    /* The rest is the host's. */
};

/* ---- Host ------------------------------------------------------------------------------------ */

/* Levels of log. */
#define BERTH_LOG_ERROR 0
#define BERTH_LOG_WARN  1
#define BERTH_LOG_INFO  2
#define BERTH_LOG_DEBUG 3

/* What the host gives a loaded plugin, from init until deinit returns. Any thread. Since 0.0. */
typedef struct berth_host {
    uint32_t size;
    uint32_t abi_minor; /* of the host's header */
    /* One line into the host's log under the daemon's name; daemon may be NULL. Never blocks: lines
     * past a rate are counted and dropped. Cut at 1 KiB, control bytes escaped. */
    void (*log)(const struct berth_host *host, berth_daemon *daemon, int32_t level,
                const berth_bytes *text) BERTH_NOEXCEPT;
    /* An event to this daemon's own on_post. Copies. Never blocks: BERTH_E_FULL without room. */
    berth_code (*post)(berth_daemon *daemon, const void *ptr, uint64_t len) BERTH_NOEXCEPT;
    /* The extension named id (zero-terminated, as "berth.metrics/1"), or NULL. Only in init; what
     * it returns is valid until deinit returns. The manifest's "needs" lists what must be there. */
    const void *(*extension)(const struct berth_host *host, const char *id)BERTH_NOEXCEPT;
} berth_host;

struct berth_daemon {
    const berth_host *host;
    /* The rest is the host's. */
};

/* ---- Kinds ----------------------------------------------------------------------------------- */

#define BERTH_HEALTHY   0
#define BERTH_DEGRADED  1
#define BERTH_UNHEALTHY 2

/* How a daemon is; size is set by the host, the rest is zero and to be filled. Since 0.0. */
typedef struct berth_daemon_status {
    uint32_t size;
    int32_t health;          /* BERTH_HEALTHY, ... */
    uint32_t saturation_ppm; /* how much of its capacity is used: 0 to 1,000,000 */
    uint32_t reserved;
    uint64_t state_bytes; /* about how long a snapshot would be; 0: unknown */
} berth_daemon_status;

/* The shape of every event handler. Codes: see BERTH_E_*. */
typedef berth_code berth_handler(void *self, berth_call *call,
                                 const berth_event *event) BERTH_NOEXCEPT;

/*
 * One kind of daemon. Static in the plugin; the host copies it at load. Since 0.0.
 *
 * create, destroy and process are required. snapshot is required if and only if the manifest gives
 * the kind a "state". Any other may be NULL: such events then never come.
 */
typedef struct berth_kind {
    uint32_t size;
    uint32_t reserved;
    /* As in the manifest: 1 to 127 bytes of a-z 0-9 - _ . */
    berth_bytes name;
    /* Make an instance in *self (not NULL). No effects. On failure leave nothing behind: destroy
     * does not come then. Also runs for restores, moves, upgrades and checks. */
    berth_code (*create)(berth_call *call, const berth_birth *birth, void **self) BERTH_NOEXCEPT;
    /* Free it; stop and join the daemon's own threads before returning. The last call, always. */
    void (*destroy)(void *self, berth_call *call) BERTH_NOEXCEPT;
    berth_handler *process;
    /* Write the state with call->api->write, in the format want_version, which the manifest says
     * this plugin can write. The same state gives the same bytes, on every architecture. Changes
     * nothing. */
    berth_code (*snapshot)(void *self, berth_call *call, uint32_t want_version) BERTH_NOEXCEPT;
    /* Say how the daemon is. Changes nothing. */
    berth_code (*status)(void *self, berth_call *call, berth_daemon_status *out) BERTH_NOEXCEPT;
    berth_handler *on_start;
    berth_handler *on_timer;
    berth_handler *on_reply;
    berth_handler *on_post;
    berth_handler *on_control;
    /* The kind's side of an extension, or NULL. Any thread, between init and deinit. */
    const void *(*extension)(const char *id)BERTH_NOEXCEPT;
} berth_kind;

/* ---- Plugin ---------------------------------------------------------------------------------- */

/* The ELF note with the manifest, in a section named .note.berth: owner "berth", this type. */
#define BERTH_NOTE_OWNER "berth"
#define BERTH_NOTE_TYPE  (0x42450000u + BERTH_ABI_MAJOR)

typedef struct berth_note {
    uint32_t owner_size; /* 6 */
    uint32_t json_size;  /* bytes of JSON, without a zero or padding */
    uint32_t type;       /* BERTH_NOTE_TYPE */
    char owner[8];       /* "berth", zero-padded */
    /* json_size bytes follow, then zeroes to a multiple of 4. */
} berth_note;

/* What a plugin exports, as the data symbol berth_plugin_0. Since 0.0. */
typedef struct berth_plugin {
    uint32_t size;
    uint32_t kind_count;
    /* kind_count pointers: the kinds of the manifest, in any order. */
    const berth_kind *const *kinds;
    /* The note in this same file. */
    const berth_note *manifest;
    /* Once after loading, before anything else. May be NULL. On failure the plugin is not used and
     * deinit does not come. */
    berth_code (*init)(const berth_host *host) BERTH_NOEXCEPT;
    /* Once, after the last daemon's destroy. May be NULL. */
    void (*deinit)(void) BERTH_NOEXCEPT;
    /* The plugin's side of an extension, or NULL. Any thread, between init and deinit. */
    const void *(*extension)(const char *id)BERTH_NOEXCEPT;
} berth_plugin;

#define BERTH_PLUGIN_SYMBOL "berth_plugin_0"
extern BERTH_EXPORT const berth_plugin berth_plugin_0;

/* ---- Layout ---------------------------------------------------------------------------------- */

#if defined(__cplusplus)
#define BERTH_LAYOUT(condition, name) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define BERTH_LAYOUT(condition, name) _Static_assert(condition, #name)
#else
#define BERTH_LAYOUT(condition, name) typedef char berth_layout_##name[(condition) ? 1 : -1]
#endif

BERTH_LAYOUT(sizeof(void *) == 8, pointers_have_64_bits);
BERTH_LAYOUT(sizeof(berth_bytes) == 16, bytes_size);
BERTH_LAYOUT(sizeof(berth_ref) == 32, ref_size);
BERTH_LAYOUT(sizeof(berth_event) == 128, event_size);
BERTH_LAYOUT(sizeof(berth_birth) == 128, birth_size);
BERTH_LAYOUT(sizeof(berth_output) == 96, output_size);
BERTH_LAYOUT(sizeof(berth_subscription) == 32, subscription_size);
BERTH_LAYOUT(sizeof(berth_spawn) == 64, spawn_size);
BERTH_LAYOUT(sizeof(berth_daemon_status) == 24, daemon_status_size);
BERTH_LAYOUT(sizeof(berth_call_api) == 80, call_api_size);
BERTH_LAYOUT(sizeof(berth_host) == 32, host_size);
BERTH_LAYOUT(sizeof(berth_kind) == 112, kind_size);
BERTH_LAYOUT(sizeof(berth_note) == 20, note_size);
BERTH_LAYOUT(sizeof(berth_plugin) == 48, plugin_size);

#ifdef __cplusplus
}
#endif
#endif
