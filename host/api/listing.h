/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/listing.h: an answer of many parts, which may be as long as a million daemons make it. Inside
 * the room; one thread at a time.
 */
#ifndef API_LISTING_H
#define API_LISTING_H

#include "api/request.h"
#include "api/spool.h"

typedef struct listing {
    spool spool;
    bool begun; /* an element was written: the next one needs a comma */
    berth_error error;
} listing;

void listing_init(listing *l, request *r);
/* Where the next element goes, after a comma where one is due; NULL once it has failed. */
writer *listing_next(listing *l);
/* After an element. */
void listing_flush(listing *l);
/* Answer with it, or with what went wrong; l is done with. */
void listing_answer(listing *l, request *r, const char *type);

/* The spool as an answer of known length; takes it over. */
void spool_answer(request *r, unsigned status, const char *type, spool *s);

#endif
