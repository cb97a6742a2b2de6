/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/password.h: asking for a password without showing it.
 */
#ifndef CLI_PASSWORD_H
#define CLI_PASSWORD_H

#include "berth/status.h"

#include <stddef.h>

enum { PASSWORD_MAX = 1024 };

/*
 * At the terminal when standard input is one, else the next line of standard input (its end: an
 * empty password). *len bytes and a zero in out, which the caller wipes. CANCELLED on Ctrl-C.
 */
berth_status password_ask(const char *prompt, char out[PASSWORD_MAX], size_t *len,
                          berth_error *error);

#endif
