/* SPDX-License-Identifier: Apache-2.0 */
/* Announcements: what is read can be passed on without a change to what is signed, and what we
 * write of it is read back as the same. */
#include "mesh/announcement.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice text = slice_of(data, size);
    writer hop = {0}, first = {0}, second = {0};
    announcement a, b;
    berth_error error = {0};
    berth_status verified;

    if (announcement_read(&a, text, &error) != BERTH_OK) {
        if (!error.code || a.set.tags || a.set.metadata)
            abort();
        return 0;
    }
    verified = announcement_verify(&a, text, NULL, &error);
    if (announcement_write_hop(&hop, text, 14, &error) != BERTH_OK)
        abort();
    if (hop.len <= ANNOUNCEMENT_MAX) {
        if (announcement_read(&b, slice_of(hop.data, hop.len), &error) != BERTH_OK ||
            b.hop_count != 14 || !capabilities_equal(&a.set, &b.set) ||
            announcement_verify(&b, slice_of(hop.data, hop.len), NULL, &error) != verified)
            abort();
        announcement_fini(&b);
    }
    announcement_write(&first, &a);
    if (first.len <= ANNOUNCEMENT_MAX) {
        if (announcement_read(&b, slice_of(first.data, first.len), &error) != BERTH_OK)
            abort();
        announcement_write(&second, &b);
        if (second.len != first.len || memcmp(second.data, first.data, first.len) != 0)
            abort();
        announcement_fini(&b);
    }
    capabilities_strip_reserved(&a.set);
    capabilities_strip_heat(&a.set);
    announcement_fini(&a);
    writer_free(&hop);
    writer_free(&first);
    writer_free(&second);
    return 0;
}
