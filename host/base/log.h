/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/log.h: the host's log, one line an entry, to standard error.
 *
 * The only global state of libberth. Any thread; each entry is one write(2). Lines read
 * `2026-01-31T12:00:00.123Z warn  room: text`; under systemd (JOURNAL_STREAM) `<4>room: text`.
 * Control bytes are escaped.
 *
 * Where several hosts live in one process, each can have a log of its own: log_set_capture.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

typedef enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
} log_level;

/* Entries above this level are dropped. Default INFO. */
void log_set_level(log_level level);

/* Instead of standard error: called once per entry, from any thread, must not log. NULL restores.
 */
typedef void log_sink(void *ctx, log_level level, const char *room, const char *text);
void log_set_sink(log_sink *sink, void *ctx);

/* Takes what a thread logs up to `level`, whatever log_set_level says; of that only errors also go
 * to the common log. `sink` as above. */
typedef struct log_capture {
    log_sink *sink;
    void *ctx;
    log_level level;
} log_capture;

/* For what this thread logs from now on; NULL: the common log alone. Borrowed; returns what was set
 * before. The threads of a runtime have the one of the thread that made the runtime, and so does
 * all that a mesh does on its loop. */
const log_capture *log_set_capture(const log_capture *to);
const log_capture *log_get_capture(void);

void log_write(log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(room, ...) log_write(LOG_LEVEL_ERROR, room, __VA_ARGS__)
#define log_warn(room, ...)  log_write(LOG_LEVEL_WARN, room, __VA_ARGS__)
#define log_info(room, ...)  log_write(LOG_LEVEL_INFO, room, __VA_ARGS__)
#define log_debug(room, ...) log_write(LOG_LEVEL_DEBUG, room, __VA_ARGS__)

#endif
