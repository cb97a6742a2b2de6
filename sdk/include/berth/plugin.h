/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/plugin.h: abi.h with the comforts of a plugin author.
 *
 * Nothing here is part of the contract: all of it is inline code and macros that end up inside the
 * plugin and use abi.h only. It needs no C library beyond what the compiler itself may call
 * (memcpy, memset, strlen). C99 and C++17, gcc and clang, ELF.
 *
 * - the manifest: BERTH_MANIFEST, BERTH_MANIFEST_FILE, BERTH_EMBEDDED_MANIFEST
 * - bytes: BERTH_LIT, BERTH_NAME, berth_str, berth_bytes_of, berth_bytes_equal
 * - effects: berth_emit, berth_send, berth_request, berth_reply, berth_publish, berth_timer_set ...
 * - failing, logging: berth_fail, berth_log, berth_host_log, berth_post
 * - snapshots: berth_reader, berth_writer
 * - chance: berth_random
 *
 * Unless its comment says otherwise a function is for the thread of the running call, does not
 * block, allocates nothing, keeps no pointer that it was given (what it passes on is copied), and
 * is there since version 0.0. The functions that record an effect answer what abi.h says of the
 * function behind them: BERTH_OK, BERTH_E_NOT_NOW, BERTH_E_LIMIT, BERTH_E_ARGUMENT or
 * BERTH_E_NEWER.
 */
#ifndef BERTH_PLUGIN_H
#define BERTH_PLUGIN_H

#include "berth/abi.h"

/* ---- The manifest ---------------------------------------------------------------------------- */

/*
 * BERTH_MANIFEST({...}); once, at file scope, in one source file: puts the JSON between the
 * brackets into the ELF note that the host reads before it runs any code of the plugin.
 *
 *     BERTH_MANIFEST({
 *         "name": "hello", "version": "1.0.0", "license": "Apache-2.0", "abi": [0, 0],
 *         "kinds": [{"name": "hello"}]
 *     });
 *
 * Macros inside are NOT expanded: what stands there is what the host reads. For anything longer
 * write a berth.json beside the source and let berth_add_plugin(... MANIFEST berth.json) of the
 * CMake package embed it. Use the one or the other, never both. Either way the table then says
 * `.manifest = BERTH_EMBEDDED_MANIFEST`, a constant.
 *
 * The note is written in assembler, so that neither link-time optimisation nor a sanitizer pads it.
 */
#define BERTH_MANIFEST(...)         BERTH_MANIFEST_QUOTE_(#__VA_ARGS__)
#define BERTH_MANIFEST_QUOTE_(json) BERTH_MANIFEST_NOTE_(".ascii " #json)

/*
 * BERTH_MANIFEST_FILE("berth.json"); the same from a file, for builds without the CMake package.
 * The assembler looks for it in its working directory and in the directories of -Wa,-I; the build
 * system does not see that the object depends on it.
 */
#define BERTH_MANIFEST_FILE(path) BERTH_MANIFEST_NOTE_(".incbin " #path)

/* clang-format off */
#define BERTH_MANIFEST_NOTE_(directives)                                                           \
    __asm__(".pushsection .note.berth,\"a\",@note\n"                                               \
            ".balign 4\n"                                                                          \
            ".globl berth_manifest_note\n"                                                         \
            ".hidden berth_manifest_note\n"                                                        \
            ".type berth_manifest_note,@object\n"                                                  \
            "berth_manifest_note:\n"                                                               \
            ".long 6\n"                                                                            \
            ".long .Lberth_json_end - .Lberth_json\n"                                              \
            ".long " BERTH_MANIFEST_TYPE_(BERTH_ABI_MAJOR) "\n"                                    \
            ".asciz \"berth\"\n"                                                                   \
            ".balign 4\n"                                                                          \
            ".Lberth_json:\n"                                                                      \
            directives "\n"                                                                        \
            ".Lberth_json_end:\n"                                                                  \
            ".balign 4\n"                                                                          \
            ".size berth_manifest_note, . - berth_manifest_note\n"                                 \
            ".popsection\n")
/* clang-format on */
#define BERTH_MANIFEST_TYPE_(major)  BERTH_MANIFEST_TYPE2_(major)
#define BERTH_MANIFEST_TYPE2_(major) "0x42450000 + " #major

#ifdef __cplusplus
extern "C" {
#endif

/* Defined by BERTH_MANIFEST or by the CMake package. */
extern const berth_note berth_manifest_note __attribute__((visibility("hidden")));

/* For berth_plugin.manifest. */
#define BERTH_EMBEDDED_MANIFEST (&berth_manifest_note)

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* Initialiser of a berth_bytes member from a string literal, as in `.name = BERTH_NAME("counter")`.
 */
#define BERTH_NAME(literal)                                                                        \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* The bytes of a string literal (zero bytes inside count, the one at the end does not), as a value.
 */
#define BERTH_LIT(literal) berth_bytes_of("" literal, sizeof(literal) - 1)

/* len bytes at ptr, borrowed. Any thread. */
static inline berth_bytes berth_bytes_of(const void *ptr, uint64_t len)
{
    berth_bytes b;
    b.ptr = ptr;
    b.len = len;
    return b;
}

/* No bytes. Any thread. */
static inline berth_bytes berth_nothing(void)
{
    return berth_bytes_of((const void *)0, 0);
}

/* The bytes of a zero-terminated string, borrowed, without the zero; NULL gives none. Any thread.
 */
static inline berth_bytes berth_str(const char *text)
{
    return berth_bytes_of(text, text ? (uint64_t)__builtin_strlen(text) : 0);
}

/* Whether a and b are the same bytes. Any thread. */
static inline int berth_bytes_equal(berth_bytes a, berth_bytes b)
{
    return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.ptr, b.ptr, (size_t)a.len) == 0);
}

/* Whether a berth_ref is the one that means: nobody waits for an answer. Any thread. */
static inline int berth_ref_is_none(const berth_ref *ref)
{
    return (ref->w[0] | ref->w[1] | ref->w[2] | ref->w[3]) == 0;
}

/* ---- Effects --------------------------------------------------------------------------------- */

/* Output to whoever waits for this event, and to all who tail the daemon. */
static inline berth_code berth_emit(berth_call *call, const void *ptr, uint64_t len)
{
    return call->api->emit(call, ptr, len);
}

/* The same with a zero-terminated string, without its zero. */
static inline berth_code berth_emit_str(berth_call *call, const char *text)
{
    return call->api->emit(call, text, text ? (uint64_t)__builtin_strlen(text) : 0);
}

/* A berth_output with its size set and all else zero, to fill in and give to call->api->output. */
static inline berth_output berth_output_to(uint16_t to)
{
    berth_output o;
    __builtin_memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.to = to;
    return o;
}

/* A message to another daemon (or to oneself: it comes to process, after what is in the mailbox).
 */
static inline berth_code berth_send(berth_call *call, uint64_t origin, berth_bytes data)
{
    berth_output o = berth_output_to(BERTH_TO_DAEMON);
    o.origin = origin;
    o.data = data;
    return call->api->output(call, &o);
}

/* A message to another daemon that is to be answered: one or more calls of on_reply will bear this
 * request number (not 0, not in use). timeout_ns 0: 30 seconds. The kind needs on_reply. */
static inline berth_code berth_request(berth_call *call, uint64_t origin, uint64_t request,
                                       int64_t timeout_ns, berth_bytes data)
{
    berth_output o = berth_output_to(BERTH_TO_DAEMON);
    o.origin = origin;
    o.data = data;
    o.request = request;
    o.delay_ns = timeout_ns;
    return call->api->output(call, &o);
}

/* The (last) answer to a request, by the reply_to that its event had; now or in a later call. */
static inline berth_code berth_reply(berth_call *call, const berth_ref *reply_to, berth_bytes data)
{
    berth_output o = berth_output_to(BERTH_TO_REPLY);
    o.reply_to = *reply_to;
    o.data = data;
    return call->api->output(call, &o);
}

/* One answer of several; the last one is given with berth_reply. */
static inline berth_code berth_reply_part(berth_call *call, const berth_ref *reply_to,
                                          berth_bytes data)
{
    berth_output o = berth_output_to(BERTH_TO_REPLY);
    o.flags = BERTH_MORE;
    o.reply_to = *reply_to;
    o.data = data;
    return call->api->output(call, &o);
}

/* The answer "no": the asker's on_reply gets BERTH_REPLY_REFUSED with this zero-terminated text. */
static inline berth_code berth_refuse(berth_call *call, const berth_ref *reply_to, const char *why)
{
    berth_output o = berth_output_to(BERTH_TO_REPLY);
    o.flags = BERTH_REFUSE;
    o.reply_to = *reply_to;
    o.data = berth_str(why);
    return call->api->output(call, &o);
}

/* A message to everyone who is subscribed to the channel. */
static inline berth_code berth_publish(berth_call *call, berth_bytes channel, berth_bytes data)
{
    berth_output o = berth_output_to(BERTH_TO_CHANNEL);
    o.channel = channel;
    o.data = data;
    return call->api->output(call, &o);
}

/* on_timer with this number and these bytes in delay_ns (not negative; 0: after what is in the
 * mailbox). A timer that is set under the same number is replaced. Timers move with the daemon and
 * outlive a restart. The kind needs on_timer. */
static inline berth_code berth_timer_set(berth_call *call, uint64_t number, int64_t delay_ns,
                                         berth_bytes data)
{
    berth_output o = berth_output_to(BERTH_TO_SELF);
    o.request = number;
    o.delay_ns = delay_ns;
    o.data = data;
    return call->api->output(call, &o);
}

/* The timer with this number will not come, whether or not there is one. */
static inline berth_code berth_timer_cancel(berth_call *call, uint64_t number)
{
    berth_output o = berth_output_to(BERTH_TO_SELF);
    o.flags = BERTH_CANCEL;
    o.request = number;
    return call->api->output(call, &o);
}

static inline berth_subscription berth_subscription_to(berth_bytes channel, uint64_t publisher)
{
    berth_subscription s;
    __builtin_memset(&s, 0, sizeof s);
    s.size = sizeof s;
    s.publisher = publisher;
    s.channel = channel;
    return s;
}

/* From now on hear the channel, whoever publishes it; again for the same channel: no change. */
static inline berth_code berth_subscribe(berth_call *call, berth_bytes channel)
{
    berth_subscription s = berth_subscription_to(channel, 0);
    return call->api->subscribe(call, &s);
}

/* The same, but only what the node `publisher` publishes. */
static inline berth_code berth_subscribe_from(berth_call *call, berth_bytes channel,
                                              uint64_t publisher)
{
    berth_subscription s = berth_subscription_to(channel, publisher);
    return call->api->subscribe(call, &s);
}

/* Hear it no more; the pair undoes berth_subscribe and berth_subscribe_from with the same operands.
 */
static inline berth_code berth_unsubscribe(berth_call *call, berth_bytes channel)
{
    berth_subscription s = berth_subscription_to(channel, 0);
    return call->api->unsubscribe(call, &s);
}

static inline berth_code berth_unsubscribe_from(berth_call *call, berth_bytes channel,
                                                uint64_t publisher)
{
    berth_subscription s = berth_subscription_to(channel, publisher);
    return call->api->unsubscribe(call, &s);
}

/* Start a daemon of a kind on this host. name may be empty. With request not 0 its outcome comes to
 * on_reply: origin is the new daemon's, data its 32-byte entity id. */
static inline berth_code berth_spawn_daemon(berth_call *call, berth_bytes kind, berth_bytes name,
                                            berth_bytes config, uint64_t request)
{
    berth_spawn s;
    __builtin_memset(&s, 0, sizeof s);
    s.size = sizeof s;
    s.kind = kind;
    s.name = name;
    s.config = config;
    s.request = request;
    return call->api->spawn(call, &s);
}

/* ---- Failing and logging --------------------------------------------------------------------- */

/* Attach a zero-terminated text to the code that the function is about to return, and return it:
 * `return berth_fail(call, BERTH_E_CONFIG, "target: not a number");` */
static inline berth_code berth_fail(berth_call *call, berth_code code, const char *text)
{
    /* The brackets are for test frameworks that have a macro of this name. */
    return (call->api->fail)(call, code, text, text ? (uint64_t)__builtin_strlen(text) : 0);
}

/* One line, zero-terminated, into the host's log under the daemon's name. level: BERTH_LOG_*. Any
 * thread, from create until destroy returns. */
static inline void berth_log(berth_daemon *daemon, int32_t level, const char *text)
{
    berth_bytes line = berth_str(text);
    daemon->host->log(daemon->host, daemon, level, &line);
}

/* The same under the plugin's name, for init and for threads that belong to no daemon. Any thread,
 * from init until deinit returns. */
static inline void berth_host_log(const berth_host *host, int32_t level, const char *text)
{
    berth_bytes line = berth_str(text);
    host->log(host, (berth_daemon *)0, level, &line);
}

/* Bring bytes from outside to the daemon, as an event of its on_post. Any thread, from create until
 * destroy returns. BERTH_E_FULL: no room now. BERTH_E_LIMIT: longer than an event may be.
 * BERTH_E_ARGUMENT: the kind has no on_post. */
static inline berth_code berth_post(berth_daemon *daemon, const void *ptr, uint64_t len)
{
    return daemon->host->post(daemon, ptr, len);
}

/* ---- Reading a snapshot ---------------------------------------------------------------------- */

/*
 * A reader over borrowed bytes that never passes their end. The first read that would makes it bad;
 * a bad reader gives zeroes and empty bytes. So read all fields, then ask once: berth_reader_done.
 * Before looping over a count that was read, bound it by berth_reader_left. Integers are
 * little-endian.
 */
typedef struct berth_reader {
    const uint8_t *at;
    const uint8_t *end;
    int bad;
} berth_reader;

/* A reader over birth->state or event->data; they stay borrowed. Any thread, as all reader
 * functions. */
static inline berth_reader berth_reader_of(berth_bytes from)
{
    berth_reader r;
    r.at = (const uint8_t *)from.ptr;
    r.end = from.len ? r.at + from.len : r.at;
    r.bad = 0;
    return r;
}

/* Bytes not read yet; 0 for a bad reader. */
static inline uint64_t berth_reader_left(const berth_reader *r)
{
    return r->bad ? 0 : (uint64_t)(r->end - r->at);
}

/* Whether everything read so far was there. */
static inline int berth_reader_ok(const berth_reader *r)
{
    return !r->bad;
}

/* Whether everything read was there, and nothing is left over. */
static inline int berth_reader_done(const berth_reader *r)
{
    return !r->bad && r->at == r->end;
}

/* For a decoder that finds a value it cannot accept: all further reads give nothing. */
static inline void berth_reader_spoil(berth_reader *r)
{
    r->bad = 1;
}

/* The next len bytes, in place. */
static inline berth_bytes berth_read_bytes(berth_reader *r, uint64_t len)
{
    berth_bytes b;
    if (r->bad || len > (uint64_t)(r->end - r->at)) {
        r->bad = 1;
        return berth_nothing();
    }
    b = berth_bytes_of(r->at, len);
    if (len)
        r->at += len;
    return b;
}

static inline uint64_t berth_read_uint_(berth_reader *r, unsigned width)
{
    berth_bytes b = berth_read_bytes(r, width);
    const uint8_t *p = (const uint8_t *)b.ptr;
    uint64_t value = 0;
    uint64_t i;
    for (i = b.len; i > 0; i--)
        value = value << 8 | p[i - 1];
    return value;
}

static inline uint8_t berth_read_u8(berth_reader *r)
{
    return (uint8_t)berth_read_uint_(r, 1);
}

static inline uint16_t berth_read_u16(berth_reader *r)
{
    return (uint16_t)berth_read_uint_(r, 2);
}

static inline uint32_t berth_read_u32(berth_reader *r)
{
    return (uint32_t)berth_read_uint_(r, 4);
}

static inline uint64_t berth_read_u64(berth_reader *r)
{
    return berth_read_uint_(r, 8);
}

/* Two's complement, as berth_write_i64 writes it. */
static inline int64_t berth_read_i64(berth_reader *r)
{
    uint64_t bits = berth_read_uint_(r, 8);
    int64_t value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

/* A number of 1 to 10 bytes, 7 bits each, the least significant first. Only the shortest form of a
 * number is accepted, so that there is one encoding of each state. */
static inline uint64_t berth_read_varint(berth_reader *r)
{
    uint64_t value = 0;
    unsigned shift;
    for (shift = 0; shift < 70; shift += 7) {
        uint8_t byte = berth_read_u8(r);
        if (r->bad)
            return 0;
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    r->bad = 1;
    return 0;
}

/* Bytes with their length before them (a varint), in place. */
static inline berth_bytes berth_read_blob(berth_reader *r)
{
    return berth_read_bytes(r, berth_read_varint(r));
}

/* ---- Writing a snapshot ---------------------------------------------------------------------- */

#define BERTH_WRITER_BYTES 480

/*
 * Gathers small writes and passes them on with call->api->write. The first failure sticks: later
 * writes do nothing, and berth_writer_end tells it. Lives on the stack of the snapshot call:
 *
 *     berth_writer w;
 *     berth_writer_begin(&w, call);
 *     berth_write_u64(&w, self->count);
 *     return berth_writer_end(&w);
 */
typedef struct berth_writer {
    berth_call *call;
    berth_code code;
    uint32_t used;
    uint8_t buffer[BERTH_WRITER_BYTES];
} berth_writer;

static inline void berth_writer_begin(berth_writer *w, berth_call *call)
{
    w->call = call;
    w->code = BERTH_OK;
    w->used = 0;
    w->buffer[0] = 0; /* some compilers warn of an uninitialised buffer otherwise */
}

static inline void berth_writer_flush_(berth_writer *w)
{
    if (w->code == BERTH_OK && w->used)
        w->code = w->call->api->write(w->call, w->buffer, w->used);
    w->used = 0;
}

/* Pass on what is gathered. BERTH_OK, or the first failure; snapshot returns it. */
static inline berth_code berth_writer_end(berth_writer *w)
{
    berth_writer_flush_(w);
    return w->code;
}

/* These bytes as they are, without their length. */
static inline void berth_write_bytes(berth_writer *w, const void *ptr, uint64_t len)
{
    if (len > BERTH_WRITER_BYTES - w->used)
        berth_writer_flush_(w);
    if (w->code != BERTH_OK || len == 0)
        return;
    if (len > BERTH_WRITER_BYTES) {
        w->code = w->call->api->write(w->call, ptr, len);
        return;
    }
    __builtin_memcpy(w->buffer + w->used, ptr, (size_t)len);
    w->used += (uint32_t)len;
}

static inline void berth_write_uint_(berth_writer *w, uint64_t value, unsigned width)
{
    uint8_t bytes[8];
    unsigned i;
    for (i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    berth_write_bytes(w, bytes, width);
}

static inline void berth_write_u8(berth_writer *w, uint8_t value)
{
    berth_write_uint_(w, value, 1);
}

static inline void berth_write_u16(berth_writer *w, uint16_t value)
{
    berth_write_uint_(w, value, 2);
}

static inline void berth_write_u32(berth_writer *w, uint32_t value)
{
    berth_write_uint_(w, value, 4);
}

static inline void berth_write_u64(berth_writer *w, uint64_t value)
{
    berth_write_uint_(w, value, 8);
}

static inline void berth_write_i64(berth_writer *w, int64_t value)
{
    berth_write_uint_(w, (uint64_t)value, 8);
}

/* See berth_read_varint. */
static inline void berth_write_varint(berth_writer *w, uint64_t value)
{
    uint8_t bytes[10];
    unsigned len = 0;
    while (value >= 0x80) {
        bytes[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (uint8_t)value;
    berth_write_bytes(w, bytes, len);
}

/* Bytes with their length before them (a varint). */
static inline void berth_write_blob(berth_writer *w, berth_bytes bytes)
{
    berth_write_varint(w, bytes.len);
    berth_write_bytes(w, bytes.ptr, bytes.len);
}

/* ---- Chance ---------------------------------------------------------------------------------- */

/*
 * Numbers that look random and are the same whenever the same event is run again: seeded from the
 * event, which STANDS IN THE JOURNAL. NEVER FOR KEYS, tokens or anything else that must not be
 * guessed.
 *
 * xoroshiro128++ by D. Blackman and S. Vigna (Scrambled linear pseudorandom number generators, ACM
 * TOMS 47, 2021), its state filled by SplitMix64 (Steele, Lea, Flood 2014) from the seed.
 */
typedef struct berth_random {
    uint64_t s[2];
} berth_random;

static inline uint64_t berth_random_mix_(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From event->seed or birth->seed. Any thread, as all functions of berth_random. */
static inline berth_random berth_random_from(const uint64_t seed[2])
{
    berth_random r;
    r.s[0] = berth_random_mix_(seed[0]);
    r.s[1] = berth_random_mix_(seed[1] ^ 0x6a09e667f3bcc908u);
    if ((r.s[0] | r.s[1]) == 0)
        r.s[0] = 1;
    return r;
}

static inline uint64_t berth_random_rotate_(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

/* 64 bits. */
static inline uint64_t berth_random_u64(berth_random *r)
{
    uint64_t a = r->s[0];
    uint64_t b = r->s[1];
    uint64_t result = berth_random_rotate_(a + b, 17) + a;
    b ^= a;
    r->s[0] = berth_random_rotate_(a, 49) ^ b ^ (b << 21);
    r->s[1] = berth_random_rotate_(b, 28);
    return result;
}

/* One of 0 .. bound - 1, each equally likely; 0 when bound is 0. */
static inline uint64_t berth_random_below(berth_random *r, uint64_t bound)
{
    uint64_t low, x;
    if (bound == 0)
        return 0;
    low = (0 - bound) % bound;
    do
        x = berth_random_u64(r);
    while (x < low);
    return x % bound;
}

#ifdef __cplusplus
}
#endif
#endif
