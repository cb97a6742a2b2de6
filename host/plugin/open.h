/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/open.h: the one dlopen. Inside this room only.
 */
#ifndef PLUGIN_OPEN_H
#define PLUGIN_OPEN_H

#include "plugin/content_store.h"
#include "plugin/set.h"

/* Open the stored copy, whose constructors run, and take its table. On failure it is closed again.
 */
berth_status plugin_open(plugin *p, const content_file *file, const elf_facts *facts,
                         berth_error *error);

#endif
