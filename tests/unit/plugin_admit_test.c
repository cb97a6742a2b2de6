/* SPDX-License-Identifier: Apache-2.0 */
/* Facts and findings of files that no linker makes; tests/integration has those that one does. */
#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "plugin/admit.h"
#include "plugin/elf_read.h"
#include "plugin/examine.h"
#include "plugin/list.h"
#include "plugin_forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

static forge file;

static elf_facts *read_good(void)
{
    berth_error error = {0};
    elf_facts *facts;

    if (elf_read(file.bytes, file.len, &facts, &error))
        fail_msg("%s", error.text);
    return facts;
}

static void expect_refusal(berth_status code, const char *text)
{
    berth_error error = {0};
    elf_facts *facts;
    berth_status status = elf_read(file.bytes, file.len, &facts, &error);

    if (status != code || !strstr(error.text, text))
        fail_msg("expected '%s', got %s: %s", text, berth_status_name(status), error.text);
    assert_null(facts);
}

/* The level of this rule's finding, or -1. */
static int level_of(const admission *a, const char *rule)
{
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].rule, rule) == 0)
            return (int)a->items[i].level;
    }
    return -1;
}

/* Read the forged file and judge it by one rule. */
static void expect_finding(const char *rule, admit_level inline_level, admit_level process_level)
{
    elf_facts *facts = read_good();

    for (int process = 0; process < 2; process++) {
        admit_policy policy = {.process = process == 1};
        admission a;
        int level;

        assert_int_equal(admit(facts, NULL, &policy, &a, NULL), BERTH_OK);
        level = level_of(&a, rule);
        if (level != (int)(process ? process_level : inline_level))
            fail_msg("rule %s: level %d", rule, level);
        admission_free(&a);
    }
    facts_free(facts);
}

static int forge_setup(void **state)
{
    (void)state;
    forge_good(&file);
    return 0;
}

static void the_smallest_good_file_has_no_findings(void **state)
{
    admit_policy policy = {0};
    admission a;
    elf_facts *f = read_good();

    (void)state;
    assert_int_equal(f->import_count, 1);
    assert_string_equal(f->imports.items[0], "malloc");
    assert_int_equal(f->export_count, 0);
    assert_true(f->has_entry);
    assert_int_equal(f->entry_size, 48);
    assert_int_equal(f->note_count, 1);
    assert_memory_equal(f->notes[0].json->data, FORGE_JSON, sizeof FORGE_JSON - 1);
    assert_int_equal(f->notes[0].address, file.note);
    assert_int_equal(admit(f, NULL, &policy, &a, NULL), BERTH_OK);
    assert_int_equal(a.count, 0);
    admission_free(&a);
    facts_free(f);
}

/* abi.md: every note is walked, and alignment 4 and 8 are honoured. */
static void notes_of_both_alignments_are_found_behind_foreign_ones(void **state)
{
    elf_facts *f;
    size_t at;

    (void)state;
    file.headers[FORGE_NOTE].p_type = PT_NULL;
    at = forge_note(&file, 8, "GNU", 5, "0123456789", 10);
    forge_note(&file, 8, "berth", 0x42450000, FORGE_JSON, sizeof FORGE_JSON - 1);
    file.headers[FORGE_NOTE_2] = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = at, .p_vaddr = at, .p_filesz = file.len - at, .p_align = 8};
    forge_close(&file);
    f = read_good();
    assert_int_equal(f->note_count, 1);
    assert_memory_equal(f->notes[0].json->data, FORGE_JSON, sizeof FORGE_JSON - 1);
    facts_free(f);
}

static void a_second_note_of_one_type_is_refused_and_of_another_is_not(void **state)
{
    (void)state;
    for (uint32_t major = 0; major < 2; major++) {
        size_t at;
        elf_facts *f;

        forge_good(&file);
        at = forge_note(&file, 4, "berth", 0x42450000 + major, "{}", 2);
        file.headers[FORGE_NOTE_2] = (Elf64_Phdr){.p_type = PT_NOTE,
                                                  .p_offset = at,
                                                  .p_vaddr = at,
                                                  .p_filesz = file.len - at,
                                                  .p_align = 4};
        forge_close(&file);
        if (major == 0) {
            expect_refusal(BERTH_ERR_ADMISSION, "two manifests");
            continue;
        }
        f = read_good();
        assert_int_equal(f->note_count, 2);
        assert_memory_equal(facts_note_of(f, 1)->json->data, "{}", 2);
        facts_free(f);
    }
}

static void manifests_at_the_size_limit_are_read_and_above_it_refused(void **state)
{
    static uint8_t json[MANIFEST_MAX_BYTES + 1];

    (void)state;
    memset(json, ' ', sizeof json);
    for (size_t over = 0; over < 2; over++) {
        size_t at;

        forge_good(&file);
        file.headers[FORGE_NOTE].p_type = PT_NULL;
        at = forge_note(&file, 4, "berth", 0x42450000, json, MANIFEST_MAX_BYTES + over);
        file.headers[FORGE_NOTE_2] = (Elf64_Phdr){.p_type = PT_NOTE,
                                                  .p_offset = at,
                                                  .p_vaddr = at,
                                                  .p_filesz = file.len - at,
                                                  .p_align = 4};
        forge_close(&file);
        if (over)
            expect_refusal(BERTH_ERR_ADMISSION, "at most 65536");
        else
            facts_free(read_good());
    }
}

static void a_manifest_that_is_not_loaded_is_refused(void **state)
{
    (void)state;
    file.headers[FORGE_NOTE].p_vaddr = 0x100000;
    expect_finding("note", ADMIT_REFUSED, ADMIT_REFUSED);
}

/* What the loader maps must be what was read. */
static void segments_that_share_a_page_are_refused(void **state)
{
    (void)state;
    file.headers[FORGE_NOTE_2] = file.headers[FORGE_LOAD];
    file.headers[FORGE_NOTE_2].p_vaddr = file.len;
    file.headers[FORGE_NOTE_2].p_filesz = 16;
    file.headers[FORGE_NOTE_2].p_memsz = 16;
    expect_finding("segments", ADMIT_REFUSED, ADMIT_REFUSED);
    file.headers[FORGE_NOTE_2].p_vaddr = 0x100000;
    facts_free(read_good());
}

/* The loader takes the first and the last for the ends of the whole, and maps the rest by force. */
static void segments_in_falling_order_are_refused(void **state)
{
    (void)state;
    file.headers[FORGE_NOTE_2] = file.headers[FORGE_LOAD];
    file.headers[FORGE_LOAD] = (Elf64_Phdr){
        .p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = 0x100000, .p_memsz = 16, .p_align = 4096};
    expect_finding("segments", ADMIT_REFUSED, ADMIT_REFUSED);
}

/* We would read the table, and find no page to read. */
static void a_table_where_nothing_can_be_read_is_refused(void **state)
{
    (void)state;
    file.headers[FORGE_LOAD].p_flags = PF_X;
    expect_finding("entry", ADMIT_REFUSED, ADMIT_REFUSED);
    expect_finding("note", ADMIT_REFUSED, ADMIT_REFUSED);
}

/* Reading it would be a fault on some machines. */
static void a_table_at_an_odd_address_is_refused(void **state)
{
    (void)state;
    file.symbols[1].st_value++;
    file.symbols[1].st_size--;
    expect_finding("entry", ADMIT_REFUSED, ADMIT_REFUSED);
}

static void notes_without_end_are_not_walked(void **state)
{
    size_t len = file.len + 2 * FACTS_MAX_NOTE_BYTES;
    uint8_t *image = calloc(1, len);
    berth_error error = {0};
    elf_facts *facts;

    (void)state;
    file.headers[FORGE_NOTE_2] = (Elf64_Phdr){.p_type = PT_NOTE,
                                              .p_offset = file.len,
                                              .p_vaddr = file.len,
                                              .p_filesz = FACTS_MAX_NOTE_BYTES + 4,
                                              .p_align = 4};
    memcpy(image, file.bytes, file.len);
    assert_int_equal(elf_read(image, len, &facts, &error), BERTH_ERR_ADMISSION);
    assert_non_null(strstr(error.text, "notes of"));
    assert_null(facts);
    free(image);
}

static void a_dynamic_segment_that_is_elsewhere_in_memory_is_refused(void **state)
{
    (void)state;
    file.headers[FORGE_DYNAMIC].p_vaddr += 16;
    expect_refusal(BERTH_ERR_ADMISSION, "disagree");
}

static void a_dynamic_segment_without_an_end_is_refused(void **state)
{
    (void)state;
    file.headers[FORGE_DYNAMIC].p_filesz -= sizeof(Elf64_Dyn);
    expect_refusal(BERTH_ERR_ADMISSION, "no end mark");
}

static void segments_beyond_the_end_of_the_file_are_refused(void **state)
{
    (void)state;
    file.headers[FORGE_LOAD].p_filesz++;
    file.headers[FORGE_LOAD].p_memsz++;
    expect_refusal(BERTH_ERR_ADMISSION, "cut short");
}

static void strings_outside_of_their_table_are_refused(void **state)
{
    (void)state;
    file.symbols[2].st_name = 1024;
    expect_refusal(BERTH_ERR_ADMISSION, "symbol table");
    forge_good(&file);
    forge_dyn(&file, DT_NEEDED, 1024);
    expect_refusal(BERTH_ERR_ADMISSION, "string table");
}

static void more_symbols_than_there_are_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < file.dynamic_count; i++) {
        if (file.dynamic[i].d_tag == DT_HASH)
            file.bytes[file.dynamic[i].d_un.d_ptr + 7] = 0x7F; /* nchain, its highest byte */
    }
    expect_refusal(BERTH_ERR_ADMISSION, "longer than its segment");
}

static void flags_that_break_the_isolation_of_symbols_are_found(void **state)
{
    (void)state;
    forge_dyn(&file, DT_FLAGS_1, DF_1_GLOBAL);
    expect_finding("global", ADMIT_REFUSED, ADMIT_REPORTED);
    forge_good(&file);
    forge_dyn(&file, DT_FLAGS_1, DF_1_NODELETE);
    expect_finding("nodelete", ADMIT_REFUSED, ADMIT_REPORTED);
    forge_good(&file);
    forge_dyn(&file, DT_FLAGS, DF_STATIC_TLS);
    expect_finding("static-tls", ADMIT_REFUSED, ADMIT_REPORTED);
    forge_good(&file);
    file.symbols[2].st_info = ELF64_ST_INFO(STB_GNU_UNIQUE, STT_OBJECT);
    file.symbols[2].st_shndx = 1;
    expect_finding("unique", ADMIT_REFUSED, ADMIT_REPORTED);
    expect_finding("exports", ADMIT_REFUSED, ADMIT_REPORTED);
}

static void what_weakens_the_process_is_refused_in_a_worker_too(void **state)
{
    (void)state;
    file.headers[FORGE_STACK].p_flags |= PF_X;
    expect_finding("stack", ADMIT_REFUSED, ADMIT_REFUSED);
    forge_good(&file);
    file.headers[FORGE_LOAD].p_flags = PF_R | PF_W | PF_X;
    expect_finding("rwx", ADMIT_REFUSED, ADMIT_REFUSED);
    forge_good(&file);
    forge_dyn(&file, DT_RUNPATH, 1);
    expect_finding("rpath", ADMIT_REFUSED, ADMIT_REFUSED);
    forge_good(&file);
    forge_dyn(&file, DT_TEXTREL, 0);
    expect_finding("textrel", ADMIT_REFUSED, ADMIT_REFUSED);
    forge_good(&file);
    forge_dyn(&file, DT_NEEDED, forge_string(&file, "/tmp/libc.so.6"));
    expect_finding("needed", ADMIT_REFUSED, ADMIT_REFUSED);
}

static void a_verdict_names_the_first_refusal_and_counts_the_rest(void **state)
{
    admit_policy policy = {0};
    berth_error error = {0};
    admission a;
    elf_facts *f;

    (void)state;
    forge_dyn(&file, DT_RUNPATH, 1);
    forge_dyn(&file, DT_TEXTREL, 0);
    f = read_good();
    assert_int_equal(admit(f, NULL, &policy, &a, NULL), BERTH_OK);
    assert_int_equal(a.refused, 2);
    assert_int_equal(admission_verdict(&a, &error), BERTH_ERR_ADMISSION);
    assert_non_null(strstr(error.text, "DT_RUNPATH"));
    assert_non_null(strstr(error.text, "1 more"));
    admission_free(&a);
    facts_free(f);
}

/* A preference for a process is told; a runtime that needs one is refused. */
static void what_wants_a_process_of_its_own_is_told_or_refused(void **state)
{
    static const struct {
        const char *member, *kind_member, *rule;
        admit_level level;
    } wishes[] = {
        {"", ",\"isolation\":\"process\"", "isolation", ADMIT_REPORTED},
        {",\"runtime\":\"go\"", "", "runtime", ADMIT_REFUSED},
    };
    elf_facts *f = read_good();

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        admit_policy here = {0}, apart = {.process = true};
        char json[256];
        manifest *m;
        admission a;

        snprintf(
            json, sizeof json,
            "{\"name\":\"x\",\"version\":\"1.0.0\",\"abi\":[0,0]%s,\"kinds\":[{\"name\":\"x\"%s}]}",
            wishes[i].member, wishes[i].kind_member);
        assert_int_equal(manifest_parse(slice_str(json), &m, NULL), BERTH_OK);
        assert_int_equal(admit(f, m, &here, &a, NULL), BERTH_OK);
        assert_int_equal(level_of(&a, wishes[i].rule), wishes[i].level);
        admission_free(&a);
        assert_int_equal(admit(f, m, &apart, &a, NULL), BERTH_OK);
        assert_int_equal(a.count, 0);
        admission_free(&a);
        manifest_free(m);
    }
    facts_free(f);
}

static void facts_survive_the_way_between_processes(void **state)
{
    writer first = {0}, second = {0};
    elf_facts *f, *again;
    reader r;

    (void)state;
    forge_dyn(&file, DT_SONAME, forge_string(&file, "libx.so"));
    forge_dyn(&file, DT_RUNPATH, forge_string(&file, "/opt"));
    f = read_good();
    facts_encode(&first, f);
    r = reader_of(first.data, first.len);
    assert_int_equal(facts_decode(&r, &again, NULL), BERTH_OK);
    assert_true(reader_done(&r));
    assert_string_equal(again->soname, "libx.so");
    facts_encode(&second, again);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    facts_free(again);
    for (size_t cut = 0; cut < first.len; cut++) {
        r = reader_of(first.data, cut);
        if (facts_decode(&r, &again, NULL) != BERTH_OK)
            continue;
        fail_msg("decoded from %zu of %zu bytes", cut, first.len);
    }
    writer_free(&first);
    writer_free(&second);
    facts_free(f);
}

#define test(name) cmocka_unit_test_setup(name, forge_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_smallest_good_file_has_no_findings),
        test(notes_of_both_alignments_are_found_behind_foreign_ones),
        test(a_second_note_of_one_type_is_refused_and_of_another_is_not),
        test(manifests_at_the_size_limit_are_read_and_above_it_refused),
        test(a_manifest_that_is_not_loaded_is_refused),
        test(segments_that_share_a_page_are_refused),
        test(segments_in_falling_order_are_refused),
        test(a_table_where_nothing_can_be_read_is_refused),
        test(a_table_at_an_odd_address_is_refused),
        test(notes_without_end_are_not_walked),
        test(a_dynamic_segment_that_is_elsewhere_in_memory_is_refused),
        test(a_dynamic_segment_without_an_end_is_refused),
        test(segments_beyond_the_end_of_the_file_are_refused),
        test(strings_outside_of_their_table_are_refused),
        test(more_symbols_than_there_are_is_refused),
        test(flags_that_break_the_isolation_of_symbols_are_found),
        test(what_weakens_the_process_is_refused_in_a_worker_too),
        test(a_verdict_names_the_first_refusal_and_counts_the_rest),
        test(what_wants_a_process_of_its_own_is_told_or_refused),
        test(facts_survive_the_way_between_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
