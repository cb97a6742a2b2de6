/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/capability_view.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const vendors[] = {NULL, "nvidia", "amd", "intel", "apple", "qualcomm"};
static const char *const modalities[] = {"text", "image",     "audio",   "video",
                                         "code", "embedding", "tool_use"};

const char *gpu_vendor_name(gpu_vendor vendor)
{
    return vendors[vendor];
}

gpu_vendor gpu_vendor_of(slice name)
{
    for (size_t i = 1; i < COUNT(vendors); i++)
        if (slice_eq(name, slice_str(vendors[i])))
            return (gpu_vendor)i;
    return GPU_UNKNOWN;
}

const char *modality_name(modality m)
{
    return modalities[m];
}

modality modality_of(slice name)
{
    size_t i = 0;

    while (i < COUNT(modalities) && !slice_eq(name, slice_str(modalities[i])))
        i++;
    return (modality)i;
}

/* ---- hardware ---- */

static const struct {
    const char *key;
    size_t offset;
} numbers[] = {
#define NUMBER(key, member)                                                                        \
    {                                                                                              \
        key, offsetof(capability_hardware, member)                                                 \
    }
    NUMBER("cpu_cores", cpu_cores),
    NUMBER("cpu_threads", cpu_threads),
    NUMBER("memory_gb", memory_gb),
    NUMBER("storage_gb", storage_gb),
    NUMBER("network_gbps", network_gbps),
    NUMBER("gpu.vram_gb", vram_gb),
    NUMBER("gpu.compute_units", compute_units),
    NUMBER("gpu.tensor_cores", tensor_cores),
    NUMBER("gpu.fp16_tflops_x10", fp16_tflops_x10),
    NUMBER("limits.max_concurrent_requests", max_concurrent_requests),
    NUMBER("limits.max_tokens_per_request", max_tokens_per_request),
    NUMBER("limits.rate_limit_rpm", rate_limit_rpm),
    NUMBER("limits.max_batch_size", max_batch_size),
    NUMBER("limits.max_input_bytes", max_input_bytes),
    NUMBER("limits.max_output_bytes", max_output_bytes),
#undef NUMBER
};

berth_status hardware_write(capabilities *set, const capability_hardware *h, berth_error *error)
{
    berth_status status = BERTH_OK;

    capabilities_remove_prefix(set, "hardware.");
    for (size_t i = 0; i < COUNT(numbers) && !status; i++) {
        uint64_t value;

        memcpy(&value, (const char *)h + numbers[i].offset, sizeof value);
        if (value)
            status =
                capabilities_put_text(set, error, "hardware.%s=%" PRIu64, numbers[i].key, value);
    }
    if (!status && h->gpu)
        status = capabilities_put_text(set, error, "hardware.gpu");
    if (!status && h->vendor)
        status = capabilities_put_text(set, error, "hardware.gpu.vendor=%s", vendors[h->vendor]);
    if (!status && h->gpu_model.len)
        status = capabilities_put_text(set, error, "hardware.gpu.model=%.*s", (int)h->gpu_model.len,
                                       (const char *)h->gpu_model.ptr);
    return status;
}

void hardware_read(capability_hardware *out, const capabilities *set)
{
    slice value;

    *out = (capability_hardware){.gpu = capabilities_has_exact(set, slice_str("hardware.gpu"))};
    for (size_t i = 0; i < set->tag_count; i++) {
        for (size_t k = 0; k < COUNT(numbers); k++) {
            uint64_t number;

            if (!tag_value(set->tags[i], AXIS_HARDWARE, numbers[k].key, &value))
                continue;
            number = tag_number(value);
            memcpy((char *)out + numbers[k].offset, &number, sizeof number);
        }
        if (tag_value(set->tags[i], AXIS_HARDWARE, "gpu.vendor", &value))
            out->vendor = gpu_vendor_of(value);
        else if (tag_value(set->tags[i], AXIS_HARDWARE, "gpu.model", &value))
            out->gpu_model = value;
    }
}

/* ---- models and tools: software.<what>.<index>.<key>=<value> ---- */

static bool parse_item(slice text, const char *what, uint32_t *index, slice *key, slice *value)
{
    size_t n = strlen(what), dot;
    uint64_t number;
    tag_parts t;

    if (tag_parse(&t, text, NULL) || t.form != TAG_AXIS || t.axis != AXIS_SOFTWARE ||
        !t.separator || t.key.len <= n || memcmp(t.key.ptr, what, n) != 0)
        return false;
    for (dot = n; dot < t.key.len && t.key.ptr[dot] != '.';)
        dot++;
    number = tag_number(slice_of(t.key.ptr + n, dot - n));
    if (dot == t.key.len || number > UINT32_MAX || !tag_is_number(slice_of(t.key.ptr + n, dot - n)))
        return false;
    *index = (uint32_t)number;
    *key = slice_of(t.key.ptr + dot + 1, t.key.len - dot - 1);
    *value = t.value;
    return true;
}

static berth_status put_text(capabilities *set, const char *what, uint32_t index, const char *key,
                             slice value, berth_error *error)
{
    if (!value.len)
        return BERTH_OK;
    return capabilities_put_text(set, error, "software.%s%" PRIu32 ".%s=%.*s", what, index, key,
                                 (int)(value.len < TAG_MAX ? value.len : TAG_MAX),
                                 (const char *)value.ptr);
}

static berth_status put_number(capabilities *set, const char *what, uint32_t index, const char *key,
                               uint64_t value, berth_error *error)
{
    if (!value)
        return BERTH_OK;
    return capabilities_put_text(set, error, "software.%s%" PRIu32 ".%s=%" PRIu64, what, index, key,
                                 value);
}

berth_status model_write(capabilities *set, const capability_model *m, berth_error *error)
{
    char list[96];
    size_t len = 0;
    berth_status status;

    for (size_t i = 0; i < COUNT(modalities); i++) {
        if (!(m->modalities & 1u << i))
            continue;
        if (len)
            list[len++] = ',';
        len += (size_t)(stpcpy(list + len, modalities[i]) - (list + len));
    }
    status = put_text(set, "model.", m->index, "id", m->id, error);
    if (!status)
        status = put_text(set, "model.", m->index, "family", m->family, error);
    if (!status)
        status = put_text(set, "model.", m->index, "quantization", m->quantization, error);
    if (!status)
        status = put_text(set, "model.", m->index, "modalities", slice_of(list, len), error);
    if (!status)
        status =
            put_number(set, "model.", m->index, "parameters_b_x10", m->parameters_b_x10, error);
    if (!status)
        status = put_number(set, "model.", m->index, "context_length", m->context_length, error);
    if (!status)
        status = put_number(set, "model.", m->index, "tokens_per_sec", m->tokens_per_s, error);
    if (!status && m->loaded)
        status = put_text(set, "model.", m->index, "loaded", slice_str("true"), error);
    return status;
}

static unsigned read_modalities(slice list)
{
    unsigned out = 0;
    size_t from = 0;

    for (size_t i = 0; i <= list.len; i++) {
        modality m;

        if (i < list.len && list.ptr[i] != ',')
            continue;
        m = modality_of(slice_of(list.ptr + from, i - from));
        if (m < MODALITY_COUNT)
            out |= 1u << m;
        from = i + 1;
    }
    return out;
}

static int by_index(const void *a, const void *b)
{
    uint32_t x = ((const capability_model *)a)->index, y = ((const capability_model *)b)->index;

    return (x > y) - (x < y);
}

static int tools_by_index(const void *a, const void *b)
{
    uint32_t x = ((const capability_tool *)a)->index, y = ((const capability_tool *)b)->index;

    return (x > y) - (x < y);
}

size_t models_read(capability_model *out, const capabilities *set)
{
    size_t count = 0;

    for (size_t i = 0; i < set->tag_count; i++) {
        capability_model *m;
        slice key, value;
        uint32_t index;
        size_t at = 0;

        if (!parse_item(set->tags[i], "model.", &index, &key, &value))
            continue;
        while (at < count && out[at].index != index)
            at++;
        if (at == CAPABILITY_MODELS_MAX)
            continue;
        m = &out[at];
        if (at == count) {
            *m = (capability_model){.index = index};
            count++;
        }
        if (slice_eq(key, slice_str("id")))
            m->id = value;
        else if (slice_eq(key, slice_str("family")))
            m->family = value;
        else if (slice_eq(key, slice_str("quantization")))
            m->quantization = value;
        else if (slice_eq(key, slice_str("parameters_b_x10")))
            m->parameters_b_x10 = tag_number(value);
        else if (slice_eq(key, slice_str("context_length")))
            m->context_length = tag_number(value);
        else if (slice_eq(key, slice_str("tokens_per_sec")))
            m->tokens_per_s = tag_number(value);
        else if (slice_eq(key, slice_str("modalities")))
            m->modalities = read_modalities(value);
        else if (slice_eq(key, slice_str("loaded")))
            m->loaded = slice_eq(value, slice_str("true"));
    }
    if (count)
        qsort(out, count, sizeof *out, by_index);
    return count;
}

berth_status tool_write(capabilities *set, const capability_tool *t, berth_error *error)
{
    berth_status status = put_text(set, "tool.", t->index, "tool_id", t->id, error);

    if (!status)
        status = put_text(set, "tool.", t->index, "name", t->name, error);
    if (!status)
        status = put_text(set, "tool.", t->index, "version", t->version, error);
    if (!status)
        status = put_text(set, "tool.", t->index, "requires", t->requires, error);
    if (!status)
        status = put_number(set, "tool.", t->index, "estimated_time_ms", t->estimated_ms, error);
    if (!status)
        status = put_text(set, "tool.", t->index, "stateless",
                          slice_str(t->stateless ? "true" : "false"), error);
    return status;
}

size_t tools_read(capability_tool *out, const capabilities *set)
{
    size_t count = 0;

    for (size_t i = 0; i < set->tag_count; i++) {
        capability_tool *t;
        slice key, value;
        uint32_t index;
        size_t at = 0;

        if (!parse_item(set->tags[i], "tool.", &index, &key, &value))
            continue;
        while (at < count && out[at].index != index)
            at++;
        if (at == CAPABILITY_TOOLS_MAX)
            continue;
        t = &out[at];
        if (at == count) {
            *t = (capability_tool){.index = index};
            count++;
        }
        if (slice_eq(key, slice_str("tool_id")))
            t->id = value;
        else if (slice_eq(key, slice_str("name")))
            t->name = value;
        else if (slice_eq(key, slice_str("version")))
            t->version = value;
        else if (slice_eq(key, slice_str("requires")))
        t->requires = value;
        else if (slice_eq(key, slice_str("estimated_time_ms"))) t->estimated_ms = tag_number(value);
        else if (slice_eq(key, slice_str("stateless"))) t->stateless =
            slice_eq(value, slice_str("true"));
    }
    if (count)
        qsort(out, count, sizeof *out, tools_by_index);
    return count;
}

berth_status software_write(capabilities *set, const char *group, slice name, slice version,
                            berth_error *error)
{
    if (!name.len || memchr(name.ptr, '=', name.len) || memchr(name.ptr, ':', name.len) ||
        memchr(name.ptr, '.', name.len))
        return BERTH_OK;
    return capabilities_put_text(set, error, "software.%s.%.*s=%.*s", group, (int)name.len,
                                 (const char *)name.ptr, (int)version.len,
                                 (const char *)version.ptr);
}
