/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/notify.h: telling the service manager how the host is (sd_notify's protocol: a datagram of
 * NAME=value lines to $NOTIFY_SOCKET).
 */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include "berth/status.h"

/* Whether the message was sent; false also where nobody wants to be told. Never blocks. */
_Bool notify_send(const char *message);

#endif
