/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/capability_view.h: hardware, limits, software, models and tools as tags, and back.
 *
 * Writing leaves out what is zero or empty. Reading forgives: a number that is none is 0, a key or
 * a name that is not known is passed over. Any thread; nothing blocks.
 */
#ifndef MESH_CAPABILITY_VIEW_H
#define MESH_CAPABILITY_VIEW_H

#include "mesh/capability.h"

typedef enum gpu_vendor {
    GPU_UNKNOWN,
    GPU_NVIDIA,
    GPU_AMD,
    GPU_INTEL,
    GPU_APPLE,
    GPU_QUALCOMM
} gpu_vendor;

/* What is not known has no name. */
const char *gpu_vendor_name(gpu_vendor vendor);
gpu_vendor gpu_vendor_of(slice name);

typedef struct capability_hardware {
    uint64_t cpu_cores, cpu_threads, memory_gb, storage_gb, network_gbps;
    bool gpu;
    gpu_vendor vendor;
    slice gpu_model;
    uint64_t vram_gb, compute_units, tensor_cores, fp16_tflops_x10;
    uint64_t max_concurrent_requests, max_tokens_per_request, rate_limit_rpm, max_batch_size,
        max_input_bytes, max_output_bytes;
} capability_hardware;

/* Replaces every hardware tag of the set. */
berth_status hardware_write(capabilities *set, const capability_hardware *h, berth_error *error);
void hardware_read(capability_hardware *out, const capabilities *set);

typedef enum modality {
    MODALITY_TEXT,
    MODALITY_IMAGE,
    MODALITY_AUDIO,
    MODALITY_VIDEO,
    MODALITY_CODE,
    MODALITY_EMBEDDING,
    MODALITY_TOOL_USE,
    MODALITY_COUNT
} modality;

const char *modality_name(modality m);
/* MODALITY_COUNT: not known. */
modality modality_of(slice name);

typedef struct capability_model {
    uint32_t index;
    slice id, family, quantization;
    uint64_t parameters_b_x10, context_length, tokens_per_s;
    unsigned modalities; /* 1 << modality */
    bool loaded;
} capability_model;

/* What a set of ours may say, and as many as are read of one. */
#define CAPABILITY_MODELS_MAX 64
#define CAPABILITY_TOOLS_MAX  256

berth_status model_write(capabilities *set, const capability_model *m, berth_error *error);
/* By index; out has room for CAPABILITY_MODELS_MAX. How many. */
size_t models_read(capability_model *out, const capabilities *set);

typedef struct capability_tool {
    uint32_t index;
    slice id, name, version, requires;
    uint64_t estimated_ms;
    bool stateless;
} capability_tool;

berth_status tool_write(capabilities *set, const capability_tool *t, berth_error *error);
size_t tools_read(capability_tool *out, const capabilities *set);

/* "runtime", "framework" or "driver". A name that is empty or has '=', ':' or '.' in it is passed
 * over: it could not be read back. */
berth_status software_write(capabilities *set, const char *group, slice name, slice version,
                            berth_error *error);

#endif
