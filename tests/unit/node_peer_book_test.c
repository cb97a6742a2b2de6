/* SPDX-License-Identifier: Apache-2.0 */
/* The records of peers that a host keeps for its next start. */
#include "node/peer_book.h"

#include "base/file.h"
#include "base/log.h"
#include "mesh/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    char dir[64], path[96];
    unsigned warnings;
    char warning[512];
} fixture;

static void keep_warning(void *ctx, log_level level, const char *room, const char *text)
{
    fixture *f = ctx;

    if (level != LOG_LEVEL_WARN || strcmp(room, "node") != 0)
        return;
    f->warnings++;
    snprintf(f->warning, sizeof f->warning, "%s", text);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);

    strcpy(f->dir, "/tmp/berth-book-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/mesh/peers", f->dir);
    log_set_sink(keep_warning, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char command[96];

    log_set_sink(NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    free(f);
    return system(command);
}

typedef struct seen {
    size_t count, bytes;
    uint8_t last[RECORD_SIZE_MAX];
    size_t last_len;
} seen;

static void see(void *ctx, slice record)
{
    seen *s = ctx;

    s->count++;
    s->bytes += record.len;
    s->last_len = record.len;
    memcpy(s->last, record.ptr, record.len);
}

static void what_was_written_is_read_in_its_order(void **state)
{
    fixture *f = *state;
    uint8_t longest[RECORD_SIZE_MAX];
    seen s = {0};
    struct stat st;

    memset(longest, 7, sizeof longest);
    const slice records[] = {slice_str("a"), slice_str("second"),
                             slice_of(longest, sizeof longest)};
    assert_int_equal(peer_book_write(f->dir, records, 3, NULL), BERTH_OK);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(peer_book_read(f->dir, see, &s), 3);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.bytes, 1 + 6 + RECORD_SIZE_MAX);
    assert_memory_equal(s.last, longest, sizeof longest);

    /* The next ones replace them. */
    s = (seen){0};
    assert_int_equal(peer_book_write(f->dir, records, 2, NULL), BERTH_OK);
    assert_int_equal(peer_book_read(f->dir, see, &s), 2);
    assert_memory_equal(s.last, "second", 6);
    assert_int_equal(peer_book_write(f->dir, NULL, 0, NULL), BERTH_OK);
    assert_int_equal(peer_book_read(f->dir, see, &s), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(f->warnings, 0);
}

static void real_records_come_back_as_they_were_signed(void **state)
{
    fixture *f = *state;
    peer_record r = {.name = "harbour", .sequence = 3, .not_after_s = 1000}, back;
    berth_keypair key;
    seen s = {0};
    buf *bytes = NULL;

    berth_keypair_generate(&key);
    assert_int_equal(record_sign(&r, &key, &bytes, NULL), BERTH_OK);
    const slice record = slice_of(bytes->data, bytes->len);
    assert_int_equal(peer_book_write(f->dir, &record, 1, NULL), BERTH_OK);
    assert_int_equal(peer_book_read(f->dir, see, &s), 1);
    assert_int_equal(record_decode(slice_of(s.last, s.last_len), &back, NULL), BERTH_OK);
    assert_int_equal(record_verify(slice_of(s.last, s.last_len), &back, 900, NULL, NULL), BERTH_OK);
    assert_string_equal(back.name, "harbour");
    buf_unref(bytes);
    berth_keypair_wipe(&key);
}

static void without_a_file_there_is_nobody_and_no_warning(void **state)
{
    fixture *f = *state;
    seen s = {0};

    assert_int_equal(peer_book_read(f->dir, see, &s), 0);
    assert_int_equal(peer_book_read("/nowhere/at/all", see, &s), 0);
    assert_int_equal(f->warnings, 0);
}

static void any_damage_is_found_and_the_host_goes_on_without(void **state)
{
    fixture *f = *state;
    const slice records[] = {slice_str("first"), slice_str("second")};
    buf *whole = NULL;
    seen s = {0};

    assert_int_equal(peer_book_write(f->dir, records, 2, NULL), BERTH_OK);
    assert_int_equal(file_read(f->path, 4096, 0, &whole, NULL), BERTH_OK);
    for (size_t i = 0; i < whole->len; i++) {
        size_t count = 9;
        whole->data[i] ^= 0x10;
        assert_int_equal(peer_book_decode(slice_of(whole->data, whole->len), see, &s, &count, NULL),
                         BERTH_ERR_CORRUPT);
        assert_int_equal(count, 0);
        whole->data[i] ^= 0x10;
        assert_int_equal(peer_book_decode(slice_of(whole->data, i), see, &s, &count, NULL),
                         BERTH_ERR_CORRUPT);
    }
    assert_int_equal(file_write(f->path, whole->data, whole->len - 1, 0600, NULL), BERTH_OK);
    assert_int_equal(peer_book_read(f->dir, see, &s), 0);
    assert_int_equal(s.count, 0);
    assert_int_equal(f->warnings, 1);
    assert_non_null(strstr(f->warning, "/mesh/peers: its digest does not match; going on without"));
    /* And the next write cures it. */
    assert_int_equal(peer_book_write(f->dir, records, 2, NULL), BERTH_OK);
    assert_int_equal(peer_book_read(f->dir, see, &s), 2);
    buf_unref(whole);
}

static void a_file_that_others_may_write_is_not_believed(void **state)
{
    fixture *f = *state;
    const slice record = slice_str("a");
    seen s = {0};

    assert_int_equal(peer_book_write(f->dir, &record, 1, NULL), BERTH_OK);
    assert_int_equal(chmod(f->path, 0622), 0);
    assert_int_equal(peer_book_read(f->dir, see, &s), 0);
    assert_int_equal(s.count, 0);
    assert_int_equal(f->warnings, 1);
    assert_non_null(strstr(f->warning, "others may write to it"));
}

static void records_are_bounded_at_and_above_the_limit(void **state)
{
    fixture *f = *state;
    uint8_t longest[RECORD_SIZE_MAX + 1] = {0};
    slice *records = calloc(PEER_BOOK_RECORDS_MAX + 1, sizeof *records);
    slice bad[] = {slice_of(longest, RECORD_SIZE_MAX + 1), slice_of(longest, 0)};
    berth_error error = {0};
    seen s = {0};

    for (size_t i = 0; i <= PEER_BOOK_RECORDS_MAX; i++)
        records[i] = slice_of(longest, RECORD_SIZE_MAX);
    assert_int_equal(peer_book_write(f->dir, records, PEER_BOOK_RECORDS_MAX, NULL), BERTH_OK);
    assert_int_equal(peer_book_write(f->dir, records, PEER_BOOK_RECORDS_MAX + 1, &error),
                     BERTH_ERR_LIMIT);
    assert_non_null(strstr(error.text, "at most 16384 are kept"));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(peer_book_write(f->dir, &bad[i], 1, NULL), BERTH_ERR_INVALID);
    /* What was refused left the file as it was. */
    assert_int_equal(peer_book_read(f->dir, see, &s), PEER_BOOK_RECORDS_MAX);
    assert_int_equal(s.count, PEER_BOOK_RECORDS_MAX);
    free(records);
}

static void a_failed_write_is_told(void **state)
{
    fixture *f = *state;
    const slice record = slice_str("a");
    berth_error error = {0};
    char path[80];

    snprintf(path, sizeof path, "%s/mesh", f->dir);
    assert_int_equal(file_write(path, "", 0, 0600, NULL), BERTH_OK);
    assert_int_equal(peer_book_write(f->dir, &record, 1, &error), BERTH_ERR_INVALID);
    assert_non_null(strstr(error.text, "is not a directory"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_in_its_order),
        TEST(real_records_come_back_as_they_were_signed),
        TEST(without_a_file_there_is_nobody_and_no_warning),
        TEST(any_damage_is_found_and_the_host_goes_on_without),
        TEST(a_file_that_others_may_write_is_not_believed),
        TEST(records_are_bounded_at_and_above_the_limit),
        TEST(a_failed_write_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
