/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain/framing.h: several events in one message (subprotocol 0x0400, byte-exact). Any thread;
 * nothing blocks; reading allocates nothing.
 */
#ifndef CHAIN_FRAMING_H
#define CHAIN_FRAMING_H

#include "base/cursor.h"
#include "berth/chain.h"

#define SUBPROTOCOL_CAUSAL   0x0400
#define SUBPROTOCOL_SNAPSHOT 0x0401

#define FRAME_MIN        36 /* length field and link */
#define FRAME_EVENTS_MAX UINT16_MAX

typedef struct frame_event {
    berth_link link;
    slice payload;
} frame_event;

typedef struct frame_written {
    size_t bytes;
    size_t events;  /* what the message must announce as its count */
    size_t skipped; /* longer than the length field can say, or beyond FRAME_EVENTS_MAX */
} frame_written;

/* Append events to w. The caller tells the reader `events`, not n. NO_MEMORY when w failed. */
berth_status frame_write(writer *w, const frame_event *events, size_t n, frame_written *out);

typedef struct frame_reader {
    reader r;
    uint16_t
        left; /* events that are still to come; above 0 after the last: the message is damaged */
} frame_reader;

frame_reader frame_read(slice data, uint16_t count);

/* False at the end, or at the first event that is not whole; those before it are good. The payload
 * lies in data. */
bool frame_next(frame_reader *f, frame_event *out);

#endif
