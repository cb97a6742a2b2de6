/* SPDX-License-Identifier: Apache-2.0 */
/* What a host finds again of the mesh at its next start. */
#include "node/mesh_keep.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "identity/revocation.h"
#include "node/peer_book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static unsigned warnings;

static void count_warning(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx, (void)room, (void)text;
    warnings += level == LOG_LEVEL_WARN;
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-keep-XXXXXX");
    warnings = 0;
    log_set_sink(count_warning, NULL);
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[96];

    (void)state;
    log_set_sink(NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static mesh_keep *opened(void)
{
    mesh_keep *k;

    assert_int_equal(mesh_keep_open(dir, &k, NULL), BERTH_OK);
    return k;
}

static void join(void *ctx, slice record)
{
    char *all = ctx;

    snprintf(all + strlen(all), 64 - strlen(all), "%.*s ", (int)record.len,
             (const char *)record.ptr);
}

static void the_last_of_each_node_is_in_the_book_but_for_those_forgotten(void **state)
{
    mesh_keep *k = opened();
    char all[64] = "";

    (void)state;
    mesh_keep_record(k, 1, slice_str("one"));
    mesh_keep_record(k, 2, slice_str("two"));
    mesh_keep_record(k, 1, slice_str("one again"));
    mesh_keep_record(k, 2, (slice){0});
    mesh_keep_record(k, 3, (slice){0}); /* was never known */
    mesh_keep_close(k);
    assert_int_equal(peer_book_read(dir, join, all), 1);
    assert_string_equal(all, "one again ");
    assert_int_equal(warnings, 0);
}

static void where_nothing_came_nothing_is_written(void **state)
{
    char path[96];

    (void)state;
    mesh_keep_close(opened());
    mesh_keep_close(NULL);
    snprintf(path, sizeof path, "%s/mesh", dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

static writer list_of(const berth_keypair *realm, uint64_t number)
{
    revocation_list list = {.number = number, .issued = 1700000000};
    writer w = {0};

    assert_int_equal(revocation_add_serial(&list, number), BERTH_OK);
    assert_int_equal(revocation_sign(&list, realm, NULL), BERTH_OK);
    revocation_encode(&w, &list);
    revocation_free(&list);
    assert_false(w.failed);
    return w;
}

static void assert_kept(const berth_keypair *realm, uint64_t number)
{
    revocation_list list = {0};

    assert_int_equal(mesh_kept_revocations(dir, realm->entity, &list), number != 0);
    assert_int_equal(list.number, number);
    revocation_free(&list);
}

static void the_newest_list_of_each_realm_is_found_again(void **state)
{
    berth_keypair coast, river, lake;
    writer first, second, other;
    mesh_keep *k = opened();

    (void)state;
    berth_keypair_generate(&coast);
    berth_keypair_generate(&river);
    berth_keypair_generate(&lake);
    first = list_of(&coast, 1);
    second = list_of(&coast, 2);
    other = list_of(&river, 7);
    mesh_keep_revocations(k, slice_of(first.data, first.len));
    mesh_keep_revocations(k, slice_of(other.data, other.len));
    mesh_keep_revocations(k, slice_of(second.data, second.len));
    mesh_keep_close(k);
    assert_kept(&coast, 2);
    assert_kept(&river, 7);
    assert_kept(&lake, 0);
    assert_int_equal(warnings, 0);
    writer_free(&first);
    writer_free(&second);
    writer_free(&other);
}

static void a_damaged_list_is_left_aside(void **state)
{
    char path[192], id[65];
    berth_keypair realm;

    (void)state;
    berth_keypair_generate(&realm);
    snprintf(path, sizeof path, "%s/mesh", dir);
    assert_int_equal(file_mkdirs(path, NULL), BERTH_OK);
    snprintf(path, sizeof path, "%s/mesh/%s.revoked", dir,
             hex_encode(id, slice_of(realm.entity, sizeof realm.entity)));
    assert_int_equal(file_write(path, "nonsense\n", 9, 0600, NULL), BERTH_OK);
    assert_kept(&realm, 0);
    assert_int_equal(warnings, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_last_of_each_node_is_in_the_book_but_for_those_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(where_nothing_came_nothing_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_list_of_each_realm_is_found_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_list_is_left_aside, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
