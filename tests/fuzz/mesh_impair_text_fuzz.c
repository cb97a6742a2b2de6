/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of impairment as text: what is read makes sense, and its text makes the same rule. */
#include "mesh/impair.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[IMPAIR_TEXT], again[IMPAIR_TEXT];
    berth_error error = {0};
    impair_rule rule, same;

    if (impair_parse(&rule, slice_of(data, size), &error) != BERTH_OK) {
        if (!error.text[0] || rule.drop || rule.loss || rule.delay_ns || rule.rate)
            abort();
        return 0;
    }
    if (impair_check(&rule, NULL) != BERTH_OK)
        abort();
    impair_format(text, &rule);
    if (impair_parse(&same, slice_str(text), &error) != BERTH_OK ||
        strcmp(impair_format(again, &same), text) != 0 || same.delay_ns != rule.delay_ns ||
        same.jitter_ns != rule.jitter_ns || same.reorder_ns != rule.reorder_ns ||
        same.rate != rule.rate || same.queue != rule.queue || same.bucket != rule.bucket ||
        same.loss != rule.loss || same.duplicate != rule.duplicate ||
        same.corrupt != rule.corrupt || same.reorder != rule.reorder ||
        same.burst_enter != rule.burst_enter || same.burst_leave != rule.burst_leave ||
        same.burst_loss != rule.burst_loss || same.drop != rule.drop)
        abort();
    return 0;
}
