/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/capability_filter.h"
#include "mesh/capability_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(capabilities *set, const char *text)
{
    assert_int_equal(capabilities_put(set, slice_str(text), NULL), BERTH_OK);
}

static bool is(slice text, const char *expected)
{
    return slice_eq(text, slice_str(expected));
}

/* 20.7 tag.rs: parse rules, first separator wins, the list of reserved prefixes is complete */
static void a_tag_is_reserved_or_on_an_axis_or_opaque(void **state)
{
    static const char *const reserved[] = {"causal:x", "dataforts:x", "fork-of:x", "heat:x",
                                           "scope:x"};
    static const char *const legacy[] = {"gpu-pool",  "model:m",        "nrpc:echo",
                                         "hardwarex", "hardware",       "Hardware.x",
                                         "causal",    "software2.x=y",  "subprotocol:0x0500",
                                         ".hardware", "subnet:00000000"};
    tag_parts t;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(tag_parse(&t, slice_str(reserved[i]), NULL), BERTH_OK);
        assert_int_equal(t.form, TAG_RESERVED);
        assert_true(is(t.key, "x"));
    }
    for (size_t i = 0; i < sizeof legacy / sizeof *legacy; i++) {
        assert_int_equal(tag_parse(&t, slice_str(legacy[i]), NULL), BERTH_OK);
        assert_int_equal(t.form, TAG_LEGACY);
    }
    assert_int_equal(tag_parse(&t, slice_str("software.a.b:c=d:e"), NULL), BERTH_OK);
    assert_true(t.form == TAG_AXIS && t.axis == AXIS_SOFTWARE && t.separator == ':');
    assert_true(is(t.key, "a.b") && is(t.value, "c=d:e"));
    assert_int_equal(tag_parse(&t, slice_str("dataforts.x=y:z"), NULL), BERTH_OK);
    assert_true(t.axis == AXIS_DATAFORTS && t.separator == '=' && is(t.value, "y:z"));
    assert_int_equal(tag_parse(&t, slice_str("devices.camera"), NULL), BERTH_OK);
    assert_true(t.axis == AXIS_DEVICES && !t.separator && is(t.key, "camera"));
    assert_int_equal(tag_parse(&t, slice_str(""), NULL), BERTH_ERR_INVALID);
    assert_int_equal(tag_parse(&t, slice_str("\xff"), NULL), BERTH_ERR_INVALID);
}

/* 13.1: who owns a set adds what it likes but reserved tags */
static void reserved_tags_are_not_added_freely(void **state)
{
    char lengthy[TAG_MAX + 2];
    capabilities set = {0};

    (void)state;
    memset(lengthy, 'x', sizeof lengthy);
    assert_int_equal(capabilities_add(&set, slice_str("scope:global"), NULL), BERTH_ERR_REFUSED);
    assert_int_equal(capabilities_add(&set, slice_str("dataforts.x"), NULL), BERTH_OK);
    assert_int_equal(capabilities_add(&set, slice_of(lengthy, TAG_MAX), NULL), BERTH_OK);
    assert_int_equal(capabilities_add(&set, slice_of(lengthy, TAG_MAX + 1), NULL), BERTH_ERR_LIMIT);
    put(&set, "scope:global");
    assert_int_equal(set.tag_count, 3);
    capabilities_fini(&set);
}

static void a_set_is_bounded(void **state)
{
    capabilities set = {0};
    char key[16];

    (void)state;
    for (int i = 0; i < CAPABILITY_TAGS_MAX; i++)
        assert_int_equal(capabilities_put_text(&set, NULL, "%d", i), BERTH_OK);
    assert_int_equal(capabilities_put_text(&set, NULL, "one more"), BERTH_ERR_LIMIT);
    assert_int_equal(capabilities_put_text(&set, NULL, "7"), BERTH_OK);
    for (int i = 0; i <= CAPABILITY_METADATA_MAX; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(capabilities_set(&set, slice_str(key), slice_str("v"), NULL),
                         i < CAPABILITY_METADATA_MAX ? BERTH_OK : BERTH_ERR_LIMIT);
    }
    assert_int_equal(capabilities_set(&set, slice_str("7"), slice_str("w"), NULL), BERTH_OK);
    assert_true(is(capabilities_get(&set, slice_str("7")), "w"));
    capabilities_fini(&set);
}

/* 20.7 has_tag_matches_across_separator_forms; the index compares exact strings */
static void a_separator_makes_no_difference_in_meaning(void **state)
{
    capabilities set = {0};

    (void)state;
    put(&set, "hardware.gpu.vendor=amd");
    put(&set, "model:m");
    assert_true(capabilities_has(&set, slice_str("hardware.gpu.vendor:amd")));
    assert_false(capabilities_has_exact(&set, slice_str("hardware.gpu.vendor:amd")));
    assert_false(capabilities_has(&set, slice_str("hardware.gpu.vendor")));
    assert_false(capabilities_has(&set, slice_str("model=m")));
    capabilities_fini(&set);
}

/* 20.7 strip_reserved_metadata_drops_reserved_keys, with_metadata_preserves_tool_prefix */
static void five_keys_are_stripped_and_no_others(void **state)
{
    static const char *const keys[] = {"intent",         "colocate-with", "colocate-with-strict",
                                       "priority",       "owner",         "tool::x::input_schema",
                                       "colocate-withx", "app::owner"};
    capabilities set = {0};

    (void)state;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(capabilities_set(&set, slice_str(keys[i]), slice_str("v"), NULL), 0);
    assert_int_equal(capabilities_strip_reserved(&set), 5);
    for (size_t i = 0; i < 8; i++)
        assert_true((capabilities_get(&set, slice_str(keys[i])).ptr != NULL) == (i >= 5));
    capabilities_fini(&set);
}

/* 20.8 is_causal_for_*: no prefix confusion; blob heats <= 256 */
static void heat_stays_for_claimed_chains_only_and_blobs_are_bounded(void **state)
{
    static const char *const no[] = {"causal:00000000000000a", "causal:00000000000000aax",
                                     "causal:00000000000000ag", "xcausal:00000000000000aa",
                                     "causal:"};
    capabilities set = {0};
    uint64_t chain;

    (void)state;
    assert_true(tag_causal(slice_str("causal:00000000000000aa"), &chain) && chain == 0xaa);
    assert_true(tag_causal(slice_str("causal:00000000000000aa:0f"), &chain));
    assert_true(tag_causal(slice_str("causal:00000000000000aa[1..2]"), &chain));
    for (size_t i = 0; i < 5; i++) {
        assert_false(tag_causal(slice_str(no[i]), &chain));
        put(&set, no[i]);
    }
    put(&set, "heat:00000000000000aa=0.50");
    put(&set, "causal:00000000000000bb[1..9]");
    put(&set, "heat:00000000000000bb=1.00");
    for (int i = 0; i < 300; i++)
        capabilities_put_text(&set, NULL, "heat:blob:%03d", i);
    assert_int_equal(capabilities_strip_heat(&set), 1 + 300 - CAPABILITY_BLOB_HEAT_MAX);
    assert_false(capabilities_has_exact(&set, slice_str("heat:00000000000000aa=0.50")));
    assert_true(capabilities_has_exact(&set, slice_str("heat:00000000000000bb=1.00")));
    assert_int_equal(capabilities_strip_heat(&set), 0);
    capabilities_fini(&set);
}

/* 20.7 tag_codec.rs: round trips, zero is left out, forgiving decode */
static void resources_are_written_as_tags_and_read_back(void **state)
{
    capability_hardware h = {.cpu_cores = 8,
                             .memory_gb = 64,
                             .gpu = true,
                             .vendor = GPU_AMD,
                             .vram_gb = 24,
                             .max_batch_size = 5,
                             .gpu_model = slice_str("mi 300")};
    capability_model m = {.index = 3,
                          .id = slice_str("m:1"),
                          .context_length = 8192,
                          .modalities = 1u << MODALITY_TEXT | 1u << MODALITY_TOOL_USE,
                          .loaded = true};
    capability_tool t = {.index = 1, .id = slice_str("t"), .estimated_ms = 7};
    capability_model models[CAPABILITY_MODELS_MAX];
    capability_tool tools[CAPABILITY_TOOLS_MAX];
    capability_hardware back;
    capabilities set = {0};

    (void)state;
    put(&set, "hardware.storage_gb=9");
    assert_int_equal(hardware_write(&set, &h, NULL), BERTH_OK);
    assert_int_equal(model_write(&set, &m, NULL), BERTH_OK);
    assert_int_equal(tool_write(&set, &t, NULL), BERTH_OK);
    assert_int_equal(software_write(&set, "runtime", slice_str("py"), slice_str("3"), NULL), 0);
    assert_int_equal(software_write(&set, "runtime", slice_str("p.y"), slice_str("3"), NULL), 0);
    assert_true(capabilities_has_exact(&set, slice_str("software.runtime.py=3")));
    assert_true(capabilities_has_exact(&set, slice_str("software.tool.1.stateless=false")));
    assert_true(
        capabilities_has_exact(&set, slice_str("software.model.3.modalities=text,tool_use")));
    assert_false(capabilities_has(&set, slice_str("software.runtime.p.y=3")));
    hardware_read(&back, &set);
    assert_true(back.cpu_cores == 8 && back.memory_gb == 64 && back.gpu && !back.storage_gb &&
                back.vendor == GPU_AMD && back.max_batch_size == 5 && back.vram_gb == 24);
    assert_true(is(back.gpu_model, "mi 300"));
    put(&set, "software.model.x.id=skipped");
    put(&set, "software.model.0x.id=skipped");
    put(&set, "software.model.99999999999.id=skipped");
    put(&set, "software.model.2.context_length=12a");
    put(&set, "software.model.2.unknown=1");
    assert_int_equal(models_read(models, &set), 2);
    assert_true(models[0].index == 2 && models[0].context_length == 0);
    assert_true(is(models[1].id, "m:1") && models[1].loaded && models[1].modalities == 65);
    assert_int_equal(tools_read(tools, &set), 1);
    assert_true(is(tools[0].id, "t") && tools[0].estimated_ms == 7);
    capabilities_fini(&set);
}

static void more_models_than_are_read_are_passed_over(void **state)
{
    capability_model models[CAPABILITY_MODELS_MAX];
    capability_tool tools[CAPABILITY_TOOLS_MAX];
    capabilities set = {0};

    (void)state;
    for (int i = 0; i < 300; i++) {
        capabilities_put_text(&set, NULL, "software.model.%d.id=m", i);
        capabilities_put_text(&set, NULL, "software.tool.%d.tool_id=t", i);
    }
    assert_int_equal(models_read(models, &set), CAPABILITY_MODELS_MAX);
    assert_int_equal(tools_read(tools, &set), CAPABILITY_TOOLS_MAX);
    capabilities_fini(&set);
}

static bool matches(const capabilities *set, const char *text)
{
    capability_filter f;
    capability_scope scope;

    assert_int_equal(filter_parse(&f, &scope, slice_str(text), NULL), BERTH_OK);
    return filter_matches(&f, set);
}

/* 20.7 filter_matches; 21.27: context and modalities count wherever one looks */
static void every_term_of_a_filter_must_hold(void **state)
{
    static const char *const yes[] = {"",          "a",       "tag=gpu=x",      "memory>=64",
                                      "gpu",       "gpu=amd", "vram>=24",       "context>=8192",
                                      "model=m",   "tool=t",  "modality=image", "model=z model=m",
                                      "tag=a gpu", " \ta\n"};
    static const char *const no[] = {
        "b",      "memory>=65", "gpu=intel",     "vram>=25",      "model=z",
        "tool=z", "a b",        "context>=8193", "modality=code", "modality=image modality=audio"};
    capabilities set = {0};
    static const char *const tags[] = {"a",
                                       "gpu=x",
                                       "hardware.memory_gb=64",
                                       "hardware.gpu",
                                       "hardware.gpu.vendor=amd",
                                       "hardware.gpu.vram_gb=24",
                                       "software.model.0.id=m",
                                       "software.tool.0.tool_id=t",
                                       "software.model.0.context_length=8192",
                                       "software.model.0.modalities=text,image,nonsense"};

    (void)state;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        put(&set, tags[i]);
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!matches(&set, yes[i]))
            fail_msg("'%s' does not match", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (matches(&set, no[i]))
            fail_msg("'%s' matches", no[i]);
    capabilities_fini(&set);
}

static void what_is_no_filter_is_refused_with_its_term(void **state)
{
    static const char *const bad[] = {"memory>=",
                                      "memory>=0",
                                      "memory>=x",
                                      "gpu=voodoo",
                                      "model=",
                                      "modality=smell",
                                      "scope=here",
                                      "scope=tenant:",
                                      "scope=tenant:a scope=region:b",
                                      "scope=tenant:a scope=any"};
    capability_filter f;
    capability_scope scope;
    berth_error error;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error = (berth_error){0};
        assert_int_equal(filter_parse(&f, &scope, slice_str(bad[i]), &error), BERTH_ERR_INVALID);
        assert_non_null(strstr(error.text, "filter: '"));
    }
    assert_int_equal(filter_parse(&f, &scope, slice_str("\xff"), &error), BERTH_ERR_INVALID);
    assert_int_equal(filter_parse(&f, &scope, slice_str("1 2 3 4 5 6 7 8 9 a b c d e f g"), &error),
                     BERTH_OK);
    assert_int_equal(
        filter_parse(&f, &scope, slice_str("1 2 3 4 5 6 7 8 9 a b c d e f g h"), &error),
        BERTH_ERR_LIMIT);
}

/* 20.7 requirement_scoring */
static void a_score_is_one_and_the_weighted_shares(void **state)
{
    capability_weights w = {.memory = 1, .vram = 2, .speed = 4, .loaded = 8};
    capability_filter f = {0};
    capabilities set = {0};

    (void)state;
    assert_true(filter_score(&f, &w, &set) == 1);
    put(&set, "hardware.memory_gb=128");
    put(&set, "hardware.gpu.vram_gb=800");
    put(&set, "software.model.0.tokens_per_sec=250");
    put(&set, "software.model.0.loaded=true");
    put(&set, "software.model.1.id=x");
    assert_true(filter_score(&f, &w, &set) == 1 + 0.5 + 2 + 1 + 4);
    f.min_memory_gb = 129;
    assert_true(filter_score(&f, &w, &set) == 0);
    capabilities_fini(&set);
}

/* 20.7 matches_scope_*: the whole matrix; subnet-local beats tenant and region beat global */
static void a_scope_admits_as_the_table_says(void **state)
{
    static const char *const scopes[] = {"scope=any", "scope=global",
                                         "scope=tenant:t scope=tenant:u", "scope=region:r",
                                         "scope=same-subnet"};
    static const char *const sets[][2] = {{NULL, NULL},
                                          {"scope:global", "scope:tenant:t"},
                                          {"scope:tenant:v", NULL},
                                          {"scope:region:r", NULL},
                                          {"scope:subnet-local", "scope:tenant:t"}};
    static const bool admitted[5][5] = {{true, true, true, true, false},
                                        {true, false, false, false, false},
                                        {true, true, false, false, false},
                                        {true, false, false, true, false},
                                        {true, true, true, true, true}};
    capability_filter f;
    capability_scope scope;

    (void)state;
    for (size_t s = 0; s < 5; s++) {
        assert_int_equal(filter_parse(&f, &scope, slice_str(scopes[s]), NULL), BERTH_OK);
        for (size_t i = 0; i < 5; i++) {
            capabilities set = {0};

            for (size_t k = 0; k < 2 && sets[i][k]; k++)
                put(&set, sets[i][k]);
            assert_int_equal(scope_admits(&scope, &set, SUBNET_SAME, false), admitted[s][i]);
            if (scope.kind == SCOPE_SAME_SUBNET) {
                assert_false(scope_admits(&scope, &set, SUBNET_OTHER, true));
                assert_false(scope_admits(&scope, &set, SUBNET_UNKNOWN, false));
                assert_true(scope_admits(&scope, &set, SUBNET_UNKNOWN, true));
            }
            capabilities_fini(&set);
        }
    }
}

/* fold: the index agrees with what is in it after every operation, and leaves no empty bucket */
static void an_index_agrees_with_its_sets_after_every_change(void **state)
{
    capability_index x = {.max = 40};
    bool there[8] = {false};
    capabilities sets[8] = {0};
    uint32_t seed = 1;
    char text[8];
    size_t n;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 8; k++)
            if ((i * 5 + k * 3) & 4) {
                snprintf(text, sizeof text, "t%u", k);
                put(&sets[i], text);
            }
    for (int step = 0; step < 2000; step++) {
        unsigned i = (seed = seed * 1664525u + 1013904223u) >> 29;
        size_t total = 0, before = x.entries;

        if (there[i]) {
            capability_index_remove(&x, i, &sets[i]);
            there[i] = false;
        } else if (capability_index_add(&x, i, &sets[i], NULL) == BERTH_OK) {
            there[i] = true;
        } else {
            assert_true(before + sets[i].tag_count > x.max && x.entries == before);
        }
        for (unsigned k = 0; k < 8; k++) {
            const uint64_t *nodes;
            size_t expected = 0;

            snprintf(text, sizeof text, "t%u", k);
            nodes = capability_index_nodes(&x, slice_str(text), &n);
            for (unsigned a = 0; a < 8; a++)
                if (there[a] && capabilities_has_exact(&sets[a], slice_str(text)))
                    assert_true(expected < n && nodes[expected++] == a);
            assert_int_equal(expected, n);
            assert_true(n || !nodes);
            total += n;
        }
        assert_int_equal(total, x.entries);
    }
    capability_index_fini(&x);
    for (unsigned i = 0; i < 8; i++)
        capabilities_fini(&sets[i]);
}

static void an_index_is_bounded_and_takes_a_set_whole_or_not(void **state)
{
    capability_index x = {.max = 3};
    capabilities set = {0};
    size_t n;

    (void)state;
    put(&set, "a");
    put(&set, "b");
    assert_int_equal(capability_index_add(&x, 1, &set, NULL), BERTH_OK);
    assert_int_equal(capability_index_add(&x, 2, &set, NULL), BERTH_ERR_LIMIT);
    capability_index_nodes(&x, slice_str("a"), &n);
    assert_int_equal(n, 1);
    capability_index_remove(&x, 1, &set);
    assert_int_equal(x.buckets.count, 0);
    capability_index_fini(&x);
    capabilities_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_reserved_or_on_an_axis_or_opaque),
        cmocka_unit_test(reserved_tags_are_not_added_freely),
        cmocka_unit_test(a_set_is_bounded),
        cmocka_unit_test(a_separator_makes_no_difference_in_meaning),
        cmocka_unit_test(five_keys_are_stripped_and_no_others),
        cmocka_unit_test(heat_stays_for_claimed_chains_only_and_blobs_are_bounded),
        cmocka_unit_test(resources_are_written_as_tags_and_read_back),
        cmocka_unit_test(more_models_than_are_read_are_passed_over),
        cmocka_unit_test(every_term_of_a_filter_must_hold),
        cmocka_unit_test(what_is_no_filter_is_refused_with_its_term),
        cmocka_unit_test(a_score_is_one_and_the_weighted_shares),
        cmocka_unit_test(a_scope_admits_as_the_table_says),
        cmocka_unit_test(an_index_agrees_with_its_sets_after_every_change),
        cmocka_unit_test(an_index_is_bounded_and_takes_a_set_whole_or_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
