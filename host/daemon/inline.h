/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon/inline.h: instances whose code runs in the host, on the calling thread.
 *
 * Handles that plugin code gets rotate through a pool that lives as long as the runner: one that a
 * plugin keeps beyond its call answers E_NOT_NOW instead of touching freed memory, until its slot
 * comes round again. A handle used by another thread than its call's answers the same.
 */
#ifndef DAEMON_INLINE_H
#define DAEMON_INLINE_H

#include "daemon/instance.h"

extern const instance_ops inline_ops;

#define INLINE_HANDLES 64

/* What the calls on one runner reuse. */
typedef struct inline_scratch inline_scratch;
inline_scratch *inline_scratch_new(void);
void inline_scratch_free(inline_scratch *s);

#endif
