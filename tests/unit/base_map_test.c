/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 512

static char values[KEYS]; /* value of key k: &values[k] */

/* The map and a plain array agree after every step of a long random walk. */
static void map64_agrees_with_an_array_through_puts_and_deletes(void **state)
{
    bool in[KEYS] = {false};
    map64 m = {0};
    size_t count = 0, at, seen;
    uint64_t key;
    void *value;

    (void)state;
    srand(1);
    for (int step = 0; step < 200000; step++) {
        size_t k = (size_t)rand() % KEYS;
        uint64_t id = k * 0x100000000; /* ids that differ in high bits only */

        if (rand() % 2) {
            assert_true(map64_put(&m, id, &values[k]));
            count += !in[k];
            in[k] = true;
        } else {
            assert_ptr_equal(map64_del(&m, id), in[k] ? &values[k] : NULL);
            count -= in[k];
            in[k] = false;
        }
        k = (size_t)rand() % KEYS;
        assert_ptr_equal(map64_get(&m, k * 0x100000000), in[k] ? &values[k] : NULL);
        assert_int_equal(m.count, count);
    }
    at = seen = 0;
    while (map64_next(&m, &at, &key, &value)) {
        assert_true(in[key >> 32]);
        assert_ptr_equal(value, &values[key >> 32]);
        seen++;
    }
    assert_int_equal(seen, count);
    map64_fini(&m);
    assert_null(map64_get(&m, 0));
    assert_null(map64_del(&m, 0));
}

static void strmap_agrees_with_an_array_through_puts_and_deletes(void **state)
{
    static char keys[KEYS][8];
    bool in[KEYS] = {false};
    strmap m = {0};
    size_t count = 0, at, seen;
    slice key;
    void *value;

    (void)state;
    for (int k = 0; k < KEYS; k++)
        snprintf(keys[k], sizeof keys[k], "%d", k);
    srand(2);
    for (int step = 0; step < 100000; step++) {
        size_t k = (size_t)rand() % KEYS;

        if (rand() % 2) {
            assert_true(strmap_put(&m, slice_str(keys[k]), &values[k]));
            count += !in[k];
            in[k] = true;
        } else {
            assert_ptr_equal(strmap_del(&m, slice_str(keys[k])), in[k] ? &values[k] : NULL);
            count -= in[k];
            in[k] = false;
        }
        k = (size_t)rand() % KEYS;
        assert_ptr_equal(strmap_get(&m, slice_str(keys[k])), in[k] ? &values[k] : NULL);
        assert_int_equal(m.count, count);
    }
    at = seen = 0;
    while (strmap_next(&m, &at, &key, &value)) {
        assert_true(in[(char *)value - values]);
        seen++;
    }
    assert_int_equal(seen, count);
    strmap_fini(&m);
}

static void the_empty_key_and_keys_with_zero_bytes_are_keys(void **state)
{
    strmap m = {0};

    (void)state;
    assert_true(strmap_put(&m, slice_of(NULL, 0), &values[0]));
    assert_true(strmap_put(&m, slice_of("\0", 1), &values[1]));
    assert_true(strmap_put(&m, slice_of("\0\0", 2), &values[2]));
    assert_ptr_equal(strmap_get(&m, slice_str("")), &values[0]);
    assert_ptr_equal(strmap_get(&m, slice_of("\0", 1)), &values[1]);
    assert_ptr_equal(strmap_get(&m, slice_of("\0\0", 2)), &values[2]);
    strmap_fini(&m);
}

/* The key lies in the value, so a replacement must take the new value's key. */
static void replacing_a_value_forgets_the_old_key(void **state)
{
    char *first = strdup("name"), *second = strdup("name");
    strmap m = {0};

    (void)state;
    assert_true(strmap_put(&m, slice_str(first), first));
    assert_true(strmap_put(&m, slice_str(second), second));
    memset(first, 'x', 4);
    free(first);
    assert_ptr_equal(strmap_get(&m, slice_str("name")), second);
    assert_int_equal(m.count, 1);
    strmap_fini(&m);
    free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map64_agrees_with_an_array_through_puts_and_deletes),
        cmocka_unit_test(strmap_agrees_with_an_array_through_puts_and_deletes),
        cmocka_unit_test(the_empty_key_and_keys_with_zero_bytes_are_keys),
        cmocka_unit_test(replacing_a_value_forgets_the_old_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
