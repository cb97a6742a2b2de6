/* SPDX-License-Identifier: Apache-2.0 */
/* Tags and filters as text: the input is both one tag and a filter, and the tags of a set. */
#include "mesh/capability_filter.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    capability_model models[CAPABILITY_MODELS_MAX];
    capability_tool tools[CAPABILITY_TOOLS_MAX];
    slice text = slice_of(data, size);
    capability_scope scope;
    capability_filter f;
    capability_hardware h;
    capabilities set = {0}, copy = {0};
    berth_error error = {0};
    size_t from = 0;
    uint64_t chain;
    tag_parts t;

    if (tag_parse(&t, text, &error) == BERTH_OK) {
        if (t.key.len + t.value.len + t.prefix.len > size || !tag_same(text, text))
            abort();
        tag_causal(text, &chain);
        tag_heat_of(text, &chain);
    } else if (!error.text[0]) {
        abort();
    }
    for (size_t i = 0; i <= size; i++) {
        if (i < size && data[i] != ' ')
            continue;
        capabilities_put(&set, slice_of(data + from, i - from), NULL);
        from = i + 1;
    }
    for (size_t i = 1; i < set.tag_count; i++) {
        slice a = set.tags[i - 1], b = set.tags[i];
        int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

        if (order > 0 || (order == 0 && a.len >= b.len))
            abort();
    }
    hardware_read(&h, &set);
    models_read(models, &set);
    tools_read(tools, &set);
    if (filter_parse(&f, &scope, text, &error) == BERTH_OK) {
        filter_matches(&f, &set);
        scope_admits(&scope, &set, SUBNET_UNKNOWN, true);
        /* a filter of tags alone matches the set that has them all */
        if (!f.gpu && !f.model_count && !f.tool_count && !f.modalities && !f.min_memory_gb &&
            !f.min_vram_gb && !f.min_context_length && set.tag_count < CAPABILITY_TAGS_MAX) {
            for (size_t i = 0; i < f.tag_count; i++)
                capabilities_put(&set, f.tags[i], NULL);
            if (!filter_matches(&f, &set))
                abort();
        }
    }
    if (capabilities_copy(&copy, &set, NULL) != BERTH_OK || !capabilities_equal(&copy, &set))
        abort();
    capabilities_strip_heat(&set);
    capabilities_fini(&set);
    capabilities_fini(&copy);
    return 0;
}
