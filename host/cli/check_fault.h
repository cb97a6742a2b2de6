/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/check_fault.h: what a crash was, in words. Inside of check_run.c's care only.
 */
#ifndef CLI_CHECK_FAULT_H
#define CLI_CHECK_FAULT_H

#include "cli/check_run.h"

/* In the child: note on the board where a fault happens, then let it happen. */
void check_fault_install(check_board *board);

/* In the parent. ", in process, event 7" for that place; static. */
const char *check_fault_where(check_board *board, unsigned place);
/* text and cure; said: the last line that the child printed. */
void check_fault_explain(check_board *board, int signal, const char *said, check_result *r);

#endif
