/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the daemon, without a host. */
#include <berth/testkit.h>

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void it_greets(berth_test *t)
{
    berth_test_daemon *d = berth_test_spawn(t, nullptr, nullptr);

    CHECK(berth_test_message(d, "Ada", 3) == BERTH_OK);
    CHECK(berth_test_emitted(d, 0, "hello, Ada"));
    CHECK(berth_test_message(d, "", 0) == BERTH_E_REJECT);
    CHECK(berth_test_effect_count(d) == 0);
}

static void the_greeting_can_be_chosen(berth_test *t)
{
    berth_test_birth birth{};

    birth.config.ptr = "ahoy";
    birth.config.len = 4;
    berth_test_daemon *d = berth_test_spawn(t, &birth, nullptr);
    CHECK(berth_test_message(d, "Grace", 5) == BERTH_OK);
    CHECK(berth_test_emitted(d, 0, "ahoy, Grace"));
}

static void it_continues_from_its_snapshot(berth_test *t)
{
    berth_test_daemon *d = berth_test_spawn(t, nullptr, nullptr);
    berth_bytes state;

    CHECK(berth_test_message(d, "Ada", 3) == BERTH_OK);
    CHECK(berth_test_rebuild(d, 1) == BERTH_OK);
    CHECK(berth_test_message(d, "Bob", 3) == BERTH_OK);
    CHECK(berth_test_snapshot(d, 1, &state) == BERTH_OK);
    CHECK(state.len == 8 && *(const unsigned char *)state.ptr == 2);
}

static void a_damaged_state_is_refused(berth_test *t)
{
    berth_test_birth birth{};
    berth_code code;

    birth.state.ptr = "short";
    birth.state.len = 5;
    birth.state_version = 1;
    CHECK(berth_test_spawn(t, &birth, &code) == nullptr);
    CHECK(code == BERTH_E_STATE);
}

int main()
{
    const char *why;
    berth_test *t = berth_test_open(&berth_plugin_0, &why);

    if (!t) {
        fprintf(stderr, "the plugin's table is refused: %s\n", why);
        return 1;
    }
    it_greets(t);
    the_greeting_can_be_chosen(t);
    it_continues_from_its_snapshot(t);
    a_damaged_state_is_refused(t);
    berth_test_close(t);
    puts("all hold");
    return 0;
}
