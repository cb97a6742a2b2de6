/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/socket.h: the listening Unix socket and who is at its other end.
 */
#ifndef API_SOCKET_H
#define API_SOCKET_H

#include "berth/status.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

typedef struct listener {
    int fd;
    char path[108];
    dev_t dev;
    ino_t ino;
    struct timespec made; /* inode numbers are used again */
} listener;

/* LOCKED when somebody answers at the path. Changes nothing: for those who want to know before they
 * make anything else; listener_open asks again. */
berth_status listener_check(const char *path, berth_error *error);

/* As api_start. The socket has mode 0600 from its first moment. */
berth_status listener_open(listener *l, const char *path, berth_error *error);

/* Remove the file, unless someone has put another one in its place. fd is the caller's. */
void listener_unlink(const listener *l);

/* Whether the process at the other end runs as our user or as root. */
bool peer_allowed(int fd, uid_t ours);

#endif
