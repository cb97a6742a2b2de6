/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/status.h: what a call of libberth can answer.
 *
 * One table. Every fallible function returns a berth_status; where a caller can act on more than
 * the code, the function also takes a berth_error and writes one line into it that names the
 * thing, what was wrong with it, and what to do.
 *
 * Values are stable: a code is never renumbered, new ones are appended. Since 0.1.
 */
#ifndef BERTH_STATUS_H
#define BERTH_STATUS_H

#include <stdint.h>

/* What libberth.so exports; everything else in it is hidden. */
#ifndef BERTH_API
#if defined(__GNUC__)
#define BERTH_API __attribute__((visibility("default")))
#else
#define BERTH_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, text) */
#define BERTH_STATUS_TABLE(X)                                                                      \
    X(INVALID, 1, "an argument is not valid")                                                      \
    X(NO_MEMORY, 2, "out of memory")                                                               \
    X(NOT_FOUND, 3, "there is no such thing")                                                      \
    X(EXISTS, 4, "already registered")                                                             \
    X(NOT_READY, 5, "the runtime is not started")                                                  \
    X(SHUTTING_DOWN, 6, "the runtime is shutting down")                                            \
    X(STALE, 7, "the daemon was replaced or removed meanwhile")                                    \
    X(BUSY, 8, "in use")                                                                           \
    X(WOULD_BLOCK, 9, "no room now")                                                               \
    X(TIMEOUT, 10, "the deadline passed")                                                          \
    X(CANCELLED, 11, "cancelled")                                                                  \
    X(DEADLOCK, 12, "a blocking call from a thread that must not block")                           \
    X(LIMIT, 13, "a limit was passed")                                                             \
    X(CORRUPT, 14, "the bytes are damaged")                                                        \
    X(VERSION, 15, "the version is not supported")                                                 \
    X(IO, 16, "an input or output error")                                                          \
    X(NO_SPACE, 17, "no space left in the state directory")                                        \
    X(PERMISSION, 18, "permission denied or unsafe permissions")                                   \
    X(READ_ONLY, 19, "the key has no secret half")                                                 \
    X(SIGNATURE, 20, "a signature does not verify")                                                \
    X(IDENTITY_MISMATCH, 21, "the snapshot belongs to another identity")                           \
    X(KIND_UNKNOWN, 22, "no loaded plugin provides this kind")                                     \
    X(KIND_EXISTS, 23, "the kind is already provided")                                             \
    X(AMBIGUOUS, 24, "the prefix names more than one daemon")                                      \
    X(REFUSED, 25, "refused by policy")                                                            \
    X(ADMISSION, 26, "the plugin may not be loaded")                                               \
    X(PLUGIN, 27, "the plugin failed")                                                             \
    X(REJECTED, 28, "the daemon refused the event")                                                \
    X(BROKEN, 29, "the daemon is broken")                                                          \
    X(LOST, 30, "the event could not be delivered")                                                \
    X(DUPLICATE, 31, "already applied")                                                            \
    X(SEQUENCE, 32, "the chain is at its last sequence")                                           \
    X(UNSUPPORTED, 33, "not supported here")                                                       \
    X(LOCKED, 34, "another host uses this state directory")                                        \
    X(NO_HOST, 35, "no host answers at the socket")                                                \
    X(INTERNAL, 36, "a defect in berth")                                                           \
    X(OUTCOME_UNKNOWN, 37, "whether it was executed cannot be known")

typedef int32_t berth_status;

#define BERTH_OK 0

enum {
#define BERTH_STATUS_ENUM(name, value, text) BERTH_ERR_##name = (value),
    BERTH_STATUS_TABLE(BERTH_STATUS_ENUM)
#undef BERTH_STATUS_ENUM
};

/* Longest error line, its terminating zero included. */
#define BERTH_ERROR_TEXT 512

/* Where a call writes its one-line explanation. Owned by the caller; zero-initialise it. */
typedef struct berth_error {
    berth_status code;
    char text[BERTH_ERROR_TEXT];
} berth_error;

/* "NOT_FOUND" for BERTH_ERR_NOT_FOUND, "OK" for 0, "UNKNOWN" for what the table lacks. Static. */
BERTH_API const char *berth_status_name(berth_status status);

/* The table's one-line text. Static. */
BERTH_API const char *berth_status_text(berth_status status);

#ifdef __cplusplus
}
#endif
#endif
