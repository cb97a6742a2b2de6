/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that grow, and blocks that become one. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Over all sizes at which memory comes from somewhere else. */
static const size_t sizes[] = {0,      1, 63, 64, 65, 1000, 4096, 65536, 1 << 20, (1 << 20) + 1,
                               9 << 20};
#define SIZES (sizeof sizes / sizeof *sizes)

static void what_grows_keeps_what_it_had(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++)
        for (size_t k = i; k < SIZES; k++) {
            buf *b = buf_new(sizes[i]);

            assert_non_null(b);
            memset(b->data, 0x5a, sizes[i]);
            b = buf_grow(b, sizes[k]);
            assert_non_null(b);
            assert_true(b->len == sizes[k]);
            for (size_t at = 0; at < sizes[i]; at += 1 + at / 7)
                assert_int_equal(b->data[at], 0x5a);
            memset(b->data, 0xa5, sizes[k]);
            buf_unref(b);
        }
}

static void what_cannot_grow_is_as_it_was(void **state)
{
    buf *b = buf_new(1 << 20);

    (void)state;
    memset(b->data, 7, b->len);
    assert_null(buf_grow(b, SIZE_MAX - 8));
    assert_true(b->len == 1 << 20);
    assert_int_equal(b->data[b->len - 1], 7);
    buf_unref(b);
}

static void a_block_becomes_a_buffer_and_is_freed_as_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        uint8_t *block = malloc(sizeof(buf) + sizes[i]);
        buf *b;

        assert_non_null(block);
        memset(block + sizeof(buf), 9, sizes[i]);
        b = buf_adopt(block, sizes[i]);
        assert_true(b->len == sizes[i]);
        if (sizes[i])
            assert_int_equal(b->data[sizes[i] - 1], 9);
        buf_unref(buf_ref(b));
        b = buf_grow(b, sizes[i] + 100);
        assert_true(b->len == sizes[i] + 100);
        buf_unref(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_grows_keeps_what_it_had),
        cmocka_unit_test(what_cannot_grow_is_as_it_was),
        cmocka_unit_test(a_block_becomes_a_buffer_and_is_freed_as_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
