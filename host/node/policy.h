/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node/policy.h: what the configuration allows to be loaded.
 *
 * Blocking (key files are read); any thread.
 */
#ifndef NODE_POLICY_H
#define NODE_POLICY_H

#include "node/config.h"
#include "plugin/policy.h"

/* The plugin room's policy; one reference is the caller's. Errors name the file. */
berth_status node_policy(const config *c, plugin_policy **out, berth_error *error);

#endif
