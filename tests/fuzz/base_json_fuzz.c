/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON scanner. What it lets through, json-c must read, and what json-c writes must pass again.
 */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice text = slice_of(data, size);
    struct json_object *value, *again;
    berth_error error = {0};
    const char *written;
    buf *bytes = NULL;

    if (json_parse(text, size, &value, &error) != BERTH_OK) {
        if (value || !error.code || !error.text[0])
            abort();
        return 0;
    }
    written = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    if (json_parse(slice_str(written), SIZE_MAX, &again, &error) != BERTH_OK)
        abort();
    if (!json_object_equal(value, again))
        abort();
    if (json_object_is_type(value, json_type_object)) {
        uint64_t id;

        if (json_get_bytes(value, "", JSON_REQUIRED, &bytes, &error) == BERTH_OK) {
            struct json_object *back = json_bytes_new(slice_of(bytes->data, bytes->len));

            json_object_put(back);
            buf_unref(bytes);
        }
        json_get_id(value, "", "id", JSON_OPTIONAL, &id, &error);
    }
    json_object_put(value);
    json_object_put(again);
    return 0;
}
