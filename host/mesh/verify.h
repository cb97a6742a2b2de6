/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/verify.h: who says whether a signature is one. Machines that believe signed things take this
 * function from their owner: the simulator, which verifies the same thing for thousands of nodes,
 * remembers what it has verified.
 */
#ifndef MESH_VERIFY_H
#define MESH_VERIFY_H

#include "berth/identity.h"

/* As berth_verify, which NULL stands for. */
typedef berth_status verify_signature(const uint8_t entity[BERTH_ENTITY_SIZE], const void *message,
                                      size_t len, const uint8_t signature[BERTH_SIGNATURE_SIZE]);

#endif
