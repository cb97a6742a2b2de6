/* SPDX-License-Identifier: Apache-2.0 */
/* chain/container_tags.h: the numbers of BSN1, for its encoder and its decoder only. */
#ifndef CHAIN_CONTAINER_TAGS_H
#define CHAIN_CONTAINER_TAGS_H

#define CONTAINER_MAGIC        "BSN1"
#define CONTAINER_VERSION      1
#define CONTAINER_DIGEST       32
#define CONTAINER_HEAD         8
#define CONTAINER_SECTION_HEAD 16
#define CONTAINER_IGNORABLE    1

#define LIFE_STARTED      1
#define LIFE_PARENT_KNOWN 2
#define LIFE_SIZE         (1 + 4 + 4 * 8)

/* The smallest entry of each list: a count is believed only if so many fit. */
#define CURSOR_MIN  (1 + 1 + 8)
#define TIMER_MIN   (8 + 8 + 8 + 4)
#define REQUEST_MIN (8 + 8 + 8)

/* Sections in their order in the file. */
enum container_section {
    SECTION_SNAP,
    SECTION_NAME,
    SECTION_KIND,
    SECTION_PLUG,
    SECTION_LIFE,
    SECTION_CURS,
    SECTION_HRZN,
    SECTION_TIMR,
    SECTION_RQST,
    SECTION_SENT,
    SECTION_CHAN,
    SECTION_HAND,
    SECTIONS,
};

#define CONTAINER_TAGS                                                                             \
    {                                                                                              \
        "SNAP", "NAME", "KIND", "PLUG", "LIFE", "CURS", "HRZN", "TIMR", "RQST", "SENT", "CHAN",    \
            "HAND"                                                                                 \
    }

#endif
