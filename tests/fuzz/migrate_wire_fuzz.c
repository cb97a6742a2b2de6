/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a migration: what is read is written back the same; one kind only reads it. */
#include "migrate/wire.h"

#include <stdlib.h>

static unsigned read_by;

static void must_be(writer *w, const uint8_t *data, size_t size)
{
    if (w->len != size || memcmp(w->data, data, size) != 0)
        abort();
    writer_free(w);
    read_by++;
}

#define TRY(type)                                                                                  \
    do {                                                                                           \
        type m;                                                                                    \
        writer again = {0};                                                                        \
        if (type##_read(&m, slice_of(data, size), &error) == BERTH_OK) {                           \
            type##_write(&again, &m);                                                              \
            must_be(&again, data, size);                                                           \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_error error = {0};
    move_head head, bare;
    writer w = {0};
    bool known = move_head_read(&head, slice_of(data, size), &error) == BERTH_OK;

    read_by = 0;
    TRY(move_offer);
    TRY(move_accept);
    TRY(move_chunk);
    TRY(move_got);
    TRY(move_key);
    TRY(move_round);
    TRY(move_seal);
    TRY(move_step);
    TRY(move_no);
    TRY(move_state);
    TRY(move_hears);
    TRY(move_kind);
    TRY(move_order);
    TRY(move_fetch);
    TRY(move_plugin);
    TRY(move_part);
    if (move_bare_read(&bare, slice_of(data, size), &error) == BERTH_OK) {
        move_bare_write(&w, &bare);
        must_be(&w, data, size);
    }
    if (read_by > 1 || (read_by && !known))
        abort();
    return 0;
}
