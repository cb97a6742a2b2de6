/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before each file that clang-tidy looks at: that raising an error never gives BERTH_OK.
 * The analyzer sees no other file's functions, and would follow every error into the path of
 * success.
 */
#if defined(__clang_analyzer__) && defined(__has_include)
#if __has_include("base/error.h")
#include "base/error.h"
#define fail(error, code, ...)         (fail(error, code, __VA_ARGS__), (code) ? (code) : 1)
#define fail_errno(error, errnum, ...) (fail_errno(error, errnum, __VA_ARGS__), BERTH_ERR_IO)
#define fail_prefix(error, ...)        (fail_prefix(error, __VA_ARGS__), BERTH_ERR_IO)
#endif
#endif
