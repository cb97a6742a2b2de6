/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/peers_private.h"
