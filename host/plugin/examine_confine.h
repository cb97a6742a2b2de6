/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin/examine_confine.h: what the examining process takes from itself. Inside berth-examine
 * only.
 */
#ifndef PLUGIN_EXAMINE_CONFINE_H
#define PLUGIN_EXAMINE_CONFINE_H

/* Little memory, five seconds of a processor, one minute at all, no core file, no file written. It
 * ends when the thread that started it does. */
void confine_resources(void);

/* From here on all but memory, ending, and writing to this descriptor fails with EPERM. Where the
 * kernel cannot filter, nothing happens. */
void confine_calls(int answer_fd);

#endif
