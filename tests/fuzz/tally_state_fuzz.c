/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state that `tally` is to be restored from. What it refuses it refuses with a text; what it
 * takes it writes again byte for byte, counts on from there, and answers every question.
 */
#include "berth/plugin.h"
#include "berth/testkit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
    if (!holds)
        abort();
}

static void say(berth_test_daemon *d, const char *text, size_t outputs)
{
    must(berth_test_message(d, text, strlen(text)) == BERTH_OK);
    must(berth_test_effect_count(d) == outputs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    berth_test *kit = berth_test_open(&berth_plugin_0, NULL);
    berth_test_birth birth = {.state = {data, size}, .state_version = 1};
    berth_code code = BERTH_OK;
    berth_test_daemon *d;
    berth_bytes again;

    must(kit != NULL);
    d = berth_test_spawn(kit, &birth, &code);
    if (!d) {
        must(code == BERTH_E_STATE && *berth_test_last_failure(kit));
    } else {
        must(berth_test_snapshot(d, 1, &again) == BERTH_OK);
        must(again.len == size && (!size || memcmp(again.ptr, data, size) == 0));
        say(d, "?total", 1);
        say(d, "?top 3", 1);
        say(d, "a word that it has not\nseen a word", 0);
        say(d, "?count word", 1);
        must(berth_test_rebuild(d, 1) == BERTH_OK);
        say(d, "?distinct", 1);
    }
    berth_test_close(kit);
    return 0;
}
