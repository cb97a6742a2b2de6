/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/entity.h: an entity id where a command wants one. One thread; may block.
 */
#ifndef CLI_ENTITY_H
#define CLI_ENTITY_H

#include "berth/identity.h"

/*
 * From 64 hex digits; or from a file, "-" being standard input, that holds an identity, or what
 * `berth identity show` prints of one, with or without --json, or the digits alone. INVALID for
 * anything else, and for 32 bytes that are no key.
 */
berth_status entity_argument(const char *text, uint8_t entity[BERTH_ENTITY_SIZE],
                             berth_error *error);

#endif
