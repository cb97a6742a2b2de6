/* SPDX-License-Identifier: Apache-2.0 */
/* What an examining process answers, should a hostile file have taken it over. */
#include "plugin/admit.h"
#include "plugin/examine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    admit_policy policy = {0};
    examination e, again;
    writer w = {0};
    admission a;

    if (examination_decode(slice_of(data, size), &e, &error)) {
        if (e.facts || e.manifest || !error.code)
            abort();
        return 0;
    }
    if (!e.facts)
        abort();
    (void)admit(e.facts, e.manifest, &policy, &a, &error);
    admission_free(&a);
    /* What was understood can be said again. */
    examination_encode(&w, BERTH_OK, NULL, &e);
    if (examination_decode(slice_of(w.data, w.len), &again, &error))
        abort();
    writer_free(&w);
    examination_free(&e);
    examination_free(&again);
    return 0;
}
